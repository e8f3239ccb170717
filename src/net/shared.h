// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <cstdint>
#include <utility>

#include "hamgam/detail/atomic.h"
#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::net {

// What several goroutines have and the last one destroys. A std::shared_ptr will not do: where
// users' races are looked for, its functions are the user's instrumented ones or ours, as the
// linker picks them, and ThreadSanitizer sees one half of the counting. Of this it sees none, nor
// that the last one frees the memory. Thread safety: as a std::shared_ptr's. One that is moved from
// keeps what it has, so that none is ever empty.
template <class T>
class Shared {
 public:
  template <class... Args>
  explicit Shared(std::in_place_t /*unused*/, Args&&... args)
      : counted_(new Counted(std::forward<Args>(args)...)) {}
  Shared(const Shared& other) noexcept : counted_(other.counted_) {
    // relaxed: who copies it has one, so it is not the last
    counted_->references.fetch_add(1, hamgam::detail::kRelaxed);
  }
  Shared& operator=(const Shared&) = delete;
  ~Shared() {
    // [shared.1] acq_rel, pairs with itself: what the others did to it is before its end
    if (counted_->references.fetch_sub(1, hamgam::detail::kAcqRel) == 1) {
      hamgam::detail::TsanHide const hide;
      delete counted_;
    }
  }

  T& operator*() const noexcept { return counted_->value; }
  T* operator->() const noexcept { return &counted_->value; }

 private:
  struct Counted {
    template <class... Args>
    explicit Counted(Args&&... args) : value(std::forward<Args>(args)...) {}
    hamgam::detail::atomic<std::uint32_t> references{1};
    T value;
  };

  Counted* const counted_;
};

}  // namespace hamgam::inline HAMGAM_ABI::net
