// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Programs that divide their work and wait for the parts, the same for all libraries in C++ (and
// line by line in rivals/go/ops/forkjoin.go). A Group has run(f) and wait(); f may make Groups.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <utility>
#include <vector>

namespace bench {

inline void expect(bool right) {
  if (!right) std::abort();
}

// A group for each call, down to the last: nothing but starting and waiting.
template <class Group>
std::int64_t fib(int n) {
  if (n < 2) return n;
  std::int64_t first = 0;
  Group group;
  group.run([&first, n] { first = fib<Group>(n - 1); });
  const std::int64_t second = fib<Group>(n - 2);
  group.wait();
  return first + second;
}

// The sum of `size` leaves, the first of which is `number`, in ten parts.
template <class Group>
std::int64_t sum_leaves(std::int64_t number, std::int64_t size) {
  if (size == 1) return number;
  std::array<std::int64_t, 10> parts{};
  Group group;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::int64_t first = number + static_cast<std::int64_t>(i) * (size / 10);
    group.run([&part = parts[i], first, size] { part = sum_leaves<Group>(first, size / 10); });
  }
  group.wait();
  return std::accumulate(parts.begin(), parts.end(), std::int64_t{0});
}

// Sorts [from, to); pieces below a thousand by the same code, alone.
template <class Group>
void quicksort(std::uint32_t* from, std::uint32_t* to) {
  constexpr std::ptrdiff_t kAlone = 1000;
  constexpr std::ptrdiff_t kInsertion = 16;
  if (to - from <= kInsertion) {
    for (std::uint32_t* at = from; at < to; ++at) {
      const std::uint32_t value = *at;
      std::uint32_t* hole = at;
      for (; hole > from && hole[-1] > value; --hole) *hole = hole[-1];
      *hole = value;
    }
    return;
  }
  const std::uint32_t pivot = from[(to - from) / 2];
  std::uint32_t* low = from;
  std::uint32_t* high = to - 1;
  while (low <= high) {
    while (*low < pivot) ++low;
    while (*high > pivot) --high;
    if (low <= high) std::swap(*low++, *high--);
  }
  if (to - from < kAlone) {
    quicksort<Group>(from, high + 1);
    quicksort<Group>(low, to);
    return;
  }
  Group group;
  group.run([from, high] { quicksort<Group>(from, high + 1); });
  quicksort<Group>(low, to);
  group.wait();
}

// How many ways there are to complete the placement: columns and diagonals as bits. The first
// `depth` rows in parallel.
template <class Group>
std::int64_t queens(std::uint32_t all, std::uint32_t columns, std::uint32_t left,
                    std::uint32_t right, int depth) {
  if (columns == all) return 1;
  std::uint32_t free = all & ~(columns | left | right);
  std::int64_t sum = 0;
  if (depth == 0) {
    while (free != 0) {
      const std::uint32_t bit = free & (0 - free);
      free ^= bit;
      sum += queens<Group>(all, columns | bit, (left | bit) << 1, (right | bit) >> 1, 0);
    }
    return sum;
  }
  std::array<std::int64_t, 32> parts{};
  std::size_t count = 0;
  Group group;
  while (free != 0) {
    const std::uint32_t bit = free & (0 - free);
    free ^= bit;
    group.run([=, &part = parts[count++]] {
      part = queens<Group>(all, columns | bit, (left | bit) << 1, (right | bit) >> 1, depth - 1);
    });
  }
  group.wait();
  return std::accumulate(parts.begin(), parts.end(), sum);
}

// c += a * b, of `size` rows each of which is `stride` long: quarters, twice four products.
template <class Group>
void multiply(const double* a, const double* b, double* c, std::size_t size, std::size_t stride) {
  constexpr std::size_t kAlone = 32;
  if (size <= kAlone) {
    for (std::size_t i = 0; i < size; ++i) {
      for (std::size_t k = 0; k < size; ++k) {
        const double factor = a[i * stride + k];
        for (std::size_t j = 0; j < size; ++j) c[i * stride + j] += factor * b[k * stride + j];
      }
    }
    return;
  }
  const std::size_t half = size / 2;
  for (std::size_t k = 0; k < 2; ++k) {
    Group group;
    for (std::size_t i = 0; i < 2; ++i) {
      for (std::size_t j = 0; j < 2; ++j) {
        group.run([=] {
          multiply<Group>(a + (i * stride + k) * half, b + (k * stride + j) * half,
                          c + (i * stride + j) * half, half, stride);
        });
      }
    }
    group.wait();
  }
}

// The whole programs, with their results looked at.

template <class Group>
void fork_join_fib() {
  expect(fib<Group>(20) == 6765);
}

template <class Group>
void fork_join_skynet() {
  expect(sum_leaves<Group>(0, 1'000'000) == 499'999'500'000);
}

template <class Group>
void fork_join_quicksort() {
  std::vector<std::uint32_t> values(1'000'000);
  std::uint32_t next = 1;
  for (std::uint32_t& value : values) value = next = next * 1664525 + 1013904223;
  quicksort<Group>(values.data(), values.data() + values.size());
  expect(std::is_sorted(values.begin(), values.end()));
}

template <class Group>
void fork_join_queens() {
  expect(queens<Group>((1U << 11) - 1, 0, 0, 0, 4) == 2680);
}

template <class Group>
void fork_join_matmul() {
  constexpr std::size_t kSize = 512;
  const std::vector<double> a(kSize * kSize, 1);
  const std::vector<double> b(kSize * kSize, 2);
  std::vector<double> c(kSize * kSize);
  multiply<Group>(a.data(), b.data(), c.data(), kSize, kSize);
  expect(c.front() == 2.0 * kSize && c.back() == 2.0 * kSize);
}

}  // namespace bench
