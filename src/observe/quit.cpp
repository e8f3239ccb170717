// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <csignal>
#include <mutex>
#include <new>
#include <string_view>
#include <system_error>

#include "hamgam/detail/atomic.h"
#include "hamgam/observe.h"
#include "os/exit.h"
#include "os/fork.h"
#include "os/futex.h"
#include "os/signals.h"
#include "os/spin_lock.h"
#include "os/thread.h"
#include "sched/dump.h"
#include "sched/exit.h"
#include "sched/threads.h"

// SIGQUIT. The handler only wakes a thread, which takes the snapshot and prints it: it may wait for
// malloc or a slow pipe as long as it likes. It counts as asleep while nobody asks, so it does not
// stand in the way of the report of deadlocks.
//
// It sleeps on the count of who has asked, not on its record as those do that wait for something of
// ours: a signal comes at any time, and would end whatever it waits for while it prints. The
// program's operator new may wait for a Mutex.

namespace hamgam::inline HAMGAM_ABI {

namespace {

using namespace detail;

constinit SpinLock g_lock;
constinit atomic<std::uint32_t> g_asked{0};
int g_started = 0;  // the process that has the thread; under g_lock

void on_quit() noexcept {
  g_asked.fetch_add(1, kRelease);  // [quit.1] release, pairs with [quit.2]: what came before
  futex_wake(g_asked, 1);
}

void print() noexcept {
  auto const write = [](void* /*to*/, std::string_view text) { write_error(text); };
  write_error("SIGQUIT: quit\n");
  try {
    write_snapshot(take_snapshot(Ask::kThreads), write, nullptr);
  } catch (const std::bad_alloc&) {
    write_error("\nthere is no memory for the goroutines\n");
  }
}

void run(void* /*unused*/) {
  ThreadRecord* const thread = hold_thread_record();
  thread->reports.store(true, kRelaxed);  // relaxed: for good
  for (;;) {
    thread->begin_rest();
    while (g_asked.exchange(0, kAcquire) == 0) {  // [quit.2] acquire, pairs with [quit.1]
      (void)futex_wait(g_asked, 0);
    }
    thread->end_rest();
    if (exiting()) {
      stop_for_good();
    }
    print();
  }
}

}  // namespace

namespace observe {

void install_signal_handler() {
  if (is_forked_child()) {
    refuse_in_child();  // there is nobody to tell of
  }
  std::lock_guard const guard(g_lock);
  if (g_started != process_id()) {
    if (!start_thread("hamgam-observe", &run, nullptr, detail::Signals::kFaults)) {
      throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                              "observe: no thread for the signal");
    }
    g_started = process_id();
  }
  if (!install_signal_hook(SIGQUIT, &on_quit)) {
    throw std::system_error(errno, std::system_category(), "observe: SIGQUIT");
  }
}

}  // namespace observe

}  // namespace hamgam::inline HAMGAM_ABI
