// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <cxxabi.h>
#include <dlfcn.h>
#include <unwind.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "base/fatal.h"
#include "os/signals.h"
#include "sched/failure.h"
#include "sched/scheduler.h"

// What is printed when the process dies: an exception that nobody caught, a fatal error, a stack
// overflow.

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr int kMaxFrames = 64;
constexpr int kMaxDumped = 1000;

std::terminate_handler g_former_terminate = nullptr;

struct Walk {
  int frames = 0;
};

void print_address(const void* address) {
  Dl_info info{};
  if (dladdr(address, &info) == 0) {
    std::fprintf(stderr, "\t%p\n", address);
    return;
  }
  auto const offset = static_cast<const char*>(address) - static_cast<const char*>(info.dli_fbase);
  int status = -1;
  char* readable = info.dli_sname != nullptr
                       ? abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, &status)
                       : nullptr;
  const char* name = readable != nullptr         ? readable
                     : info.dli_sname != nullptr ? info.dli_sname
                                                 : "??";
  std::fprintf(stderr, "%s\n\t%s(+0x%tx)\n", name, info.dli_fname, offset);
  std::free(readable);
}

_Unwind_Reason_Code print_frame(_Unwind_Context* context, void* raw) {
  auto* walk = static_cast<Walk*>(raw);
  auto const address = _Unwind_GetIP(context);
  if (address == 0 || ++walk->frames > kMaxFrames) {
    return _URC_END_OF_STACK;
  }
  print_address(reinterpret_cast<const void*>(address - 1));
  return _URC_NO_REASON;
}

void print_stack() {
  Walk walk;
  _Unwind_Backtrace(&print_frame, &walk);
}

const char* name_of(const Goroutine& g) noexcept {
  return g.extras != nullptr ? g.extras->name.c_str() : "";
}

// The frames of the C++ runtime that look for a handler are left out, if their names are known.
std::size_t first_of_interest(const ThrowTrace& trace) {
  for (std::size_t i = 0; i < trace.count; ++i) {
    Dl_info info{};
    if (dladdr(trace.frames[i], &info) != 0 && info.dli_sname != nullptr &&
        std::strcmp(info.dli_sname, "__cxa_throw") == 0) {
      return i;
    }
  }
  return 0;
}

void print_trace(const ThrowTrace* trace) {
  if (trace == nullptr) {
    return;
  }
  if (trace->goroutine != 0) {
    std::fprintf(stderr, "\nthrown by goroutine %llu:\n",
                 static_cast<unsigned long long>(trace->goroutine));
  } else {
    std::fputs("\nthrown by a plain thread:\n", stderr);
  }
  for (std::size_t i = first_of_interest(*trace); i < trace->count; ++i) {
    print_address(static_cast<const char*>(trace->frames[i]) - 1);
  }
}

void print_head(const Goroutine& g, const char* state) {
  std::fprintf(stderr,
               "\ngoroutine %llu [%s]:", static_cast<unsigned long long>(g.id.load(kRelaxed)),
               state);  // relaxed: a dump
  std::fprintf(stderr, *name_of(g) != '\0' ? " %s\n" : "\n", name_of(g));
}

void print_created_by(const Goroutine& g) {
  if (g.created_by != 0) {
    std::fprintf(stderr, "created by goroutine %llu at ",
                 static_cast<unsigned long long>(g.created_by));
  } else {
    std::fputs("created by a plain thread at ", stderr);
  }
  print_address(g.created_at);
}

struct Dump {
  const Goroutine* current;
  int printed = 0;
};

// The state of a goroutine that is not the current one. The world goes on meanwhile, so the
// text may be a moment out of date.
void print_other(Goroutine& g, void* raw) {
  auto* dump = static_cast<Dump*>(raw);
  // relaxed throughout: a dump
  if (g.id.load(kRelaxed) == 0 || &g == dump->current || dump->printed > kMaxDumped) {
    return;
  }
  if (++dump->printed > kMaxDumped) {
    std::fputs("\n...and more\n", stderr);
    return;
  }
  const char* reason = g.wait_reason.load(kRelaxed);
  bool running = false;
  g_places.for_each([&](const Worker& w) { running = running || w.current.load(kRelaxed) == &g; });
  print_head(g, running ? "running" : reason != nullptr ? reason : "runnable");
  print_created_by(g);
}

void print_current(const Goroutine* g) {
  if (g != nullptr) {
    print_head(*g, "running");
  } else {
    std::fputs("\nthread [running]:\n", stderr);
  }
  print_stack();
  if (g != nullptr) {
    print_created_by(*g);
  }
}

void dump_goroutines() noexcept {
  Dump dump{current_goroutine()};
  print_current(dump.current);
  for_each_record(&print_other, &dump);
}

void print_exception() {
  const std::type_info* type = abi::__cxa_current_exception_type();
  if (type == nullptr) {
    std::fputs("panic: std::terminate was called\n", stderr);
    return;
  }
  try {
    throw;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "panic: %s\n", e.what());
  } catch (...) {
    int status = -1;
    char* readable = abi::__cxa_demangle(type->name(), nullptr, nullptr, &status);
    std::fprintf(stderr, "panic: exception of type %s\n",
                 readable != nullptr ? readable : type->name());
    std::free(readable);
  }
}

// An exception that nobody in the goroutine catches ends here, called from the throw, with the
// stack that threw still standing.
[[noreturn]] void on_terminate() {
  if (const Goroutine* g = current_goroutine()) {
    print_exception();
    print_current(g);
    print_trace(trace_of_rethrown().get());
    std::abort();
  }
  if (g_former_terminate != nullptr) {
    g_former_terminate();
  }
  std::abort();
}

// In a signal handler: is this in the guard of the running goroutine's stack?
void on_fault(const void* address) noexcept {
  const Goroutine* g = current_goroutine();
  const Stack* stack = g != nullptr ? g->stack : nullptr;
  const char* at = static_cast<const char*>(address);
  if (stack == nullptr || at >= stack->bottom || at < stack->bottom - stack->guard) {
    return;
  }
  write_error("fatal error: stack overflow\n\ngoroutine ");
  write_error(g->id.load(kRelaxed));  // relaxed: ours
  write_error(" [running]: ");
  write_error(name_of(*g));
  write_error("\n\tits stack has ");
  write_error(stack->size);
  write_error(" bytes; set HAMGAM_STACK or GoOptions::stack_size for more\n");
  std::abort();
}

}  // namespace

void panic_uncaught(const Failure& failure) noexcept {
  try {
    std::rethrow_exception(failure.exception);
  } catch (...) {
    print_exception();
  }
  print_current(current_goroutine());
  print_trace(failure.trace.get());
  std::abort();
}

void install_crash_handlers() noexcept {
  set_fatal_dump(&dump_goroutines);
  g_former_terminate = std::set_terminate(&on_terminate);
  install_fault_hook(&on_fault);
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
