// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Squares, each found by a goroutine of its own; then all of them are needed.
#include <hamgam/hamgam.h>

#include <chrono>
#include <iostream>
#include <vector>

int main() {
  using namespace std::chrono_literals;
  return hamgam::run([] {
    // [naive]
    hamgam::Atomic<int> finished;
    const auto disk_answers = hamgam::make_chan<hamgam::Unit>();
    for (int i = 0; i < 5; ++i) {
      hamgam::go([disk_answers, &finished] {
        disk_answers.recv();  // slower than usual today
        finished.add(1);
        finished.notify_all();
      });
    }
    hamgam::sleep(5ms);  // surely they are done by now
    std::cout << "after a sleep: " << finished.load() << " of 5 done\n";
    // [/naive]
    disk_answers.close();
    for (int done = 0; done < 5; done = finished.load()) {
      finished.wait(done);  // `finished` must outlive them
    }

    // [ours]
    std::vector<int> squares(5);
    hamgam::WaitGroup group;
    for (int i = 0; i < 5; ++i) {
      group.go([&squares, i] { squares[static_cast<std::size_t>(i)] = i * i; });
    }
    group.wait();
    // [/ours]
    std::cout << "after wait:";
    for (const int square : squares) {
      std::cout << ' ' << square;
    }
    std::cout << '\n';

    // [timed]
    hamgam::WaitGroup slow;
    const auto go_on = hamgam::make_chan<hamgam::Unit>();
    slow.go([go_on] { go_on.recv(); });
    if (!slow.wait_for(2ms)) {
      std::cout << "not yet; something else meanwhile\n";
    }
    go_on.close();
    slow.wait();
    // [/timed]
  });
}
