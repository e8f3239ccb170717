// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Times that all threads count, in powers of two: observe::Histogram as it grows. Some stripes, so
// that workers do not share a line, mostly.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/cache_line.h"
#include "hamgam/detail/atomic.h"
#include "hamgam/observe.h"
#include "os/clock.h"

namespace hamgam::inline HAMGAM_ABI::detail {

class SharedHistogram {
 public:
  // `stripe`: any number.
  void note(Nanos time, unsigned stripe) noexcept {
    auto const nanos = static_cast<std::uint64_t>(std::max<Nanos>(time, 0));
    std::size_t const bucket =
        std::min(static_cast<std::size_t>(std::bit_width(nanos)), kBuckets - 1);
    // relaxed: a number
    stripes_[stripe % kStripes].counts[bucket].fetch_add(1, kRelaxed);
  }

  [[nodiscard]] observe::Histogram sum() const noexcept {
    observe::Histogram sum;
    for (const Stripe& stripe : stripes_) {
      for (std::size_t i = 0; i < kBuckets; ++i) {
        sum.counts[i] += stripe.counts[i].load(kRelaxed);  // relaxed: a number
      }
    }
    return sum;
  }

  void clear() noexcept {
    for (Stripe& stripe : stripes_) {
      for (auto& count : stripe.counts) {
        count.store(0, kRelaxed);  // relaxed: a number
      }
    }
  }

 private:
  static constexpr std::size_t kBuckets = observe::Histogram::kBuckets;
  static constexpr unsigned kStripes = 8;
  struct alignas(kNoSharing) Stripe {
    atomic<std::uint64_t> counts[kBuckets] = {};
  };
  Stripe stripes_[kStripes] = {};
};

// While waits are profiled. How long goroutines that could run have waited for a thread, and how
// long was waited for locks.
extern constinit SharedHistogram g_scheduler_latency;
extern constinit SharedHistogram g_lock_waits;

}  // namespace hamgam::inline HAMGAM_ABI::detail
