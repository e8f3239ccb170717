// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// How late something comes.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>

namespace bench {

inline constexpr std::chrono::milliseconds kPause{2};

class Delay {
 public:
  using Clock = std::chrono::steady_clock;

  // It is to come that much later.
  void begin(Clock::duration later = {}) { due_ = Clock::now() + later; }
  void end() { late_ = Clock::now() - due_; }
  double microseconds() const { return std::chrono::duration<double, std::micro>(late_).count(); }

 private:
  Clock::time_point due_;
  Clock::duration late_{};
};

// In microseconds; `once` calls begin() and end().
template <class Once>
double median_delay(const Once& once) {
  std::array<double, 301> all{};
  for (double& delay : all) {
    Delay measured;
    once(measured);
    delay = measured.microseconds();
  }
  std::nth_element(all.begin(), all.begin() + all.size() / 2, all.end());
  return all[all.size() / 2];
}

}  // namespace bench
