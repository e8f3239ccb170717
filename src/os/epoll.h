// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Which descriptors are ready, as the kernel tells it.

#include <cstdint>

#include "os/clock.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct PollEvent {
  std::uint64_t data = 0;  // as it was registered
  bool readable = false;   // or at its end, or broken
  bool writable = false;   // or broken
  bool last = false;       // at its end, or broken, or with urgent data
  bool gone = false;       // the peer sends no more, or it is broken
};

inline constexpr int kPollBatch = 128;

class Epoll {
 public:
  // 0, or the error.
  int open() noexcept;

  // Edge-triggered, both directions. 0, or the error: EPERM for what is always ready, such as a
  // file. The present state is the first event.
  int add(int fd, std::uint64_t data) const noexcept;
  void remove(int fd) const noexcept;

  // How many events there are, at most kPollBatch; 0 if the deadline has passed or for no reason.
  int wait(PollEvent* events, Nanos deadline) const noexcept;

  // The events there are now.
  int look(PollEvent* events) const noexcept { return wait(events, 0); }

  // Ends a wait() of another thread, now or the next one. It gets an event with data kInterrupt.
  void interrupt() const noexcept;
  static constexpr std::uint64_t kInterrupt = ~std::uint64_t{0};

 private:
  int fd_ = -1;
  int wake_ = -1;
};

// Whether two numbers are one open file; false if that is not to be known.
bool is_same_file(int a, int b) noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
