// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/failure.h"

#include <unwind.h>

#include <array>
#include <cstring>
#include <mutex>
#include <new>
#include <typeinfo>
#include <utility>

#include "base/immortal.h"
#include "base/own_containers.h"
#include "os/spin_lock.h"
#include "sched/scheduler.h"

// A trace is noted in the first phase of a throw and fetched by the catch clause after the second,
// in which destructors may park the goroutine and throw and catch others. So it waits in a list of
// the latest, under the address of the exception object, which is nobody else's as long as that
// lives. Only if very many goroutines throw at the same moment one may be pushed out; then there is
// none to tell of.

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

using TracePtr = std::shared_ptr<const ThrowTrace>;

// The latest traces. Thread safety: its own lock.
class LatestTraces {
 public:
  void put(TracePtr trace) noexcept {
    std::lock_guard const guard(lock_);
    // The former one is destroyed after the lock is given up.
    traces_[next_].swap(trace);
    next_ = (next_ + 1) % traces_.size();
  }

  // The last one that was put for this object; it is gone then.
  TracePtr take(const void* exception) noexcept {
    std::lock_guard const guard(lock_);
    for (std::size_t i = 1; i <= traces_.size(); ++i) {
      TracePtr& trace = traces_[(next_ + traces_.size() - i) % traces_.size()];
      if (trace != nullptr && trace->exception == exception) {
        return std::exchange(trace, nullptr);
      }
    }
    return nullptr;
  }

 private:
  SpinLock lock_;
  std::array<TracePtr, 64> traces_;
  std::size_t next_ = 0;
};

constinit Immortal<LatestTraces> g_thrown;
constinit Immortal<LatestTraces> g_rethrown;

// An exception_ptr is the address of the object.
const void* object_of(const std::exception_ptr& exception) noexcept {
  static_assert(sizeof exception == sizeof(void*));
  const void* object = nullptr;
  std::memcpy(&object, static_cast<const void*>(&exception), sizeof object);
  return object;
}

[[noreturn]] HAMGAM_NOINLINE void throw_again(const std::exception_ptr& exception) {
  std::rethrow_exception(exception);
}

// Is throw_again() on the stack? Else an exception may have got the memory of one that is no more.
_Unwind_Reason_Code find_throw_again(_Unwind_Context* context, void* found) {
  if (_Unwind_GetRegionStart(context) != reinterpret_cast<std::uintptr_t>(&throw_again)) {
    return _URC_NO_REASON;
  }
  *static_cast<bool*>(found) = true;
  return _URC_END_OF_STACK;
}

// That of the object if rethrow() is throwing it.
TracePtr trace_if_rethrown(const void* object) noexcept {
  bool again = false;
  _Unwind_Backtrace(&find_throw_again, &again);
  return again ? g_rethrown.value.take(object) : nullptr;
}

#if HAMGAM_THROW_TRACES

_Unwind_Reason_Code note_frame(_Unwind_Context* context, void* raw) {
  auto* trace = static_cast<ThrowTrace*>(raw);
  auto const address = _Unwind_GetIP(context);
  if (address == 0 || trace->count == ThrowTrace::kMaxFrames) {
    return _URC_END_OF_STACK;
  }
  trace->frames[trace->count++] = reinterpret_cast<const void*>(address);
  return _URC_NO_REASON;
}

void note(const void* exception) noexcept {
  TsanHide const hide;  // the list gives memory from one goroutine to another
  if (TracePtr first = trace_if_rethrown(exception)) {
    g_thrown.value.put(std::move(first));  // it changes goroutines once more
    return;
  }
  const Goroutine* g = current_goroutine();
  try {
    auto trace = std::allocate_shared<ThrowTrace>(OwnMemory<ThrowTrace>());
    trace->exception = exception;
    trace->goroutine = g != nullptr ? g->id.load(kRelaxed) : 0;  // relaxed: ours
    _Unwind_Backtrace(&note_frame, trace.get());
    g_thrown.value.put(std::move(trace));
  } catch (const std::bad_alloc&) {
    // Then there is none to tell of.
  }
}

#endif

}  // namespace

#if HAMGAM_THROW_TRACES
// Stands for the type hamgam_throw_tracer in catch clauses.
class TracerTypeInfo final : public std::type_info {
 public:
  TracerTypeInfo() noexcept : std::type_info("19hamgam_throw_tracer") {}

  // "Does a clause of this type catch that object?"
  bool __do_catch(const std::type_info* /*thrown*/, void** object,
                  unsigned /*outer*/) const override {
    note(*object);
    return false;
  }
};

// The name by which compilers refer to that type's type_info; made before any other object.
extern HAMGAM_API const TracerTypeInfo g_tracer_type __asm__("_ZTI19hamgam_throw_tracer");
__attribute__((init_priority(101))) const TracerTypeInfo g_tracer_type;
#endif

Failure current_failure() noexcept {
  TsanHide const hide;
  Failure failure{std::current_exception(), nullptr};
  failure.trace = g_thrown.value.take(object_of(failure.exception));
  return failure;
}

void rethrow(const Failure& failure) {
  if (failure.trace != nullptr) {
    TsanHide const hide;
    g_rethrown.value.put(failure.trace);
  }
  throw_again(failure.exception);
}

TracePtr trace_of_rethrown() noexcept {
  return trace_if_rethrown(object_of(std::current_exception()));
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
