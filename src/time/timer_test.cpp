// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Timer, Ticker, after and after_func.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "hamgam/go.h"
#include "hamgam/mutex.h"
#include "hamgam/panic.h"
#include "hamgam/select.h"
#include "hamgam/time.h"
#include "hamgam/waitgroup.h"
#include "support/crew.h"
#include "support/scale.h"
#include "support/seed.h"

namespace {

using namespace std::chrono_literals;
using hamgam::Clock;
using hamgam::Panic;
using hamgam::RecvChan;
using hamgam::Ticker;
using hamgam::TimePoint;
using hamgam::Timer;
using hamgam::WaitGroup;
using hamgam::test::scaled;

template <class F>
void in_both(F f) {
  f();
  hamgam::run(f);
}

template <class F>
std::string panic_of(F f) {
  try {
    f();
  } catch (const Panic& e) {
    return e.what();
  }
  return "no panic";
}

static_assert(!std::is_copy_constructible_v<Timer> && std::is_nothrow_move_constructible_v<Timer>);

// TI1: never early; the tick says when it was due.
TEST(Timer, NeverEarly) {
  in_both([] {
    for (auto const d : {0ns, 1ns, 100'000ns, 3'000'000ns}) {
      auto const start = Clock::now();
      auto const tick = hamgam::after(d).recv();
      auto const end = Clock::now();
      ASSERT_TRUE(tick.has_value());
      EXPECT_GE(*tick, start + d);
      EXPECT_GE(end, *tick);
    }
  });
}

// TI2
TEST(Timer, AfterInOrder) {
  in_both([] {
    constexpr int kSlots[] = {5, 3, 6, 6, 6, 1, 1, 2, 7, 9, 4, 8, 0};
    auto const unit = 5ms;
    hamgam::Mutex mutex;
    std::vector<std::pair<TimePoint, int>> fired;
    WaitGroup all;
    auto const start = Clock::now();
    for (int const slot : kSlots) {
      all.go([&, slot] {
        auto const tick = hamgam::after(start + slot * unit - Clock::now()).recv();
        std::lock_guard const lock(mutex);
        fired.emplace_back(*tick, slot);
      });
    }
    all.wait();
    std::sort(fired.begin(), fired.end());
    for (auto const& [tick, slot] : fired) {
      EXPECT_GE(tick, start + slot * unit);
    }
  });
}

// TI3, TI4
TEST(Timer, StopAndReset) {
  in_both([] {
    Timer timer(1h);
    EXPECT_TRUE(timer.stop());
    EXPECT_FALSE(timer.stop());
    EXPECT_FALSE(timer.reset(1h));
    EXPECT_TRUE(timer.reset(1ms));
    auto const due_after = Clock::now();
    ASSERT_TRUE(timer.chan().recv().has_value());
    EXPECT_GE(Clock::now(), due_after);
    EXPECT_FALSE(timer.stop());
    EXPECT_FALSE(timer.chan().try_recv().value.has_value());
  });
}

// TI5
TEST(Timer, ExtremeDurations) {
  in_both([] {
    Timer longest(std::chrono::hours::max());
    EXPECT_FALSE(longest.chan().try_recv().value.has_value());
    EXPECT_FALSE(longest.chan().recv_for(1ms).value.has_value());
    EXPECT_TRUE(longest.reset(std::chrono::hours::min()));
    EXPECT_TRUE(longest.chan().recv().has_value());
    EXPECT_TRUE(hamgam::after(-1s).try_recv().value.has_value());
  });
}

// TI6
TEST(Timer, ManyThatAreOver) {
  hamgam::run([] {
    for (int i = 0; i < scaled(100'000); ++i) {
      ASSERT_TRUE(Timer(0s).chan().recv().has_value());
    }
  });
}

// TI7: one that is moved to an earlier time is not lost, although somebody waits already.
TEST(Timer, MovedEarlierWhileAwaited) {
  in_both([] {
    for (int i = 0; i < 10; ++i) {
      Timer timer(1h);
      WaitGroup received;
      received.go([chan = timer.chan()] { EXPECT_TRUE(chan.recv().has_value()); });
      for (int k = 0; k < i; ++k) {
        hamgam::yield();
      }
      (void)timer.reset(10min);
      EXPECT_TRUE(timer.reset(1ms));
      received.wait();
    }
  });
}

// TI7: whatever was reset last comes, and once only.
TEST(Timer, RandomAdjustments) {
  std::mt19937_64 random(hamgam::test::seed());
  hamgam::run([&] {
    for (int i = 0; i < scaled(200); ++i) {
      Timer timer(1h);
      WaitGroup received;
      received.go([chan = timer.chan()] { EXPECT_TRUE(chan.recv().has_value()); });
      TimePoint due;
      for (int k = 0; k < 20; ++k) {
        due = Clock::now() + 1h;
        if (random() % 4 == 0) {
          (void)timer.stop();
        } else {
          (void)timer.reset(std::chrono::hours(1 + random() % 100));
        }
        if (random() % 4 == 0) {
          hamgam::yield();
        }
      }
      (void)timer.reset(std::chrono::microseconds(random() % 200));
      received.wait();
      EXPECT_FALSE(timer.stop());
    }
  });
}

// TI8: false means that the tick was received, or that there was none to come.
TEST(Timer, ResultAgreesWithTheChannel) {
  hamgam::run([] {
    WaitGroup all;
    for (int g = 0; g < scaled(1000); ++g) {
      all.go([g] {
        for (int i = 0; i < 10; ++i) {
          Timer timer(std::chrono::microseconds(g % 3 * 50));
          hamgam::yield();
          bool const received = timer.chan().try_recv().value.has_value();
          bool const stopped = i % 2 == 0 ? timer.stop() : timer.reset(1h);
          EXPECT_NE(received, stopped);
          EXPECT_FALSE(timer.chan().try_recv().value.has_value());
        }
      });
    }
    all.wait();
  });
}

// TI10
TEST(Timer, LooksUnbuffered) {
  in_both([] {
    Timer const timer(0s);
    Ticker const ticker(1ns);
    EXPECT_EQ(timer.chan().len(), 0U);
    EXPECT_EQ(timer.chan().cap(), 0U);
    EXPECT_EQ(ticker.chan().cap(), 0U);
    EXPECT_TRUE(timer.chan().recv().has_value());
    EXPECT_EQ(ticker.chan().len(), 0U);
  });
}

// TI10
TEST(Timer, NoStaleTick) {
  in_both([] {
    for (int i = 0; i < 100; ++i) {
      Timer timer(0s);
      if (i % 2 == 0) {  // the tick is made by a look
        hamgam::select(hamgam::on_recv(RecvChan<TimePoint>()), hamgam::otherwise());
      }
      EXPECT_TRUE(timer.stop());
      EXPECT_FALSE(timer.chan().try_recv().value.has_value());
      EXPECT_FALSE(timer.reset(0s));
      EXPECT_TRUE(timer.reset(1h));
      EXPECT_FALSE(timer.chan().try_recv().value.has_value());
      Ticker ticker(1ns);
      ticker.stop();
      EXPECT_FALSE(ticker.chan().try_recv().value.has_value());
      ticker.reset(1h);
      EXPECT_FALSE(ticker.chan().try_recv().value.has_value());
    }
  });
}

// TI10: one that begins to wait while the timer is stopped is served after a reset.
TEST(Timer, AwaitedWhileStopped) {
  in_both([] {
    Timer timer(1h);
    (void)timer.stop();
    WaitGroup received;
    WaitGroup waiting;
    waiting.add(1);
    received.go([&] {
      waiting.done();
      EXPECT_TRUE(timer.chan().recv().has_value());
    });
    waiting.wait();
    hamgam::yield();
    (void)timer.reset(1ms);
    received.wait();
  });
}

// TI10: each of two waiting receivers gets a tick of its own.
TEST(Timer, TwoReceivers) {
  in_both([] {
    Timer timer(1h);
    [[maybe_unused]] WaitGroup waiting;
    std::atomic<int> received{0};
    WaitGroup first;
    WaitGroup both;
    first.add(1);
    for (int i = 0; i < 2; ++i) {
      both.go([&] {
        EXPECT_TRUE(timer.chan().recv().has_value());
        if (++received == 1) {
          first.done();
        }
      });
    }
    (void)timer.reset(1ms);
    first.wait();
    EXPECT_EQ(received, 1);
    (void)timer.reset(1ms);
    both.wait();
    EXPECT_EQ(received, 2);
  });
}

// TI11
TEST(Timer, LateReaderSeesTheTimeItWasDue) {
  in_both([] {
    auto const start = Clock::now();
    Timer const timer(1ms);
    auto const latest = Clock::now() + 1ms;
    (void)hamgam::after(20ms).recv();
    auto const tick = timer.chan().recv();
    EXPECT_GE(*tick, start + 1ms);
    EXPECT_LE(*tick, latest);
  });
}

// TI12: one that nobody can see any more goes at once, in a select too.
TEST(Timer, UnreferencedGoes) {
  in_both([] {
    RecvChan<TimePoint> kept;
    for (int i = 0; i < scaled(10'000); ++i) {
      auto const chan = hamgam::make_chan<int>(1);
      chan.send(1);
      hamgam::select(hamgam::on_recv(chan), hamgam::on_recv(hamgam::after(1h)));
      kept = Timer(1ms).chan();  // dropping the Timer cancels nothing
    }
    EXPECT_TRUE(kept.recv().has_value());
  });
}

TEST(Timer, InSelect) {
  in_both([] {
    auto const never = hamgam::make_chan<int>();
    for (int i = 0; i < 20; ++i) {
      bool ticked = false;
      hamgam::select(hamgam::on_recv(never), hamgam::on_recv(hamgam::after(100us), [&](auto tick) {
                       ticked = tick.has_value();
                     }));
      EXPECT_TRUE(ticked);
    }
    Timer const over(0s);
    Timer const pending(1h);
    EXPECT_EQ(hamgam::select(hamgam::on_recv(pending.chan()), hamgam::on_recv(over.chan()),
                             hamgam::otherwise()),
              1U);
    EXPECT_EQ(hamgam::select(hamgam::on_recv(pending.chan()), hamgam::on_recv(over.chan()),
                             hamgam::otherwise()),
              2U);
  });
}

// TI13
TEST(Timer, Misuse) {
  EXPECT_EQ(panic_of([] { Ticker const t(0s); }), "non-positive interval for NewTicker");
  EXPECT_EQ(panic_of([] { Ticker const t(-1s); }), "non-positive interval for NewTicker");
  EXPECT_EQ(panic_of([] { Ticker(1h).reset(0ms); }), "non-positive interval for Ticker.Reset");
  Timer empty;
  EXPECT_FALSE(empty.chan());
  EXPECT_EQ(panic_of([&] { (void)empty.stop(); }), "time: Stop called on uninitialized Timer");
  EXPECT_EQ(panic_of([&] { (void)empty.reset(1s); }), "time: Reset called on uninitialized Timer");
  empty = Timer(0s);
  EXPECT_TRUE(empty.chan().recv().has_value());
  Ticker none;
  EXPECT_FALSE(none.chan());
  none.stop();
  EXPECT_EQ(panic_of([&] { none.reset(1s); }), "time: Reset called on uninitialized Ticker");
  none = Ticker(1us);
  EXPECT_TRUE(none.chan().recv().has_value());
  Timer timer(1h);
  Timer const other = std::move(timer);
  // NOLINTBEGIN(bugprone-use-after-move): what is tested
  EXPECT_EQ(panic_of([&] { (void)timer.stop(); }), "time: Stop called on uninitialized Timer");
  EXPECT_EQ(panic_of([&] { (void)timer.reset(1s); }), "time: Reset called on uninitialized Timer");
  Ticker ticker(1h);
  Ticker const moved = std::move(ticker);
  ticker.stop();
  EXPECT_EQ(panic_of([&] { ticker.reset(1s); }), "time: Reset called on uninitialized Ticker");
  // NOLINTEND(bugprone-use-after-move)
}

TEST(Ticker, Smoke) {
  in_both([] {
    auto const start = Clock::now();
    Ticker ticker(2ms);
    for (int i = 1; i <= 5; ++i) {
      auto const tick = ticker.chan().recv();
      EXPECT_GE(*tick, start + i * 2ms);
      EXPECT_LE(*tick, Clock::now());
    }
    ticker.reset(1h);
    EXPECT_FALSE(ticker.chan().recv_for(5ms).value.has_value());
  });
}

// A slow reader finds one tick, then the next that is due in the future.
TEST(Ticker, DropsTicks) {
  in_both([] {
    Ticker const ticker(1ms);
    (void)hamgam::after(20ms).recv();
    auto const before = Clock::now();
    auto const first = ticker.chan().try_recv().value;
    ASSERT_TRUE(first.has_value());
    EXPECT_LE(*first, before);
    EXPECT_GT(*ticker.chan().recv(), before);
  });
}

TEST(Ticker, StopsInItsDestructor) {
  in_both([] {
    RecvChan<TimePoint> chan;
    {
      Ticker const ticker(1ns);
      chan = ticker.chan();
      EXPECT_TRUE(chan.recv().has_value());
    }
    EXPECT_FALSE(chan.recv_for(2ms).value.has_value());
  });
}

// TI9
TEST(Ticker, ManyReaders) {
  hamgam::run([] {
    Ticker const ticker(1us);
    WaitGroup all;
    for (int i = 0; i < hamgam::max_procs() + 1; ++i) {
      all.go([&] {
        TimePoint last;
        for (int k = 0; k < scaled(2000); ++k) {
          auto const tick = *ticker.chan().recv();
          EXPECT_GT(tick, last);
          last = tick;
        }
      });
    }
    all.wait();
  });
}

TEST(AfterFunc, Smoke) {
  in_both([] {
    WaitGroup ran;
    ran.add(1);
    auto const start = Clock::now();
    TimePoint when;
    Timer timer = hamgam::after_func(1ms, [&, owned = std::make_unique<int>(1)] {
      when = Clock::now();
      EXPECT_NE(hamgam::goroutine_id(), 0U);
      ran.done();
    });
    EXPECT_FALSE(timer.chan());
    ran.wait();
    EXPECT_GE(when, start + 1ms);
    EXPECT_FALSE(timer.stop());
    ran.add(1);
    EXPECT_FALSE(timer.reset(1us));
    ran.wait();
  });
}

TEST(AfterFunc, StopPrevents) {
  in_both([] {
    std::atomic<int> ran{0};
    Timer timer = hamgam::after_func(1h, [&] { ++ran; });
    EXPECT_TRUE(timer.stop());
    EXPECT_FALSE(timer.stop());
    EXPECT_FALSE(timer.reset(1h));
    EXPECT_TRUE(timer.reset(2h));
    EXPECT_TRUE(timer.stop());
    EXPECT_EQ(ran, 0);
  });
}

TEST(AfterFunc, DroppingCancelsNothing) {
  in_both([] {
    WaitGroup ran;
    ran.add(2);
    (void)hamgam::after_func(1ms, [&] { ran.done(); });
    (void)hamgam::after_func(-1s, [&] { ran.done(); });
    ran.wait();
  });
}

// Exactly one of f and a stop that is true.
TEST(AfterFunc, StopRacesWithFiring) {
  hamgam::run([] {
    for (int i = 0; i < scaled(2000); ++i) {
      std::atomic<int> ran{0};
      WaitGroup ended;
      ended.add(1);
      Timer timer = hamgam::after_func(std::chrono::microseconds(i % 20), [&] {
        ++ran;
        ended.done();
      });
      for (int k = 0; k < i % 5; ++k) {
        hamgam::yield();
      }
      if (timer.stop()) {
        EXPECT_EQ(ran, 0);
        ended.done();
      }
      ended.wait();
    }
  });
}

// What f captured goes with the last of the Timer and the call.
TEST(AfterFunc, CapturesEnd) {
  in_both([] {
    auto const captured = std::make_shared<int>();
    Timer timer = hamgam::after_func(1h, [captured] {});
    EXPECT_TRUE(timer.stop());
    EXPECT_FALSE(timer.reset(1h));  // it may always be started again
    EXPECT_TRUE(timer.stop());
    timer = {};
    EXPECT_EQ(captured.use_count(), 1);

    WaitGroup gone;
    gone.add();
    std::uint64_t ran = 0;
    std::uint64_t ended = 0;
    std::shared_ptr<int> sentinel(nullptr, [&](const int*) {
      ended = hamgam::goroutine_id();
      gone.done();
    });
    WaitGroup dropped;
    dropped.add();
    (void)hamgam::after_func(1us, [&, held = std::move(sentinel)] {
      dropped.wait();
      ran = hamgam::goroutine_id();
    });
    dropped.done();
    gone.wait();
    EXPECT_NE(ran, 0U);
    EXPECT_EQ(ended, ran);
  });
}

// f may stop, reset, move and destroy the Timer that called it.
TEST(AfterFunc, LifetimeIsUpToItself) {
  in_both([] {
    for (int i = 0; i < scaled(1000); ++i) {
      hamgam::Mutex mutex;
      std::unique_ptr<Timer> timer;
      WaitGroup gone;
      gone.add();
      int ran = 0;
      std::shared_ptr<int> sentinel(nullptr, [&](const int*) { gone.done(); });
      std::unique_lock lock(mutex);
      timer = std::make_unique<Timer>(
          hamgam::after_func(std::chrono::microseconds(i % 3), [&, held = std::move(sentinel)] {
            std::lock_guard const guard(mutex);
            switch (++ran) {
              case 1:
                EXPECT_FALSE(timer->stop());
                EXPECT_FALSE(timer->reset(1h));
                EXPECT_TRUE(timer->reset(1us));
                break;
              case 2: {
                auto moved = std::make_unique<Timer>(std::move(*timer));
                timer = std::move(moved);
                EXPECT_FALSE(timer->reset(0s));
                break;
              }
              default:
                timer.reset();
            }
          }));
      lock.unlock();
      gone.wait();
      EXPECT_EQ(ran, 3);
    }
  });
}

// A Timer moved, stopped and started anew while it fires: f runs once for each start that no stop
// or reset took back.
TEST(AfterFunc, MovedWhileFiring) {
  hamgam::run([] {
    for (int i = 0; i < scaled(2000); ++i) {
      std::atomic<int> ran{0};
      int wanted = 1;
      Timer timer = hamgam::after_func(std::chrono::microseconds(i % 4), [&ran] { ++ran; });
      for (int k = 0; k < 5; ++k) {
        Timer moved = std::move(timer);
        wanted += moved.reset(std::chrono::microseconds(k % 3)) ? 0 : 1;
        timer = std::move(moved);
        if ((i + k) % 4 == 0) {
          hamgam::yield();
        }
      }
      wanted -= timer.stop() ? 1 : 0;
      while (ran < wanted) {
        hamgam::yield();
      }
      EXPECT_EQ(ran, wanted);
      timer = {};
    }
  });
}

// TI14
TEST(AfterFunc, RearmsItself) {
  in_both([] {
    WaitGroup done;
    done.add(1);
    int left = 50;
    struct Again {
      int* left;
      WaitGroup* done;
      void operator()() const {
        if (--*left == 0) {
          done->done();
        } else {
          (void)hamgam::after_func(1us, *this);
        }
      }
    };
    (void)hamgam::after_func(0s, Again{&left, &done});
    done.wait();
    EXPECT_EQ(left, 0);
  });
}

// A million pending timers, of which most are dropped.
TEST(Timer, Many) {
  hamgam::run([] {
    std::vector<Timer> timers;
    for (int i = 0; i < scaled(1'000'000); ++i) {
      timers.emplace_back(i % 10 == 0
                              ? hamgam::after_func(1h + std::chrono::microseconds(i % 1000), [] {})
                              : Timer(1h));
    }
    for (Timer& timer : timers) {
      EXPECT_TRUE(timer.stop());
    }
  });
}

}  // namespace
