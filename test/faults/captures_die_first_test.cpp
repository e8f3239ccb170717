// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// What a function captured, its arguments and the exception that it threw are gone before anybody
// learns that it has ended: whoever waited may destroy what they refer to.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>

#include "hamgam/errgroup.h"
#include "hamgam/go.h"
#include "hamgam/once.h"
#include "hamgam/singleflight.h"
#include "hamgam/spawn.h"
#include "hamgam/time.h"
#include "hamgam/waitgroup.h"
#include "support/asleep.h"
#include "support/crew.h"

namespace {

using hamgam::ErrGroup;
using hamgam::GoOptions;
using hamgam::SingleFlight;
using hamgam::WaitGroup;
using hamgam::test::Who;

std::atomic<int> g_alive{0};

// Takes its time to die, unless it does so where it was made. Where it is copied instead of moved,
// as a constant that was captured is, the original lives on.
struct Captured {
  explicit Captured(std::uint64_t maker = hamgam::goroutine_id()) : made_by(maker) { ++g_alive; }
  Captured(const Captured& other) : Captured(other.made_by) {}
  Captured(Captured&& other) noexcept
      : made_by(other.made_by), owns(std::exchange(other.owns, false)) {}
  Captured& operator=(const Captured&) = delete;
  ~Captured() {
    if (owns) {
      if (hamgam::goroutine_id() != made_by) {
        hamgam::sleep(std::chrono::microseconds(300));
      }
      --g_alive;
    }
  }
  std::uint64_t made_by;
  bool owns = true;
};

constexpr std::uint64_t kNobody = ~std::uint64_t{0};

struct Thrown : std::runtime_error {
  Thrown() : std::runtime_error("thrown") {}
  Captured held{kNobody};
};

enum class End { kReturn, kThrow, kGoexit };
constexpr End kEnds[] = {End::kReturn, End::kThrow, End::kGoexit};

void finish(End end) {
  if (end == End::kThrow) {
    throw std::runtime_error("it failed");
  }
  if (end == End::kGoexit) {
    hamgam::goexit();
  }
}

class CapturesDieFirst : public testing::TestWithParam<Who> {
 protected:
  // Whoever waits: a goroutine or a plain thread.
  static void in_each(const std::function<void()>& waits) {
    hamgam::test::Crew crew(GetParam());
    crew.start(waits);
    crew.join();
  }
};

// start(group, f, args...) for each way to start one.
template <class Start>
void check_group(Start start) {
  for (End const end : kEnds) {
    ErrGroup group;
    {
      const Captured constant;
      start(
          group, [constant, end](const Captured& /*argument*/) { finish(end); }, constant);
    }
    if (end == End::kThrow) {
      EXPECT_THROW(group.wait(), std::runtime_error);
    } else {
      group.wait();
    }
    EXPECT_EQ(g_alive, 0) << static_cast<int>(end);
  }
}

TEST_P(CapturesDieFirst, ErrGroup) {
  in_each([] {
    check_group([](ErrGroup& group, auto f, const Captured& c) { group.go(std::move(f), c); });
    check_group([](ErrGroup& group, auto f, const Captured& c) {
      group.go(GoOptions{.name = "one"}, std::move(f), c);
    });
    check_group([](ErrGroup& group, auto f, const Captured& c) {
      EXPECT_TRUE(group.try_go(std::move(f), c));
    });
    check_group([](ErrGroup& group, auto f, const Captured& c) {
      EXPECT_TRUE(group.try_go(GoOptions{.name = "one"}, std::move(f), c));
    });
  });
}

// A place that becomes free, too, is one whose function is gone.
TEST_P(CapturesDieFirst, ErrGroupWithALimit) {
  in_each([] {
    ErrGroup group;
    group.set_limit(1);
    for (int i = 0; i < 10; ++i) {
      const Captured constant;
      group.go([constant] {});
      group.go([] { EXPECT_EQ(g_alive, 1); });  // only what stands above
      group.wait();
    }
  });
}

TEST_P(CapturesDieFirst, ErrGroupDropsLaterExceptions) {
  in_each([] {
    ErrGroup group;
    group.go([] { throw std::runtime_error("the first"); });
    EXPECT_THROW(group.wait(), std::runtime_error);
    group.go([] { throw Thrown(); });
    EXPECT_THROW(group.wait(), std::runtime_error);
    EXPECT_EQ(g_alive, 0);
  });
}

TEST_P(CapturesDieFirst, WaitGroup) {
  in_each([] {
    for (End const end : {End::kReturn, End::kGoexit}) {
      WaitGroup group;
      {
        const Captured constant;
        group.go([constant, end](const Captured& /*argument*/) { finish(end); }, constant);
      }
      group.wait();
      EXPECT_EQ(g_alive, 0) << static_cast<int>(end);
    }
  });
}

TEST_P(CapturesDieFirst, Task) {
  in_each([] {
    for (End const end : kEnds) {
      hamgam::Task<int> task;
      {
        const Captured constant;
        task = hamgam::spawn(
            [constant, end](const Captured& /*argument*/) {
              finish(end);
              return 1;
            },
            constant);
      }
      task.wait();
      EXPECT_EQ(g_alive, 0) << static_cast<int>(end);
      if (end == End::kReturn) {
        EXPECT_EQ(task.get(), 1);
      } else {
        EXPECT_THROW((void)task.get(), std::exception);
      }
    }
    // Once it was taken, the exception is the taker's.
    auto task = hamgam::spawn([] { throw Thrown(); });
    EXPECT_THROW(task.get(), Thrown);
    EXPECT_EQ(g_alive, 0);
  });
}

// The flyer has the function from its caller; the others must not see it any more.
TEST_P(CapturesDieFirst, SingleFlight) {
  for (End const end : kEnds) {
    SingleFlight<int, int> flights;
    WaitGroup flying;
    std::atomic<bool> may_land{false};
    flying.add(1);
    hamgam::test::Crew crew(GetParam());
    crew.start([&] {
      try {
        (void)flights.call(1, [&, one = Captured(kNobody)] {
          flying.done();
          hamgam::test::until([&] { return may_land.load(); });
          finish(end);
          return 1;
        });
      } catch (const std::exception&) {  // a goexit on a thread, too
      }
    });
    flying.wait();
    crew.start([&] {
      struct Check {
        ~Check() { EXPECT_EQ(g_alive, 0); }
      } const check;
      try {
        may_land = true;
        (void)flights.call(1, []() -> int { return 2; });
      } catch (const std::exception&) {
      }
    });
    crew.join();
  }
}

TEST_P(CapturesDieFirst, OnceFuncAndOnceValue) {
  for (End const end : kEnds) {
    std::function<void()> call;
    {
      const Captured constant;
      auto once = hamgam::once_value([constant, end] {
        finish(end);
        return 1;
      });
      call = [once] { (void)once(); };
    }
    hamgam::test::at_once(GetParam(), 2, [&call](int) {
      try {
        call();
      } catch (const std::exception&) {
      }
      EXPECT_EQ(g_alive, 0);
    });
  }
}

INSTANTIATE_TEST_SUITE_P(By, CapturesDieFirst, hamgam::test::everybody(), hamgam::test::name_of);

}  // namespace
