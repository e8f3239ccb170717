// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// What all goroutines do at the moment, and where: for the program that hangs, or is slow, or has
// more of them than it should.
//
//   observe::install_signal_handler();     // kill -QUIT prints all stacks; the program goes on
//   observe::dump(std::cerr);              // the same, from within
//
// The world is not stopped. A goroutine that does not run is held while its stack is looked at,
// some microseconds, and whoever would run it meanwhile runs others; nobody else notices anything.
// So each is seen at a moment of its own, and those that begin or end meanwhile may be missing.
//
// The thread of one that runs, is in blocking(), or blocks in a call that nobody was told of, is
// interrupted by a signal, and tells its stack itself. What it does goes on; calls that block begin
// again, but for those that Linux never begins again: poll, select, epoll_wait, nanosleep and their
// like return EINTR, as they may at any time (see signal(7)). The signal is SIGURG, as in Go; a
// program that handles that itself keeps it, and then those stacks are not seen. Nor are they of a
// thread that blocks all signals or gets no CPU for 50 ms, of programs that are linked statically,
// and with a C library older than glibc 2.35.
//
// Where switches are made by ucontext, or the kernel refuses membarrier(2), there are no stacks of
// those that do not run. Functions are named from the files' tables of symbols, not from stripped
// ones.
// From goroutines and plain threads alike. It costs nothing while it is not used.
//
// Happens-before: none.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI {
namespace observe {

// What a goroutine does at the moment.
enum class GoroutineState : std::uint8_t {
  running,   // on some thread
  runnable,  // waits for a thread
  waiting,   // for what wait_reason says
  blocking,  // inside blocking()
};

// A call on a stack.
struct Frame {
  const void* address = nullptr;  // of the call, or directly behind it
  std::string function;           // with its parameters; "??": not known
  std::string where;              // "file(+0x1234)", for hamgam-symbolize; or the address
};

// Shared by all goroutines of a call of goroutines() that stand at the same place.
class Frames {
 public:
  // None, or these.
  Frames() = default;
  explicit Frames(std::shared_ptr<const std::vector<Frame>> frames) noexcept
      : frames_(std::move(frames)) {}
  // As of a vector, the innermost first.
  [[nodiscard]] std::size_t size() const noexcept { return frames_ ? frames_->size() : 0; }
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
  [[nodiscard]] const Frame& operator[](std::size_t i) const noexcept { return (*frames_)[i]; }
  [[nodiscard]] const Frame* begin() const noexcept { return frames_ ? frames_->data() : nullptr; }
  [[nodiscard]] const Frame* end() const noexcept { return begin() + size(); }

 private:
  std::shared_ptr<const std::vector<Frame>> frames_;
};

// What is known of a goroutine.
struct GoroutineInfo {
  std::uint64_t id = 0;
  std::string name;  // as given in GoOptions, at most 127 bytes of it
  GoroutineState state = GoroutineState::runnable;
  std::string wait_reason;  // in Go's words, such as "sync.Mutex.Lock"; empty if it does not wait
  // Since when it waits, or is in blocking(); 20 ms more or less. 0: it does neither, or it waits
  // and it is not known.
  std::chrono::nanoseconds waiting_for{};
  const void* waits_on = nullptr;  // the Mutex, WaitGroup ...; null: none that is known
  // The goroutine that has it, if locks are watched (watch_locks) and one alone does. 0: it is not
  // known, or a plain thread. It is asked a moment later than all else.
  std::uint64_t held_by = 0;
  std::uint64_t created_by = 0;  // the goroutine that did; 0: a plain thread
  Frame created_at;
  // Innermost first, at most 64. At both ends the library's own functions are left out, public ones
  // too, but for instances of its templates, into which the compiler may have put your code: such
  // as the recv() of a Chan, and the invoke_closure<F> that calls F, unless F is a frame of its
  // own. (The last ones stay if there are more than 64.)
  Frames frames;
};

// By their ids. Throws std::bad_alloc.
[[nodiscard]] HAMGAM_API std::vector<GoroutineInfo> goroutines();

// Prints them in Go's form, those that do the same at the same place together, and who has the lock
// that they wait for, if locks are watched; then plain threads that wait for something of Hamgam's.
// hamgam-symbolize puts lines of the source in. Throws
// std::bad_alloc, and what the stream throws. Written when nobody is held any more, so the stream
// may be a slow one; it is the calling thread that waits for it.
HAMGAM_API void dump(std::ostream& out);

// What write_profile() tells of.
enum class Profile : std::uint8_t {
  goroutine,  // all goroutines, by where they are
  block,      // how often and how long was waited, by where: the stacks that waited
  mutex,      // how long others waited for a Mutex or RWMutex, by whose fault: the stacks that
              // unlocked it, each with what all who were waiting have waited meanwhile
};

// How write_profile() tells it.
enum class ProfileFormat : std::uint8_t {
  text,   // for people, in Go's form (debug=1); times in nanoseconds
  pprof,  // profile.proto, not compressed: go tool pprof FILE
};

// From now on it is noted where goroutines and threads wait for Mutexes, channels, select, Conds,
// WaitGroups and whatever else of this library, but for sleep() and sockets, and who makes them
// wait; until it is called with false. HAMGAM_DEBUG=waits in the environment does it from the
// start. What was noted stays.
//
// And how long goroutines wait for a thread, and all for locks, is counted (Stats).
//
// Only who has waited, or starts a goroutine, or unlocks a lock that others wait for, does more
// than before: a wait takes some 120 ns more, a start 60. Of the waits a sample of at most some 500
// in a second is noted for each profile, the long ones first, and each counts for those that it
// stands for. 2 MB for good, and no memory later: what does not fit, after 2,000 different stacks,
// is one entry without a stack. Throws std::bad_alloc. The child of a fork has noted nothing, and
// does not until it calls this itself.
HAMGAM_API void profile_waits(bool on = true);

// What was noted until now, since the program began; of goroutines, what is at the moment. Inlined
// functions and lines: go tool pprof -symbolize=force PROGRAM FILE. Throws std::bad_alloc, and what
// the stream throws.
HAMGAM_API void write_profile(Profile profile, std::ostream& out,
                              ProfileFormat format = ProfileFormat::text);

// Which goroutines were left behind, of those that were started while it lives by the goroutine or
// plain thread that made it, and by those that these started, and so on; so several may live at
// once, in tests that run at the same time, and each sees its own.
//
//   observe::LeakCheck check;
//   serve_one_request();
//   EXPECT_EQ(check.report(), "");
//
// One that is to end is given the time: the answer comes at once if none is left, else as soon as
// nothing in the process could wake them any more, or after `limit`, if threads, timers or sockets
// still could. Those that a timer starts belong to nobody. With GoogleTest for every test:
// gtest.h. It is made and destroyed by the same goroutine or thread. While it lives, what is
// started takes some 100 ns more. Throws std::bad_alloc.
class LeakCheck {
 public:
  HAMGAM_API LeakCheck();
  HAMGAM_API ~LeakCheck();  // prints the report on standard error, if nobody has asked
  LeakCheck(const LeakCheck&) = delete;
  LeakCheck& operator=(const LeakCheck&) = delete;

  // Those that wait for that (GoroutineInfo::wait_reason; empty: whatever they do) and have this
  // part of a name in their stack or place of creation (empty: anywhere) may stay.
  HAMGAM_API LeakCheck& allow(std::string wait_reason, std::string function = {});

  // Those that are left.
  [[nodiscard]] HAMGAM_API std::vector<GoroutineInfo> leaks(
      std::chrono::nanoseconds limit = std::chrono::seconds(1));
  // The same as text: "3 goroutines leaked:" and their stacks as dump() has them. Empty: none.
  [[nodiscard]] HAMGAM_API std::string report(
      std::chrono::nanoseconds limit = std::chrono::seconds(1));

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// From now on it is watched who has and who waits for which Mutex and RWMutex, goroutines and plain
// threads; HAMGAM_DEBUG=locks in the environment does it from the start. Told of on standard error,
// while all others go on, are
//   * a deadlock: some wait for each other's locks in a circle, or one for its own, for more than a
//     moment (20 ms): who waits where, and where each lock was taken;
//   * what could be one, when it is first seen, though it went well: locks that are taken in
//     different orders, and a read lock that is taken again by who has it, if a writer locks it,
//     too, before or after. Both stacks.
// Waits with a limit and tries are no part of it; nor is an order that is only used while one and
// the same third lock is held. A lock that is unlocked by another than who has it is left out from
// then on. Locks that were had already are watched from the next time on. Dumps say who has what
// others wait for.
//
// Of orders, take a report as a hint to look, not as a proof: the circle may be one that cannot
// come about, as by a lock that some of its orders are only used under. And not told of are orders
// that go through a lock that is only read; those whose shortest way round could not deadlock,
// though a longer one could; those used under locks that come and go at one address, which count as
// one.
//
// A pair of lock and unlock takes some tens of ns more; each lock, and each order, some hundred
// bytes for good. A new order takes time in proportion to those that are known (milliseconds with
// many thousand locks), and who holds many locks at once memory in proportion to them. Memory is
// asked of malloc, which must take no Mutex of these; if it has none, what happens at that moment
// is not seen. A deadlock of locks that are taken for the very first time is missed now and then.
// The child of a fork is not watched until it calls this itself, and then from anew.
HAMGAM_API void watch_locks();

// How many of them there were; waits until those that are seen at the moment are written. In the
// child of a fork those of the parent count, too.
[[nodiscard]] HAMGAM_API std::uint64_t lock_reports();

// While it lives, the goroutine or plain thread that made it must not wait: for a lock that another
// has, a channel, a timer. One that would is a fatal error, which says for what, and both places.
// For code that a wait would break: it holds a std::mutex, which must be unlocked by the thread
// that locked it, or uses what a library keeps for its thread.
//
//   std::lock_guard lock(plain_mutex);
//   observe::NoParkScope no_waits;
//   ...                                // an uncontended Mutex, a buffered send, try_lock: fine
//
// A goroutine keeps its thread in it, so yield() does not let others run there. Made and destroyed
// by the same one, the latest first. It takes some nanoseconds.
class NoParkScope {
 public:
  HAMGAM_API NoParkScope() noexcept;
  HAMGAM_API ~NoParkScope();
  NoParkScope(const NoParkScope&) = delete;
  NoParkScope& operator=(const NoParkScope&) = delete;

 private:
  const void* const outer_;
};

// From now on whoever waits, yields to another or ends while its goroutine has locked a std::mutex,
// or any other lock of pthreads' (std::shared_mutex, a library's), is told of on standard error,
// with its stack and the place where it was locked: another thread would unlock it, and others that
// run on this one would wait for it there. HAMGAM_DEBUG=mutexes in the environment does it from the
// start. Nothing waits until that is written; of each place where one is locked it is told once.
//
// Goroutines that keep their thread (NoParkScope, blocking()) may have one. Of more than 16 at a
// time the later ones are not seen.
//
// It takes a component that stands before the C library's locks: the CMake target hamgam::mutexes,
// linked, or libhamgam_mutexes.so in LD_PRELOAD. While it is watched, to lock one takes
// longer: where is noted. Throws std::system_error (operation_not_supported) where it is not there.
HAMGAM_API void watch_mutexes();

// How often somebody had one then, also those that were not told of; waits until those that are
// told of at the moment are written.
[[nodiscard]] HAMGAM_API std::uint64_t mutex_reports() noexcept;

// How often something took how long, in powers of two of nanoseconds.
struct Histogram {
  // [i]: so many took less than 2^i ns, and not less than half of that; the last one: or longer.
  static constexpr std::size_t kBuckets = 40;  // up to nine minutes
  std::array<std::uint64_t, kBuckets> counts{};

  // All of them.
  [[nodiscard]] constexpr std::uint64_t total() const noexcept {
    std::uint64_t all = 0;
    for (std::uint64_t const count : counts) {
      all += count;
    }
    return all;
  }

  // So long took that part of them at most, from 0 to 1, such as 0.99: the power of two above. 0 if
  // there are none.
  [[nodiscard]] constexpr std::chrono::nanoseconds quantile(double part) const noexcept {
    auto const all = static_cast<double>(total());
    double below = 0;
    for (std::size_t i = 0; i < kBuckets && all > 0; ++i) {
      below += static_cast<double>(counts[i]);
      if (counts[i] != 0 && below >= part * all) {
        return std::chrono::nanoseconds(std::int64_t{1} << i);
      }
    }
    return {};
  }
};

// From now on it is watched, or is not any more, whether a goroutine holds its thread up while
// others wait for one; HAMGAM_DEBUG=stuck in the environment does it from the start. Told of on
// standard error, while all others go on, is
//   * who computes for `limit` without a scheduling point, in time of its thread on a processor: so
//     a busy machine is no reason;
//   * whose thread waits in the kernel for as long, outside of blocking().
// Its stack is there, as in a dump. Of a place it is told once a minute at most, and nothing waits
// until that is written; stats() count all.
//
// It is the monitor that looks, so the way of goroutines is no longer than before. Who is stuck is
// interrupted by SIGURG, so poll, nanosleep and their like return EINTR (see above). The child of
// a fork is not watched. `limit`: 1 ms at least.
HAMGAM_API void watch_stuck(bool on = true,
                            std::chrono::nanoseconds limit = std::chrono::milliseconds(20));

// Numbers of the scheduler. They are read one after the other while it goes on, so each is of a
// moment of its own, but for those that are said to add up.
struct Stats {
  // Goroutines: all, which are the next four together.
  std::size_t goroutines = 0;
  std::size_t running = 0;   // on some thread
  std::size_t runnable = 0;  // wait for a thread
  std::size_t waiting = 0;   // for anything else
  std::size_t blocking = 0;  // inside blocking()

  // Threads that run goroutines: all, among them those of the next three, and such as look for
  // work. And how many of them may run at once.
  std::size_t workers = 0;
  std::size_t workers_running = 0;  // a goroutine
  std::size_t workers_asleep = 0;   // there is nothing to do for them
  std::size_t workers_blocked =
      0;  // in blocking(), or with a goroutine that keeps them as it waits
  std::size_t max_procs = 0;

  // Since the process began.
  std::uint64_t spawned = 0;  // goroutines
  std::uint64_t parks = 0;    // how often one left its thread because it had to wait
  std::uint64_t steals = 0;   // how often a worker without work found some in another's queue

  // While stuck workers are watched: how often a goroutine was, by computing and by its thread's
  // waiting in the kernel; and how often that was told of.
  std::uint64_t stuck_running = 0;
  std::uint64_t stuck_blocked = 0;
  std::uint64_t stuck_reports = 0;

  std::size_t timers = 0;  // that are set: goroutines' sleeps and time limits, what Timers call,
                           // Timers and Tickers whose channels are waited for

  // Stacks: all that were ever made, and are used again; the part that goroutines have; the bytes
  // of all, without their guards. That is address space: memory is what was touched of it, and that
  // of stacks which are not used is given back after a second, but for some.
  std::size_t stacks = 0;
  std::size_t stacks_used = 0;
  std::size_t stack_bytes = 0;

  // While profile_waits() is on: what was counted until now, since the program began.
  // How long goroutines that had been started or woken waited until they ran.
  Histogram scheduler_latency;
  // How long goroutines and threads slept for a Mutex or RWMutex. Who finds it taken again sleeps
  // again, and is counted again.
  Histogram lock_waits;
};

// Takes time in proportion to the most goroutines that there were at once: a millisecond for
// 100,000. Nobody waits for it, and nothing is counted for it on the way of a goroutine that was
// not before, unless profile_waits() is on.
[[nodiscard]] HAMGAM_API Stats stats() noexcept;

// How start_trace() records.
struct TraceOptions {
  // For what is recorded, in bytes: it takes 32 for each switch, wake-up, start. It is asked of the
  // system at once, but taken only as it is used. When it is full the oldest goes.
  std::size_t memory = std::size_t{64} << 20;

  // A flight recorder: what led to it is written at once when the process dies of a fatal error (a
  // deadlock of all), a panic or a fault in a goroutine, into the file; and when a deadlock of
  // locks (watch_locks) or a stuck worker (watch_stuck) is reported, the first of each, while the
  // program and the trace go on: into "trace-deadlock.pftrace" and "trace-stuck.pftrace" beside
  // "trace.pftrace". A line on standard error says so, or that it is lost: who dies waits for a
  // thread that is writing a trace, and for who reads a pipe, but not if they do not get on for
  // three seconds.
  bool on_reports = false;
};

// From now on it is recorded which goroutine runs on which worker, what it then waits for, who
// wakes and who starts it, when it keeps its thread (blocking()), and Regions. stop_trace() writes
// that, or the exit of the process (but not _exit, nor its death by a signal), for ui.perfetto.dev:
// in Perfetto's own form if the path ends with ".pftrace", else as JSON of Chrome's trace events,
// ten times as large. There each thread has a track with a slice for each time that
// a goroutine runs, "then" is why it stopped, arrows go from who woke or started one to where it
// ran; there are tracks for Regions, and counters. If older records went, it says how many.
//
// The exit waits for a thread that is writing one, but not if that does not get on for five
// seconds: then a line on standard error says that the trace is lost.
//
// A record takes some 20 ns. One trace at a time: else, and if the file can't be opened, this
// throws std::system_error, and std::bad_alloc if there is no memory. What is in the file is
// overwritten only when the trace is written. An empty path: it is written by write_trace() alone.
// The child of a fork is not traced; for it to start one is a fatal error.
HAMGAM_API void start_trace(const std::string& path, TraceOptions options = {});

// Takes as long as it takes to write, about a microsecond for each record, and memory for it, 40
// bytes for each; in the file that is some 15 bytes, as JSON 150. Goroutines go on meanwhile.
// Nothing is on: nothing is done. Throws std::system_error, as if the disk is full, or
// std::bad_alloc: then what was recorded is kept, and the next call tries to write it again;
// start_trace() gives it up.
HAMGAM_API void stop_trace();

// Writes what is recorded until now into that file, whose ending says how, and the trace goes on:
// nobody is stopped for it. Takes memory for a copy of what is recorded, too, else as stop_trace().
// Throws std::system_error, as if there is no trace, or std::bad_alloc.
HAMGAM_API void write_trace(const std::string& path);

// A part of the program, from its construction to its destruction, as a slice on a track of the
// goroutine's, or plain thread's, own. Destroyed where it was made, the last one first.
//
//   observe::Region const region("parse");
class Region {
 public:
  // The name is not copied: a literal, or text that stays until the trace is written.
  HAMGAM_API explicit Region(const char* name) noexcept;
  HAMGAM_API ~Region();
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

 private:
  const char* const name_;  // null: there was no trace
};

// While it lives, a browser, curl and go tool pprof can look at the program: serve().
class [[nodiscard]] PageServer {
 public:
  // Moved from, it serves nothing.
  HAMGAM_API PageServer(PageServer&& other) noexcept;
  HAMGAM_API PageServer& operator=(PageServer&& other) noexcept;
  HAMGAM_API ~PageServer();  // stop()

  // Where it listens, as "127.0.0.1:6060"; empty after stop().
  [[nodiscard]] HAMGAM_API std::string address() const;

  // Nobody is answered any more, and the port is free, when it returns.
  HAMGAM_API void stop() noexcept;

 private:
  struct State;
  friend PageServer serve(std::string_view address);
  explicit PageServer(std::shared_ptr<State> state) noexcept;
  std::shared_ptr<State> state_;
};

// Serves pages at http://127.0.0.1:6060/debug/ : goroutines, and which of them wait for a minute;
// who has and who waits for which lock, and in which orders they were taken (?format=dot, for
// Graphviz), if locks are watched; numbers of the scheduler, and its latencies; what stacks take;
// the profiles, as text and for `go tool pprof http://127.0.0.1:6060/debug/pprof/mutex`. Plain
// text, or HTML for browsers. And traces, of the newest 260,000 records at most: what the program's
// own has until now is at /debug/flight, in Perfetto's form or, with ?format=json, as JSON; that
// goes on (but a stop_trace() meanwhile waits), and without one the answer is 404.
// /debug/trace?seconds=5 records so long, and gives JSON; unless a trace is on, or could not be
// written yet: then it is 409, as both are while the program is writing one.
//
//   auto const pages = observe::serve();
//
// It is answered by a thread of its own, which no goroutine can hold up, and which does not keep
// the deadlock of all others from being told of. Requests are bounded in size, time and number
// (32), and change nothing that the program does, but that its start_trace() throws while a trace
// is recorded for a page. Numeric addresses only: ":6061", "127.0.0.1:0" (some free port),
// "[::1]:6060", "/run/x" (a Unix socket). There is no password: whoever can connect sees stacks and
// names, so an address that others can reach is to be chosen with care. The file of a Unix socket
// goes with the server, but that of a process that was killed is in the way. Of this machine's
// addresses requests are refused that a browser makes for a name other than localhost.
//
// Throws std::system_error if the address is none, or not to be had. From the end of main on, and
// in the child of a fork, nobody is answered; there it is a fatal error to call it, if there were
// goroutines.
HAMGAM_API PageServer serve(std::string_view address = "127.0.0.1:6060");

// From now on SIGQUIT (Ctrl-\, kill -QUIT) prints that on standard error, from a thread of its own,
// which also works while all workers are busy. The program goes on, unlike Go's. Once per process;
// further calls put the handler back if it was replaced. Throws std::system_error if the system
// refuses the thread or the handler. A forked child has the former action; until it calls this,
// which it may if there were no goroutines yet (else it is a fatal error).
HAMGAM_API void install_signal_handler();

}  // namespace observe
}  // namespace hamgam::inline HAMGAM_ABI
