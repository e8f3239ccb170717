// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <cxxabi.h>
#include <unwind.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <initializer_list>
#include <iterator>
#include <string_view>

#include "base/fatal.h"
#include "fiber/unwind.h"
#include "hamgam/go.h"
#include "os/fork.h"
#include "os/signals.h"
#include "os/symbols.h"
#include "os/thread.h"
#include "sched/death.h"
#include "sched/dump.h"
#include "sched/exit.h"
#include "sched/failure.h"
#include "sched/readable.h"
#include "sched/scheduler.h"
#include "sched/trace.h"

// What is printed when the process dies: an exception that nobody caught, a fatal error, a stack
// overflow. By whom, and who waits for that: death.h.

namespace hamgam::inline HAMGAM_ABI::detail {
namespace {

constexpr int kMaxFrames = 64;
constexpr std::uint64_t kMainGoroutine = 1;

std::terminate_handler g_former_terminate = nullptr;

// All that is told goes by here, a line or more at a time, and not through stdio, whose lock a
// thread may have that waits for a reader. Where nobody reads the process ends without.
constinit atomic<bool> g_unread{false};

void put(std::initializer_list<std::string_view> parts) noexcept {
  char text[512];
  std::size_t size = 0;
  auto const flush = [&] {
    // relaxed throughout: it guards nothing
    if (!g_unread.load(kRelaxed)) {
      if (!tell_of_death({text, size}) && !has_parents_memory()) {
        g_unread.store(true, kRelaxed);
      }
    }
    size = 0;
  };
  for (std::string_view part : parts) {
    while (!part.empty()) {
      if (size == sizeof text) {
        flush();
      }
      std::size_t const fits = part.copy(text + size, sizeof text - size);
      size += fits;
      part.remove_prefix(fits);
    }
  }
  flush();
}

// And what led to it, which is a file, whether anybody reads standard error or not.
void put_others(const Goroutine* told) noexcept {
  if (g_unread.load(kRelaxed)) {  // relaxed: it guards nothing
    write_flight(nullptr);
  } else {
    dump_others(told);
  }
}

// As text, without the help of anybody who may have a lock.
class Number {
 public:
  explicit Number(std::uint64_t number) noexcept {
    do {
      digits_[--first_] = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number != 0);
  }
  operator std::string_view() const noexcept {  // NOLINT(google-explicit-constructor)
    return {digits_ + first_, sizeof digits_ - first_};
  }

 private:
  char digits_[20];
  std::size_t first_ = sizeof digits_;
};

struct Walk {
  int frames = 0;
  bool begun = false;            // by whoever is to be told of: what he called of ours is left out
  std::uintptr_t own_frame = 0;  // of ours, the last one
};

void print_address(const void* address) {
  Symbol const symbol = find_symbol(address);
  char where[40];
  if (symbol.file == nullptr) {
    std::snprintf(where, sizeof where, "\t%p\n", address);
    put({where});
    return;
  }
  Text const text = symbol.name != nullptr ? readable_function(symbol.name) : nullptr;
  const char* const name = text != nullptr          ? text.get()
                           : symbol.name != nullptr ? symbol.name
                                                    : "??";
  std::snprintf(where, sizeof where, "(+0x%tx)\n", symbol.offset);
  put({name, "\n\t", symbol.file, where});
}

_Unwind_Reason_Code print_frame(_Unwind_Context* context, void* raw) {
  auto* walk = static_cast<Walk*>(raw);
  auto const address = _Unwind_GetIP(context);
  walk->begun = walk->begun || _Unwind_GetCFA(context) > walk->own_frame;
  if (!walk->begun) {
    return _URC_NO_REASON;
  }
  if (address == 0 || ++walk->frames > kMaxFrames) {
    return _URC_END_OF_STACK;
  }
  print_address(reinterpret_cast<const void*>(address - 1));
  return _URC_NO_REASON;
}

void print_stack(const void* own_frame) {
  Walk walk{.own_frame = reinterpret_cast<std::uintptr_t>(own_frame)};
  _Unwind_Backtrace(&print_frame, &walk);
}

// The frames of the C++ runtime that look for a handler are left out, if their names are known.
std::size_t first_of_interest(const ThrowTrace& trace) {
  for (std::size_t i = 0; i < trace.count; ++i) {
    const char* name = find_symbol(static_cast<const char*>(trace.frames[i]) - 1).name;
    if (name != nullptr && std::strcmp(name, "__cxa_throw") == 0) {
      return i;
    }
  }
  return 0;
}

void print_trace(const ThrowTrace* trace) {
  if (trace == nullptr) {
    return;
  }
  if (trace->goroutine == kMainGoroutine && current_goroutine() == nullptr) {
    put({"\ngoroutine 1 [running]:\n"});  // it has come out of run()
  } else if (trace->goroutine != 0) {
    put({"\nthrown by goroutine ", Number(trace->goroutine), ":\n"});
  } else {
    put({"\nthrown by a plain thread:\n"});
  }
  for (std::size_t i = first_of_interest(*trace); i < trace->count; ++i) {
    print_address(static_cast<const char*>(trace->frames[i]) - 1);
  }
}

void copy_printable_name(const Goroutine& g, char (&name)[kShownName]) noexcept {
  copy_name(g, name, sizeof name);
  for (char* c = name; *c != '\0'; ++c) {
    *c = printable(*c);
  }
}

void print_head(const Goroutine& g, const char* state) {
  char name[kShownName];
  copy_printable_name(g, name);
  // relaxed: a dump
  put({"\ngoroutine ", Number(g.id.load(kRelaxed)), " [", state, *name != '\0' ? "]: " : "]:", name,
       "\n"});
}

void print_created_by(const Goroutine& g) {
  if (g.created_by != 0) {
    put({"created by goroutine ", Number(g.created_by), " at "});
  } else {
    put({"created by a plain thread at "});
  }
  print_address(g.created_at);
}

// Without the caller, whose frame that is, and what he calls.
void print_current(const Goroutine* g, const void* own_frame) {
  if (g != nullptr) {
    print_head(*g, "running");
  } else {
    put({"\nthread [running]:\n"});
  }
  print_stack(own_frame);
  if (g != nullptr) {
    print_created_by(*g);
  }
}

void dump_goroutines(const char* text) noexcept {
  TsanIgnore const ignore;
  bool const tells = may_tell();
  put({"fatal error: ", text, "\n"});
  if (!tells) {
    return;
  }
  print_current(current_goroutine(), __builtin_frame_address(0));
  put_others(current_goroutine());
}

// The others, by a thread that holds no lock: for the handler of a fault, which may have struck
// malloc. It waits for that, but not for ever.
void dump_others_elsewhere() noexcept {
  static constinit atomic<bool> asked{false};
  static constinit atomic<bool> done{false};
  static const Goroutine* told = nullptr;
  static constinit Chore chore{[](Chore& /*chore*/) noexcept {
                                 Helps const helps;
                                 put_others(told);
                                 done.store(true, kRelaxed);  // relaxed: all is written
                               },
                               nullptr};
  if (exiting()) {
    put({"hamgam: of the others nothing is told: the process exits\n"});
    return;
  }
  if (!chores_are_done() || asked.exchange(true, kRelaxed)) {  // relaxed: one asks
    return;
  }
  told = current_goroutine();
  queue_chore(chore);
  await_telling(kDumpPatience, done);
  if (!done.load(kRelaxed)) {  // relaxed: all is written by then, to the kernel
    put({"hamgam: the rest is lost: who tells it has not got on for 5 seconds\n"});
  }
}

void print_exception() {
  const std::type_info* type = abi::__cxa_current_exception_type();
  if (type == nullptr) {
    put({"panic: std::terminate was called\n"});
    return;
  }
  try {
    throw;
  } catch (const std::exception& e) {
    put({"panic: "});  // at once: what() is the program's, and may come to another end
    const char* const what = e.what();
    put({what != nullptr ? what : "(what() is null)", "\n"});
  } catch (const GoexitSignal&) {
    put({"panic: goexit in a function that must not throw\n"});
  } catch (...) {
    Text const text = readable(type->name());
    put({"panic: exception of type ", text != nullptr ? text.get() : type->name(), "\n"});
  }
}

// Who tells comes to another end on the way, in the program's own code: in what(), or a handler of
// SIGABRT. Once.
bool ends_otherwise() noexcept {
  static constinit atomic<bool> told{false};
  return tells() && !told.exchange(true, kRelaxed);  // relaxed: it guards nothing
}

// As the standard library's own handler does, but that waits for a reader, for ever.
void print_uncaught() {
  const std::type_info* type = abi::__cxa_current_exception_type();
  if (type == nullptr) {
    put({"terminate called without an active exception\n"});
    return;
  }
  Text const text = readable(type->name());
  put({"terminate called after throwing an instance of '",
       text != nullptr ? text.get() : type->name(), "'\n"});
  try {
    throw;
  } catch (const std::exception& e) {
    const char* const what = e.what();
    put({"  what():  ", what != nullptr ? what : "(null)", "\n"});
  } catch (...) {  // NOLINT(bugprone-empty-catch): there is no more to say
  }
}

bool is_default(std::terminate_handler handler) noexcept {
#if defined(__GLIBCXX__)
  return handler == nullptr || handler == &__gnu_cxx::__verbose_terminate_handler;
#else
  return handler == nullptr;
#endif
}

// Once all is told: the program's own handler may look at the exception, too, and end the process.
[[noreturn]] void end_as_program_wants() {
  if (!is_default(g_former_terminate)) {
    g_former_terminate();
  }
  std::abort();
}

// An exception that nobody in the goroutine catches ends here, called from the throw, with the
// stack that threw still standing.
[[noreturn]] void on_terminate() {
  if (!may_tell()) {
    if (ends_otherwise()) {
      put({"\nterminate called by what is called meanwhile\n"});
      print_current(current_goroutine(), __builtin_frame_address(0));
    }
    std::abort();
  }
  if (const Goroutine* g = current_goroutine()) {
    print_exception();
    print_current(g, __builtin_frame_address(0));
    print_trace(trace_of_rethrown().get());
    put_others(g);
    end_as_program_wants();
  }
  // One that came out of run() or of a Task: the stack of its throw is gone, but was noted,
  // unless it was caught and thrown on.
  auto const trace = trace_of_rethrown();
  if (trace != nullptr) {
    print_exception();
    print_trace(trace.get());
  }
  write_flight(nullptr);
  if (trace == nullptr && is_default(g_former_terminate)) {
    print_uncaught();
  }
  end_as_program_wants();
}

// "goroutine 1 [running]: name", for the running one.
void write_running(const Goroutine& g) noexcept {
  char name[kShownName];
  copy_printable_name(g, name);
  // relaxed: ours
  put({"goroutine ", Number(g.id.load(kRelaxed)), " [running]:", name[0] != 0 ? " " : "", name,
       "\n"});
}

// From the fault on, without the help of malloc, which may be what faulted.
void write_stack() noexcept {
  unblock_faults();  // the program's handler, which called ours, may have blocked them
  const void* frames[kMaxFrames];
  std::size_t const count = std::min(unwind_interrupted(frames, kMaxFrames), std::size(frames));
  if (count == 0) {
    put({"(no stack: what was called is no function, or the stack is damaged)\n"});
  }
  for (std::size_t i = 0; i < count; ++i) {
    Symbol const symbol = find_symbol(static_cast<const char*>(frames[i]) - 1);
    put({symbol.name != nullptr ? symbol.name : "??", "\n"});
    if (symbol.file != nullptr) {
      char digits[2 * sizeof symbol.offset];
      char* const end = std::to_chars(digits, std::end(digits), symbol.offset, 16).ptr;
      put({"\t", symbol.file, "(+0x", std::string_view(digits, end), ")\n"});
    }
  }
}

// In a signal handler: is this in the guard of the running goroutine's stack?
void on_fault(const void* address) noexcept {
  escape_unwind();
  const Goroutine* g = is_forked_child() ? orphan() : current_goroutine();
  const Stack* stack = g != nullptr ? g->stack : nullptr;
  const char* at = static_cast<const char*>(address);
  if (stack == nullptr || at >= stack->bottom || at < stack->bottom - stack->guard) {
    return;
  }
  bool const tells = may_tell();
  put({"fatal error: stack overflow\n\n"});
  write_running(*g);
  put({"\tits stack has ", Number(stack->size),
       " bytes; set HAMGAM_STACK or GoOptions::stack_size for more\n"});
  write_stack();
  if (tells && !is_forked_child()) {
    dump_others_elsewhere();
  }
  std::abort();
}

// In a signal handler: an invalid address in a goroutine is going to end the process.
void on_last_fault(const void* /*address*/) noexcept {
  const Goroutine* g = current_goroutine();
  bool const first = may_tell();
  if (g == nullptr || (!first && !ends_otherwise())) {
    return;
  }
  put({"fatal error: invalid memory address or null pointer dereference\n\n"});
  write_running(*g);
  write_stack();
  if (first) {
    dump_others_elsewhere();
  }
}

}  // namespace

void panic_uncaught(const Failure& failure) noexcept {
  if (!may_tell()) {
    std::abort();
  }
  try {
    std::rethrow_exception(failure.exception);
  } catch (...) {
    print_exception();
    print_current(current_goroutine(), __builtin_frame_address(0));
    print_trace(failure.trace.get());
    put_others(current_goroutine());
    end_as_program_wants();
  }
}

void install_crash_handlers() noexcept {
  set_fatal_dump(&dump_goroutines);
  g_former_terminate = std::set_terminate(&on_terminate);
  install_fault_hook(&on_fault, &on_last_fault);
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
