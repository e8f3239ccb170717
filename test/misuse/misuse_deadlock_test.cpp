// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <latch>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "hamgam/hamgam.h"
#include "support/asleep.h"
#include "support/child.h"

// SC12: when a deadlock is declared, and when not. (An emulator has threads of its own, so none is
// ever declared there: these tests are not registered for it.)

namespace hamgam {
namespace {

using namespace std::chrono_literals;
using test::in_child;

constexpr const char* kAsleep = "fatal error: all goroutines are asleep - deadlock!\n";

void expect_deadlock(const test::Child& child) {
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins(kAsleep)) << child.error;
}

void sleep_for_good() {
  Mutex mutex;
  mutex.lock();
  mutex.lock();
}

TEST(MisuseDeadlock, SC12_simple) {
  auto child = in_child([] { (void)run([] { sleep_for_good(); }); });
  expect_deadlock(child);
  EXPECT_TRUE(child.says("\ngoroutine 1 [sync.Mutex.Lock]:\n")) << child.error;
}

// A goroutine that keeps its thread sleeps on it.
TEST(MisuseDeadlock, in_a_stop_callback) {
  auto child = in_child([] {
    (void)run([] {
      auto [ctx, cancel] = with_cancel(Context::background());
      std::stop_callback const callback(ctx.stop_token(), [] { (void)Chan<int>().recv(); });
      WaitGroup group;
      group.go([stop = cancel] { stop(); });
      group.wait();
    });
  });
  expect_deadlock(child);
  EXPECT_TRUE(child.says(" [waits on its thread]:\n")) << child.error;
}

TEST(MisuseDeadlock, all_of_several) {
  auto child = in_child([] {
    (void)run([] {
      WaitGroup group;
      Atomic<int> never;
      go(GoOptions{.name = "waiter"}, [&] { never.wait(0); });
      go([] {});
      group.add(1);
      group.wait();
    });
  });
  expect_deadlock(child);
  EXPECT_TRUE(child.says("\ngoroutine 1 [sync.WaitGroup.Wait]:\n")) << child.error;
  EXPECT_TRUE(child.says(" [sync/atomic wait]: waiter\n")) << child.error;
}

// A thread that sleeps here too cannot wake anybody.
TEST(MisuseDeadlock, with_a_plain_thread_asleep) {
  auto child = in_child([] {
    Mutex mutex;
    mutex.lock();
    std::thread([&] { mutex.lock(); }).detach();
    test::await_asleep(&mutex, 1);
    (void)run([&] { mutex.lock(); });
  });
  expect_deadlock(child);
}

TEST(MisuseDeadlock, after_work_and_blocking_and_timers) {
  auto child = in_child([] {
    (void)run([] {
      WaitGroup group;
      for (int i = 0; i < 20; ++i) {
        group.go([] {
          yield();
          blocking([] { std::this_thread::sleep_for(1ms); });
          sleep(1ms);
        });
      }
      group.wait();
      group.add(1);
      group.wait();
    });
  });
  expect_deadlock(child);
}

// N70: nobody is taken for deadlocked before. By then the monitor sleeps for good: nothing else has
// happened for a while.
TEST(MisuseDeadlock, after_the_last_wait_for_a_socket) {
  auto child = in_child([] {
    (void)run([] {
      auto const never = make_chan<int>();
      std::thread waiter([&] {
        auto [here, there] = net::pipe();
        std::array<std::byte, 1> byte{};
        (void)here.read_some_for(byte, 2500ms);
        (void)never.recv();
      });
      (void)never.recv();
      waiter.join();
    });
  });
  expect_deadlock(child);
}

TEST(MisuseDeadlock, after_a_thread_has_stopped_the_last_timer) {
  auto child = in_child([] {
    (void)run([] {
      auto const never = make_chan<int>();
      std::thread stopper([&] {
        Timer late = after_func(1h, [] {});
        std::this_thread::sleep_for(2500ms);  // as above: nothing happens meanwhile
        (void)late.stop();
        (void)never.recv();
      });
      (void)never.recv();
      stopper.join();
    });
  });
  expect_deadlock(child);
}

TEST(MisuseDeadlock, in_a_second_run) {
  auto child = in_child([] {
    (void)run([] { sleep(1ms); });
    (void)run([] { sleep_for_good(); });
  });
  expect_deadlock(child);
}

// Main ends by goexit: the others go on, and when the last has ended nothing is left.
TEST(MisuseDeadlock, SC12_goexit_from_main) {
  auto child = in_child([] {
    (void)run([] {
      go([] {
        sleep(5ms);
        std::fputs("the other went on\n", stderr);
      });
      goexit();
    });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(
      child.begins("the other went on\n"
                   "fatal error: no goroutines (main called runtime.Goexit) - deadlock!\n"))
      << child.error;
}

TEST(MisuseDeadlock, SC12_goexit_from_main_and_others_asleep) {
  auto child = in_child([] {
    (void)run([] {
      static Mutex mutex;
      mutex.lock();
      go([] { mutex.lock(); });
      goexit();
    });
  });
  expect_deadlock(child);
}

// While a thread exists that the library knows nothing of, it may wake somebody; when it has ended,
// it cannot.
TEST(MisuseDeadlock, not_while_a_thread_exists) {
  auto child = in_child([] {
    Mutex mutex;
    mutex.lock();
    std::thread thread([&] {
      std::this_thread::sleep_for(200ms);
      mutex.unlock();
    });
    (void)run([&] { mutex.lock(); });
    thread.join();
    std::thread([] { std::this_thread::sleep_for(50ms); }).detach();
    (void)run([&] {
      std::fputs("now\n", stderr);
      mutex.lock();
    });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("now\nfatal error: all goroutines are asleep - deadlock!\n"))
      << child.error;
}

TEST(MisuseDeadlock, not_while_a_timer_is_pending) {
  auto child = in_child([] {
    (void)run([] {
      Mutex mutex;
      mutex.lock();
      EXPECT_FALSE(mutex.try_lock_for(100ms));
      go([&] {
        sleep(100ms);
        mutex.unlock();
      });
      mutex.lock();
    });
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
}

TEST(MisuseDeadlock, not_outside_run) {
  auto child = in_child([] {
    static Mutex mutex;
    mutex.lock();
    go([] { mutex.lock(); });
    std::this_thread::sleep_for(100ms);
    (void)run([] {});
    std::this_thread::sleep_for(100ms);
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
}

// Wakes that go round between goroutines and threads, each asleep most of the time: never is
// anybody taken for stuck.
TEST(MisuseDeadlock, not_while_threads_and_goroutines_wake_each_other) {
  auto child = in_child([] {
    Atomic<int> ball;
    auto play = [&](int me, int players) {
      for (int round = 0; round < 20000; ++round) {
        int const mine = round * players + me;
        for (int now = ball.load(); now != mine; now = ball.load()) {
          ball.wait(now);
        }
        ball.store(mine + 1);
        ball.notify_all();
        if (round % 500 == 0 && me == 0) {
          sleep(1ms);
        }
      }
    };
    std::thread thread([&] { play(0, 3); });
    (void)run([&] {
      WaitGroup group;
      group.go([&] { play(1, 3); });
      play(2, 3);
      group.wait();
    });
    thread.join();
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
}

// A value that was removed from a map that somebody reads goes on the janitor's thread.
template <class Gone>
struct Removed {
  explicit Removed(Gone g) : gone(std::move(g)) {}
  Removed(Removed&&) = delete;
  Removed& operator=(Removed&&) = delete;
  ~Removed() { gone(); }
  Gone gone;
};

TEST(MisuseDeadlock, false_deadlock_janitor) {
  auto child = in_child([] {
    static Mutex gate;
    auto values = make_chan<int>();
    std::atomic<bool> locked{false};
    std::thread unknown([&] {
      gate.lock();
      locked = true;
      std::this_thread::sleep_for(300ms);  // long enough for a deadlock to be declared
      gate.unlock();
      values.send(1);
    });
    (void)run([&] {
      test::until([&] { return locked.load(); });
      static Map<int, std::shared_ptr<Removed<void (*)()>>> map;
      map.store(0, nullptr);
      map.store(1,
                std::make_shared<Removed<void (*)()>>([] { std::scoped_lock const lock(gate); }));
      map.for_each([](int, const auto&) { (void)map.erase(1); });
      (void)values.recv();
    });
    unknown.join();
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
}

// What the janitor is going to destroy may wake somebody.
TEST(MisuseDeadlock, not_while_the_janitor_has_work) {
  auto child = in_child([] {
    (void)run([] {
      static WaitGroup gone;
      gone.add(1);
      static Map<int, std::shared_ptr<Removed<void (*)()>>> map;
      map.store(0, nullptr);
      map.store(1, std::make_shared<Removed<void (*)()>>([] { gone.done(); }));
      map.for_each([](int, const auto&) { (void)map.erase(1); });
      gone.wait();
    });
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
}

// ... and not if that waits, too.
TEST(MisuseDeadlock, with_a_destructor_asleep) {
  auto child = in_child([] {
    (void)run([] {
      static Mutex gate;
      gate.lock();
      static Map<int, std::shared_ptr<Removed<void (*)()>>> map;
      map.store(0, nullptr);
      map.store(1, std::make_shared<Removed<void (*)()>>([] { gate.lock(); }));
      map.for_each([](int, const auto&) { (void)map.erase(1); });
      gate.lock();
    });
  });
  expect_deadlock(child);
}

// The janitor sleeps for good once all pools are empty.
TEST(MisuseDeadlock, with_things_in_a_pool) {
  auto child = in_child([] {
    (void)run([] {
      Pool<int> pool;
      pool.put(std::make_unique<int>(1));
      sleep_for_good();
    });
  });
  expect_deadlock(child);
}

// Threads that have slept here, read maps and locks, and ended.
TEST(MisuseDeadlock, with_threads_that_ended) {
  auto child = in_child([] {
    Map<int, int> map;
    RWMutex shared;
    Mutex mutex;
    for (int round = 0; round < 20; ++round) {
      mutex.lock();
      std::vector<std::thread> threads;
      for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&, i] {
          map.store(i, i);
          (void)map.load(i);
          std::shared_lock const reader(shared);
          std::scoped_lock const lock(mutex);
        });
      }
      test::await_asleep(&mutex, 1);
      mutex.unlock();
      for (std::thread& thread : threads) {
        thread.join();
      }
    }
    mutex.lock();
    std::thread([&] { mutex.lock(); }).detach();
    test::await_asleep(&mutex, 1);
    (void)run([&] { mutex.lock(); });
  });
  expect_deadlock(child);
}

// A thread whose end is under way sleeps, too; and nobody is left to stop the one with the token.
TEST(MisuseDeadlock, with_a_thread_that_ends_and_one_with_a_token) {
  auto child = in_child([] {
    static Mutex mutex;
    mutex.lock();
    struct Late {
      ~Late() { mutex.lock(); }
    };
    std::stop_source never;
    std::thread([] {
      thread_local Late const late;
      static_cast<void>(&late);
      Mutex known;
      known.lock();
      (void)known.try_lock_for(1ms);
    }).detach();
    std::thread([&] { (void)mutex.try_lock(never.get_token()); }).detach();
    test::await_asleep(&mutex, 2);
    (void)run([&] { mutex.lock(); });
  });
  expect_deadlock(child);
}

// A timer that is being fired by a worker that only keeps time.
TEST(MisuseDeadlock, false_deadlock_keeper) {
  auto child = in_child(
      [] {
        (void)run([] {
          auto ended = std::chrono::steady_clock::now() + 1s;
          std::latch two(2);  // so there is a second worker
          WaitGroup both;
          both.go([&] { blocking([&] { two.arrive_and_wait(); }); });
          both.go([&] { blocking([&] { two.arrive_and_wait(); }); });
          both.wait();
          while (std::chrono::steady_clock::now() < ended) {
            WaitGroup group;
            group.go([] { sleep(2ms); });
            yield();
            auto const until = std::chrono::steady_clock::now() + 2600us;
            while (std::chrono::steady_clock::now() < until) {
            }
            group.wait();
          }
        });
      },
      {"HAMGAM_PROCS=1"});
  EXPECT_TRUE(child.succeeded()) << child.error;
}

}  // namespace
}  // namespace hamgam
