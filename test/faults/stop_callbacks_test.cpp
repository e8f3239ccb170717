// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "hamgam/hamgam.h"
#include "support/asleep.h"
#include "support/child.h"
#include "support/crew.h"
#include "support/scale.h"

// std::stop_callback knows the one that runs a callback by its thread. A callback that parked its
// goroutine changed threads: its destructor returned while it ran, or waited for itself.

namespace hamgam {
namespace {

using namespace std::chrono_literals;
using Callback = std::stop_callback<std::function<void()>>;

// How many goroutines run at once.
class StopCallbacks : public testing::TestWithParam<int> {
 protected:
  test::Procs const limit_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Procs, StopCallbacks, testing::Values(1, 2),
                         [](const auto& info) { return std::to_string(info.param); });

// In goroutines, so that the destructor is called on a worker's thread.
void in_goroutine(const std::function<void()>& f) {
  WaitGroup group;
  group.go(f);
  group.wait();
}

// What may be called to run the callbacks: none of them may switch meanwhile.
using Stop = std::function<void()>;

void destructor_waits(const std::stop_token& token, const Stop& stop) {
  Mutex mutex;
  mutex.lock();
  std::atomic<bool> in{false};
  std::atomic<bool> out{false};
  // Before the callback is there: a deadline may have passed by then, which runs it at once.
  WaitGroup group;
  group.go([&] {
    test::await_asleep(&mutex, 1);  // the callback
    mutex.unlock();
  });
  std::optional<Callback> callback(std::in_place, token, [&] {
    in = true;
    { LockGuard const guard(mutex); }
    sleep(100us);  // so that the destructor finds it running
    yield();
    out = true;
  });
  group.go(stop);
  while (!in) {
    yield();
  }
  callback.reset();
  EXPECT_TRUE(out);
  group.wait();
}

TEST_P(StopCallbacks, of_a_context_are_waited_for) {
  for (int round = 0; round < test::scaled(20); ++round) {
    in_goroutine([] {
      auto [ctx, cancel] = with_cancel(Context::background());
      destructor_waits(ctx.stop_token(), [stop = cancel] { stop(); });
    });
  }
}

TEST_P(StopCallbacks, in_blocking_are_waited_for) {
  for (int round = 0; round < test::scaled(20); ++round) {
    in_goroutine([] {
      std::stop_source source;
      destructor_waits(source.get_token(),
                       [&] { blocking([&] { EXPECT_TRUE(source.request_stop()); }); });
    });
  }
}

TEST_P(StopCallbacks, of_a_deadline_are_waited_for) {
  for (int round = 0; round < test::scaled(20); ++round) {
    in_goroutine([] {
      auto [ctx, cancel] = with_timeout(Context::background(), 1ms);
      destructor_waits(ctx.stop_token(), [] {});
    });
  }
}

// The library calls request_stop() for these.
TEST_P(StopCallbacks, of_a_peer_that_is_gone_are_waited_for) {
  for (int round = 0; round < test::scaled(20); ++round) {
    in_goroutine([] {
      auto [here, there] = net::pipe();
      destructor_waits(here.peer_gone(), [peer = there] { peer.close(); });
    });
  }
}

TEST_P(StopCallbacks, destroy_themselves_after_they_waited) {
  for (int round = 0; round < test::scaled(100); ++round) {
    auto [ctx, cancel] = with_cancel(Context::background());
    std::unique_ptr<Callback> callback;
    callback = std::make_unique<Callback>(ctx.stop_token(), [&] {
      for (int i = 0; i < 3; ++i) {
        sleep(20us);  // parks
        yield();
      }
      callback.reset();
    });
    WaitGroup group;
    for (int i = 0; i < 3; ++i) {
      group.go([] {
        for (int j = 0; j < 20; ++j) {
          sleep(20us);  // something to switch to
        }
      });
    }
    group.go([stop = cancel] { stop(); });
    group.wait();
    EXPECT_EQ(callback, nullptr);
  }
}

// Waiters of our own on the same token, while callbacks of the program's park the one that runs
// them all, by a plain request_stop().
TEST_P(StopCallbacks, that_park_do_not_disturb_our_waiters) {
  for (int round = 0; round < test::scaled(100); ++round) {
    std::stop_source source;
    Semaphore none(1);
    none.acquire();
    Chan<int> const chan = make_chan<int>();
    std::atomic<std::size_t> begun{0};
    constexpr std::size_t kWaiters = 12;
    std::array<std::optional<Callback>, kWaiters> callbacks;  // gone when request_stop has returned
    WaitGroup group;
    for (std::size_t i = 0; i < kWaiters; ++i) {
      group.go([&, i] {
        callbacks[i].emplace(source.get_token(), [] {
          sleep(10us);  // parks
          yield();
        });
        ++begun;
        if (i % 3 == 0) {
          EXPECT_FALSE(none.acquire(source.get_token()));
        } else if (i % 3 == 1) {
          select(on_recv(chan), on_stop(source.get_token()));
        } else {
          EXPECT_FALSE(sleep(1h, source.get_token()));
        }
      });
    }
    while (begun.load() < kWaiters) {
      yield();
    }
    group.go([&] { source.request_stop(); });
    group.wait();
  }
}

// A goroutine that keeps its thread lets the others run: while it sleeps, and when it yields.
TEST_P(StopCallbacks, let_others_run) {
  in_goroutine([] {
    auto [ctx, cancel] = with_cancel(Context::background());
    Chan<int> const chan = make_chan<int>();
    std::atomic<bool> flag{false};
    std::thread::id before;
    std::thread::id after;
    Callback const callback(ctx.stop_token(), [&] {
      before = std::this_thread::get_id();
      go([&] { chan.send(7); });
      EXPECT_EQ(chan.recv(), 7);
      go([&] { chan.recv(); });
      chan.send(8);
      EXPECT_EQ(select(on_recv(chan), on_timeout(1ms)), 1U);
      go([&] { flag = true; });
      while (!flag) {
        yield();
      }
      Atomic<int> value(0);
      WaitGroup group;
      group.go([&] {
        value.store(1);
        value.notify_all();
      });
      value.wait(0);
      group.wait();
      after = std::this_thread::get_id();
    });
    cancel();
    EXPECT_EQ(before, after);
  });
}

TEST(StopCallbacksThatSleep, are_no_deadlock_while_they_wake_by_themselves) {
  auto child = test::in_child([] {
    return run([] {
      auto [ctx, cancel] = with_cancel(Context::background());
      Callback const callback(ctx.stop_token(), [] { sleep(300ms); });
      cancel();  // long enough for a deadlock to be declared
      Mutex mutex;
      mutex.lock();
      std::thread other([&] {
        std::this_thread::sleep_for(300ms);
        mutex.unlock();
      });
      blocking([&] { mutex.lock(); });
      other.join();
    });
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
}

}  // namespace
}  // namespace hamgam
