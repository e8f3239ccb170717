// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// From std::chrono to the nanoseconds of the monotonic clock that all waiting is measured in.
//
// Any duration and time point of any clock is taken, and nothing overflows: they are converted in
// 128 bits, or in long double if one of them is no integer, and saturate. What is too long for 64
// bits is over in 292 years, what is not positive, or not a number, is over now. A limit, however
// far, is no "for ever": who waits with one is not taken for deadlocked.
//
// A time point of a clock that is not ours means: until that clock says so. How long that is is
// asked when the wait begins, and again when that long is over. So a clock that was set back
// meanwhile prolongs the wait; one that was set forward does not shorten it, as with
// std::condition_variable and a clock of the user's own.

#include <chrono>
#include <cstdint>
#include <numeric>
#include <type_traits>

#include "hamgam/detail/clock.h"
#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

inline constexpr std::int64_t kNoDeadline = INT64_MAX;
inline constexpr std::int64_t kFarthest = kNoDeadline - 1;  // what times saturate to

__extension__ typedef __int128 Wide;  // NOLINT(modernize-use-using): __extension__ is for these
__extension__ typedef unsigned __int128 UnsignedWide;  // NOLINT(modernize-use-using)

inline constexpr Wide kWideMost = Wide{1} << 100;  // nanoseconds: more than any 64-bit clock has

// In strict modes the 128-bit ones are no std::is_integral.
template <class Rep>
inline constexpr bool kIsInteger =
    std::is_integral_v<Rep> || std::is_same_v<Rep, Wide> || std::is_same_v<Rep, UnsignedWide>;

// How many nanoseconds a Period has: num / den, in lowest terms. std::ratio has no room for those
// of a std::tera.
template <class Period>
struct NanosIn {
  static constexpr std::int64_t kCommon = std::gcd(std::int64_t{Period::type::den}, 1'000'000'000);
  static constexpr Wide num = Wide{Period::type::num} * (1'000'000'000 / kCommon);
  static constexpr Wide den = Period::type::den / kCommon;
};

// In nanoseconds: rounded up or down and saturated to kWideMost; long double if Rep is no integer.
template <bool kUp, class Rep, class Period>
constexpr auto wide_nanos(const std::chrono::duration<Rep, Period>& d) {
  using Factor = NanosIn<Period>;
  if constexpr (kIsInteger<Rep>) {
    static_assert(Factor::num <= (Wide{1} << 126) / Factor::den,
                  "hamgam: the period of this duration is a ratio of too big numbers to be counted "
                  "in nanoseconds; cast it to another, or give it a floating-point rep");
    constexpr Wide kMostWhole = kWideMost / Factor::num;
    Wide const count = d.count() > Rep{0} && static_cast<UnsignedWide>(d.count()) >> 126 != 0
                           ? Wide{1} << 126
                           : static_cast<Wide>(d.count());
    Wide const whole = count / Factor::den;
    if (whole > kMostWhole) {
      return kWideMost;
    }
    if (whole < -kMostWhole) {
      return -kWideMost;
    }
    Wide const rest = count % Factor::den * Factor::num;
    Wide const nanos = whole * Factor::num + rest / Factor::den;
    Wide const left = rest % Factor::den;
    return nanos + Wide{kUp && left > 0} - Wide{!kUp && left < 0};
  } else {
    return static_cast<long double>(d.count()) * static_cast<long double>(Factor::num) /
           static_cast<long double>(Factor::den);
  }
}

// Never early; 0 if there is nothing to wait for.
template <class Nanos>
constexpr std::int64_t narrow_nanos(Nanos nanos) noexcept {
  if (!(nanos > 0)) {  // NaN too
    return 0;
  }
  if (nanos >= static_cast<Nanos>(kFarthest)) {
    return kFarthest;
  }
  auto const down = static_cast<std::int64_t>(nanos);
  return down + (static_cast<Nanos>(down) < nanos ? 1 : 0);
}

template <class Rep, class Period>
constexpr std::int64_t saturated_nanos(const std::chrono::duration<Rep, Period>& d) {
  return narrow_nanos(wide_nanos<true>(d));
}

// A duration of any kind, for options: not negative, saturated.
class AnyDuration {
 public:
  constexpr AnyDuration() noexcept = default;
  template <class Rep, class Period>
  constexpr AnyDuration(const std::chrono::duration<Rep, Period>& d)  // NOLINT: as a duration
      : nanos_(saturated_nanos(d)) {}
  constexpr operator std::chrono::nanoseconds() const noexcept {  // NOLINT: as a duration
    return std::chrono::nanoseconds(nanos_);
  }
  [[nodiscard]] constexpr std::int64_t nanos() const noexcept { return nanos_; }

 private:
  std::int64_t nanos_ = 0;
};

inline std::int64_t nanos_now() noexcept { return Clock::now().time_since_epoch().count(); }

inline std::int64_t deadline_after_nanos(std::int64_t wait) noexcept {
  std::int64_t const time = nanos_now();
  return wait >= kFarthest - time ? kFarthest : time + wait;
}

// The moment `d` from now.
template <class Rep, class Period>
std::int64_t deadline_after(const std::chrono::duration<Rep, Period>& d) {
  return deadline_after_nanos(saturated_nanos(d));
}

template <class C>
inline constexpr bool kMeasuresOurTime =
    std::is_same_v<C, Clock> || std::is_same_v<C, std::chrono::steady_clock>;

// How long it is until `t` on its own clock: nanoseconds, wide ones.
template <class C, class D>
auto wide_until(const std::chrono::time_point<C, D>& t) {
  auto const end = wide_nanos<true>(t.time_since_epoch());
  auto const start = wide_nanos<false>(C::now().time_since_epoch());
  if constexpr (std::is_same_v<decltype(end), decltype(start)>) {
    return end - start;
  } else {
    return static_cast<long double>(end) - static_cast<long double>(start);
  }
}

// The moment at which `t` comes, as far as its clock can tell now.
template <class C, class D>
std::int64_t deadline_at(const std::chrono::time_point<C, D>& t) {
  if constexpr (kMeasuresOurTime<C>) {
    return saturated_nanos(t.time_since_epoch());
  } else {
    return deadline_after_nanos(narrow_nanos(wide_until(t)));
  }
}

// Has `t` come, once a wait until deadline_at(t) is over?
template <class C, class D>
bool is_over(const std::chrono::time_point<C, D>& t) {
  if constexpr (kMeasuresOurTime<C>) {
    return true;
  } else {
    return !(wide_until(t) > 0);  // NaN too
  }
}

// Runs attempt(deadline) -> bool until it is true or `t` has passed on its own clock.
template <class C, class D, class Attempt>
bool attempt_until(const std::chrono::time_point<C, D>& t, Attempt attempt) {
  do {
    if (attempt(deadline_at(t))) {
      return true;
    }
  } while (!is_over(t));
  return false;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
