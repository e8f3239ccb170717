// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Reports of one kind, between those who see the matter and the thread that tells people of it.
// Whoever puts one there waits for nobody, and takes no memory. So N at most wait to be told of;
// others are missed: they are counted, and the thread says how many there were.
//
//   place(i)  the reports that wait, count_ of them from first_ on: a ring     under lock_
//   missed_   those that found no room, or for which there was no memory       under lock_
//   asked_    all that were put, also those that are missed                    under lock_
//   done_     those that were told of, or that people were told the number of  by the thread
// Invariant: asked_ - done_ are those in the ring, the missed_, and one that is just being told of.
//
// No thread. What was put waits until the system grants one, for which each ask() tries. The exit
// tries once more, and then says how many nobody was told of.
//
// Exit. It waits until all is told, for a while. One that ends early, as its destructors hang
// (exit.cpp), tells of no more.
//
// fork(). What waited is the parent's to tell of. The child has an empty queue, whose lock is free,
// and no thread. Who asks in the child what was told, or exits, takes no lock.

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <new>
#include <optional>
#include <utility>

#include "hamgam/detail/atomic.h"
#include "os/clock.h"
#include "os/spin_lock.h"
#include "sched/report_thread.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// What does not depend on what is reported. Never destroyed: its thread goes on while the process
// exits.
class ReportQueueBase {
 public:
  // Wakes the thread, for what was put. False: the system refuses one; what was put waits.
  bool ask() noexcept { return thread_.ask(); }

  [[nodiscard]] bool has_thread() const noexcept { return thread_.is_there(); }

  // Until all that was put before is told of, or until then. Not if there is no thread.
  void await(Nanos deadline) noexcept;

  // By who exits the process. For two seconds at most.
  void tell_at_exit() noexcept;

 protected:
  constexpr ReportQueueBase(const char* thread_name, const char* what,
                            ReportThread::Work work) noexcept
      : what_(what), thread_(thread_name, work, this) {}

  void note_told(std::uint64_t how_many) noexcept;
  // False: there were none.
  bool tell_of_missed() noexcept;
  void miss() noexcept;
  void forget_all() noexcept;

  SpinLock lock_;
  std::size_t first_ = 0;
  std::size_t count_ = 0;
  std::uint64_t missed_ = 0;
  atomic<std::uint64_t> asked_{0};
  atomic<std::uint64_t> done_{0};

 private:
  const char* const what_;  // the word for it in HAMGAM_DEBUG
  ReportThread thread_;
};

template <class T, std::size_t N>
class ReportQueue : public ReportQueueBase {
 public:
  // By the thread. May throw std::bad_alloc: then the report is missed.
  using Tell = void (*)(const T& report);

  constexpr ReportQueue(const char* thread_name, const char* what, Tell tell) noexcept
      : ReportQueueBase(thread_name, what, &work), tell_(tell) {}

  // To be followed by ask(). False: it is missed, N wait already.
  bool put(T report) noexcept {
    TsanHide const hide;
    std::lock_guard const guard(lock_);
    asked_.fetch_add(1, kRelaxed);  // relaxed: who waits for it has seen the end of this
    if (count_ == N) {
      ++missed_;
      return false;
    }
    ::new (static_cast<void*>(places_[(first_ + count_) % N])) T(std::move(report));
    ++count_;
    return true;
  }

  // In the child of a fork. What is there may be half made, and is left as it is.
  void forget() noexcept { forget_all(); }

 private:
  static bool work(void* raw) noexcept {
    auto& self = *static_cast<ReportQueue*>(static_cast<ReportQueueBase*>(raw));
    std::optional<T> const report = self.take();
    if (!report) {
      return self.tell_of_missed();
    }
    try {
      self.tell_(*report);
    } catch (const std::bad_alloc&) {
      self.miss();
      return true;
    }
    self.note_told(1);
    return true;
  }

  std::optional<T> take() noexcept {
    std::optional<T> report;
    std::lock_guard const guard(lock_);
    if (count_ != 0) {
      T* const first = std::launder(reinterpret_cast<T*>(places_[first_]));
      report.emplace(std::move(*first));
      first->~T();
      first_ = (first_ + 1) % N;
      --count_;
    }
    return report;
  }

  const Tell tell_;
  alignas(T) std::byte places_[N][sizeof(T)] = {};
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
