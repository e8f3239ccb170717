// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A queue whose consumer waits on a Cond, beside one whose consumer polls and sleeps: how long an
// item lies in the queue, and what processor time it takes to wait for it.
#include <hamgam/hamgam.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <deque>
#include <iostream>
#include <mutex>
#include <vector>

namespace {

using namespace std::chrono_literals;
using std::chrono::microseconds;

constexpr int kItems = 200;
constexpr auto kBetweenItems = 730us;

// [queue]
template <class T>
class Queue {
 public:
  void push(T item) {
    {
      const std::lock_guard lock(mutex_);
      items_.push_back(item);
    }
    filled_.notify_one();
  }

  T pop() {
    std::unique_lock lock(mutex_);
    filled_.wait(lock, [this] { return !items_.empty(); });
    return take();
  }
  // [/queue]

  T pop_by_polling() {
    for (;;) {
      {
        const std::lock_guard lock(mutex_);
        if (!items_.empty()) return take();
      }
      hamgam::sleep(100us);
    }
  }

 private:
  T take() {
    T item = items_.front();
    items_.pop_front();
    return item;
  }

  hamgam::Mutex mutex_;
  hamgam::Cond filled_;
  std::deque<T> items_;  // under mutex_
};

microseconds cpu_time() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return microseconds(time.tv_sec * 1'000'000 + time.tv_nsec / 1000);
}

template <class Pop>
void measure(const char* how, Pop pop) {
  Queue<hamgam::TimePoint> queue;
  std::vector<hamgam::Clock::duration> delays;
  const microseconds cpu = cpu_time();
  hamgam::WaitGroup group;
  group.go([&] {
    for (int i = 0; i < kItems; ++i) {
      hamgam::sleep(kBetweenItems);
      queue.push(hamgam::Clock::now());
    }
  });
  group.go([&] {
    for (int i = 0; i < kItems; ++i) {
      const hamgam::TimePoint pushed = pop(queue);
      delays.push_back(hamgam::Clock::now() - pushed);
    }
  });
  group.wait();
  const auto middle = delays.begin() + kItems / 2;
  std::nth_element(delays.begin(), middle, delays.end());
  std::cout << how << ": " << delays.size() << " items, half of them within "
            << std::chrono::duration_cast<microseconds>(*middle).count() << " us, "
            << (cpu_time() - cpu).count() << " us of processor time\n";
}

}  // namespace

int main() {
  return hamgam::run([] {
    measure("Cond", [](auto& queue) { return queue.pop(); });
    measure("polling", [](auto& queue) { return queue.pop_by_polling(); });
  });
}
