// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A mailbox whose reader waits for a letter: by looking again and again, and on a Cond.
#include <hamgam/hamgam.h>

#include <chrono>
#include <deque>
#include <iostream>
#include <mutex>
#include <string>

namespace {

using namespace std::chrono_literals;

class Mailbox {
 public:
  // [put]
  void put(std::string letter) {
    {
      const std::lock_guard lock(mutex_);
      letters_.push_back(std::move(letter));
    }
    filled_.notify_one();
  }
  // [/put]

  // [naive]
  std::string take_by_polling() {
    for (;;) {
      {
        const std::lock_guard lock(mutex_);
        if (has_letter()) {
          return take_first();
        }
      }
      hamgam::sleep(1ms);
    }
  }
  // [/naive]

  // [ours]
  std::string take() {
    std::unique_lock lock(mutex_);
    filled_.wait(lock, [this] { return has_letter(); });
    return take_first();
  }
  // [/ours]

  // Says so after each look.
  hamgam::Chan<hamgam::Unit> looked = hamgam::make_chan<hamgam::Unit>(1000);
  hamgam::Atomic<int> looks;

 private:
  bool has_letter() {
    looks.add(1);
    (void)looked.try_send({});
    return !letters_.empty();
  }
  std::string take_first() {
    std::string letter = std::move(letters_.front());
    letters_.pop_front();
    return letter;
  }

  hamgam::Mutex mutex_;
  hamgam::Cond filled_;
  std::deque<std::string> letters_;  // under mutex_
};

}  // namespace

int main() {
  return hamgam::run([] {
    Mailbox polled;
    auto reader = hamgam::spawn([&] { return polled.take_by_polling(); });
    for (int i = 0; i < 5; ++i) {
      polled.looked.recv();  // the letter is long in coming
    }
    polled.put("salaam");
    std::cout << "polling: " << reader.get()
              << " after at least 5 looks: " << (polled.looks.load() >= 5 ? "yes" : "no") << '\n';

    Mailbox waited;
    reader = hamgam::spawn([&] { return waited.take(); });
    waited.looked.recv();
    waited.put("salaam");
    std::cout << "Cond: " << reader.get() << " after " << waited.looks.load() << " looks\n";
  });
}
