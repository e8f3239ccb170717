// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sync/janitor.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "os/exit.h"
#include "os/fork.h"
#include "os/spin_lock.h"
#include "os/thread.h"
#include "sched/exit.h"
#include "sched/threads.h"

// Why the janitor does not oversleep: it decides under lock_ until when it sleeps, and whoever puts
// something into the list that is due earlier wakes it, under the same lock: so a wake never comes
// when that sleep is over, and meets no other one of the janitor's (a destructor's).
//
// Why nothing is forgotten: what is looked at is off the list meanwhile. If attend() puts it back
// during that, it stays there, whatever the look finds.

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {
constexpr Nanos kNever = kForever;
constexpr Nanos kAtWork = INT64_MIN;             // looks at the list before it sleeps
constexpr Nanos kSuspended = 10 * kMillisecond;  // between looks whether it still is
thread_local constinit bool t_janitor = false;   // on its own thread
}  // namespace

class Janitor {
 public:
  bool attend(Aged& aged, Nanos when) noexcept {
    if (is_lost()) {
      return false;
    }
    bool starts = false;
    {
      std::lock_guard const guard(lock_);
      push(aged, when);
      if (when < looks_at_) {
        looks_at_ = when;
        thread_->wake();
      }
      starts = !std::exchange(started_, true);
    }
    if (starts && !start()) {
      std::lock_guard const guard(lock_);
      started_ = false;  // the next one tries again
      return false;
    }
    return true;
  }

  void strike_off(Aged& aged) noexcept {
    if (is_lost()) {
      return;
    }
    bool own = false;
    {
      std::lock_guard const guard(lock_);
      aged.over_ = true;
      if (aged.due_ != kNever) {
        unlink(aged);
      }
      own = current_ == &aged && t_janitor;
      if (own) {
        current_ = nullptr;
      }
    }
    if (!own) {
      aged.aging_.lock();  // a look that has begun ends
      aged.aging_.unlock();
    }
  }

  // Looks at what is due at `time`. `self`: on the janitor's own thread.
  void pass(Nanos time, bool self) noexcept {
    lock_.lock();
    for (std::size_t left = count_; left > 0 && first_ != nullptr; --left) {
      Aged& aged = *first_;
      Nanos const due = aged.due_;
      unlink(aged);
      // Busy: another pass, which only a test makes, is at it.
      if (due > time || (self && exiting()) || !aged.aging_.try_lock()) {
        push(aged, due);
        continue;
      }
      if (self) {
        current_ = &aged;
      }
      lock_.unlock();
      Nanos const again = aged.age();
      lock_.lock();
      if (self && current_ == nullptr) {
        continue;  // it is gone
      }
      current_ = self ? nullptr : current_;
      if (again != kNever && !aged.over_) {
        push(aged, again);
      }
      lock_.unlock();
      aged.aging_.unlock();
      lock_.lock();
    }
    lock_.unlock();
  }

  void suspend(bool suspended) noexcept {
    suspended_.store(suspended, kRelaxed);  // relaxed: a test that does this waits for no edge
    if (suspended) {
      passing_.lock();  // a pass under way ends
      passing_.unlock();
    }
  }

 private:
  // In the child of a fork there is no janitor, and the lock may be another thread's for ever; also
  // where only plain threads have used anything.
  [[nodiscard]] bool is_lost() noexcept {
    if (is_forked_child()) {
      return true;
    }
    int const process = process_id();
    int first = 0;
    // relaxed: the same for all in a process
    return !process_.compare_exchange_strong(first, process, kRelaxed, kRelaxed) &&
           first != process;
  }

  bool start() noexcept {
    return start_thread(
        "hamgam-janitor", [](void* self) { static_cast<Janitor*>(self)->run(); }, this);
  }

  void run() noexcept {
    ThreadRecord& thread = *hold_thread_record();
    t_janitor = true;
    enter_background();  // from now on the exit knows this thread
    leave_background();
    for (;;) {
      lock_.lock();
      thread_ = &thread;
      thread.begin_sleep();
      Nanos const until = earliest();
      looks_at_ = until;
      lock_.unlock();
      if (until > now()) {
        (void)thread.sleep(until);
      }
      lock_.lock();
      looks_at_ = kAtWork;  // from here on nobody wakes it
      lock_.unlock();
      passing_.lock();
      // relaxed: a test that does this waits for no edge
      bool const suspended = suspended_.load(kRelaxed);
      if (!suspended) {
        enter_background();
        pass(now(), true);
        leave_background();
      }
      passing_.unlock();
      if (suspended) {
        thread.begin_sleep();
        (void)thread.sleep(now() + kSuspended);
      }
    }
  }

  // All below under lock_.

  [[nodiscard]] Nanos earliest() const noexcept {
    Nanos when = kNever;
    for (const Aged* aged = first_; aged != nullptr; aged = aged->next_) {
      when = std::min(when, aged->due_);
    }
    return when;
  }

  // One that is in already is looked at at the earlier of both times.
  void push(Aged& aged, Nanos when) noexcept {
    if (aged.due_ != kNever) {
      aged.due_ = std::min(aged.due_, when);
      return;
    }
    aged.due_ = when;
    aged.prev_ = last_;
    aged.next_ = nullptr;
    (last_ != nullptr ? last_->next_ : first_) = &aged;
    last_ = &aged;
    ++count_;
  }

  void unlink(Aged& aged) noexcept {
    aged.due_ = kNever;
    (aged.prev_ != nullptr ? aged.prev_->next_ : first_) = aged.next_;
    (aged.next_ != nullptr ? aged.next_->prev_ : last_) = aged.prev_;
    --count_;
  }

  SpinLock lock_;
  Aged* first_ = nullptr;
  Aged* last_ = nullptr;
  std::size_t count_ = 0;
  Aged* current_ = nullptr;         // what the janitor's own thread looks at
  ThreadRecord* thread_ = nullptr;  // set before looks_at_ is anything but kAtWork
  Nanos looks_at_ = kAtWork;
  bool started_ = false;
  atomic<int> process_{0};  // that of whoever came first

  Mutex passing_;  // held during the janitor's passes
  atomic<bool> suspended_{false};
};

namespace {
constinit Janitor g_janitor;
}

bool attend(Aged& aged, Nanos when) noexcept { return g_janitor.attend(aged, when); }
void strike_off(Aged& aged) noexcept { g_janitor.strike_off(aged); }
void age_all() noexcept { g_janitor.pass(kForever - 1, false); }
void suspend_janitor(bool suspended) noexcept { g_janitor.suspend(suspended); }

}  // namespace hamgam::inline HAMGAM_ABI::detail
