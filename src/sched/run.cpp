// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <string_view>
#include <thread>

#include "base/debug_words.h"
#include "base/fatal.h"
#include "fiber/stack.h"
#include "hamgam/detail/failure.h"
#include "hamgam/go.h"
#include "os/fork.h"
#include "os/membarrier.h"
#include "os/thread.h"
#include "sched/exit.h"
#include "sched/held_mutexes.h"
#include "sched/switch.h"
#include "sched/threads.h"

// run(), max_procs, and the start of the runtime.

namespace hamgam::inline HAMGAM_ABI {

namespace detail {

namespace {

// The number in the environment variable, or `otherwise`, after a line on standard error if it is
// no number within the limits.
std::size_t number_from_environment(const char* name, std::size_t least, std::size_t most,
                                    std::size_t otherwise) noexcept {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') {
    return otherwise;
  }
  char* end = nullptr;
  errno = 0;
  unsigned long long const value = std::strtoull(text, &end, 10);
  if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value < least || value > most) {
    std::fprintf(stderr, "hamgam: %s=\"%s\" ignored: a whole number from %zu to %zu is wanted\n",
                 name, text, least, most);
    return otherwise;
  }
  return static_cast<std::size_t>(value);
}

struct Main {
  void (*function)(void*);
  void* argument;
  Failure failure;                 // what escaped it
  bool returned = false;           // not by goexit
  ThreadRecord* thread = nullptr;  // run's caller, asleep
};

void main_goroutine(Main& main) {
  static atomic<bool> first{true};
  // relaxed throughout: runs come one after another
  if (first.exchange(false, kRelaxed)) {
    current_goroutine()->id.store(1, kRelaxed);  // as in Go; no other has it
  }

  try {
    main.function(main.argument);
  } catch (const GoexitSignal&) {
    g_scheduler.main_exited.store(true, kRelaxed);  // relaxed: read when everything is asleep
    throw;
  }
  HAMGAM_CATCH_TRACE
  catch (...) {
    main.failure = current_failure();
  }
  main.returned = true;
}

// Told when the main goroutine counts as ended.
void end_run(void* raw, unsigned /*count*/) noexcept {
  Main& main = *static_cast<Main*>(raw);
  if (!main.returned) {
    return;
  }
  tsan_release(&main);
  g_scheduler.in_run.store(false, kRelaxed);  // relaxed: for run_main and the monitor
  main.thread->wake();  // [sleeper.1]: the result. The record outlives run_main's frame.
}

// In the child of a fork. What asks for the calling thread's worker takes it for a plain thread's,
// what wants to start or wait then meets ensure_started or ThreadRecord::sleep.
const Goroutine* g_orphan = nullptr;

void become_orphan() noexcept {
  if (const Goroutine* g = current_goroutine()) {
    g_orphan = g;  // else this is such a child already, perhaps
  }
  g_scheduler.started.store(false, kRelaxed);  // relaxed: there is one thread
  forget_trace();
  forget_stuck();
  forget_held_mutexes();
  set_this_worker(nullptr);
  set_worker_slot(0);
}

}  // namespace

const Goroutine* orphan() noexcept { return g_orphan; }

void ensure_started() noexcept {
  // [start.1] acquire, pairs with [start.2]
  if (HAMGAM_LIKELY(g_scheduler.started.load(kAcquire))) {
    return;
  }
  if (is_forked_child()) {
    refuse_in_child();
  }
  static constinit SpinLock lock;
  std::lock_guard const guard(lock);
  if (g_scheduler.started.load(kRelaxed)) {  // relaxed: under the lock
    return;
  }
  int const saved = errno;
  auto const cpus = static_cast<std::size_t>(available_cpus());
  if (std::string_view const word = unknown_debug_word(); !word.empty()) {
    std::fprintf(
        stderr,
        "hamgam: HAMGAM_DEBUG: \"%.*s\" ignored: locks, mutexes, stuck and waits are wanted, with "
        "commas between\n",
        static_cast<int>(word.size()), word.data());
  }
  auto const procs = number_from_environment("HAMGAM_PROCS", 1, kMaxProcs, cpus);
  set_default_stack_size(
      number_from_environment("HAMGAM_STACK", kMinStackSize, kMaxStackSize, default_stack_size()));
  g_scheduler.idle.set_width(std::min(static_cast<std::uint32_t>(procs), kMaxProcs));
  (void)g_scheduler.blocking.set_limit(static_cast<std::uint32_t>(
      number_from_environment("HAMGAM_BLOCKING", 1, kMostBlocking, kUsualBlocking)));
  install_crash_handlers();
  watch_exit();
  forks_lose_threads(&become_orphan);
  (void)heavy_barrier_available();  // registers: cheap as long as there are no threads
  set_coarse_clock(now());          // for those that wait before the monitor looks
  errno = saved;
  g_scheduler.started.store(true, kRelease);  // [start.2] release, pairs with [start.1]
}

std::size_t count_goroutines() noexcept {
  // relaxed throughout: a snapshot. Ends are summed first, so that the difference is never
  // negative.
  std::uint64_t const ended = g_places.ended();
  std::uint64_t const started = g_scheduler.started_by_threads.load(kRelaxed) + g_places.started();
  return static_cast<std::size_t>(started - std::min(started, ended));
}

// The calling thread sleeps and the main goroutine runs on the workers like any other. Rejected:
// making the thread a worker for the time. It could then be in the middle of another goroutine when
// main ends, and that one would hold run back for as long as it likes.
void run_main(void (*function)(void*), void* argument) {
  ensure_started();
  if (!g_scheduler.ran.exchange(true, kRelaxed)) {  // relaxed: once
    watch_exit();
  }
  // relaxed: run does not order anything by it
  if (current_goroutine() != nullptr || g_scheduler.in_run.exchange(true, kRelaxed)) {
    throw_panic("run called while another run is active");
  }
  g_scheduler.main_exited.store(false, kRelaxed);  // relaxed: set by the main goroutine only
  Main main{function, argument, {}};
  GoroutineHead* goroutine = nullptr;
  try {
    goroutine = new_goroutine();
  } catch (...) {
    g_scheduler.in_run.store(false, kRelaxed);  // relaxed: nothing was started
    throw;
  }
  main.thread = hold_thread_record();
  // From here on this thread asks for no memory of the program's: that may wait on the same word.
  main.thread->begin_sleep();
  auto const start = [](void* raw) { main_goroutine(*static_cast<Main*>(raw)); };
  start_goroutine(goroutine, start, &main, &end_run, &main);
  (void)main.thread->sleep(kForever);
  release_thread_record(main.thread);
  tsan_acquire(&main);
  if (main.failure.exception != nullptr) {
    rethrow(main.failure);
  }
}

}  // namespace detail

void yield() {
  if (detail::current_goroutine() != nullptr) {
    detail::yield_goroutine();
  } else {
    std::this_thread::yield();
  }
}

void goexit() {
  if (detail::current_goroutine() == nullptr) {
    detail::throw_panic("goexit called on a thread that is no goroutine");
  }
  throw detail::GoexitSignal{};
}

std::uint64_t goroutine_id() noexcept {
  const detail::Goroutine* g = detail::current_goroutine();
  return g != nullptr ? g->id.load(detail::kRelaxed) : 0;  // relaxed: ours
}

std::size_t num_goroutine() noexcept { return detail::count_goroutines(); }

int max_procs(int n) {
  if (n >= 1 || !detail::is_forked_child()) {
    detail::ensure_started();
  }
  detail::Idle& idle = detail::g_scheduler.idle;
  static constinit detail::SpinLock lock;
  std::lock_guard const guard(lock);
  int const former = static_cast<int>(idle.width());
  if (n >= 1 && !detail::exiting()) {
    idle.set_width(std::min(static_cast<std::uint32_t>(n), detail::kMaxProcs));
    detail::full_fence();  // [idle.11] seq_cst, pairs with [idle.2]
    detail::look_again();
  }
  return former;
}

}  // namespace hamgam::inline HAMGAM_ABI
