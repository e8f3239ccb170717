// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "hamgam/go.h"
#include "hamgam/observe.h"
#include "observe/trace.h"
#include "observe/trace_file.h"
#include "observe/trace_lock.h"
#include "observe/trace_story.h"
#include "os/fork.h"
#include "os/signals.h"
#include "os/thread.h"
#include "sched/death.h"
#include "sched/dump.h"
#include "sched/exit.h"
#include "sched/trace.h"

// start_trace, stop_trace, write_trace, Region.
//
// The trace is off; on; or over and not written yet, if that failed: then it is kept. All of it is
// under a lock, by which one of several who stop it writes, and the others wait for that. The pages
// do not wait: their thread has others to answer. A trace of theirs that they give up while
// somebody has the lock is dropped by that one.
//
//   [tracer.4] who gives up: store given_up_; load the lock, by [tracer.1]
//   [tracer.2] who unlocks:  store the lock; load given_up_, by [tracer.3]

namespace hamgam::inline HAMGAM_ABI {

namespace {

using namespace detail;

[[noreturn]] void refuse(const std::string& why) {
  throw std::system_error(std::make_error_code(std::errc::device_or_resource_busy),
                          "observe::start_trace: " + why);
}

// It has waited long enough, and does not wait for who reads standard error either.
void tell_of_loss(std::string_view why) noexcept {
  for (std::string_view const part :
       {std::string_view("hamgam: the trace is lost: "), why, std::string_view("\n")}) {
    if (!write_error_within(part, kDumpPatience)) {
      return;
    }
  }
}

class Tracer {
 public:
  // Returns the trace's number.
  std::uint64_t start(const std::string& path, observe::TraceOptions options) {
    std::lock_guard const guard(*this);
    if (on_ || (for_page_ && file_ >= 0)) {
      refuse("there is a trace already, for " + path_);
    }
    begin(path, options);
    return number_;
  }
  std::uint64_t start_for_page(const std::string& path, std::size_t memory) {
    std::lock_guard const guard(*this, enter_for_page());
    if (on_) {
      refuse("there is a trace already, for " + path_);
    }
    if (file_ >= 0) {
      refuse("there is a trace that could not be written yet, for " + path_);
    }
    begin(path, {.memory = memory});
    for_page_ = true;
    return number_;
  }

  void stop() {
    // [tracer.6] acquire, pairs with [tracer.5]: it is written
    if (!is_there_.load(kAcquire)) {
      return;
    }
    if (exits()) {
      stop_in_exit(true);
    } else {
      std::lock_guard const guard(*this);
      end_and_write();
    }
  }

  // Only if it is that one.
  void stop_for_page(std::uint64_t number) {
    std::lock_guard const guard(*this, enter_for_page());
    if (is(number)) {
      end_and_write();
    }
  }
  void give_up(std::uint64_t number) noexcept {
    given_up_.store(number, kSeqCst);  // [tracer.4] seq_cst, pairs with [tracer.3]
    drop_given_up();
  }

  // At the exit, which waits for who writes already and for who reads a pipe, but not for ever:
  // then it says so, once. `for_page`: also if it is a page's.
  void stop_in_exit(bool for_page) {
    // relaxed: told by this thread, or twice. Who begins one just now has lost nothing
    if (gave_up_.load(kRelaxed) || !is_there_.load(kRelaxed)) {
      return;
    }
    try {
      if (!lock_.lock_before_others(kExitPatience)) {
        throw TraceStuck(kOtherIsStuck);
      }
      std::lock_guard const guard(*this, std::adopt_lock);
      settle();
      if (for_page || !for_page_) {
        wait_for_no_reader();
        end_and_write();
      }
    } catch (const TraceStuck& stuck) {
      gave_up_.store(true, kRelaxed);  // relaxed: as said
      tell_of_loss(stuck.what());
    }
  }

  // What is there until now; it goes on.
  void write_copy(const std::string& path) {
    std::lock_guard const guard(*this);
    if (!on_) {
      throw std::system_error(std::make_error_code(std::errc::operation_not_permitted),
                              "observe::write_trace: there is no trace");
    }
    write_until_now(path, exits() ? O_NONBLOCK : 0);
  }

  // False: the program has none on.
  bool copy_for_page(int file, bool packets, std::size_t memory) {
    std::lock_guard const guard(*this, enter_for_page());
    if (!on_ || for_page_) {
      return false;
    }
    write_until_now(file, packets ? "flight.pftrace" : "flight.json", "observe: ", memory);
    return true;
  }

  // The first of each kind goes into a file of its own; when the process dies, into that which was
  // named.
  void write_flight(const char* kind) {
    if (!flies_.load(kRelaxed)) {  // relaxed: a trace that begins or ends just now
      return;
    }
    if (kind == nullptr ? !lock_.lock_before_others(kDeathPatience) : !lock_soon(kTries)) {
      throw std::runtime_error("another thread is at the trace");
    }
    std::string path;
    {
      std::lock_guard const guard(*this, std::adopt_lock);
      if (file_ < 0) {
        return;  // it was written meanwhile, or has no file
      }
      path = path_;
      if (kind == nullptr) {
        write_at_death();
      } else if (!on_ || std::find(told_.begin(), told_.end(), kind) != told_.end()) {
        return;
      } else {
        told_.emplace_back(kind);
        std::size_t const name = path.rfind('/') + 1;  // 0, if there is none
        std::size_t const end = path.find('.', name + 1);
        path.insert(std::min(end, path.size()), std::string("-") + kind);
        write_until_now(path, O_NONBLOCK);  // a pipe may have no reader
      }
    }
    (void)write_error_within("hamgam: what led to it: " + path + "\n\n", kDumpPatience);
  }

  void lock() noexcept {
    if (!exits()) {
      lock_.lock();
    } else if (!lock_.lock_before_others(kExitPatience)) {
      // relaxed throughout: as in stop_in_exit
      if (is_there_.load(kRelaxed) && !gave_up_.exchange(true, kRelaxed)) {
        tell_of_loss(kOtherIsStuck);
      }
      lose_patience();  // for good
    }
    settle();
  }
  void unlock() noexcept {
    lock_.unlock();
    drop_given_up();
  }

 private:
  static constexpr int kTries = 1000;
  static constexpr int kPageTries = 10;  // half a millisecond
  static constexpr Nanos kExitPatience = 5'000 * kMillisecond;
  static constexpr const char* kOtherIsStuck =
      "another thread is at it, and has not got on for 5 seconds";
  static constexpr Nanos kDeathPatience = 3'000 * kMillisecond;  // less than who waits for that has

  // In a static object's destructor, say.
  static bool exits() noexcept { return patience() != kForever; }
  static void at_exit() noexcept;
  static void on_report(const char* kind) noexcept;

  bool lock_soon(int tries) noexcept {
    while (!lock_.try_lock()) {
      if (--tries <= 0) {
        return false;
      }
      nap_thread();
    }
    return true;
  }

  // For the guard.
  std::adopt_lock_t enter_for_page() {
    if (!lock_soon(kPageTries)) {
      throw std::system_error(std::make_error_code(std::errc::device_or_resource_busy),
                              "observe: the program is at its own trace just now");
    }
    settle();
    return std::adopt_lock;
  }

  [[nodiscard]] bool is(std::uint64_t number) const noexcept {
    return number_ == number && (on_ || file_ >= 0);
  }

  // By who has the lock.
  void settle() noexcept {
    if (is(given_up_.exchange(0, kRelaxed))) {  // relaxed: under the lock
      if (std::exchange(on_, false)) {
        end_trace();
      }
      drop();
    }
  }

  // By whoever comes first to the lock once it is free.
  void drop_given_up() noexcept {
    // [tracer.3] seq_cst, pairs with [tracer.2], [tracer.4]
    while (given_up_.load(kSeqCst) != 0 && lock_.try_lock()) {
      settle();
      lock_.unlock();
    }
  }

  void begin(const std::string& path, observe::TraceOptions options) {
    // What is there is overwritten when there is something better.
    int const file =
        path.empty() ? -1
                     : open_trace_file(path, exits() ? O_NONBLOCK : 0, "observe::start_trace: ");
    drop();
    file_ = file;
    try {
      path_ = absolute_path(path);
      look_around();
    } catch (...) {
      drop();
      throw;
    }
    if (!begin_trace(options.memory)) {
      drop();
      throw std::bad_alloc();
    }
    on_ = true;
    is_there_.store(true, kRelaxed);  // relaxed: who stops it has the lock next
    ++number_;
    frame_.running_first = std::move(running_);
    flies_.store(options.on_reports, kRelaxed);  // relaxed: who reports has the lock then
    set_write_flight(&on_report);
    set_last_work(&at_exit);
    static int const kRegistered = std::atexit(&at_exit);  // 0; else no memory: not at the exit
    static_cast<void>(kRegistered);
  }

  // Who reads a pipe may be slow, but is not waited for without end.
  void wait_for_no_reader() const noexcept {
    int const flags = fcntl(file_, F_GETFL);          // NOLINT: variadic
    (void)fcntl(file_, F_SETFL, flags | O_NONBLOCK);  // NOLINT: variadic
  }

  // Into the file that is open: its path may be another one's by now, and there may be no
  // descriptors.
  void write_at_death() {
    wait_for_no_reader();
    if (on_) {
      write_until_now(file_, path_, "observe::write_trace: ");
    } else {
      end_and_write();  // which failed before
    }
  }

  void write_until_now(int file, const std::string& path, const char* who,
                       std::size_t memory = SIZE_MAX) {
    frame_.running_last = trace_running();
    frame_.end_ticks = ticks();
    frame_.end = now();
    write(file, path, copy_trace(frame_.end_ticks, memory), who);
  }

  void write_until_now(const std::string& path, int flags) {
    const char* const who = "observe::write_trace: ";
    int const file = open_trace_file(path, flags, who);
    try {
      write_until_now(file, path, who);
    } catch (...) {
      close(file);
      throw;
    }
    close(file);
  }

  void end_and_write() {
    if (on_) {
      end_trace();
      on_ = false;
      frame_.end_ticks = ticks();
      frame_.end = now();
    }
    if (file_ < 0) {
      drop();
      return;
    }
    frame_.running_last = trace_running();
    write(file_, path_, ended_trace(), "observe::stop_trace: ");
    drop();
  }

  void write(int file, const std::string& path, const TraceEnd& records, const char* who) {
    TraceOutput output(file);
    bool const packets = path.ends_with(".pftrace") || path.ends_with(".perfetto-trace");
    tell_trace(frame_, records, *(packets ? perfetto_trace(output) : json_trace(output)));
    output.check(path, who);
  }

  // Gives everything back.
  void drop() noexcept {
    is_there_.store(false, kRelease);  // [tracer.5] release, pairs with [tracer.6]
    free_trace();
    frame_ = {};
    told_.clear();
    for_page_ = false;
    flies_.store(false, kRelaxed);  // relaxed: who reports has the lock then
    if (file_ >= 0) {
      close(file_);
      file_ = -1;
    }
  }

  // What there is already.
  void look_around() {
    observe::Stats const stats = observe::stats();
    frame_.goroutines = static_cast<std::int64_t>(stats.goroutines);
    frame_.runnable = static_cast<std::int64_t>(stats.runnable);
    TsanIgnore const ignore;
    for_each_record(
        [](Goroutine& g, void* raw) {
          char name[128];
          std::uint64_t const id = g.id.load(kRelaxed);  // relaxed: a glance
          if (id != 0 && g.extras != nullptr) {
            copy_name(g, name, sizeof name);
            if (*name != '\0') {
              static_cast<TraceFrame*>(raw)->names.emplace(id, name);
            }
          }
        },
        &frame_);
    running_ = trace_running();
    frame_.begin_ticks = ticks();
    frame_.begin = now();
  }

  TraceLock lock_;
  atomic<bool> is_there_{false};  // on, or not written yet; changed under the lock
  atomic<bool> gave_up_{false};   // the exit, to wait
  bool on_ = false;
  bool for_page_ = false;
  std::uint64_t number_ = 0;           // of the last one
  atomic<std::uint64_t> given_up_{0};  // a page's, which is to be dropped
  atomic<bool> flies_{false};          // it is written when something is reported
  std::vector<std::string> told_;      // what was, in this trace
  int file_ = -1;
  std::string path_;
  TraceFrame frame_;
  std::vector<TraceRunning> running_;
};

Tracer& tracer() {
  static auto* const kTracer = new Tracer;  // for the exit
  return *kTracer;
}

void Tracer::at_exit() noexcept {
  if (is_forked_child()) {
    return;
  }
  try {
    tracer().stop_in_exit(false);
  } catch (const std::exception& e) {
    tell_of_loss(e.what());
  }
}

void Tracer::on_report(const char* kind) noexcept {
  if (is_forked_child()) {
    return;
  }
  try {
    tracer().write_flight(kind);
  } catch (const std::exception& e) {
    (void)write_error_within("hamgam: what led to it is lost: ", kDumpPatience);
    (void)write_error_within(e.what(), kDumpPatience);
    (void)write_error_within("\n\n", kDumpPatience);
  }
}

// In a BlockingScope. What is thrown comes out behind its end, where a goroutine stops if the
// process exits: it must not die of there being no trace any more.
template <class F>
void beside_others(F f) {
  std::exception_ptr error;
  {
    BlockingScope const others_run;
    try {
      f();
    } catch (...) {
      error = std::current_exception();
    }
  }
  if (error != nullptr) {
    std::rethrow_exception(std::move(error));
  }
}

}  // namespace

namespace detail {

std::uint64_t begin_trace_for(const std::string& path, std::size_t memory) {
  return tracer().start_for_page(path, memory);
}
void end_trace_for(std::uint64_t number) { tracer().stop_for_page(number); }
bool copy_trace_for(int file, bool packets, std::size_t memory) {
  return tracer().copy_for_page(file, packets, memory);
}
void give_up_trace_for(std::uint64_t number) noexcept { tracer().give_up(number); }

}  // namespace detail

namespace observe {

void start_trace(const std::string& path, TraceOptions options) {
  if (is_forked_child()) {
    refuse_in_child();
  }
  beside_others([&] { (void)tracer().start(path, options); });
}

void stop_trace() {
  if (is_forked_child()) {
    return;
  }
  beside_others([] { tracer().stop(); });
}

void write_trace(const std::string& path) {
  if (is_forked_child()) {
    refuse_in_child();
  }
  beside_others([&] { tracer().write_copy(path); });
}

Region::Region(const char* name) noexcept : name_(tracing() ? name : nullptr) {
  if (name_ != nullptr) {
    trace_span(TraceKind::kBegin, name_);
  }
}

Region::~Region() {
  if (name_ != nullptr && tracing()) {
    trace_span(TraceKind::kEnd, name_);
  }
}

}  // namespace observe

}  // namespace hamgam::inline HAMGAM_ABI
