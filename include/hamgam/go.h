// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Goroutines: functions that run concurrently, multiplexed onto a few threads.
//
// Happens-before: the call of go(f) is before the start of f. The end of a goroutine is before
// nothing: wait for it with a WaitGroup, a channel or a Task.
//
// A goroutine may go on on another thread after anything that can block, and after the unlock of a
// Mutex or RWMutex, which may let a waiter run first. errno comes along, nothing else that is a
// thread's does. Therefore, across such a call,
//  * do not keep the address of a thread_local, nor count on its value or on the thread's id
//    (compilers keep what they know of them, also where the name is written again);
//  * do not hold a std::mutex: its unlock must come from the thread that locked it;
//  * do not count on the floating-point environment (fesetround).
// Nor may a goroutine end its thread (pthread_exit, pthread_cancel); goexit() ends it itself.
// Where one of these must be, blocking() is the remedy: while its f runs the goroutine keeps its
// thread, whatever it waits for.
//
// Of the standard library, std::stop_callback counts on the thread: its destructor waits for a
// callback that runs on another one, and takes a caller on the thread that called request_stop()
// for the callback itself. So, in a goroutine, a std::stop_source whose callbacks may wait (lock a
// Mutex, send, sleep) must be stopped by `blocking([&] { source.request_stop(); })`; a Context's
// cancel does that by itself, and callbacks that do not wait need it not.
//
// Signals: workers have the signal mask of the thread that started the first goroutine, as if that
// had started them, and so has whatever a goroutine starts. A goroutine that changes its thread's
// mask changes it back before it waits. Who takes signals by sigwait blocks them before the first
// goroutine. A handler may run on a worker, in a goroutine or between two, on a stack of 64 KiB if
// it was installed with SA_ONSTACK, else on the goroutine's. It may call nothing of Hamgam; take
// signals by Signals or with_signals() (signals.h), which need no handler.
//
// Stacks do not grow. One that overflows ends the process with "fatal error: stack overflow" as
// long as no frame steps over the guard below it: 1 MiB for the first thousand stacks, then 64 KiB.
// Frames of any size are told if the code is compiled with -fstack-clash-protection, which the
// CMake target and pkg-config pass on. The C library takes up to 64 KiB at once.
//
// When the process exits (main returns, or anybody calls std::exit, a goroutine too), goroutines
// are stopped before static objects are destroyed, each where it next waits or yields; blocking()
// calls and waits in the kernel are left alone, plain threads too. So static Mutexes, Chans, Maps
// and whatever else goroutines use may be destroyed safely. If one goes on for a tenth of a second
// and neither waits nor yields (calls that could wait but need not do not stop it), the process
// ends then and there with its status, and without destructors; so it does if a destructor that
// Hamgam runs in the background (of what a Map or Pool lets go) computes that long. One thing comes
// too early: where a plain thread calls std::exit that never waited, locked or started anything by
// Hamgam, static objects that were made after the first goroutine or start_trace, and after run
// began if it ever does, are destroyed before goroutines stop. std::quick_exit and std::_Exit stop
// nobody and destroy nothing.
//
// Goroutines never go on: `go` in a destructor starts none. If a destructor waits, by Hamgam's
// means, for what a goroutine holds, the process ends after a second, with its status and a line on
// standard error. So it does if it waits by other means (~stop_callback, a join, std::mutex,
// std::condition_variable, std::future) and nobody is left to end that: for a second every thread
// of the process has been asleep until another one wakes it. (One that the handler of a signal
// would wake counts as such, too.) As long as any thread computes, or waits for a time or for
// anything else of the kernel's, it might yet wake the others, and the destructor has all the time
// it takes. (Not for what Hamgam's own threads serve, sockets and channels of timers: these have
// stopped.) So it has, though it be for ever, where /proc does not tell what threads do, as in a
// process that has dropped its privileges, and by ThreadSanitizer, which has a thread of its own.
//
// fork: the child has one thread, and none of those that run goroutines, once there are any. It may
// exec, _exit, and use what need not wait; go, run, with_timeout and waits for somebody without a
// limit of time end it with a line on standard error. (What others were using at the fork may be
// locked for ever, and to try is to wait for that, too.) A child of a fork before the first
// goroutine is like any other process.
//
// Environment, read when the runtime starts: HAMGAM_PROCS (as max_procs), HAMGAM_BLOCKING (as
// max_blocking), HAMGAM_STACK (bytes of a goroutine's stack, 256 KiB unless set; only what is
// touched costs memory), HAMGAM_DEBUG (locks, mutexes, stuck, waits, with commas between; see
// observe.h).

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "hamgam/detail/config.h"
#include "hamgam/detail/fatal.h"
#include "hamgam/detail/goroutine.h"
#include "hamgam/panic.h"

namespace hamgam::inline HAMGAM_ABI {

// What may be said of a goroutine when it is started.
struct GoOptions {
  std::string name{};          // shown in dumps
  std::size_t stack_size = 0;  // bytes; 0: the default; less than 16 KiB is 16, most is 1 GiB
};

namespace detail {

// Pointers, and wrappers such as std::function, which compare with nullptr as pointers do; not
// closures, which only convert to a pointer that is never null (hence the test of unary plus).
template <class F>
concept MayBeNull =
    std::is_pointer_v<F> || std::is_member_pointer_v<F> ||
    (
        requires(const F& f) { static_cast<bool>(f == nullptr); } && !requires(const F& f) { +f; });

template <class F>
void require_function(const F& f) noexcept {
  if constexpr (MayBeNull<F>) {
    if (f == nullptr) {
      fatal("go of nil func value");
    }
  }
}

template <class F, class... Args>
concept Callable = std::invocable<std::decay_t<F>, std::decay_t<Args>...>;

// Something to be called, but not with these arguments. Overloads for it say in words what is
// wrong; they must not take what is meant for functions of the user's own that have our names.
template <class F>
concept LooksCallable = std::is_function_v<std::remove_pointer_t<F>> ||
                        std::is_member_function_pointer_v<F> || requires { &F::operator(); };
template <class F, class... Args>
concept Miscalled =
    !Callable<F, Args...> &&
    (LooksCallable<std::decay_t<F>> || std::invocable<std::decay_t<F>, std::decay_t<Args>&...>);

template <class F, class... Args>
constexpr void explain_miscall() {
  constexpr bool kTakesReference = std::invocable<std::decay_t<F>, std::decay_t<Args>&...>;
  static_assert(
      !kTakesReference,
      "the function takes a reference to what it may change, but arguments are copied for "
      "the goroutine: pass std::ref(x)");
  static_assert(kTakesReference, "the function can't be called with these arguments");
}

// The name of a member function of which there are several: no template parameter takes that.
struct OverloadedMember {
  template <class R, class C>
  OverloadedMember(R (C::*function)());  // NOLINT(google-explicit-constructor)
};

template <class... Args>
constexpr void explain_overloaded() {
  static_assert(sizeof...(Args) == SIZE_MAX,
                "there are several member functions of this name: call the one that is meant in a "
                "lambda, [&] { x.f(); }");
}

// f with its arguments, evaluated now and moved into the call later, which gives f's result.
template <class F, class... Args>
auto bind_result(F&& f, Args&&... args) {
  detail::require_function(f);
  return [f = std::decay_t<F>(std::forward<F>(f)),
          ... values = std::decay_t<Args>(std::forward<Args>(args))]() mutable -> decltype(auto) {
    return std::invoke(std::move(f), std::move(values)...);
  };
}

// The same for those who ignore the result.
template <class F, class... Args>
auto bind_call(F&& f, Args&&... args) {
  return [call = bind_result(std::forward<F>(f), std::forward<Args>(args)...)]() mutable {
    static_cast<void>(call());
  };
}

// What goexit() unwinds with. Only the goroutine's own bottom frame catches it.
struct GoexitSignal {};

HAMGAM_API void run_main(void (*main)(void*), void* argument);
HAMGAM_API void enter_blocking() noexcept;
HAMGAM_API void exit_blocking() noexcept;

struct BlockingScope {
  BlockingScope() noexcept { enter_blocking(); }
  ~BlockingScope() { exit_blocking(); }
  BlockingScope(const BlockingScope&) = delete;
  BlockingScope& operator=(const BlockingScope&) = delete;
};

}  // namespace detail

// These four are found by their names only, not by the types of their arguments, so that a function
// of yours with such a name is called where it is meant.
namespace detail::calls {

// Starts a goroutine that calls f(args...). The arguments are evaluated by the caller and copied or
// moved into the goroutine; use std::ref for a reference. From any thread; never blocks. An
// exception that escapes f ends the process: "panic: <what()>" and a stack trace; then by a
// std::terminate handler of the program's that was set before Hamgam was first used (one that is
// set later is called instead of all that). A null function is the fatal error "go of nil func
// value". Throws std::bad_alloc if there is no memory for it. O(1).
template <class F, class... Args>
  requires detail::Callable<F, Args...>
HAMGAM_INLINE void go(F&& f, Args&&... args) {
  detail::launch(detail::bind_call(std::forward<F>(f), std::forward<Args>(args)...));
}

template <class F, class... Args>
  requires detail::Callable<F, Args...>
HAMGAM_INLINE void go(GoOptions options, F&& f, Args&&... args) {
  detail::launch(detail::bind_call(std::forward<F>(f), std::forward<Args>(args)...),
                 std::move(options));
}

template <class F, class... Args>
  requires detail::Miscalled<F, Args...>
void go(F&& /*f*/, Args&&... /*args*/) {
  detail::explain_miscall<F, Args...>();
}
template <class F, class... Args>
  requires detail::Miscalled<F, Args...>
// NOLINTNEXTLINE(performance-unnecessary-value-param): a reference would lose to the overload above
void go(GoOptions /*options*/, F&& /*f*/, Args&&... /*args*/) {
  detail::explain_miscall<F, Args...>();
}
template <class... Args>
void go(detail::OverloadedMember /*f*/, Args&&... /*args*/) {
  detail::explain_overloaded<Args...>();
}

// Runs f as the main goroutine and returns its int (0 for void) when it ends; an exception that
// escapes f comes out of run, and if nobody catches it there, ends the process as one that escapes
// any goroutine does: "panic: <what()>" and the stack of the throw. Blocks the calling thread
// meanwhile. Goroutines still running do not hold it back; they go on until the process exits (see
// above), so what they use of f's locals (captured by [&]) must not be gone: wait for them, or let
// them own it. While it runs, "all asleep" is detected: fatal error "all goroutines are asleep -
// deadlock!". Called by a goroutine or while another run is on: Panic. May be called again
// afterwards. It is for main(): a library need not call it, as everything works without it.
template <class F>
  requires std::invocable<std::decay_t<F>>
int run(F&& f) {
  using Function = std::decay_t<F>;
  using Result = std::invoke_result_t<Function>;
  static_assert(
      std::is_void_v<Result> || requires(Result r) { static_cast<int>(r); },
      "the function that run calls returns int, or nothing");
  struct Call {
    Function f;
    int result = 0;
  } call{std::forward<F>(f)};
  detail::run_main(
      [](void* raw) {
        auto* c = static_cast<Call*>(raw);
        if constexpr (std::is_void_v<Result>) {
          std::invoke(std::move(c->f));
        } else {
          c->result = static_cast<int>(std::invoke(std::move(c->f)));
        }
      },
      &call);
  return call.result;
}

template <class F>
  requires detail::Miscalled<F>
int run(F&& /*f*/) {
  static_assert(detail::Callable<F>, "the function that run calls takes no arguments");
  return 0;
}

}  // namespace detail::calls

// Lets others run (Go: runtime.Gosched). On a plain thread: std::this_thread::yield.
HAMGAM_API void yield();

// Ends the calling goroutine by unwinding its stack; a catch (...) on the way must rethrow. On a
// plain thread: Panic. From the main goroutine the others go on, and once all ended it is the fatal
// error "no goroutines (main called runtime.Goexit) - deadlock!".
[[noreturn]] HAMGAM_API void goexit();

// The calling goroutine's number, 0 on a thread that is none. Never used twice.
[[nodiscard]] HAMGAM_API std::uint64_t goroutine_id() noexcept;

// How many goroutines exist. A snapshot.
[[nodiscard]] HAMGAM_API std::size_t num_goroutine() noexcept;

// Sets how many goroutines run at once, 1024 at most, and returns the former value; n < 1 only
// asks. The default is the number of CPUs that the affinity mask and the cgroup grant. May change
// while running: surplus workers stop at their next scheduling point.
HAMGAM_API int max_procs(int n = 0);

// Sets how many goroutines may be in blocking() at once, 10,000 unless set, 31,744 at most, and
// returns the former limit; n < 1 only asks. The functions of file.h count, too. Lookups of names
// (resolve, dial) do not, as those who are inside may wait for one: half as many may run beside, 32
// at most. May change at any time; who is inside stays. (Go: debug.SetMaxThreads)
HAMGAM_API int max_blocking(int n = 0);

namespace detail::calls {

// Runs f, which may block its thread (a system call, a foreign library), and returns its result.
// Another worker takes over meanwhile, so no other goroutine is held up. The goroutine keeps its
// thread until f returns: what f waits for of Hamgam's blocks that thread, too. On a plain thread
// it only calls f. While a goroutine is in one, no deadlock is reported.
// So each that is in one has a thread. If there are as many as max_blocking() allows, others park
// before they call f, and go on in their order; one line on standard error tells of the first. If
// what is inside waits for one of these, nobody goes on: the limit must be above that. A blocking()
// inside of another counts as one.
template <class F>
  requires std::invocable<F>
decltype(auto) blocking(F&& f) {
  detail::BlockingScope const scope;
  return std::invoke(std::forward<F>(f));
}

template <class F>
  requires(!std::invocable<F> && detail::LooksCallable<std::decay_t<F>>)
void blocking(F&& /*f*/) {
  static_assert(std::invocable<F>, "the function that blocking calls takes no arguments");
}

}  // namespace detail::calls

using namespace detail::calls;  // NOLINT(google-build-using-namespace)

}  // namespace hamgam::inline HAMGAM_ABI
