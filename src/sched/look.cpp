// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/look.h"

#include "fiber/unwind.h"
#include "os/ask.h"
#include "os/fork.h"
#include "os/spin_lock.h"
#include "os/thread.h"
#include "sched/scheduler.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constinit SpinLock g_asking;           // held by who asks
constinit Look g_looks[Looks::kMost];  // they are never freed: handlers may be late

// In the handler, on the thread that was asked.
void on_asked(const void* stack) noexcept {
  TsanIgnore const ignore;
  ThreadRecord* const thread = thread_record_in_handler();
  // [look.1] acquire, pairs with [look.2]: the Look is as its former user left it
  Look* const look = thread != nullptr ? thread->look.exchange(nullptr, kAcquire) : nullptr;
  if (look == nullptr) {
    return;
  }
  look->goroutine = nullptr;
  look->id = 0;
  look->reason = nullptr;
  look->count = 0;
  const auto* const at = static_cast<const char*>(stack);
  const Goroutine* const g = current_goroutine();
  const Stack* const own = g != nullptr ? g->stack : nullptr;
  if (own != nullptr && at >= own->bottom && at < own->bottom + own->size) {
    look->goroutine = g;
    look->id = g->id.load(kRelaxed);                  // relaxed: of this thread
    look->tick = this_worker()->tick.load(kRelaxed);  // relaxed: as that
    look->count = unwind_interrupted(look->frames, Look::kFrames);
  } else if (this_worker() == nullptr) {
    look->reason = thread->reason.load(kRelaxed);  // relaxed: of this thread
    look->count = unwind_interrupted(look->frames, Look::kFrames);
  }
  Look::State asked = Look::kAsked;
  // [look.3] release, pairs with [look.4]: what was written
  if (!look->state.compare_exchange_strong(asked, Look::kAnswered, kRelease, kRelaxed)) {
    look->state.store(Look::kFree, kRelease);  // [look.5] release, pairs with [look.6]
  }
}

}  // namespace

Looks::Looks(Nanos patience, bool dying) noexcept : patience_(patience) {
  static bool const kCan = can_unwind_in_handlers();
  works_ = kCan && patience > 0 && !is_forked_child();
  if (!works_) {
    return;
  }
  if (!dying) {
    g_asking.lock();
  } else if (!g_asking.try_lock_patiently()) {
    works_ = false;
    return;
  }
  if (!may_ask_threads(&on_asked)) {
    g_asking.unlock();
    works_ = false;
    return;
  }
  const void* frame = nullptr;
  (void)unwind_here(&frame, 1);  // what it does the first time is done
}

Looks::~Looks() {
  if (!works_) {
    return;
  }
  for (std::size_t i = 0; i < count_; ++i) {
    if (looks_[i] != nullptr) {
      looks_[i]->state.store(Look::kFree, kRelaxed);  // relaxed: the lock orders those who ask
    }
  }
  g_asking.unlock();
}

void Looks::ask(ThreadRecord& thread) noexcept {
  std::size_t const i = count_++;
  if (!works_) {
    return;
  }
  Look& look = g_looks[i];
  // [look.6] acquire, pairs with [look.5]: its handler is done with it
  if (look.state.load(kAcquire) != Look::kFree) {
    return;
  }
  if (thread.look.load(kRelaxed) != nullptr) {  // relaxed: only who asks changes it from null
    return;
  }
  look.state.store(Look::kAsked, kRelaxed);  // relaxed: published by the next
  threads_[i] = &thread;
  looks_[i] = &look;
  thread.look.store(&look, kRelease);           // [look.2] release, pairs with [look.1]
  if (!ask_thread(thread.id.load(kRelaxed))) {  // relaxed: a number
    take_back(i);
  }
}

// It will not be answered any more.
void Looks::take_back(std::size_t i) noexcept {
  // relaxed throughout: of the two exchanges one gets it, which then has the Look to itself
  if (threads_[i]->look.exchange(nullptr, kRelaxed) != nullptr) {
    looks_[i]->state.store(Look::kFree, kRelaxed);
    looks_[i] = nullptr;
    return;
  }
  Look::State asked = Look::kAsked;
  // [look.4] acquire, pairs with [look.3]: it may have answered just now
  if (looks_[i]->state.compare_exchange_strong(asked, Look::kAbandoned, kAcquire, kAcquire)) {
    looks_[i] = nullptr;
  }
}

void Looks::wait() noexcept {
  if (!works_) {
    return;
  }
  Nanos const end = now() + patience_;
  for (std::size_t i = 0; i < count_; ++i) {
    // [look.4] acquire, pairs with [look.3]: what was written
    while (looks_[i] != nullptr && looks_[i]->state.load(kAcquire) != Look::kAnswered) {
      if (now() >= end) {
        take_back(i);
        break;
      }
      nap_thread();
    }
  }
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
