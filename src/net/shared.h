// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <memory>
#include <utility>

#include "hamgam/detail/atomic.h"
#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::net {

// As std::make_shared, for what several goroutines have and the last one destroys. Where users'
// races are looked for, ThreadSanitizer sees memory that the library frees, but not the count that
// says who is the last: so it does not look.
template <class T, class... Args>
std::shared_ptr<T> make_shared_unseen(Args&&... args) {
  return std::shared_ptr<T>(new T(std::forward<Args>(args)...), [](T* object) {
    hamgam::detail::TsanHide const hide;
    delete object;
  });
}

}  // namespace hamgam::inline HAMGAM_ABI::net
