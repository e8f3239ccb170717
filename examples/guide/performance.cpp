// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// The same sum in three ways: the figures differ from machine to machine, their order does not.
#include <hamgam/hamgam.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <mutex>
#include <numeric>
#include <vector>

namespace {

using Numbers = std::vector<std::int64_t>;

// [naive]
std::int64_t one_goroutine_for_each(const Numbers& numbers) {
  hamgam::Mutex mutex;
  std::int64_t sum = 0;
  hamgam::WaitGroup group;
  for (const std::int64_t number : numbers) {
    group.go([&, number] {
      const std::lock_guard lock(mutex);
      sum += number;
    });
  }
  group.wait();
  return sum;
}
// [/naive]

// [ours]
std::int64_t one_goroutine_for_a_part(const Numbers& numbers) {
  const auto parts = static_cast<std::size_t>(hamgam::max_procs());
  hamgam::Atomic<std::int64_t> sum;
  hamgam::WaitGroup group;
  for (std::size_t part = 0; part < parts; ++part) {
    group.go([&, part] {
      const auto begin = numbers.size() * part / parts;
      const auto end = numbers.size() * (part + 1) / parts;
      std::int64_t mine = 0;  // nobody else touches it
      for (std::size_t i = begin; i < end; ++i) {
        mine += numbers[i];
      }
      sum.add(mine);  // once
    });
  }
  group.wait();
  return sum.load();
}
// [/ours]

template <class Add>
void measure(const char* how, const Numbers& numbers, Add add) {
  const auto start = std::chrono::steady_clock::now();
  const std::int64_t sum = add(numbers);
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  std::cout << how << ": " << sum << " in " << took.count() << " ms\n";
}

}  // namespace

int main() {
  return hamgam::run([] {
    Numbers numbers(5'000);
    std::iota(numbers.begin(), numbers.end(), 1);
    measure("a loop", numbers,
            [](const Numbers& n) { return std::accumulate(n.begin(), n.end(), std::int64_t{0}); });
    measure("a goroutine for each number", numbers, one_goroutine_for_each);
    measure("a goroutine for each processor", numbers, one_goroutine_for_a_part);
  });
}
