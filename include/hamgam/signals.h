// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Signals of the system, received from a channel (Go: os/signal), or as the cancellation of a
// Context.
//
//   auto [ctx, cancel] = with_signals(Context::background(), {SIGINT, SIGTERM});
//   CancelGuard const guard(cancel);
//   serve(ctx);                                  // until somebody wants the program to end
//
//   Signals hangups({SIGHUP});
//   for (int signal : hangups.chan()) {
//     reload();
//   }
//
// What is taken here does nothing else any more, whatever it did before: the default action, being
// ignored (as SIGHUP under nohup), a handler of the program. That comes back when the last who
// takes the signal stops. Several may take the same one: each gets every one. No handler of yours
// runs anywhere: goroutines and plain threads receive from the channel like from any other. It
// works with and without run().
//
// A signal is sent without waiting: one for which the channel has no room is dropped. The system
// itself makes one of several of a kind that are pending at the same time (but for those from
// SIGRTMIN on); kinds that are pending together arrive in the order of their numbers. A signal that
// is blocked in every thread stays pending, as always.
//
// Refused, with a Panic that says why: no signals at all (Go takes all then; a program that takes
// SIGCHLD, SIGTSTP and SIGPROF from its libraries does not mean it), what no program can catch
// (SIGKILL, SIGSTOP), what is a fault of the code that gets it (SIGSEGV, SIGBUS, SIGFPE, SIGILL,
// SIGTRAP, SIGSYS, SIGABRT), what the C library uses itself, and numbers that are no signals.
//
// While anybody takes signals, "all goroutines are asleep" is no deadlock. A program that was
// executed has the default actions and the mask of the program. In the child of a fork the signals
// do what they did before, and nothing arrives on a channel. From the moment on at which exit()
// begins, what comes is counted for nobody.
//
// Happens-before: as for channels, and cancel() of a Context. What another process, or raise(), did
// before is before nothing.

#include <csignal>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>

#include "hamgam/chan.h"
#include "hamgam/context.h"
#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI {

namespace detail {

struct SignalTaker;
struct DropSignalTaker {
  HAMGAM_API void operator()(SignalTaker* taker) const noexcept;
};
using SignalTakerRef = std::unique_ptr<SignalTaker, DropSignalTaker>;

HAMGAM_API SignalTakerRef take_signals(std::initializer_list<int> list, const Chan<int>& chan);
HAMGAM_API void stop_signals(SignalTaker& taker) noexcept;

}  // namespace detail

// Takes these signals (Go: signal.Notify) until stop(), or its destructor. Move-only; an empty one,
// default-made or moved from, has the nil channel, and its stop does nothing.
class [[nodiscard]] Signals {
 public:
  static constexpr std::size_t kCapacity = 16;

  Signals() noexcept = default;

  // capacity: how many the channel holds that nobody has received yet. 0: only who waits already
  // gets one. Throws Panic (see above), std::bad_alloc, and std::system_error if the system refuses
  // the thread that looks after it.
  explicit Signals(std::initializer_list<int> list, std::size_t capacity = kCapacity) {
    auto chan = make_chan<int>(capacity);
    taker_ = detail::take_signals(list, chan);
    chan_ = std::move(chan);
  }

  // The numbers of the signals. Never closed.
  [[nodiscard]] RecvChan<int> chan() const noexcept { return chan_; }

  // Nothing is sent any more once this has returned. What came before it is in the channel, as far
  // as there was room. It does not wait for anybody.
  void stop() noexcept {
    if (taker_ != nullptr) {
      detail::stop_signals(*taker_);
    }
  }

 private:
  RecvChan<int> chan_;
  detail::SignalTakerRef taker_;
};

// The cause() of a context that was cancelled by a signal. what(): "terminated signal received".
class HAMGAM_API SignalError : public std::runtime_error {
 public:
  // Of the signal with this number.
  explicit SignalError(int signal);
  [[nodiscard]] int signal() const noexcept { return signal_; }

 private:
  int signal_;
};

// Derives a context that is cancelled by the first of these signals (Go: signal.NotifyContext),
// which cause() tells. Signals that follow do nothing, and the former actions come back, when
// cancel() is called or, some time after, nobody can see the context any more: who wants a second
// Ctrl-C to end the program calls cancel() after the first. Throws what the constructor of Signals
// throws.
HAMGAM_API CancelContext with_signals(Context parent, std::initializer_list<int> list);

}  // namespace hamgam::inline HAMGAM_ABI
