// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/exit.h"

#include <csignal>
#include <cstdlib>
#include <optional>

#include "os/exit.h"
#include "os/futex.h"
#include "os/memory.h"
#include "os/signals.h"
#include "os/thread.h"
#include "sched/death.h"
#include "sched/exit_watch.h"
#include "sched/scheduler.h"
#include "sched/threads.h"

// The process exits: main has returned or somebody has called exit(), perhaps a goroutine. Static
// objects are about to be destroyed, which goroutines may be using. So they are stopped first,
// where they stand, as they are in Go.
//
// When. exit() destroys the calling thread's thread_locals, then calls handlers, the latest first.
// One is registered when the runtime starts and one at the first run; they come before the
// destructors of whatever static objects there were by then. Those that were made later (in
// functions) they would come too late for.
// Therefore the first half of exit() registers it once more: each thread that has a record has a
// thread_local, whose destructor looks whether exit() is on the stack.
//
// How. It is max_procs(0): no slot can be taken, those that are held are taken away, and each
// worker falls asleep at its next scheduling point, where it holds no lock of ours. In blocking() a
// goroutine goes on until that is over. The timers' functions and the janitor's destructors that
// are under way end, and no other begins. We wait for all that.
//
// A goroutine that does not come to a scheduling point: if its thread waits in the kernel, it is
// left there. If it still runs after kGrace it may be using what is to be destroyed: then nothing
// is, the process ends then and there with its status. One that naps in the kernel by turns runs,
// too. So a thread counts as waiting only if it had no CPU for kQuiet, nor wanted one; if the
// system does not tell who wants one (no descriptor for /proc is left), for as long as kBlind. The
// same goes for the janitor's thread while one of its destructors is under way.
//
// The thread that exits is a plain thread from here on, even if it is a worker, in the middle of a
// goroutine: whatever the destructors of static objects wait for, no other goroutine must run on
// it. What they wait for may be held by a goroutine that was stopped; after kPatience the process
// ends with its status and a line on standard error. Of waits that are not ours: exit_watch.cpp.
//
// Of two threads that exit, the second sleeps for good: the C library would let both call handlers
// by turns. One that exits while another tells why the process dies (death.h) lets it do so, also
// if that is a goroutine which could not be stopped; and that thread is stopped nowhere.
//
//   [exit.1] who exits:  store g_exiting;   load g_busy, the timers
//   [exit.2] background: RMW on g_busy;     load g_exiting
//
// Rejected: to stop threads by signals, wherever they are: they may hold malloc's lock, or stdio's.
// Rejected: to end the process without destructors, always: programs flush their files in them.

namespace hamgam::inline HAMGAM_ABI::detail {

constinit atomic<bool> g_exiting{false};

namespace {

constexpr Nanos kGrace = 100 * kMillisecond;
constexpr Nanos kQuiet = 20 * kMillisecond;
constexpr Nanos kBlind = 100 * kMillisecond;
constexpr Nanos kNapping = 1000 * kMillisecond;  // for those that nap most of the time
constexpr Nanos kPatience = 1000 * kMillisecond;

constinit atomic<int> g_busy{0};
constinit atomic<int> g_busy_thread{0};  // the janitor's
constinit atomic<std::uint32_t> g_never{0};
int g_process = 0;
int g_status = 0;
bool g_ends_death = false;  // by exit(), in a handler of SIGABRT
thread_local constinit bool t_busy = false;
constinit atomic<int> g_exiter{0};            // the thread that exits the process
thread_local constinit bool t_exits = false;  // this one

#if HAMGAM_TSAN_USER
// What stopped goroutines did was before the rest of the exit, but ThreadSanitizer can't be told so
// for each of them: it overlooks the thread that exits. It wants that to end, so this is destroyed
// last.
[[gnu::init_priority(101)]] std::optional<TsanHide> g_overlooked;
#endif

constinit atomic<LastWork> g_last_work{nullptr};

// Who tells why the process dies is not cut short by its exit, unless it waits within that.
void let_death_be_told() noexcept {
  // relaxed: this thread's, or one that is seen to wait
  if (!tells(g_exiter.load(kRelaxed)) && !await_death()) {
    (void)write_error_within(
        "hamgam: exit: who tells why the process dies has not got on for 10 seconds\n", kPatience);
  }
}

// No destructors, no handlers.
[[noreturn]] void end_process(int status) noexcept {
  flush_streams();
  let_death_be_told();
  std::_Exit(status);
}

[[noreturn]] void end_early() noexcept {
  if (tells(g_exiter.load(kRelaxed)) && !g_ends_death) {  // relaxed: one that is seen to wait
    (void)std::signal(SIGABRT, SIG_DFL);                  // its handler may be what waits
    std::abort();
  }
  let_death_be_told();
  // [exit.4] acquire, pairs with [exit.5]. Not twice: it may lose its patience itself.
  if (LastWork const work = g_last_work.exchange(nullptr, kAcquire)) {
    work();
  }
  end_process(g_status);
}

void end_stranded() noexcept {
  (void)write_error_within(
      "hamgam: exit: a static object's destructor waits, and no thread is left that could end "
      "that; "
      "goroutines were stopped before, and the destructors that follow are not run\n",
      kPatience);
  end_early();
}

bool claim_exit() noexcept {
  if (!t_exits) {
    int nobody = 0;
    // relaxed: only one wins
    t_exits = g_exiter.compare_exchange_strong(nobody, thread_id(), kRelaxed, kRelaxed);
  }
  return t_exits;
}

// `mine`: the worker that exits, or null.
void take_all_slots(const Worker* mine) noexcept {
  g_places.for_each([mine](Worker& worker) {
    // [slot.3] acq_rel, pairs with [slot.1]
    if (&worker != mine && worker.slot.exchange(Worker::kNone, kAcqRel) == Worker::kHeld) {
      g_scheduler.idle.give_slot();
    }
  });
}

// What those threads do that may not have stopped and are not in blocking().
class Others {
 public:
  // `mine`: the worker that exits, or null.
  void look(const Worker* mine, Nanos time) noexcept {
    Nanos const former = used_;
    runs_ = false;
    g_places.for_each([this, mine](Worker& worker) {
      // relaxed: noticed at the next look
      if (&worker != mine && !worker.in_blocking.load(kRelaxed)) {
        look_at(worker.thread_id, worker.cpu_seen);
      }
    });
    // [exit.1] seq_cst, pairs with [exit.2]: who it is
    if (!t_busy && g_busy.load(kSeqCst) != 0) {
      look_at(g_busy_thread.load(kRelaxed), janitor_seen_);  // relaxed: written before g_busy
    }
    if (runs_ || used_ != former || quiet_since_ == 0) {
      quiet_since_ = time;
    }
  }
  [[nodiscard]] bool runs() const noexcept { return runs_; }
  [[nodiscard]] bool wait(Nanos time) const noexcept {
    return time - quiet_since_ > (blind_ ? kBlind : kQuiet);
  }
  // For how long they have had a CPU since the first look, in all.
  [[nodiscard]] Nanos used() const noexcept { return used_; }

 private:
  void look_at(int id, Nanos& seen) noexcept {
    Doing const state = thread_doing(id);
    runs_ = runs_ || state == Doing::kRuns;
    blind_ = blind_ || state == Doing::kUnknown;
    Nanos const time = thread_cpu_time(id);
    if (seen >= 0 && time > seen) {
      used_ += time - seen;
    }
    seen = time;
  }

  bool runs_ = false;
  bool blind_ = false;
  Nanos used_ = 0;
  Nanos quiet_since_ = 0;
  Nanos janitor_seen_ = -1;
};

// `mine`: 1 if the worker that exits is in none of the counts.
bool all_stopped(std::uint32_t mine) noexcept {
  // relaxed throughout: they have stopped for good, and what they did before is nobody's
  std::uint32_t stopped = g_scheduler.idle.sleepers() + mine;
  // Not blocking.inside(): that counts those, too, who were let in and do not run any more.
  g_places.for_each(
      [&stopped](const Worker& worker) { stopped += worker.in_blocking.load(kRelaxed) ? 1 : 0; });
  if (stopped < g_scheduler.threads.load(kRelaxed)) {
    return false;
  }
  // [exit.1] seq_cst, pairs with [exit.2]
  return g_busy.load(kSeqCst) == (t_busy ? 1 : 0) && !timers_firing();
}

void stop_goroutines() noexcept {
  Worker* const mine = this_worker();
  const Goroutine* const g = current_goroutine();
  bool const is_counted = mine == nullptr || (g != nullptr && g->blocking != 0);
  set_this_worker(nullptr);
  set_worker_slot(0);
  g_scheduler.idle.set_width(0);
  Nanos const begin = now();
  Others others;
  for (;;) {
    take_all_slots(mine);
    if (all_stopped(is_counted ? 0 : 1)) {
      return;
    }
    Nanos const time = now();
    if (time - begin > kGrace - kQuiet) {
      others.look(mine, time);
    }
    if (time - begin > kGrace) {
      if (others.wait(time)) {
        return;
      }
      if (others.used() > kGrace || (!others.runs() && time - begin > kNapping)) {
        end_early();
      }
    }
    nap_thread();
  }
}

#if defined(HAMGAM_ASAN)
// What stopped goroutines have is no leak. LeakSanitizer looks at their stacks, but not at frames
// that AddressSanitizer keeps elsewhere: those are copied to where it looks.
class FakeFrames {
 public:
  void show() {
    for_each_record(&add, this);
    if (size_ == 0) {
      return;
    }
    next_ = static_cast<std::uintptr_t*>(reserve_memory(size_ * sizeof(std::uintptr_t)));
    if (next_ != nullptr) {
      for_each_record(&add, this);
    }
  }

 private:
  static void add(Goroutine& g, void* raw) {
    if (g.stack != nullptr) {
      for_each_fake_frame(g.fiber, *g.stack,
                          [raw](const std::uintptr_t* begin, const std::uintptr_t* end) {
                            static_cast<FakeFrames*>(raw)->take(begin, end);
                          });
    }
  }

  // Parts of the frame are not to be read by others.
  __attribute__((no_sanitize("address"))) void take(const std::uintptr_t* begin,
                                                    const std::uintptr_t* end) noexcept {
    if (next_ == nullptr) {
      size_ += static_cast<std::size_t>(end - begin);
      return;
    }
    for (; begin != end && size_ != 0; --size_) {
      *const_cast<volatile std::uintptr_t*>(next_++) = *begin++;
    }
  }

  std::size_t size_ = 0;  // in words
  std::uintptr_t* next_ = nullptr;
};
#endif

void at_exit(int status, void* /*unused*/) noexcept {
  if (process_id() != g_process) {
    return;  // a child of fork() has no workers
  }
  let_death_be_told();
  if (!claim_exit()) {
    if (tells()) {
      end_process(status);
    }
    stop_for_good();
  }
  if (!g_exiting.exchange(true, kSeqCst)) {  // [exit.1] seq_cst, pairs with [exit.2]
    g_status = status;
    g_ends_death = tells();
    stop_goroutines();
    let_death_be_told();
#if defined(HAMGAM_ASAN)
    FakeFrames().show();
#endif
#if HAMGAM_TSAN_USER
    g_overlooked.emplace();
#endif
    watch_last_thread(thread_id(), &end_stranded);
  }
}

// Static objects that were there before the runtime are destroyed after at_exit: this comes last.
void at_last() noexcept {
  if (process_id() == g_process) {
    let_death_be_told();
  }
}
// (Not an exit handler as the others: a plug-in with this library may be unloaded unused.)
[[gnu::constructor(101)]] void register_last() noexcept { (void)std::atexit(&at_last); }

// The thread that loads the library is most often the one that returns from main.
[[gnu::constructor]] void know_main_thread() noexcept { (void)this_thread_record(); }

}  // namespace

void watch_exit() noexcept {
  g_process = process_id();
  register_exit_handler(&at_exit);
}

void note_thread_end() noexcept {
  // relaxed: started by this thread, or it makes no difference
  if (!g_scheduler.started.load(kRelaxed) || process_id() != g_process || !inside_exit()) {
    return;
  }
  if (!claim_exit() && !tells()) {
    stop_for_good();
  }
  register_exit_handler(&at_exit);
}

void set_last_work(LastWork work) noexcept {
  g_last_work.store(work, kRelease);  // [exit.5] release, pairs with [exit.4]: what it looks at
}

void stop_for_good() noexcept {
  for (;;) {
    futex_wait(g_never, 0);
  }
}

void stop_goroutine() noexcept {
  if (!tells()) {
    stop_for_good();
  }
}

void enter_background() noexcept {
  g_busy_thread.store(thread_id(), kRelaxed);  // relaxed: published by the next
  g_busy.fetch_add(1, kSeqCst);                // [exit.2] seq_cst, pairs with [exit.1]
  if (g_exiting.load(kSeqCst)) {               // [exit.2] seq_cst, pairs with [exit.1]
    leave_background();
    stop_for_good();
  }
  t_busy = true;
}

void leave_background() noexcept {
  t_busy = false;
  g_busy.fetch_sub(1, kSeqCst);  // [exit.3] seq_cst, pairs with [exit.1]: what was done
}

bool background_is_over(int id) noexcept {
  // [exit.1] seq_cst, pairs with [exit.2]. relaxed: written before it
  return g_busy.load(kSeqCst) == 0 && g_busy_thread.load(kRelaxed) == id;
}

Nanos patience() noexcept { return t_exits ? now() + kPatience : kForever; }

void lose_patience() noexcept {
  if (t_exits) {
    (void)write_error_within(
        "hamgam: exit: what a static object's destructor waits for did not come within a second; "
        "goroutines were stopped before, and the destructors that follow are not run\n",
        kPatience);
    end_early();
  }
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
