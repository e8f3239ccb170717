// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#pragma once

#include <boost/fiber/all.hpp>

#include <barrier>
#include <functional>
#include <thread>
#include <vector>

namespace bench {

// Threads whose schedulers steal fibers from each other. Boost sets up stealing once per process,
// and cannot take it down, so the threads stay and the process ends around them.
class Fleet {
 public:
  explicit Fleet(int workers) : registered_(workers) {
    for (int i = 0; i < workers; ++i) {
      threads_.emplace_back([this, i, workers] { work(i, static_cast<std::uint32_t>(workers)); });
    }
  }
  void run(const std::function<void()>& body) {
    boost::fibers::promise<void> ended;
    jobs_.push([&body, &ended] {
      body();
      ended.set_value();
    });
    ended.get_future().wait();
  }

 private:
  void work(int index, std::uint32_t workers) {
    // suspend: a thread without fibers sleeps, as a worker without goroutines does.
    boost::fibers::use_scheduling_algorithm<boost::fibers::algo::work_stealing>(workers, true);
    registered_.arrive_and_wait();
    if (index == 0) {
      for (const std::function<void()>& job : jobs_) boost::fibers::fiber(job).join();
    } else {
      // Nobody ever says so: this thread's part is what it steals.
      std::unique_lock<boost::fibers::mutex> lock(mutex_);
      never_.wait(lock, [] { return false; });
    }
  }

  std::barrier<> registered_;
  boost::fibers::buffered_channel<std::function<void()>> jobs_{2};
  boost::fibers::mutex mutex_;
  boost::fibers::condition_variable_any never_;
  std::vector<std::thread> threads_;
};

// Runs `body` as a fiber with that many threads to share the fibers; always the same number in
// one process. One thread keeps Boost's own scheduler, more steal from each other.
template <class F>
void in_fibers(int workers, const F& body) {
  if (workers == 1) {
    std::thread([&body] { boost::fibers::fiber([&body] { body(); }).join(); }).join();
    return;
  }
  static auto& fleet = *new Fleet(workers);
  fleet.run([&body] { body(); });
}

// Starts a fiber that others may steal; by default as `go`, to run after its maker.
template <class F>
boost::fibers::fiber start(F&& body) {
  return boost::fibers::fiber(boost::fibers::launch::post, static_cast<F&&>(body));
}

// Runs `body` in that many fibers at once and waits for them.
template <class F>
void fibers_of(int count, const F& body) {
  std::vector<boost::fibers::fiber> fibers;
  for (int i = 0; i < count; ++i) fibers.push_back(start([&body] { body(); }));
  for (boost::fibers::fiber& f : fibers) f.join();
}

}  // namespace bench
