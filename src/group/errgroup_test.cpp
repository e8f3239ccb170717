// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/errgroup.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>

#include "hamgam/go.h"
#include "hamgam/panic.h"
#include "hamgam/waitgroup.h"

namespace {

using hamgam::Context;
using hamgam::ContextError;
using hamgam::ErrGroup;
using hamgam::Panic;
using hamgam::WaitGroup;

template <class F>
void in_both(F f) {
  f();
  hamgam::run(f);
}

std::string what(const std::exception_ptr& e) {
  try {
    std::rethrow_exception(e);
  } catch (const std::exception& caught) {
    return caught.what();
  }
}

TEST(ErrGroup, Smoke) {
  in_both([] {
    ErrGroup group;
    std::atomic<int> sum{0};
    for (int i = 1; i <= 100; ++i) {
      group.go([&sum](int n) { sum += n; }, i);
    }
    group.wait();
    EXPECT_EQ(sum, 5050);
  });
}

// EG1: the first exception stays the group's over all waits.
TEST(ErrGroup, FirstExceptionIsKept) {
  in_both([] {
    ErrGroup group;
    group.go([] { throw std::runtime_error("first"); });
    EXPECT_THROW(group.wait(), std::runtime_error);
    group.go([] { throw std::logic_error("second"); });
    EXPECT_THROW(group.wait(), std::runtime_error);
    group.go([] {});
    try {
      group.wait();
      ADD_FAILURE() << "it did not throw";
    } catch (const std::runtime_error& e) {
      EXPECT_STREQ(e.what(), "first");
    }
  });
}

// EG2: the context is cancelled after wait in any case, with the exception as its cause if there is
// one.
TEST(ErrGroup, ContextIsCancelled) {
  in_both([] {
    auto [parent, cancel] = hamgam::with_cancel(Context::background());
    {
      ErrGroup group(parent);
      group.go([] {});
      EXPECT_FALSE(group.context().err());
      group.wait();
      EXPECT_EQ(group.context().err(), ContextError::canceled);
      EXPECT_EQ(what(group.context().cause()), "context canceled");
    }
    {
      ErrGroup group(parent);
      WaitGroup cancelled;
      cancelled.add(1);
      group.go([&] { throw std::runtime_error("broken"); });
      group.go([&cancelled, ctx = group.context()] {
        (void)cancelled.wait(ctx.stop_token());  // until the other one's exception ends it
        EXPECT_EQ(what(ctx.cause()), "broken");
      });
      EXPECT_THROW(group.wait(), std::runtime_error);
      cancelled.done();
      EXPECT_EQ(what(group.context().cause()), "broken");
    }
    EXPECT_FALSE(parent.err());
    ErrGroup group(parent);
    cancel();
    EXPECT_EQ(group.context().err(), ContextError::canceled);
    group.wait();
  });
}

// EG3
TEST(ErrGroup, TryGoAndLimits) {
  in_both([] {
    constexpr int kLimit = 42;
    ErrGroup group;
    WaitGroup gate;
    gate.add(1);
    group.set_limit(kLimit);
    for (int i = 0; i < kLimit; ++i) {
      EXPECT_TRUE(group.try_go([&] { gate.wait(); }));
    }
    EXPECT_FALSE(group.try_go([] {}));
    try {
      group.set_limit(1);
      ADD_FAILURE() << "it did not throw";
    } catch (const Panic& e) {
      EXPECT_STREQ(e.what(),
                   "errgroup: modify limit while 42 goroutines in the group are still active");
    }
    gate.done();
    group.wait();
    gate.add(1);
    group.set_limit(1);
    EXPECT_TRUE(group.try_go([&] { gate.wait(); }));
    EXPECT_FALSE(group.try_go([] {}));
    gate.done();
    group.wait();
    group.set_limit(0);
    for (int i = 0; i < 10; ++i) {
      EXPECT_FALSE(group.try_go([] {}));
    }
    group.set_limit(-1);
    std::atomic<int> ran{0};
    for (int i = 0; i < 100; ++i) {
      EXPECT_TRUE(group.try_go([&] { ++ran; }));
    }
    group.wait();
    EXPECT_EQ(ran, 100);
  });
}

// Throws at the copy or move of that number, and counts them down.
struct Unwilling {
  explicit Unwilling(int& copies_left) : left(&copies_left) {}
  Unwilling(const Unwilling& other) : left(other.left) {
    if (--*left == 0) {
      throw std::runtime_error("no copy");
    }
  }
  Unwilling& operator=(const Unwilling&) = delete;
  ~Unwilling() = default;
  void operator()() const {}
  int* left;
};

// Whatever fails before the goroutine is there gives the place up again.
TEST(ErrGroup, AMoveThatThrowsTakesNoPlace) {
  in_both([] {
    ErrGroup group;
    group.set_limit(1);
    int thrown = 0;
    for (int copies = 1; copies < 8; ++copies) {
      int left = copies;
      try {
        Unwilling const f(left);
        (copies % 2 == 0) ? group.go(f) : (void)group.try_go(f);
      } catch (const std::runtime_error&) {
        ++thrown;
      }
      group.wait();
      group.set_limit(1);  // none is active
      EXPECT_TRUE(group.try_go([] {}));
      group.wait();
    }
    EXPECT_GE(thrown, 2);
  });
}

// EG4: at the limit go() waits; never more than that many at a time.
TEST(ErrGroup, GoBlocksAtTheLimit) {
  in_both([] {
    constexpr int kLimit = 5;
    ErrGroup group;
    group.set_limit(kLimit);
    std::atomic<int> active{0};
    std::atomic<int> ran{0};
    for (int i = 0; i < 1024; ++i) {
      group.go([&] {
        EXPECT_LE(++active, kLimit);
        hamgam::yield();
        --active;
        ++ran;
      });
    }
    group.wait();
    EXPECT_EQ(ran, 1024);
  });
}

TEST(ErrGroup, GoexitCountsAsDone) {
  in_both([] {
    ErrGroup group;
    group.set_limit(1);
    for (int i = 0; i < 10; ++i) {
      group.go([] { hamgam::goexit(); });
    }
    group.wait();
  });
}

TEST(ErrGroup, DestructorCancelsAndWaits) {
  in_both([] {
    std::atomic<bool> ended{false};
    WaitGroup never;
    never.add(1);
    {
      ErrGroup group;
      group.go([&, ctx = group.context()] {
        EXPECT_FALSE(never.wait(ctx.stop_token()));
        ended = true;
        throw std::system_error(ctx.err());  // it only says what the destructor did: no panic
      });
    }
    EXPECT_TRUE(ended);
    never.done();
  });
}

TEST(ErrGroup, ClosureDiesBeforeWaitReturns) {
  in_both([] {
    for (int i = 0; i < 100; ++i) {
      auto shared = std::make_shared<int>(i);
      ErrGroup group;
      group.go([shared] {});
      group.wait();
      EXPECT_EQ(shared.use_count(), 1);
    }
  });
}

// What Go's functions return; exceptions and codes in one group.
TEST(ErrGroup, ErrorCodesAreFailures) {
  in_both([] {
    ErrGroup group;
    std::atomic<int> ran{0};
    group.go([&ran]() -> std::error_code {
      ++ran;
      return {};
    });
    group.go([](std::errc error) { return std::make_error_code(error); }, std::errc::io_error);
    try {
      group.wait();
      ADD_FAILURE() << "it did not throw";
    } catch (const std::system_error& e) {
      EXPECT_EQ(e.code(), std::errc::io_error);
    }
    EXPECT_EQ(what(group.context().cause()),
              std::system_error(make_error_code(std::errc::io_error)).what());
    EXPECT_TRUE(group.try_go(hamgam::GoOptions{}, [] { throw std::runtime_error("second"); }));
    EXPECT_THROW(group.wait(), std::system_error);
    EXPECT_EQ(ran, 1);
    const auto kept = std::make_error_code(std::errc::timed_out);
    ErrGroup other;
    other.go([&kept]() -> const std::error_code& { return kept; });
    EXPECT_THROW(other.wait(), std::system_error);
  });
}

// A code that only says what the destructor did is no failure, as the exception is none.
TEST(ErrGroup, DestructorsCancellationAsACode) {
  in_both([] {
    ErrGroup group;
    group.go([ctx = group.context()] {
      (void)ctx.done().recv();
      return ctx.err();
    });
  });
}

TEST(ErrGroup, OptionsFirst) {
  in_both([] {
    ErrGroup group;
    std::atomic<int> ran{0};
    group.go(hamgam::GoOptions{.name = "part"}, [&] { ++ran; });
    EXPECT_TRUE(group.try_go(hamgam::GoOptions{.name = "other part"}, [&] { ++ran; }));
    group.wait();
    EXPECT_EQ(ran, 2);
  });
}

// Goroutines of the group start others.
TEST(ErrGroup, GoFromInside) {
  in_both([] {
    ErrGroup group;
    std::atomic<int> ran{0};
    for (int i = 0; i < 10; ++i) {
      group.go([&] {
        for (int k = 0; k < 10; ++k) {
          group.go([&] { ++ran; });
        }
      });
    }
    group.wait();
    EXPECT_EQ(ran, 100);
  });
}

}  // namespace
