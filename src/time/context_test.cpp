// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/context.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "hamgam/go.h"
#include "hamgam/time.h"
#include "hamgam/waitgroup.h"
#include "support/allocations.h"
#include "support/scale.h"
#include "time/context_node.h"

namespace {

using namespace std::chrono_literals;
using hamgam::CancelFunc;
using hamgam::Clock;
using hamgam::Context;
using hamgam::ContextError;
using hamgam::ContextKey;
using hamgam::WaitGroup;
using hamgam::test::scaled;

template <class F>
void in_both(F f) {
  f();
  hamgam::run(f);
}

std::string what(const std::exception_ptr& e) {
  if (e == nullptr) {
    return "null";
  }
  try {
    std::rethrow_exception(e);
  } catch (const std::exception& caught) {
    return caught.what();
  }
}

// Until the context is cancelled.
void await(const Context& ctx) {
  WaitGroup never;
  never.add(1);
  EXPECT_FALSE(never.wait(ctx.stop_token()));
  never.done();
}

std::ptrdiff_t threads_of_this_process() {
  using Entries = std::filesystem::directory_iterator;
  return std::distance(Entries("/proc/self/task"), Entries());
}

constexpr ContextKey<int> kNumber;
constexpr ContextKey<int> kOther;
constexpr ContextKey<std::string> kText;

// CX1
TEST(Context, BackgroundIsNeverDone) {
  auto const background = Context::background();
  EXPECT_FALSE(background.err());
  EXPECT_EQ(background.cause(), nullptr);
  EXPECT_FALSE(background.deadline().has_value());
  EXPECT_FALSE(background.stop_token().stop_possible());
  EXPECT_EQ(background.value(kNumber), nullptr);
}

TEST(Context, Errors) {
  std::error_code const canceled = ContextError::canceled;
  std::error_code const too_late = ContextError::deadline_exceeded;
  EXPECT_EQ(canceled.message(), "context canceled");
  EXPECT_EQ(too_late.message(), "context deadline exceeded");
  EXPECT_EQ(canceled, std::errc::operation_canceled);
  EXPECT_EQ(too_late, std::errc::timed_out);
  EXPECT_NE(canceled, too_late);
  EXPECT_EQ(what(std::make_exception_ptr(std::system_error(canceled))), "context canceled");
}

TEST(Context, Smoke) {
  in_both([] {
    auto [ctx, cancel] = hamgam::with_cancel(Context::background());
    EXPECT_FALSE(ctx.err());
    EXPECT_EQ(ctx.cause(), nullptr);
    cancel();
    EXPECT_EQ(ctx.err(), ContextError::canceled);
    EXPECT_EQ(what(ctx.cause()), "context canceled");
    cancel(std::make_exception_ptr(std::runtime_error("late")));
    EXPECT_EQ(what(ctx.cause()), "context canceled");
    EXPECT_TRUE(ctx.stop_token().stop_requested());
  });
}

// CX3
TEST(Context, ParentCancelsAllThatDerive) {
  in_both([] {
    auto [parent, cancel] = hamgam::with_cancel(Context::background());
    auto value = hamgam::with_value(parent, kNumber, 1);
    auto [child, cancel_child] = hamgam::with_cancel(value);
    auto [timed, cancel_timed] = hamgam::with_timeout(child, 1h);
    WaitGroup ran;
    ran.add(1);
    auto const after = hamgam::after_func(timed, [&] { ran.done(); });
    auto const token = timed.stop_token();
    cancel();
    for (const Context& ctx : {parent, value, child, timed}) {
      EXPECT_EQ(ctx.err(), ContextError::canceled);
    }
    EXPECT_TRUE(token.stop_requested());
    ran.wait();
    EXPECT_FALSE(after.stop());
    // Born dead.
    EXPECT_EQ(hamgam::with_cancel(timed).ctx.err(), ContextError::canceled);
    EXPECT_EQ(hamgam::with_timeout(timed, 1h).ctx.err(), ContextError::canceled);
  });
}

// The node behind a context that can be cancelled.
hamgam::detail::CancelNode& node_of(Context ctx) {
  return *hamgam::detail::ContextAccess::node_of(std::move(ctx))->canceller;
}

// CX3
TEST(Context, CancelledChildLeavesItsParent) {
  in_both([] {
    auto [parent, cancel] = hamgam::with_cancel(Context::background());
    auto [child, cancel_child] = hamgam::with_cancel(parent);
    auto [other, cancel_other] = hamgam::with_timeout(parent, 1h);
    cancel_child();
    EXPECT_TRUE(child.err());
    EXPECT_FALSE(parent.err());
    EXPECT_FALSE(other.err());
    cancel_other();
    EXPECT_EQ(node_of(parent).children, nullptr);
    auto const after = hamgam::after_func(parent, [] {});
    EXPECT_TRUE(after.stop());
    EXPECT_EQ(node_of(parent).children, nullptr);
  });
}

TEST(Context, DroppedChildLeavesItsParent) {
  in_both([] {
    auto [parent, cancel] = hamgam::with_cancel(Context::background());
    auto counted = std::make_shared<int>(0);
    constexpr static ContextKey<std::shared_ptr<int>> kCounted;
    for (int i = 0; i < 100; ++i) {
      auto [child, cancel_child] =
          hamgam::with_timeout(hamgam::with_value(parent, kCounted, counted), 1h);
      auto const grandchild = hamgam::with_cancel(child).ctx;
      EXPECT_FALSE(grandchild.err());
    }
    EXPECT_EQ(node_of(parent).children, nullptr);
    EXPECT_EQ(counted.use_count(), 1);
  });
}

// Whoever holds only a token sees the cancel all the same, by the parent or by the deadline.
TEST(Context, TokenOfADroppedContext) {
  in_both([] {
    auto [parent, cancel] = hamgam::with_cancel(Context::background());
    auto const token = hamgam::with_cancel(hamgam::with_value(parent, kNumber, 1)).ctx.stop_token();
    auto const deeper = hamgam::with_cancel(hamgam::with_cancel(parent).ctx).ctx.stop_token();
    auto const later = hamgam::with_timeout(parent, 1h).ctx.stop_token();
    auto const soon = hamgam::with_timeout(parent, 1ms).ctx.stop_token();
    WaitGroup never;
    never.add(1);
    EXPECT_FALSE(never.wait(soon));
    EXPECT_FALSE(token.stop_requested());
    cancel();
    EXPECT_TRUE(token.stop_requested());
    EXPECT_TRUE(deeper.stop_requested());
    EXPECT_TRUE(later.stop_requested());
    EXPECT_EQ(node_of(parent).children, nullptr);
    never.done();
  });
}

// CX12, and the other way round.
TEST(Context, DoneAndErrAgree) {
  hamgam::run([] {
    for (int i = 0; i < hamgam::test::scaled(2000); ++i) {
      auto [ctx, cancel] = hamgam::with_cancel(Context::background());
      auto const done = ctx.done();
      WaitGroup both;
      both.go([ctx = ctx] {
        EXPECT_FALSE(ctx.done().recv().has_value());
        EXPECT_EQ(ctx.err(), ContextError::canceled);
      });
      both.go([ctx = ctx, done] {
        while (!ctx.err()) {
          hamgam::yield();
        }
        EXPECT_TRUE(done.try_recv().closed);
      });
      hamgam::yield();
      cancel();
      both.wait();
    }
  });
}

TEST(Context, Done) {
  in_both([] {
    EXPECT_FALSE(Context::background().done());
    auto [parent, cancel] = hamgam::with_cancel(Context::background());
    auto const value = hamgam::with_value(parent, kNumber, 1);
    EXPECT_EQ(value.done(), parent.done());
    EXPECT_FALSE(hamgam::without_cancel(value).done());
    EXPECT_FALSE(parent.done().try_recv().closed);
    auto const child = hamgam::with_cancel(value).ctx;
    EXPECT_NE(child.done(), parent.done());
    auto const lazy = hamgam::with_cancel(value).ctx;
    cancel();
    for (const Context& ctx : {parent, value, child, lazy, hamgam::with_cancel(lazy).ctx}) {
      EXPECT_TRUE(ctx.done().try_recv().closed);
    }
    auto const timed = hamgam::with_timeout(Context::background(), 1ms);
    EXPECT_FALSE(timed.ctx.done().recv().has_value());
    EXPECT_EQ(timed.ctx.err(), ContextError::deadline_exceeded);
    // Whoever holds only the channel sees it closed.
    auto const dropped = hamgam::with_timeout(Context::background(), 1ms).ctx.done();
    EXPECT_FALSE(dropped.recv().has_value());
  });
}

// Nobody holds the channel: it keeps nothing.
TEST(Context, DroppedWithItsDone) {
  in_both([] {
    auto [parent, cancel] = hamgam::with_cancel(Context::background());
    for (int i = 0; i < 10; ++i) {
      auto const child = hamgam::with_cancel(parent).ctx;
      EXPECT_FALSE(child.done().try_recv().closed);
    }
    EXPECT_EQ(node_of(parent).children, nullptr);
    auto const done = hamgam::with_cancel(parent).ctx.done();
    EXPECT_NE(node_of(parent).children, nullptr);
    cancel();
    EXPECT_TRUE(done.try_recv().closed);
  });
}

// What can never be cancelled any more goes, however it hangs together.
TEST(Context, DroppedTreeGoes) {
  in_both([] {
    auto counted = std::make_shared<int>(0);
    std::stop_token token;
    {
      auto [parent, cancel] = hamgam::with_cancel(Context::background());
      auto const after = hamgam::after_func(parent, [counted] {});
      auto child = hamgam::with_cancel(parent).ctx;
      for (int i = 0; i < 10'000; ++i) {
        (void)child.stop_token();
        child = hamgam::with_cancel(child).ctx;
      }
      token = child.stop_token();
      EXPECT_TRUE(token.stop_possible());
    }
    EXPECT_FALSE(token.stop_possible());
    EXPECT_EQ(counted.use_count(), 1);
  });
}

// CX4
TEST(Context, Deadlines) {
  in_both([] {
    auto const background = Context::background();
    auto const past = hamgam::with_deadline(background, Clock::now() - 1s);
    EXPECT_EQ(past.ctx.err(), ContextError::deadline_exceeded);
    EXPECT_EQ(what(past.ctx.cause()), "context deadline exceeded");
    auto const at_once = hamgam::with_timeout(background, 0s);
    EXPECT_EQ(at_once.ctx.err(), ContextError::deadline_exceeded);
    EXPECT_TRUE(at_once.ctx.deadline().has_value());

    auto const when = Clock::now() + 20ms;
    auto const soon = hamgam::with_deadline(background, when);
    EXPECT_EQ(soon.ctx.deadline(), when);
    auto const longer = hamgam::with_timeout(soon.ctx, 1h);
    EXPECT_EQ(longer.ctx.deadline(), when);
    auto const value = hamgam::with_value(longer.ctx, kNumber, 1);
    EXPECT_EQ(value.deadline(), when);
    EXPECT_FALSE(hamgam::without_cancel(value).deadline().has_value());
    await(longer.ctx);
    EXPECT_GE(Clock::now(), when);
    EXPECT_EQ(longer.ctx.err(), ContextError::deadline_exceeded);
    EXPECT_EQ(soon.ctx.err(), ContextError::deadline_exceeded);

    auto const for_ever = hamgam::with_timeout(background, std::chrono::hours::max());
    EXPECT_FALSE(for_ever.ctx.err());
    auto const of_another_clock =
        hamgam::with_deadline(background, std::chrono::system_clock::now() + 1h);
    EXPECT_GT(of_another_clock.ctx.deadline(), Clock::now() + 50min);
    of_another_clock.cancel();
    EXPECT_EQ(of_another_clock.ctx.err(), ContextError::canceled);
  });
}

// CX5: who cancelled first decides.
TEST(Context, Causes) {
  in_both([] {
    auto const cause_of_parent = std::make_exception_ptr(std::runtime_error("parent"));
    auto const cause_of_child = std::make_exception_ptr(std::runtime_error("child"));
    struct Row {
      const char* parent;
      const char* child;
      void (*act)(const CancelFunc& parent, const CancelFunc& child, std::exception_ptr p,
                  std::exception_ptr c);
    };
    constexpr const char* kPlain = "context canceled";
    Row const rows[] = {
        {"null", "null", [](auto&, auto&, auto, auto) {}},
        {"parent", "parent", [](auto& p, auto&, auto pc, auto) { p(pc); }},
        {kPlain, kPlain, [](auto& p, auto&, auto, auto) { p(); }},
        {"null", "child", [](auto&, auto& c, auto, auto cc) { c(cc); }},
        {"null", kPlain, [](auto&, auto& c, auto, auto) { c(); }},
        {"parent", "child", [](auto& p, auto& c, auto pc, auto cc) { c(cc), p(pc); }},
        {"parent", "parent", [](auto& p, auto& c, auto pc, auto cc) { p(pc), c(cc); }},
        {"parent", kPlain, [](auto& p, auto& c, auto pc, auto) { c(), p(pc); }},
        {kPlain, "child", [](auto& p, auto& c, auto, auto cc) { c(cc), p(); }},
        {"parent", "parent", [](auto& p, auto&, auto pc, auto cc) { p(pc), p(cc); }},
        {kPlain, kPlain, [](auto& p, auto&, auto pc, auto) { p(), p(pc); }},
    };
    for (const Row& row : rows) {
      auto [parent, cancel_parent] = hamgam::with_cancel(Context::background());
      auto [child, cancel_child] = hamgam::with_cancel(hamgam::with_value(parent, kNumber, 1));
      auto const apart = hamgam::without_cancel(child);
      row.act(cancel_parent, cancel_child, cause_of_parent, cause_of_child);
      EXPECT_EQ(what(parent.cause()), row.parent);
      EXPECT_EQ(what(child.cause()), row.child);
      EXPECT_EQ(what(hamgam::with_value(child, kText, "x").cause()), row.child);
      EXPECT_EQ(what(hamgam::with_timeout(child, 1h).ctx.cause()), row.child);
      EXPECT_EQ(apart.cause(), nullptr);
      EXPECT_FALSE(apart.err());
    }
    auto timed = hamgam::with_timeout(Context::background(), 1ms);
    await(timed.ctx);
    timed.cancel(cause_of_child);
    EXPECT_EQ(what(timed.ctx.cause()), "context deadline exceeded");
    auto other = hamgam::with_timeout(Context::background(), 1h);
    other.cancel(cause_of_child);
    EXPECT_EQ(other.ctx.err(), ContextError::canceled);
    EXPECT_EQ(other.ctx.cause(), cause_of_child);
  });
}

// CX6
TEST(Context, Values) {
  auto const one = hamgam::with_value(Context::background(), kNumber, 1);
  auto const text = hamgam::with_value(one, kText, "two");
  auto const three = hamgam::with_value(text, kNumber, 3);
  EXPECT_EQ(*one.value(kNumber), 1);
  EXPECT_EQ(one.value(kText), nullptr);
  EXPECT_EQ(*text.value(kNumber), 1);
  EXPECT_EQ(*text.value(kText), "two");
  EXPECT_EQ(*three.value(kNumber), 3);
  EXPECT_EQ(*three.value(kText), "two");
  EXPECT_EQ(three.value(kOther), nullptr);
  EXPECT_EQ(*hamgam::without_cancel(three).value(kNumber), 3);
  auto const owned =
      hamgam::with_value(Context::background(), ContextKey<std::string>(), "temporary key");
  EXPECT_EQ(owned.value(kText), nullptr);
}

TEST(Context, WithoutCancel) {
  in_both([] {
    auto [parent, cancel] =
        hamgam::with_cancel(hamgam::with_value(Context::background(), kNumber, 7));
    auto const apart = hamgam::without_cancel(parent);
    auto [child, cancel_child] = hamgam::with_cancel(apart);
    cancel();
    EXPECT_FALSE(apart.err());
    EXPECT_FALSE(apart.stop_token().stop_possible());
    EXPECT_FALSE(child.err());
    EXPECT_EQ(*child.value(kNumber), 7);
    cancel_child();
    EXPECT_TRUE(child.err());
  });
}

// CX10
TEST(Context, AfterFunc) {
  in_both([] {
    auto [ctx, cancel] = hamgam::with_cancel(Context::background());
    WaitGroup both;
    std::atomic<int> ran{0};
    both.add(2);
    auto const f = [&] {
      ++ran;
      both.done();
    };
    auto const first = hamgam::after_func(ctx, f);
    auto const second = hamgam::after_func(ctx, f);
    auto const stopped = hamgam::after_func(ctx, f);
    EXPECT_TRUE(hamgam::after_func(Context::background(), f).stop());
    EXPECT_TRUE(stopped.stop());
    EXPECT_FALSE(stopped.stop());
    EXPECT_EQ(ran, 0);
    cancel();
    both.wait();
    EXPECT_EQ(ran, 2);
    EXPECT_FALSE(first.stop());
    EXPECT_FALSE(second.stop());
    WaitGroup at_once;
    at_once.add(1);
    auto const late = hamgam::after_func(ctx, [&] { at_once.done(); });
    at_once.wait();
    EXPECT_FALSE(late.stop());
  });
}

// What f captured goes with a stop() that is true, and right after f has run, where it ran.
TEST(Context, CapturesOfAfterFuncEnd) {
  in_both([] {
    auto [ctx, cancel] = hamgam::with_cancel(Context::background());
    auto const captured = std::make_shared<int>();
    auto const stopped = hamgam::after_func(ctx, [captured] {});
    EXPECT_TRUE(stopped.stop());
    EXPECT_EQ(captured.use_count(), 1);
    auto const never = hamgam::after_func(Context::background(), [captured] {});
    EXPECT_TRUE(never.stop());
    EXPECT_EQ(captured.use_count(), 1);

    WaitGroup gone;
    gone.add();
    std::uint64_t ran = 0;
    std::uint64_t ended = 0;
    auto const end = [&](const int*) {
      ended = hamgam::goroutine_id();
      gone.done();
    };
    std::shared_ptr<int> sentinel(nullptr, end);
    auto const run = hamgam::after_func(
        ctx, [&ran, held = std::move(sentinel)] { ran = hamgam::goroutine_id(); });
    cancel();
    gone.wait();  // although the handles live
    EXPECT_NE(ran, 0U);
    EXPECT_EQ(ended, ran);
    EXPECT_FALSE(run.stop());
  });
}

// The handle may be among the captures that its stop() destroys.
TEST(Context, AfterFuncThatHoldsItsHandle) {
  in_both([] {
    auto [ctx, cancel] = hamgam::with_cancel(Context::background());
    auto handle = std::make_shared<hamgam::AfterFunc>();
    *handle = hamgam::after_func(ctx, [handle] {});
    hamgam::AfterFunc const* const stopped = handle.get();
    handle.reset();
    EXPECT_TRUE(stopped->stop());
  });
}

// CX11: whatever derives from a context costs no goroutine, and no thread, until it is cancelled.
TEST(Context, DerivingStartsNoGoroutine) {
  (void)hamgam::run([] {
    hamgam::sleep(1ms);  // whatever timers need is there
    auto const goroutines = hamgam::num_goroutine();
    auto const threads = threads_of_this_process();
    auto [root, cancel] = hamgam::with_cancel(Context::background());
    std::vector<Context> contexts;
    std::vector<hamgam::AfterFunc> functions;
    WaitGroup ran;
    Context ctx = root;
    for (int i = 0; i < 100; ++i) {
      contexts.push_back(ctx = hamgam::with_cancel(ctx).ctx);
      contexts.push_back(ctx = hamgam::with_timeout(ctx, 1h).ctx);
      contexts.push_back(ctx = hamgam::with_value(ctx, kNumber, i));
      contexts.push_back(hamgam::without_cancel(ctx));
      ran.add(1);
      functions.push_back(hamgam::after_func(ctx, [&] { ran.done(); }));
    }
    EXPECT_EQ(hamgam::num_goroutine(), goroutines);
    EXPECT_EQ(threads_of_this_process(), threads);
    cancel();
    ran.wait();
  });
}

// CX13: with Go's numbers for what a context costs to make, with its cancel and its end.
TEST(Context, Allocations) {
  in_both([] {
    auto const count = [](auto f) {
      f();  // what is made once and kept
      auto const before = hamgam::test::allocations();
      f();
      return hamgam::test::allocations() - before;
    };
    Context const background = Context::background();
    EXPECT_LE(count([&] { (void)hamgam::with_value(background, kNumber, 1); }), 3U);
    EXPECT_LE(count([&] { hamgam::with_cancel(background).cancel(); }), 5U);
    EXPECT_LE(count([&] { hamgam::with_timeout(background, 1h).cancel(); }), 8U);
    EXPECT_LE(count([&] {
                auto const fires = hamgam::with_timeout(background, 1us);
                (void)fires.ctx.done().recv();
              }),
              12U);
    EXPECT_EQ(count([&] { (void)background.err(); }), 0U);
  });
}

TEST(Context, AfterFuncOfADroppedTimeout) {
  in_both([] {
    WaitGroup ran;
    ran.add(1);
    {
      auto const dropped =
          hamgam::after_func(hamgam::with_timeout(Context::background(), 1ms).ctx,
                             [&, owned = std::make_unique<int>(1)] { ran.done(); });
    }
    ran.wait();
  });
}

// f may block without holding up the cancel.
TEST(Context, AfterFuncIsAsynchronous) {
  in_both([] {
    auto [ctx, cancel] = hamgam::with_cancel(Context::background());
    WaitGroup gate;
    WaitGroup ended;
    gate.add(1);
    ended.add(1);
    auto const after = hamgam::after_func(ctx, [&] {
      gate.wait();
      ended.done();
    });
    cancel();
    gate.done();
    ended.wait();
  });
}

TEST(Context, StopTokenEndsAWait) {
  in_both([] {
    auto [ctx, cancel] = hamgam::with_cancel(Context::background());
    WaitGroup waiting;
    for (int i = 0; i < 10; ++i) {
      waiting.go([ctx = hamgam::with_cancel(ctx).ctx] { await(ctx); });
    }
    cancel();
    waiting.wait();
  });
}

// A stop callback may do anything with contexts, also cancel the one that runs it.
TEST(Context, StopCallbackMayCancelAgain) {
  in_both([] {
    auto [ctx, cancel] = hamgam::with_cancel(Context::background());
    auto [child, cancel_child] = hamgam::with_cancel(ctx);
    bool ran = false;
    std::stop_callback const callback(child.stop_token(),
                                      [&, ctx = ctx, cancel = cancel, cancel_child = cancel_child] {
                                        cancel();
                                        cancel_child();
                                        EXPECT_TRUE(hamgam::with_cancel(ctx).ctx.err());
                                        ran = true;
                                      });
    cancel();
    EXPECT_TRUE(ran);
  });
}

// Nor does the CancelFunc outlive its call, if a stop callback destroys its owner.
TEST(Context, CancelFuncDestroyedByItsOwnCallback) {
  in_both([] {
    struct Request {
      hamgam::CancelContext context = hamgam::with_cancel(Context::background());
      std::exception_ptr why = std::make_exception_ptr(1);
    };
    for (bool const below : {false, true}) {
      auto request = std::make_unique<Request>();
      std::stop_token token = request->context.ctx.stop_token();
      if (below) {
        token = hamgam::with_cancel(request->context.ctx).ctx.stop_token();
      }
      std::stop_callback const callback(token, [&] { request.reset(); });
      token = {};
      request->context.cancel(request->why);
      EXPECT_EQ(request, nullptr);
    }
  });
}

TEST(Context, CancelGuard) {
  in_both([] {
    Context first;
    Context second;
    Context third;
    {
      hamgam::CancelGuard const empty;
      CancelFunc cancel;
      cancel();  // does nothing
      std::tie(first, cancel) = hamgam::with_cancel(Context::background());
      hamgam::CancelGuard guard(cancel);
      hamgam::CancelGuard moved = std::move(guard);
      hamgam::CancelGuard& itself = moved;
      moved = std::move(itself);
      std::tie(second, cancel) = hamgam::with_cancel(Context::background());
      EXPECT_FALSE(first.err());
      moved = hamgam::CancelGuard(cancel);
      EXPECT_EQ(first.err(), ContextError::canceled);
      EXPECT_FALSE(second.err());
      std::tie(third, cancel) = hamgam::with_cancel(second);
      hamgam::CancelGuard released(cancel);
      cancel = released.release();
      EXPECT_FALSE(third.err());
    }
    EXPECT_EQ(second.err(), ContextError::canceled);
    static_assert(!std::is_copy_constructible_v<hamgam::CancelGuard> &&
                  std::is_nothrow_move_constructible_v<hamgam::CancelGuard>);
    hamgam::AfterFunc none;
    EXPECT_FALSE(none.stop());
    none = hamgam::after_func(Context::background(), [] {});
    EXPECT_TRUE(none.stop());
  });
}

// Neither cancelling nor dropping a deep tree needs a deep stack.
TEST(Context, DeepTree) {
  in_both([] {
    for (bool const cancelled : {true, false}) {
      auto [root, cancel] = hamgam::with_cancel(Context::background());
      Context ctx = root;
      for (int i = 0; i < 100'000; ++i) {
        ctx = i % 2 == 0 ? hamgam::with_cancel(ctx).ctx : hamgam::with_value(ctx, kNumber, i);
      }
      EXPECT_EQ(*ctx.value(kNumber), 99'999);
      if (cancelled) {
        cancel();
      }
      EXPECT_EQ(static_cast<bool>(ctx.err()), cancelled);
    }
  });
}

// The same on a small stack, with deadlines, tokens and functions, and the handles dropped in any
// order.
TEST(Context, DeepTreeOnASmallStack) {
  hamgam::run([] {
    WaitGroup all;
    for (int const way : {0, 1, 2}) {
      all.go(hamgam::GoOptions{.name = "small", .stack_size = 64 << 10}, [way] {
        std::vector<hamgam::CancelContext> chain;
        std::vector<std::stop_token> tokens;
        Context ctx;
        for (int i = 0; i < scaled(100'000); ++i) {
          chain.push_back(i % 2 == 0 ? hamgam::with_timeout(ctx, 1h) : hamgam::with_cancel(ctx));
          ctx = chain.back().ctx;
          if (i % 3 == 0) {
            tokens.push_back(ctx.stop_token());
          }
          if (i % 5 == 0) {
            (void)hamgam::after_func(ctx, [] {});
          }
        }
        ctx = {};
        if (way == 0) {
          chain.front().cancel();
          EXPECT_TRUE(tokens.back().stop_requested());
        }
        while (way == 1 && !chain.empty()) {
          chain.pop_back();
        }
        chain.clear();
      });
    }
    all.wait();
  });
}

TEST(Context, WideTree) {
  in_both([] {
    auto [root, cancel] = hamgam::with_cancel(Context::background());
    std::vector<Context> children;
    for (int i = 0; i < 10'000; ++i) {
      children.push_back(hamgam::with_timeout(root, 1h).ctx);
    }
    children.erase(children.begin(), children.begin() + 5'000);
    cancel();
    for (const Context& ctx : children) {
      ASSERT_EQ(ctx.err(), ContextError::canceled);
    }
    EXPECT_EQ(node_of(root).children, nullptr);
  });
}

}  // namespace
