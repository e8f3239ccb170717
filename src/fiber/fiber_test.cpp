// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "fiber/fiber.h"

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <cfenv>
#include <cstdint>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>

#include "support/scale.h"

// The switch by itself: no scheduler. This file supplies hamgam_fiber_entry, so that nothing of it
// is linked.

namespace hamgam {
namespace {

using detail::Fiber;
using detail::Stack;
using detail::ThreadState;

// A fiber that runs a function and is switched to and from the thread that resumes it.
class Coroutine {
 public:
  explicit Coroutine(std::function<void(Coroutine&)> f) : f_(std::move(f)) {
    detail::bind_stack(fiber_, stack_);
  }
  Coroutine(const Coroutine&) = delete;
  Coroutine& operator=(const Coroutine&) = delete;
  ~Coroutine() {
    EXPECT_TRUE(ended_);
    detail::retire_fiber(fiber_);
    detail::give_sized_stack(stack_);
  }

  // Runs it, on the calling thread, until it leaves or ends. False: it has ended.
  HAMGAM_NOINLINE bool resume() {
    Fiber thread;
    detail::adopt_thread(thread);
    caller_ = &thread;
    state_ = ThreadState::of_this_thread();
    detail::switch_fiber(state_, thread, fiber_, this);
    return !ended_;
  }

  // Inside: back to whoever resumed it.
  HAMGAM_NOINLINE void leave() { detail::switch_fiber(state_, fiber_, *caller_, this); }

  [[noreturn]] void run() {
    f_(*this);
    ended_ = true;
    detail::switch_fiber<true>(state_, fiber_, *caller_, this);
    std::abort();
  }

 private:
  std::function<void(Coroutine&)> f_;
  Fiber fiber_;
  Stack* stack_ = detail::take_sized_stack(64 * 1024);
  Fiber* caller_ = nullptr;
  ThreadState state_;
  bool ended_ = false;
};

TEST(Fiber, smoke) {
  std::string log;
  Coroutine fiber([&](Coroutine& self) {
    log += 'b';
    self.leave();
    log += 'd';
  });
  log += 'a';
  EXPECT_TRUE(fiber.resume());
  log += 'c';
  EXPECT_FALSE(fiber.resume());
  log += 'e';
  EXPECT_EQ(log, "abcde");
}

TEST(Fiber, runs_on_its_own_aligned_stack) {
  char here = 0;
  std::uintptr_t inside = 0;
  Coroutine fiber([&](Coroutine&) {
    alignas(32) volatile char there[32] = {};
    inside = reinterpret_cast<std::uintptr_t>(&there[0]);
  });
  fiber.resume();
  EXPECT_EQ(inside % 32, 0U);
  auto const distance = inside - reinterpret_cast<std::uintptr_t>(&here);
  EXPECT_GT(std::min(distance, std::uintptr_t{0} - distance), 64U * 1024);
}

// Everything that a compiler may hold in a register survives.
TEST(Fiber, locals_survive_a_switch) {
  auto compute = [](std::uint64_t start, const std::function<void()>& in_between) {
    std::array<std::uint64_t, 24> whole{};
    std::array<double, 24> real{};
    for (std::size_t i = 0; i < whole.size(); ++i) {
      whole[i] = start * (i + 3);
      real[i] = static_cast<double>(start) / static_cast<double>(i + 1);
    }
    in_between();
    double sum = 0;
    for (std::size_t i = 0; i < whole.size(); ++i) {
      sum += static_cast<double>(whole[i]) + real[i];
    }
    return sum;
  };
  double results[3] = {};
  Coroutine a([&](Coroutine& self) { results[0] = compute(11, [&] { self.leave(); }); });
  Coroutine b([&](Coroutine& self) { results[1] = compute(12, [&] { self.leave(); }); });
  results[2] = compute(13, [&] {
    a.resume();
    b.resume();
    a.resume();
    b.resume();
  });
  EXPECT_EQ(results[0], compute(11, [] {}));
  EXPECT_EQ(results[1], compute(12, [] {}));
  EXPECT_EQ(results[2], compute(13, [] {}));
}

TEST(Fiber, nested) {
  std::string log;
  Coroutine inner([&](Coroutine& self) {
    log += '2';
    self.leave();
    log += '4';
  });
  Coroutine outer([&](Coroutine& self) {
    log += '1';
    inner.resume();
    log += '3';
    self.leave();
    inner.resume();
    log += '5';
  });
  outer.resume();
  outer.resume();
  EXPECT_EQ(log, "12345");
}

TEST(Fiber, errno_is_its_own) {
  Coroutine fiber([&](Coroutine& self) {
    EXPECT_EQ(errno, 0);
    errno = EAGAIN;
    self.leave();
    EXPECT_EQ(errno, EAGAIN);
  });
  errno = ENOENT;
  fiber.resume();
  EXPECT_EQ(errno, ENOENT);
  errno = EINTR;
  fiber.resume();
  EXPECT_EQ(errno, EINTR);
  errno = 0;
}

TEST(Fiber, catch_block_is_left_and_entered_again) {
  Coroutine fiber([&](Coroutine& self) {
    EXPECT_EQ(std::current_exception(), nullptr);  // that of the thread is not ours
    try {
      throw std::runtime_error("inside");
    } catch (const std::exception& e) {
      self.leave();
      EXPECT_STREQ(e.what(), "inside");
      try {
        throw;  // the one that is handled here
      } catch (const std::runtime_error& again) {
        EXPECT_STREQ(again.what(), "inside");
      }
    }
    EXPECT_EQ(std::current_exception(), nullptr);
  });
  try {
    throw std::logic_error("outside");
  } catch (const std::exception&) {
    fiber.resume();
    EXPECT_THROW(throw, std::logic_error);
    try {
      throw 5;
    } catch (int) {
      fiber.resume();
    }
    EXPECT_THROW(throw, std::logic_error);
  }
  EXPECT_EQ(std::current_exception(), nullptr);
}

// Switches inside destructors that run while an exception unwinds the stack.
TEST(Fiber, switches_while_an_exception_is_in_flight) {
  struct Leaves {
    Coroutine& self;
    ~Leaves() {
      EXPECT_EQ(std::uncaught_exceptions(), 1);
      self.leave();
      EXPECT_EQ(std::uncaught_exceptions(), 1);
    }
  };
  bool caught = false;
  Coroutine fiber([&](Coroutine& self) {
    try {
      Leaves const leaves{self};
      throw std::runtime_error("in flight");
    } catch (const std::runtime_error& e) {
      caught = std::string(e.what()) == "in flight";
    }
    EXPECT_EQ(std::uncaught_exceptions(), 0);
  });
  fiber.resume();
  EXPECT_EQ(std::uncaught_exceptions(), 0);
  EXPECT_THROW(throw 1, int);
  EXPECT_FALSE(caught);
  fiber.resume();
  EXPECT_TRUE(caught);
}

// Compilers take errno's address for the same all over a function.
HAMGAM_NOINLINE int errno_here() { return errno; }

// Resumed by another thread, with its exception and errno.
TEST(Fiber, migrate) {
  std::string result;
  Coroutine fiber([&](Coroutine& self) {
    try {
      throw std::runtime_error("carried");
    } catch (const std::exception&) {
      errno = ERANGE;
      self.leave();
      EXPECT_EQ(errno_here(), ERANGE);
      try {
        throw;
      } catch (const std::exception& e) {
        result = e.what();
      }
    }
  });
  fiber.resume();
  EXPECT_EQ(std::current_exception(), nullptr);
  std::thread([&] {
    fiber.resume();
    EXPECT_EQ(std::current_exception(), nullptr);
  }).join();
  EXPECT_EQ(result, "carried");
}

TEST(Fiber, stress_two_threads_pass_one_fiber) {
  int const rounds = test::scaled(5000);
  int counted = 0;
  Coroutine fiber([&](Coroutine& self) {
    for (int i = 0; i < rounds; ++i) {
      try {
        throw i;
      } catch (int value) {
        self.leave();
        EXPECT_EQ(value, i);
        try {
          throw;
        } catch (int same) {
          counted += same == i ? 1 : 0;
        }
      }
    }
  });
  std::atomic<int> turn{0};
  std::atomic<bool> over{false};
  auto pass = [&](int me) {
    while (!over.load()) {
      if (turn.load() != me) {
        std::this_thread::yield();
        continue;
      }
      if (!fiber.resume()) {
        over.store(true);
      }
      turn.store(1 - me);
    }
  };
  std::thread other(pass, 1);
  pass(0);
  other.join();
  EXPECT_EQ(counted, rounds);
}

}  // namespace
}  // namespace hamgam

extern "C" void hamgam_fiber_entry(void* pass) {
  hamgam::detail::enter_fiber();
  static_cast<hamgam::Coroutine*>(pass)->run();
}
