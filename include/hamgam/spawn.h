// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// spawn: starts a goroutine that has a result. Task: the handle by which it is taken.
//
//   Task<int> left = spawn([] { return count("left"); });
//   int const right = count("right");
//   return left.get() + right;
//
// From goroutines and plain threads alike. Move-only; a default-made one is empty, to be assigned
// later. The destructor waits, as std::jthread's does. The function, with its arguments and what it
// captured, is destroyed before the Task is done. If it returns a reference, so does get(): what it
// refers to must live until then.
//
// An exception that escapes the function comes out of get(); one that nobody took is a panic in the
// destructor (and in the move assignment). Such a panic, and that of one which comes out of get()
// and is caught nowhere, also shows the stack of the throw.
//
// Happens-before: spawn(f) is before the start of f; the end of f is before the return of get(), of
// a wait that says it is over, and of a done() that is true. A request to stop is before the return
// of the wait that it ends.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>

#include "hamgam/detail/atomic.h"
#include "hamgam/detail/config.h"
#include "hamgam/detail/failure.h"
#include "hamgam/detail/fatal.h"
#include "hamgam/go.h"
#include "hamgam/waitgroup.h"

namespace hamgam::inline HAMGAM_ABI {

namespace detail {

struct TaskStart;

// How a result of type R is kept until it is taken.
template <class R>
struct TaskResult {
  using Kept =
      std::conditional_t<std::is_reference_v<R>, std::remove_reference_t<R>*, std::optional<R>>;
  Kept kept{};

  template <class F>
  void keep(F&& f) {
    if constexpr (std::is_reference_v<R>) {
      auto&& result = std::forward<F>(f)();  // R is T& or T&&
      kept = std::addressof(result);
    } else {
      kept.emplace(std::forward<F>(f)());
    }
  }

  R take() {
    if constexpr (std::is_reference_v<R>) {
      return static_cast<R>(*kept);
    } else {
      return std::move(*kept);
    }
  }
};

template <>
struct TaskResult<void> {
  template <class F>
  void keep(F&& f) {
    std::forward<F>(f)();
  }
  void take() {}
};

// Thread safety: everything but `running` belongs to the goroutine until it is done, then to the
// Task.
template <class R>
struct TaskState : TaskResult<R> {
  enum class End : std::uint8_t { kGoexit, kResult, kException };

  TaskState() { running.add(1); }
  virtual ~TaskState() = default;
  TaskState(const TaskState&) = delete;
  TaskState& operator=(const TaskState&) = delete;

  [[noreturn]] void rethrow() {
    if (end == End::kGoexit) {
      throw_panic("Task: its goroutine ended by goexit");
    }
    detail::rethrow(std::exchange(failure, {}));
  }

  WaitGroup running;
  Failure failure;
  End end = End::kGoexit;
  bool taken = false;
};

// With the function and its arguments, which are gone before the Task is done.
template <class R, class Bound>
struct SpawnedTask : TaskState<R> {
  explicit SpawnedTask(Bound&& b) : bound(std::move(b)) {}

  void run() {
    struct Done {
      SpawnedTask* task;
      ~Done() {
        task->bound.reset();
        task->running.done();  // the last touch
      }
    } const done{this};
    try {
      this->keep(*bound);
      this->end = TaskState<R>::End::kResult;
    } catch (const GoexitSignal&) {
      throw;
    }
    HAMGAM_CATCH_TRACE
    catch (...) {
      this->failure = current_failure();
      this->end = TaskState<R>::End::kException;
    }
  }

  std::optional<Bound> bound;
};

}  // namespace detail

template <class R>
class [[nodiscard]] Task {
 public:
  // Empty, as one that was moved from: what asks for its function is the Panic "Task: it is empty".
  Task() noexcept = default;
  Task(Task&&) noexcept = default;
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      finish();
      state_ = std::move(other.state_);
    }
    return *this;
  }
  ~Task() { finish(); }

  // False if it is empty.
  [[nodiscard]] explicit operator bool() const noexcept { return state_ != nullptr; }

  // Waits and gives the result, or throws the exception that escaped the function. A second time,
  // and if the function called goexit(): Panic.
  R get() {
    wait();
    if (std::exchange(state_->taken, true)) {
      detail::throw_panic("Task: get called twice");
    }
    if (state_->end != detail::TaskState<R>::End::kResult) {
      state_->rethrow();
    }
    return state_->take();
  }

  // Blocks until the function has ended; takes nothing.
  void wait() { state().running.wait(); }

  // False if it had not ended in time. std::bad_alloc if there is no memory for a timer.
  template <class Rep, class Period>
  [[nodiscard]] bool wait_for(const std::chrono::duration<Rep, Period>& d) {
    return state().running.wait_for(d);
  }

  template <class C, class D>
  [[nodiscard]] bool wait_until(const std::chrono::time_point<C, D>& t) {
    return state().running.wait_until(t);
  }

  // False if stop was requested before it had ended.
  [[nodiscard]] bool wait(std::stop_token token) { return state().running.wait(std::move(token)); }

  // Whether the function has ended. Does not wait.
  [[nodiscard]] bool done() { return state().running.wait_for(std::chrono::nanoseconds::zero()); }

 private:
  friend struct detail::TaskStart;
  using State = detail::TaskState<R>;

  explicit Task(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}

  State& state() {
    if (state_ == nullptr) {
      detail::throw_panic("Task: it is empty");
    }
    return *state_;
  }

  void finish() noexcept {
    if (state_ != nullptr) {
      state_->running.wait();
      if (state_->failure.exception != nullptr) {
        detail::panic_uncaught(state_->failure);
      }
    }
  }

  std::unique_ptr<State> state_;
};

namespace detail {

struct TaskStart {
  template <class Bound, class... Options>
  HAMGAM_INLINE static auto start(Bound&& bound, Options&&... options) {
    using R = std::invoke_result_t<Bound&>;
    static_assert(std::is_void_v<R> || std::is_reference_v<R> || std::is_move_constructible_v<R>,
                  "spawn: get() moves the result out, so its type must be movable; else return a "
                  "std::unique_ptr to it");
    auto task = std::make_unique<SpawnedTask<R, Bound>>(std::forward<Bound>(bound));
    launch([raw = task.get()] { raw->run(); }, std::forward<Options>(options)...);
    return Task<R>(std::move(task));
  }
};

}  // namespace detail

namespace detail::calls {

// Starts a goroutine that calls f(args...); the rules for the arguments are those of go(). Throws
// std::bad_alloc if there is no memory for it.
template <class F, class... Args>
  requires detail::Callable<F, Args...>
HAMGAM_INLINE Task<std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>> spawn(
    F&& f, Args&&... args) {
  return detail::TaskStart::start(
      detail::bind_result(std::forward<F>(f), std::forward<Args>(args)...));
}

template <class F, class... Args>
  requires detail::Callable<F, Args...>
HAMGAM_INLINE Task<std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>> spawn(
    GoOptions options, F&& f, Args&&... args) {
  return detail::TaskStart::start(
      detail::bind_result(std::forward<F>(f), std::forward<Args>(args)...), std::move(options));
}

template <class F, class... Args>
  requires detail::Miscalled<F, Args...>
Task<void> spawn(F&& /*f*/, Args&&... /*args*/) {
  detail::explain_miscall<F, Args...>();
  __builtin_unreachable();
}
template <class... Args>
Task<void> spawn(detail::OverloadedMember /*f*/, Args&&... /*args*/) {
  detail::explain_overloaded<Args...>();
  __builtin_unreachable();
}

}  // namespace detail::calls

}  // namespace hamgam::inline HAMGAM_ABI
