// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/blocking.h"

#include <algorithm>
#include <cstdio>
#include <mutex>

#include "hamgam/go.h"
#include "os/fork.h"
#include "sched/exit.h"
#include "sched/switch.h"

namespace hamgam::inline HAMGAM_ABI {

namespace detail {

bool BlockingCalls::try_enter() noexcept {
  std::uint64_t word = word_.load(kRelaxed);  // relaxed: the CAS checks it
  do {
    if (word >= limit()) {
      return false;
    }
    // relaxed: it orders nothing
  } while (!word_.compare_exchange_weak(word, word + 1, kRelaxed, kRelaxed));
  return true;
}

void BlockingCalls::enter(Goroutine& g) noexcept {
  if (HAMGAM_LIKELY(try_enter())) {
    return;
  }
  if (g.pinned != 0) {
    word_.fetch_add(1, kRelaxed);  // relaxed: a number
    return;
  }
  tell_once();
  wait(g);
}

void BlockingCalls::wait(Goroutine& g) noexcept {
  lock_.lock();
  std::uint64_t word = word_.load(kRelaxed);  // relaxed: the CAS checks it
  std::uint64_t next = 0;
  do {
    next = word < limit() ? word + 1 : word + kWaiting;
    // relaxed: the lock orders what is queued, see above
  } while (!word_.compare_exchange_weak(word, next, kRelaxed, kRelaxed));
  if (next < kWaiting) {
    lock_.unlock();
    return;
  }
  queue_.push(&g);
  park([](void* lock) noexcept { static_cast<SpinLock*>(lock)->unlock(); }, &lock_,
       "blocking (limit)");
}

void BlockingCalls::leave() noexcept {
  // relaxed: see above
  if (HAMGAM_UNLIKELY(word_.fetch_sub(1, kRelaxed) >= kWaiting)) {
    let_in();
  }
}

void BlockingCalls::let_in() noexcept {
  for (;;) {
    Goroutine* g = nullptr;
    {
      std::lock_guard const guard(lock_);
      std::uint64_t word = word_.load(kRelaxed);  // relaxed: the CAS checks it
      do {
        if (word < kWaiting || static_cast<std::uint32_t>(word) >= limit()) {
          return;
        }
        // relaxed: the lock orders who waits; the number guards nothing
      } while (!word_.compare_exchange_weak(word, word - kWaiting + 1, kRelaxed, kRelaxed));
      g = queue_.pop();
    }
    ready(g);
  }
}

std::uint32_t BlockingCalls::set_limit(std::uint32_t limit) noexcept {
  std::uint32_t const former = limit_.exchange(limit, kRelaxed);  // relaxed: the lock, see above
  let_in();
  return former;
}

void BlockingCalls::tell_once() noexcept {
  // relaxed: a line on standard error
  if (!told_.exchange(true, kRelaxed)) {
    TsanIgnore const unseen;
    std::fprintf(stderr,
                 "hamgam: %u in blocking() at once, which is the limit: other goroutines wait "
                 "until one is done; HAMGAM_BLOCKING or max_blocking(n) sets another\n",
                 limit());
  }
}

void enter_blocking() noexcept {
  if (Goroutine* g = current_goroutine()) {
    if (g->blocking == 0) {
      g_scheduler.blocking.enter(*g);
    }
    ++g->pinned;
    if (g->blocking++ == 0) {
      // relaxed throughout: for exit(), and dumps
      this_worker()->stays_since.store(coarse_now(), kRelaxed);
      this_worker()->in_blocking.store(true, kRelaxed);
      if (tracing()) {
        trace_span(TraceKind::kBlock, kInBlocking);
      }
      lend_slot(*this_worker());
    }
  }
}

void exit_blocking() noexcept {
  if (Goroutine* g = current_goroutine()) {
    if (exiting()) {
      stop_goroutine();
    }
    --g->pinned;
    if (--g->blocking == 0) {
      this_worker()->in_blocking.store(false, kRelaxed);  // relaxed: noticed at the next look
      if (tracing()) {
        trace_span(TraceKind::kUnblock, kInBlocking);
      }
      g_scheduler.blocking.leave();
      take_slot_back(*this_worker());
    }
  }
}

}  // namespace detail

int max_blocking(int n) {
  if (n >= 1 || !detail::is_forked_child()) {
    detail::ensure_started();
  }
  detail::BlockingCalls& calls = detail::g_scheduler.blocking;
  if (n < 1) {
    return static_cast<int>(calls.limit());
  }
  auto const limit = std::min(static_cast<std::uint32_t>(n), detail::kMostBlocking);
  return static_cast<int>(calls.set_limit(limit));
}

}  // namespace hamgam::inline HAMGAM_ABI
