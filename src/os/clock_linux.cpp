// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <ctime>

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>
#endif

#include "os/clock.h"

namespace hamgam::inline HAMGAM_ABI::detail {

Nanos now() noexcept {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<Nanos>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

#if defined(__x86_64__)
namespace {

bool counts_evenly() noexcept {
  constexpr unsigned kPower = 0x80000007;
  constexpr unsigned kInvariant = 1U << 8;
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  return __get_cpuid(kPower, &a, &b, &c, &d) != 0 && (d & kInvariant) != 0;
}

}  // namespace

std::uint64_t ticks() noexcept {
  static bool const kEven = counts_evenly();
  return kEven ? __rdtsc() : static_cast<std::uint64_t>(now());
}
#elif defined(__aarch64__)
std::uint64_t ticks() noexcept {
  std::uint64_t count = 0;
  asm volatile("mrs %0, cntvct_el0" : "=r"(count));
  return count;
}
#else
std::uint64_t ticks() noexcept { return static_cast<std::uint64_t>(now()); }
#endif

}  // namespace hamgam::inline HAMGAM_ABI::detail
