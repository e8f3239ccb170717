// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/signals.h"

#include <cstdint>
#include <mutex>
#include <system_error>
#include <utility>

#include "hamgam/detail/goroutine.h"
#include "hamgam/panic.h"
#include "os/caught.h"
#include "os/fork.h"
#include "os/spin_lock.h"
#include "sched/park.h"
#include "time/context_node.h"

// How a signal gets from the kernel to who takes it.
//
//   handler   (any thread, anywhere)  counts it (os/caught.h); queues the chore unless it is queued
//   chore     (the monitor's thread)  clears `queued`; under the lock takes the counts and gives
//                                     each signal to all who take it
//
// The monitor and not a goroutine that waits for a descriptor: it is there when nobody calls run()
// and when all workers compute, blocks all signals itself, costs no descriptor and busy workers no
// looks. What it does is short: a send that does not wait, or the start of a goroutine.
//
// No signal is lost between handler and chore: both change `queued` by an RMW. If the handler's
// finds it set, the chore's, which clears it, comes later, sees the count, and takes it:
//   [signals.1] handler: count; RMW queued -> true;  if it was clear, queue the chore
//   [signals.2] chore:   RMW queued -> false;        take the counts
//
// A taker's life, all under g_lock:
//   counted   it is among g_takers of its signals: these are caught as long as anybody is
//   linked    it gets what is delivered
// stop(): not counted any more, which puts the former actions back where it was the last; waits for
// handlers that are at work, which counted what came before; delivers that; unlinks. What a handler
// counts that nobody could see at work (os/caught.h) is sent again, and so gets the former action
// after all. Whoever comes meanwhile, a second stop or the destructor, does the same from there:
// each returns only once it is unlinked, so nothing is sent after it. Who starts to take signals
// delivers first what others were to get.
//
// A context's taker is part of its node, and the list has no reference to it: a node without
// references is let alone (try_hold), and its destructor stops it. One that nobody holds but
// somebody may still see (context_node.h) is held by what it derives from; where that can't be
// cancelled, by a root of ours that never is. Its goroutine, which cancels, as a cancel runs user's
// code, is made beforehand: nothing can fail when the signal comes.
//
// In the child of a fork nothing of this is touched: the lock may be another thread's, and the
// signals have their former actions.

namespace hamgam::inline HAMGAM_ABI {

namespace detail {

struct SignalTaker {
  std::uint64_t signals = 0;                                        // a bit each
  void (*give)(SignalTaker& taker, int signal) noexcept = nullptr;  // under g_lock
  bool counted = false;
  bool linked = false;
  SignalTaker* prev = nullptr;
  SignalTaker* next = nullptr;
};

namespace {

constexpr std::uint64_t bit_of(int signal) noexcept { return std::uint64_t{1} << (signal - 1); }

constinit SpinLock g_lock;
constinit SignalTaker* g_first = nullptr;
constinit std::uint32_t g_takers[kSignals + 1] = {};
constinit atomic<bool> g_queued{false};

// Under the lock.
void deliver() noexcept {
  for (int signal = 1; signal <= kSignals; ++signal) {
    for (std::uint32_t count = take_caught(signal); count != 0; --count) {
      bool taken = false;
      for (SignalTaker* taker = g_first; taker != nullptr; taker = taker->next) {
        if ((taker->signals & bit_of(signal)) != 0) {
          taker->give(*taker, signal);
          taken = true;
        }
      }
      if (!taken) {  // it does what it did before; somebody may have put our handler back since
        let_signal_go(signal);
        send_again(signal);
      }
    }
  }
}

void on_chore(Chore& /*chore*/) noexcept {
  g_queued.exchange(false, kAcqRel);  // [signals.2] acq_rel, pairs with [signals.1]
  std::lock_guard const guard(g_lock);
  deliver();
}

constinit Chore g_chore{&on_chore};

// In a signal's handler.
void on_caught() noexcept {
  if (!g_queued.exchange(true, kAcqRel)) {  // [signals.1] acq_rel, pairs with [signals.2]
    queue_chore(g_chore);
  }
}

// Under the lock.
void uncount(std::uint64_t signals) noexcept {
  for (int signal = 1; signal <= kSignals; ++signal) {
    if ((signals & bit_of(signal)) != 0 && --g_takers[signal] == 0) {
      let_signal_go(signal);
    }
  }
}

// 0, or the error. Under the lock.
int count(std::uint64_t signals) noexcept {
  std::uint64_t counted = 0;
  for (int signal = 1; signal <= kSignals; ++signal) {
    if ((signals & bit_of(signal)) == 0) {
      continue;
    }
    if (g_takers[signal] == 0) {
      if (int const error = catch_signal(signal, &on_caught); error != 0) {
        uncount(counted);
        return error;
      }
    }
    ++g_takers[signal];
    counted |= bit_of(signal);
  }
  return 0;
}

void begin_taking(SignalTaker& taker) {
  if (!have_chores()) {
    throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                            "signal: no thread to look after them");
  }
  g_lock.lock();
  deliver();
  int const error = count(taker.signals);
  if (error == 0) {
    begin_outside();
    taker.counted = true;
    taker.linked = true;
    taker.next = g_first;
    if (g_first != nullptr) {
      g_first->prev = &taker;
    }
    g_first = &taker;
  }
  g_lock.unlock();
  if (error != 0) {
    throw std::system_error(error, std::generic_category(), "signal: they cannot be caught");
  }
}

void end_taking(SignalTaker& taker) noexcept {
  if (is_forked_child()) {
    return;
  }
  g_lock.lock();
  if (std::exchange(taker.counted, false)) {
    uncount(taker.signals);
  }
  bool linked = taker.linked;
  g_lock.unlock();
  if (!linked) {
    return;
  }
  await_handlers();
  g_lock.lock();
  linked = std::exchange(taker.linked, false);
  if (linked) {
    deliver();
    (taker.prev != nullptr ? taker.prev->next : g_first) = taker.next;
    if (taker.next != nullptr) {
      taker.next->prev = taker.prev;
    }
  }
  g_lock.unlock();
  if (linked) {
    end_outside();
  }
}

std::uint64_t set_of(std::initializer_list<int> list) {
  if (list.size() == 0) {
    throw Panic("signal: none given");
  }
  std::uint64_t set = 0;
  for (int const signal : list) {
    if (const char* const why = why_not_caught(signal)) {
      throw Panic("signal: " + std::to_string(signal) + " can't be taken: " + why);
    }
    set |= bit_of(signal);
  }
  return set;
}

struct ChanTaker final : SignalTaker {
  ChanTaker(std::uint64_t set, const Chan<int>& to) : chan(to) {
    signals = set;
    give = [](SignalTaker& taker, int signal) noexcept {
      TsanIgnore const unseen;  // whoever takes signals does not know of the thread that sends them
      // Where it is full the signal is dropped.
      (void)chan_try_send(ChanAccess::core(static_cast<ChanTaker&>(taker).chan), &signal);
    };
  }

  const Chan<int> chan;
};

struct SignalNode final : CancelNode, SignalTaker {
  explicit SignalNode(std::uint64_t set) {
    tells_calls = true;
    signals = set;
    give = [](SignalTaker& taker, int signal) noexcept {
      auto& node = static_cast<SignalNode&>(taker);
      if (node.goroutine != nullptr && try_hold(node)) {
        node.signal = signal;
        start_goroutine(std::exchange(node.goroutine, nullptr), &run, &node, nullptr, nullptr);
      }
    };
  }
  ~SignalNode() override {
    end_taking(*this);
    if (goroutine != nullptr) {
      discard_goroutine(goroutine);
    }
  }

  void cancel_called() noexcept override { end_taking(*this); }

  static void run(void* raw) {
    auto* const node = static_cast<SignalNode*>(raw);
    ContextRef const held(node);
    std::exception_ptr cause;
    try {
      TsanIgnore const unseen;  // its last owner may be anybody
      cause = std::make_exception_ptr(SignalError(node->signal));
    } catch (...) {
      cause = std::current_exception();  // no memory
    }
    cancel_tree(*node, ContextError::canceled, cause);
  }

  GoroutineHead* goroutine = nullptr;  // under g_lock, once it takes signals
  int signal = 0;
};

CancelNode& root() {
  TsanHide const hide;  // whoever makes it is before nobody by that
  static auto* const node = new CancelNode;
  return *node;
}

std::string text_of(int signal) {
  char buffer[24];
  return std::string(signal_name(signal, buffer)) + " signal received";
}

}  // namespace

SignalTakerRef take_signals(std::initializer_list<int> list, const Chan<int>& chan) {
  SignalTakerRef taker(new ChanTaker(set_of(list), chan));
  begin_taking(*taker);
  return taker;
}

void stop_signals(SignalTaker& taker) noexcept { end_taking(taker); }

void DropSignalTaker::operator()(SignalTaker* taker) const noexcept {
  end_taking(*taker);
  delete static_cast<ChanTaker*>(taker);
}

}  // namespace detail

SignalError::SignalError(int signal) : runtime_error(detail::text_of(signal)), signal_(signal) {}

CancelContext with_signals(Context parent, std::initializer_list<int> list) {
  auto* const node = new detail::SignalNode(detail::set_of(list));
  detail::ContextRef ref(node);
  detail::ContextRef above = detail::ContextAccess::node_of(std::move(parent));
  detail::CancelNode* const up = above.get() != nullptr ? above->canceller : nullptr;
  node->up = up != nullptr ? up : &detail::root();
  node->deadline = node->up->deadline;
  node->parent = above.release();
  node->goroutine = detail::new_goroutine();
  (void)detail::link(*node);
  detail::begin_taking(*node);
  return detail::ContextAccess::cancel_context(std::move(ref));
}

}  // namespace hamgam::inline HAMGAM_ABI
