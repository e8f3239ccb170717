// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/threads.h"

#include <cstdlib>
#include <mutex>
#include <new>
#include <utility>

#include "base/fatal.h"
#include "base/own_memory.h"
#include "os/fork.h"
#include "os/futex.h"
#include "os/spin_lock.h"
#include "os/thread.h"
#include "sched/exit.h"
#include "sched/worker.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constinit SpinLock g_lock;
constinit ThreadRecord* g_free = nullptr;        // under g_lock
constinit atomic<ThreadRecord*> g_all{nullptr};  // pushed to under g_lock

// In the static block of each thread: handlers of signals read it.
#if defined(__x86_64__) || defined(__aarch64__)
__attribute__((tls_model("initial-exec")))
#endif
thread_local constinit ThreadRecord* t_record = nullptr;
thread_local constinit bool t_over = false;

ThreadRecord* take_record() noexcept {
  int const id = thread_id();
  {
    std::lock_guard const guard(g_lock);
    if (g_free != nullptr) {
      g_free->id.store(id, kRelaxed);  // relaxed: a number
      return std::exchange(g_free, g_free->next_free);
    }
  }
  auto* const record = try_make_own<ThreadRecord>();
  if (record != nullptr) {
    record->id.store(id, kRelaxed);  // relaxed: published by the next
    std::lock_guard const guard(g_lock);
    record->next = g_all.load(kRelaxed);  // relaxed: under the lock
    g_all.store(record, kRelease);        // [threads.1] release, pairs with [threads.2]
  }
  return record;
}

void count_sleep(ThreadRecord& record) noexcept {
  // relaxed: ours; [asleep.2] publishes it
  record.sleeps.store(record.sleeps.load(kRelaxed) + 1, kRelaxed);
}

void give_record(ThreadRecord* record) noexcept {
  count_sleep(*record);  // it may have woken somebody, and will be seen no more
  std::lock_guard const guard(g_lock);
  record->next_free = std::exchange(g_free, record);
}

struct End {
  ~End() {
    note_thread_end();
    t_over = true;
    if (ThreadRecord* record = std::exchange(t_record, nullptr)) {
      if (record->forget_row != nullptr) {
        record->forget_row();
      }
      give_record(record);
    }
  }
};

// The C library ends the process where it has no memory to note a thread_local's destructor. More
// than is kept back for small requests, so that it finds what is given back here.
bool has_memory() noexcept {
  void* volatile probe = std::malloc(2048);
  std::free(probe);
  return probe != nullptr;
}

template <class F>
void for_each_thread(F f) noexcept {
  // [threads.2] acquire, pairs with [threads.1]: the records are constructed
  for (ThreadRecord* record = g_all.load(kAcquire); record != nullptr; record = record->next) {
    f(*record);
  }
}

}  // namespace

void for_each_thread(void (*f)(ThreadRecord& record, void* argument), void* argument) {
  // [threads.2] acquire, pairs with [threads.1]: the records are constructed
  for (ThreadRecord* record = g_all.load(kAcquire); record != nullptr; record = record->next) {
    f(*record, argument);
  }
}

HAMGAM_NOINLINE ThreadRecord* this_thread_record() noexcept {
  asm volatile("");  // the address of a thread_local must not be known to callers
  if (HAMGAM_UNLIKELY(t_record == nullptr && !t_over)) {
    if (!has_memory()) {
      return nullptr;
    }
    TsanHide const hide;  // what notes the destructor is freed by whichever goroutine exits
    static thread_local End const end;
    static_cast<void>(&end);
    t_record = take_record();
  }
  return t_record;
}

HAMGAM_NOINLINE ThreadRecord* thread_record_in_handler() noexcept {
  asm volatile("");  // as above
  return t_record;
}

ThreadRecord* hold_thread_record() noexcept {
  ThreadRecord* record = this_thread_record();
  if (HAMGAM_UNLIKELY(record == nullptr)) {
    record = take_record();
    if (record == nullptr) {
      fatal("out of memory: no record for a thread that sleeps");
    }
  }
  return record;
}

void release_thread_record(ThreadRecord* record) noexcept {
  if (HAMGAM_UNLIKELY(record != this_thread_record())) {
    give_record(record);
  }
}

bool ThreadRecord::sleep(Nanos limit) noexcept {
  if (limit == kForever) {
    count_sleep(*this);
    of_worker.store(this_worker() != nullptr, kRelaxed);  // relaxed: published with kAsleep
    std::uint32_t awake = kAwake;
    // [asleep.2] acq_rel, pairs with [asleep.3]: the count. Fails if woken already.
    word.compare_exchange_strong(awake, kAsleep, kAcqRel, kRelaxed);
  }
  Nanos const end = limit == kForever ? patience() : limit;
  if (HAMGAM_UNLIKELY(limit == kForever && is_forked_child())) {
    refuse_in_child();
  }
  for (;;) {
    // [sleeper.2] acquire, pairs with [sleeper.1]: what the waker wrote for the sleeper.
    std::uint32_t const now = word.load(kAcquire);
    if (now == kWoken) {
      return true;
    }
    if (!futex_wait(word, now, end)) {
      if (end == limit) {
        return false;
      }
      lose_patience();
    }
  }
}

void ThreadRecord::begin_rest() noexcept {
  begin_sleep();
  count_sleep(*this);
  of_worker.store(false, kRelaxed);  // relaxed: published with kAsleep
  // [asleep.2] release, pairs with [asleep.3]: the count
  word.store(kAsleep, kRelease);
}

void ThreadRecord::end_rest() noexcept {
  word.store(kAwake, kRelaxed);  // relaxed: fenced
  full_fence();                  // [asleep.1] seq_cst, pairs with itself: what it does comes after
}

void ThreadRecord::wake() noexcept {
  word.store(kWoken, kRelease);  // [sleeper.1] release, pairs with [sleeper.2]
  futex_wake(word, 1);
}

SleepingThreads sleeping_threads() noexcept {
  SleepingThreads count;
  for_each_thread([&count](const ThreadRecord& record) {
    // [asleep.3] acquire, pairs with [asleep.2]: activity() is read after this
    if (record.word.load(kAcquire) == ThreadRecord::kAsleep) {
      // relaxed: [asleep.2] published it
      ++(record.of_worker.load(kRelaxed) ? count.workers : count.plain);
    }
  });
  return count;
}

std::uint64_t thread_sleeps() noexcept {
  std::uint64_t sum = 0;
  for_each_thread([&sum](const ThreadRecord& record) {
    sum += record.sleeps.load(kRelaxed);  // relaxed: fenced by activity()
  });
  return sum;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
