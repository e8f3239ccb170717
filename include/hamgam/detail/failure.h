// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Failure: an exception that left the goroutine where it was thrown, together with the stack of the
// throw. Where an exception is caught that stack is gone, so it is noted while it stands: before an
// exception is thrown, the C++ runtime asks the catch clauses on the stack one after the other
// whether they want it, and HAMGAM_CATCH_TRACE is a clause that notes and says no. (As cpptrace
// does it. With libc++, which has no such question, there are no traces.)

#include <exception>
#include <memory>

#include "hamgam/detail/config.h"

#if defined(__GLIBCXX__) && (defined(__x86_64__) || defined(__aarch64__))
#define HAMGAM_THROW_TRACES 1
// Its type_info is defined by hand in src/sched/failure.cpp; nobody throws it.
class HAMGAM_API hamgam_throw_tracer {  // NOLINT: a symbol's name, the same in every ABI
 public:
  virtual ~hamgam_throw_tracer();
};
#define HAMGAM_CATCH_TRACE             \
  catch (const hamgam_throw_tracer&) { \
  }
#else
#define HAMGAM_THROW_TRACES 0
#define HAMGAM_CATCH_TRACE
#endif

namespace hamgam::inline HAMGAM_ABI::detail {

struct ThrowTrace;

struct Failure {
  std::exception_ptr exception;
  std::shared_ptr<const ThrowTrace> trace;  // null: not known
};

// In a catch (...) that follows a HAMGAM_CATCH_TRACE: what it caught.
HAMGAM_API HAMGAM_COLD Failure current_failure() noexcept;

// Throws the exception again; should nobody catch it, the panic tells of both stacks.
[[noreturn]] HAMGAM_API HAMGAM_COLD void rethrow(const Failure& failure);

// Ends the process as an exception does that escapes a goroutine: "panic: <what()>", the stack of
// the caller, and that of the throw.
[[noreturn]] HAMGAM_API HAMGAM_COLD void panic_uncaught(const Failure& failure) noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
