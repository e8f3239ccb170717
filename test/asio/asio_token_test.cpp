// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
//
// use_goroutine with operations that the test makes itself: what is returned and thrown, and every
// way in which a handler can end.
#include <gtest/gtest.h>

#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>

#include "hamgam/asio.h"
#include "hamgam/go.h"
#include "hamgam/waitgroup.h"
#include "support/io_loop.h"

namespace hamgam {
namespace {

using asio::use_goroutine;
using test::error_code;
using test::system_error;
namespace io = test::io;

// How the initiating function ends the operation.
template <class Signature, class Token, class Way>
auto operation(Way way, Token&& token) {
  return io::async_initiate<Token, Signature>(std::move(way), token);
}

// The same as Asio had it before 1.70, and third-party libraries still have it.
template <class Signature, class Token, class Way>
auto old_operation(Way way, Token&& token) {
  io::async_completion<Token, Signature> init(token);
  way(std::move(init.completion_handler));
  return init.result.get();
}

// Runs the test in a goroutine and on a plain thread.
template <class F>
void in_both(F f) {
  f();
  run(f);
}

template <class... Values>
auto at_once(Values... values) {
  return [=](auto handler) mutable { handler(std::move(values)...); };
}

auto const kFailed = make_error_code(test::errc::no_such_file_or_directory);

TEST(AsioToken, ValuesAreReturned) {
  in_both([] {
    operation<void()>(at_once(), use_goroutine);
    operation<void(error_code)>(at_once(error_code()), use_goroutine);
    EXPECT_EQ(operation<void(int)>(at_once(1), use_goroutine), 1);
    EXPECT_EQ(operation<void(error_code, int)>(at_once(error_code(), 2), use_goroutine), 2);
    auto const both = operation<void(error_code, int, std::string)>(
        at_once(error_code(), 3, std::string("three")), use_goroutine);
    static_assert(std::is_same_v<decltype(both), const std::tuple<int, std::string>>);
    EXPECT_EQ(both, std::tuple(3, "three"));
    EXPECT_EQ(operation<void(error_code, const std::string&)>(
                  at_once(error_code(), std::string("of a reference")), use_goroutine),
              "of a reference");
    auto const owned = operation<void(error_code, std::unique_ptr<int>)>(
        [](auto handler) { handler(error_code(), std::make_unique<int>(4)); }, use_goroutine);
    EXPECT_EQ(*owned, 4);
  });
}

TEST(AsioToken, ErrorsAreThrownOrStored) {
  in_both([] {
    try {
      operation<void(error_code, int)>(at_once(kFailed, 5), use_goroutine);
      ADD_FAILURE() << "nothing was thrown";
    } catch (const system_error& e) {
      EXPECT_EQ(e.code(), kFailed);
    }
    error_code ec;
    EXPECT_EQ((operation<void(error_code, int)>(at_once(kFailed, 5), use_goroutine(ec))), 5);
    EXPECT_EQ(ec, kFailed);
    EXPECT_EQ((operation<void(error_code, int)>(at_once(error_code(), 6), use_goroutine(ec))), 6);
    EXPECT_FALSE(ec);
    ec = kFailed;
    operation<void()>(at_once(), use_goroutine(ec));
    EXPECT_FALSE(ec);

    auto const thrown = std::make_exception_ptr(std::out_of_range("far"));
    EXPECT_THROW((operation<void(std::exception_ptr)>(at_once(thrown), use_goroutine)),
                 std::out_of_range);
    EXPECT_THROW((operation<void(std::exception_ptr, int)>(at_once(thrown, 7), use_goroutine(ec))),
                 std::out_of_range);
    EXPECT_EQ(
        (operation<void(std::exception_ptr, int)>(at_once(std::exception_ptr(), 8), use_goroutine)),
        8);
  });
}

TEST(AsioToken, TheHandlerIsCalledElsewhereBeforeTheInitiatingFunctionReturns) {
  in_both([] {
    for (int i = 0; i < 50; ++i) {
      EXPECT_EQ(operation<void(int)>(
                    [i](auto handler) {
                      std::thread([&, h = std::move(handler)]() mutable { h(i); }).join();
                    },
                    use_goroutine),
                i);
    }
  });
}

TEST(AsioToken, TheHandlerIsCalledElsewhereAfterwards) {
  in_both([] {
    for (int i = 0; i < 50; ++i) {
      std::thread other;
      EXPECT_EQ(operation<void(int)>(
                    [&](auto handler) {
                      other = std::thread([i, h = std::move(handler)]() mutable { h(i); });
                    },
                    use_goroutine),
                i);
      other.join();
    }
  });
}

// One whose value cannot be made of nothing.
struct Value {
  explicit Value(int n) : number(n) {}
  int number;
};

template <class Drop>
void expect_abandoned(Drop drop) {
  try {
    operation<void(error_code, int)>(drop, use_goroutine);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const system_error& e) {
    EXPECT_EQ(e.code(), asio::Errc::abandoned);
    EXPECT_EQ(e.code(), test::errc::operation_canceled);
    EXPECT_NE(std::string(e.what()).find("dropped before it ended"), std::string::npos) << e.what();
  }
  EXPECT_THROW((operation<void()>(drop, use_goroutine)), system_error);
  EXPECT_THROW((operation<void(std::exception_ptr, int)>(drop, use_goroutine)), system_error);
  error_code ec;
  EXPECT_EQ((operation<void(error_code, int)>(drop, use_goroutine(ec))), 0);
  EXPECT_EQ(ec, asio::Errc::abandoned);
  EXPECT_THROW((operation<void(error_code, Value)>(drop, use_goroutine(ec))), system_error);
  ec.clear();
  operation<void()>(drop, use_goroutine(ec));
  EXPECT_EQ(ec, asio::Errc::abandoned);
}

TEST(AsioToken, AHandlerThatIsDroppedIsAnError) {
  in_both([] {
    expect_abandoned([](auto handler) { auto const dropped = std::move(handler); });
    expect_abandoned([](auto handler) {
      std::thread([h = std::move(handler)]() mutable { auto const dropped = std::move(h); }).join();
    });
  });
}

TEST(AsioToken, AnInitiatingFunctionThatThrows) {
  in_both([] {
    auto const throws = [](auto handler) {
      auto const mine = std::move(handler);
      throw std::out_of_range("begin");
    };
    EXPECT_THROW((operation<void(int)>(throws, use_goroutine)), std::out_of_range);
    auto const throws_before = [](auto&& /*handler*/) { throw std::out_of_range("begin"); };
    EXPECT_THROW((operation<void(int)>(throws_before, use_goroutine)), std::out_of_range);
    EXPECT_THROW((old_operation<void(int)>(throws_before, use_goroutine)), std::out_of_range);
    EXPECT_THROW((old_operation<void(int)>(throws, use_goroutine)), std::out_of_range);
  });
}

// It has begun all the same: what it may still use must stay until it has ended.
TEST(AsioToken, AnInitiatingFunctionThatThrowsAfterItHasBegun) {
  in_both([] {
    std::thread other;
    bool ended = false;
    EXPECT_THROW((operation<void(int)>(
                     [&](auto handler) {
                       other = std::thread([&, h = std::move(handler)]() mutable {
                         std::this_thread::yield();
                         ended = true;
                         h(1);
                       });
                       throw std::out_of_range("late");
                     },
                     use_goroutine)),
                 std::out_of_range);
    EXPECT_TRUE(ended);
    other.join();
  });
}

// A value that cannot be moved in: the one who waits is told.
struct Refuses {
  Refuses() = default;
  Refuses(const Refuses& /*other*/) { throw std::out_of_range("copied"); }
};

TEST(AsioToken, AValueThatThrows) {
  in_both([] {
    EXPECT_THROW((void)(operation<void(error_code, Refuses)>(
                     [](auto handler) {
                       Refuses const value;
                       handler(error_code(), value);
                     },
                     use_goroutine)),
                 std::out_of_range);
  });
}

TEST(AsioToken, TheOldShape) {
  in_both([] {
    EXPECT_EQ((old_operation<void(error_code, int)>(at_once(error_code(), 2), use_goroutine)), 2);
    error_code ec;
    EXPECT_EQ((old_operation<void(error_code, int)>(at_once(kFailed, 5), use_goroutine(ec))), 5);
    EXPECT_EQ(ec, kFailed);
    EXPECT_THROW((old_operation<void(error_code)>(at_once(kFailed), use_goroutine)), system_error);
    EXPECT_THROW((old_operation<void(error_code)>(
                     [](auto handler) { auto const dropped = std::move(handler); }, use_goroutine)),
                 system_error);
    std::thread other;
    EXPECT_EQ((old_operation<void(int)>(
                  [&](auto handler) {
                    other = std::thread([h = std::move(handler)]() mutable { h(9); });
                  },
                  use_goroutine)),
              9);
    other.join();
  });
}

TEST(AsioToken, TheExecutorThatIsBoundCounts) {
  test::IoLoop loop;
  auto const strand = io::make_strand(loop.context);
  in_both([&] {
    bool same = false;
    int const value = operation<void(error_code, int)>(
        [&](auto handler) {
          same = io::get_associated_executor(handler) == strand;
          handler(error_code(), 3);
        },
        io::bind_executor(strand, use_goroutine));
    EXPECT_TRUE(same);
    EXPECT_EQ(value, 3);
    error_code ec;
    EXPECT_EQ((operation<void(error_code, int)>(at_once(kFailed, 5),
                                                io::bind_executor(strand, use_goroutine(ec)))),
              5);
    EXPECT_EQ(ec, kFailed);
    EXPECT_EQ((operation<void(error_code, int)>(at_once(kFailed, 6),
                                                io::redirect_error(use_goroutine, ec))),
              6);
    EXPECT_EQ(ec, kFailed);
    io::post(io::bind_executor(strand, use_goroutine));
    EXPECT_FALSE(strand.running_in_this_thread());
    io::dispatch(strand, use_goroutine);
    io::defer(loop.context, use_goroutine);
  });
}

TEST(AsioToken, OnAnExecutor) {
  test::IoLoop loop;
  auto const strand = io::make_strand(loop.context);
  in_both([&] {
    auto const on_strand = use_goroutine.on(strand);
    auto const here = [&](auto handler) {
      EXPECT_TRUE(strand.running_in_this_thread());
      EXPECT_TRUE(io::get_associated_executor(handler) == strand);
      handler(kFailed, 7);
    };
    error_code ec;
    EXPECT_EQ((operation<void(error_code, int)>(here, on_strand(ec))), 7);
    EXPECT_EQ(ec, kFailed);
    auto const throws = [](auto&& /*handler*/) { throw std::out_of_range("begin"); };
    EXPECT_THROW((operation<void(int)>(throws, on_strand)), std::out_of_range);
    EXPECT_THROW((operation<void(error_code, int)>(
                     [](auto handler) { auto const dropped = std::move(handler); }, on_strand)),
                 system_error);
    std::thread other;
    EXPECT_EQ((operation<void(int)>(
                  [&](auto handler) {
                    other = std::thread([h = std::move(handler)]() mutable { h(9); });
                  },
                  on_strand)),
              9);
    other.join();
  });
}

// An executor that drops what it gets, as one does whose context is destroyed.
struct Drops {
  template <class F>
  void execute(F&& f) const {
    auto const dropped = std::forward<F>(f);
  }
  bool operator==(const Drops& /*other*/) const noexcept { return true; }
  bool operator!=(const Drops& /*other*/) const noexcept { return false; }
};

TEST(AsioToken, OnAnExecutorThatDropsIt) {
  in_both([] {
    bool begun = false;
    error_code ec;
    operation<void(error_code)>(
        [&](auto handler) {
          begun = true;
          handler(error_code());
        },
        use_goroutine.on(Drops())(ec));
    EXPECT_EQ(ec, asio::Errc::abandoned);
    EXPECT_FALSE(begun);
  });
}

#if HAMGAM_ASIO_SLOTS
TEST(AsioToken, ASlotThatIsBoundCounts) {
  in_both([] {
    io::cancellation_signal signal;
    EXPECT_EQ((operation<void(int)>(
                  [&](auto handler) {
                    EXPECT_TRUE(io::get_associated_cancellation_slot(handler) == signal.slot());
                    handler(1);
                  },
                  io::bind_cancellation_slot(signal.slot(), use_goroutine))),
              1);
  });
}
#endif

}  // namespace
}  // namespace hamgam
