// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sync/janitor.h"

#include <cstddef>

#include "os/futex.h"
#include "os/spin_lock.h"
#include "os/thread.h"
#include "sched/park.h"

// Why the janitor does not oversleep: `work_` is set after whatever has to be aged was stored under
// its own lock, and cleared before a pass looks under that lock. So either the pass sees it, or
// work_ is set again after it was cleared.

namespace hamgam::inline HAMGAM_ABI::detail {

class Janitor {
 public:
  void enlist(Aged& aged) noexcept {
    lock_.lock();
    push_back(aged);
    ++count_;
    lock_.unlock();
  }

  void strike_off(Aged& aged) noexcept {
    lock_.lock();
    unlink(aged);
    --count_;
    lock_.unlock();
    // A pass that took it off the list before us holds this.
    aged.aging_.lock();
    aged.aging_.unlock();
  }

  void rouse() noexcept {
    // [janitor.1] seq_cst, pairs with [janitor.2]
    if (work_.exchange(1, kSeqCst) == 0) {
      futex_wake(work_, 1);
    }
    // relaxed: only one may start it
    if (!started_.load(kRelaxed) && !started_.exchange(true, kRelaxed)) {
      thread_sleeps();
      if (!start_thread(
              "hamgam-janitor", [](void* self) { static_cast<Janitor*>(self)->run(); }, this)) {
        thread_wakes();
        started_.store(false, kRelaxed);  // relaxed: the next one tries again
      }
    }
  }

  // True if anything has to be looked at again.
  bool pass() noexcept {
    bool again = false;
    lock_.lock();
    std::uint64_t const number = ++passes_;
    for (std::size_t left = count_; left > 0 && first_ != nullptr; --left) {
      Aged& aged = *first_;
      unlink(aged);
      push_back(aged);
      if (aged.pass_ == number) {
        continue;
      }
      aged.pass_ = number;
      // Free but for another pass, which only a test makes: strike_off comes after the unlinking.
      if (!aged.aging_.try_lock()) {
        continue;
      }
      lock_.unlock();
      again |= aged.age();
      aged.aging_.unlock();
      lock_.lock();
    }
    lock_.unlock();
    return again;
  }

  void suspend(bool suspended) noexcept {
    suspended_.store(suspended, kRelaxed);  // relaxed: a test that does this waits for no edge
    if (suspended) {
      passing_.lock();  // a pass under way ends
      passing_.unlock();
    }
  }

 private:
  void run() noexcept {
    for (;;) {
      while (work_.load(kRelaxed) == 0) {  // relaxed: [janitor.2] follows
        futex_wait(work_, 0);
      }
      Nanos const until = now() + kTrimPeriod;
      while (now() < until) {
        futex_wait(never_, 0, until);
      }
      passing_.lock();
      if (!suspended_.load(kRelaxed)) {  // relaxed: as above
        work_.exchange(0, kSeqCst);      // [janitor.2] seq_cst, pairs with [janitor.1]
        if (pass()) {
          work_.store(1, kRelaxed);  // relaxed: for ourselves
        }
      }
      passing_.unlock();
    }
  }

  // Under lock_.
  void push_back(Aged& aged) noexcept {
    aged.prev_ = last_;
    aged.next_ = nullptr;
    (last_ != nullptr ? last_->next_ : first_) = &aged;
    last_ = &aged;
  }

  void unlink(Aged& aged) noexcept {
    (aged.prev_ != nullptr ? aged.prev_->next_ : first_) = aged.next_;
    (aged.next_ != nullptr ? aged.next_->prev_ : last_) = aged.prev_;
  }

  SpinLock lock_;
  Aged* first_ = nullptr;
  Aged* last_ = nullptr;
  std::size_t count_ = 0;
  std::uint64_t passes_ = 0;

  Mutex passing_;
  atomic<std::uint32_t> work_{0};
  atomic<std::uint32_t> never_{0};
  atomic<bool> started_{false};
  atomic<bool> suspended_{false};
};

namespace {
constinit Janitor g_janitor;
}

void enlist(Aged& aged) noexcept { g_janitor.enlist(aged); }
void strike_off(Aged& aged) noexcept { g_janitor.strike_off(aged); }
void rouse_janitor() noexcept { g_janitor.rouse(); }
void age_all() noexcept { (void)g_janitor.pass(); }
void suspend_janitor(bool suspended) noexcept { g_janitor.suspend(suspended); }

}  // namespace hamgam::inline HAMGAM_ABI::detail
