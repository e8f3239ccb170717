// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// One goroutine that listens to several others at once.
#include <hamgam/hamgam.h>

#include <chrono>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;
using hamgam::on_recv;
using hamgam::on_send;
using hamgam::on_timeout;
using hamgam::otherwise;

// [naive]
int wait_by_looking(const hamgam::Chan<int>& left, const hamgam::Chan<int>& right) {
  for (;;) {
    if (const auto found = left.try_recv(); found.value) {
      return *found.value;
    }
    if (const auto found = right.try_recv(); found.value) {
      return *found.value;
    }
    hamgam::sleep(1ms);  // too long for the one who waits, too short for the processor
  }
}
// [/naive]

// [ours]
int wait_for_either(const hamgam::Chan<int>& left, const hamgam::Chan<int>& right) {
  int result = 0;
  hamgam::select(on_recv(left, [&](std::optional<int> value) { result = value.value_or(0); }),
                 on_recv(right, [&](std::optional<int> value) { result = value.value_or(0); }));
  return result;
}
// [/ours]

}  // namespace

int main() {
  return hamgam::run([] {
    const auto left = hamgam::make_chan<int>(1);
    const auto right = hamgam::make_chan<int>(1);
    right.send(7);
    std::cout << "by looking: " << wait_by_looking(left, right) << '\n';
    left.send(8);
    std::cout << "select: " << wait_for_either(left, right) << '\n';

    // [timeout]
    hamgam::select(on_recv(left, [] { std::cout << "left\n"; }),
                   on_recv(right, [] { std::cout << "right\n"; }),
                   on_timeout(2ms, [] { std::cout << "nobody for 2 ms\n"; }));
    hamgam::select(on_send(left, 9, [] { std::cout << "sent at once\n"; }),
                   otherwise([] { std::cout << "nobody could take it\n"; }));
    // [/timeout]

    // [loop]
    const auto jobs = hamgam::make_chan<std::string>();
    const auto quit = hamgam::make_chan<hamgam::Unit>();
    hamgam::go([jobs, quit] {
      jobs.send("wash");
      jobs.send("cook");
      quit.close();
    });
    while (hamgam::select(on_recv(quit), on_recv(jobs, [](std::optional<std::string> job) {
                            std::cout << "job: " << *job << '\n';
                          })) != 0) {
    }
    // [/loop]

    // [set]
    std::vector<hamgam::Chan<int>> sensors;
    hamgam::SelectSet set;
    int sum = 0;
    for (int i = 1; i <= 4; ++i) {
      const auto sensor = hamgam::make_chan<int>(1);
      sensor.send(i);
      set.add(on_recv(sensor, [&sum](std::optional<int> value) { sum += value.value_or(0); }));
      sensors.push_back(sensor);
    }
    for (std::size_t i = 0; i < sensors.size(); ++i) {
      set.wait();
    }
    std::cout << "the sensors add up to " << sum << '\n';
    // [/set]
  });
}
