// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// A function of any type, move-only ones too, that the library keeps and runs later.

#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct Job {
  Job() = default;
  virtual ~Job() = default;
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;
  virtual void run() = 0;
};

template <class F>
struct JobOf final : Job {
  template <class G>
  explicit JobOf(G&& g)  // NOLINT(bugprone-forwarding-reference-overload): it is never copied
      : f(std::forward<G>(g)) {}
  void run() override { std::invoke(f); }
  F f;
};

template <class F>
std::unique_ptr<Job> make_job(F&& f) {
  return std::make_unique<JobOf<std::decay_t<F>>>(std::forward<F>(f));
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
