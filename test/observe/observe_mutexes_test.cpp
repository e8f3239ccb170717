// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>

#include "hamgam/hamgam.h"
#include "observe/stacks.h"
#include "support/child.h"
#include "support/crew.h"
#include "support/scale.h"
#include "support/thread_limit.h"
#include "support/until.h"

// Who waits while its thread has a std::mutex is told of, once a place, and nobody else.

namespace hamgam {
namespace {

using namespace std::chrono_literals;

std::mutex g_mutex;  // static: it outlives whoever never unlocks it
std::shared_mutex g_shared;

int times(const std::string& text, const std::string& part) {
  int n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++n;
  }
  return n;
}

using Gate = Chan<int>;

template <class F>
HAMGAM_TEST_FRAME void holds_a_mutex(F f) {
  g_mutex.lock();
  f();
  g_mutex.unlock();
}

HAMGAM_TEST_FRAME void holds_to_read(const Gate& gate) {
  g_shared.lock_shared();
  (void)gate.recv();
  g_shared.unlock_shared();
}

// Runs f in a goroutine that is alone on one worker, so that it keeps its thread. It will be seen
// so often: each time the gate lets one through, so that it has waited there. Then says how often.
test::Child in_goroutine(unsigned times_seen, const std::function<void(const Gate&)>& f) {
  return test::in_child([&f, times_seen] {
    observe::watch_mutexes();
    test::Procs const one(1);
    auto const gate = make_chan<int>(static_cast<int>(times_seen));
    WaitGroup all;
    all.go({.name = "holder"}, [&f, &gate] { f(gate); });
    for (unsigned i = 1; i <= times_seen; ++i) {
      test::until([i] { return observe::mutex_reports() >= i; });
      gate.send(1);
    }
    all.wait();
    std::fprintf(stderr, "%llu seen\n", static_cast<unsigned long long>(observe::mutex_reports()));
    std::_Exit(0);
  });
}

TEST(HeldMutexes, who_waits) {
  test::Child const child =
      in_goroutine(1, [](const Gate& gate) { holds_a_mutex([&] { (void)gate.recv(); }); });
  EXPECT_TRUE(child.succeeded()) << child.error;
  EXPECT_TRUE(child.begins("hamgam: goroutine ")) << child.error;
  EXPECT_TRUE(
      child.says(" waits while its thread has a mutex that is not ours; it was locked at\n"))
      << child.error;
  EXPECT_TRUE(child.says(" [chan receive]: holder\n")) << child.error;
  EXPECT_EQ(times(child.error, "holds_a_mutex"), 2) << child.error;  // both places
  EXPECT_TRUE(child.says("\n1 seen\n")) << child.error;
}

TEST(HeldMutexes, who_yields) {
  test::Child const child = in_goroutine(1, [](const Gate& /*gate*/) {
    while (observe::mutex_reports() == 0) {
      WaitGroup other;
      other.go([] {});  // else it runs on
      holds_a_mutex([] { yield(); });
      other.wait();
    }
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
  EXPECT_TRUE(child.says(" yields while its thread has a mutex")) << child.error;
}

TEST(HeldMutexes, who_ends) {
  test::Child const child = in_goroutine(1, [](const Gate& /*gate*/) { g_mutex.lock(); });
  EXPECT_TRUE(child.succeeded()) << child.error;
  EXPECT_TRUE(child.says(" ends while its thread has a mutex")) << child.error;
}

// Whoever joined one went on before its mutex was looked for.
TEST(HeldMutexes, who_joins_one_that_ended_finds_it_counted) {
  test::Child const child = test::in_child([] {
    observe::watch_mutexes();
    static std::deque<std::mutex> mutexes;
    unsigned behind = 0;
    for (unsigned i = 1; i <= static_cast<unsigned>(test::scaled_spawns(5000)); ++i) {
      std::mutex& mutex = mutexes.emplace_back();
      WaitGroup one;
      one.go([&mutex] { mutex.lock(); });
      one.wait();
      behind += observe::mutex_reports() == i ? 0 : 1;
    }
    std::fprintf(stderr, "%u behind\n", behind);
    std::_Exit(0);
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
  EXPECT_TRUE(child.says("\n0 behind\n")) << child.error;
}

// Two wait with one, each at its place, and the system refuses the thread that would tell of it.
void refuse_a_thread_for_two() {
  observe::watch_mutexes();
  max_procs(1);
  WaitGroup first;  // starts all threads that there are to be
  first.go([] { (void)after(1ms).recv(); });
  first.wait();
  test::g_no_more_threads = true;
  static auto const kNever = make_chan<int>();
  go([] { holds_a_mutex([] { (void)kNever.recv(); }); });
  go([] { holds_to_read(kNever); });
  test::until([] { return observe::mutex_reports() == 2; });
}

// They were lost without a word.
TEST(HeldMutexes, without_a_thread_the_exit_says_how_many) {
  test::Child const child = test::in_child([] {
    refuse_a_thread_for_two();
    std::exit(0);
  });
  EXPECT_TRUE(child.succeeded()) << child.status;
  EXPECT_EQ(child.error, "hamgam: mutexes: 2 not told of: the system refuses a thread for it\n");
}

TEST(HeldMutexes, a_thread_that_comes_at_the_exit_tells_of_them) {
  test::Child const child = test::in_child([] {
    refuse_a_thread_for_two();
    test::g_no_more_threads = false;
    std::exit(0);
  });
  EXPECT_TRUE(child.succeeded()) << child.status;
  EXPECT_EQ(times(child.error, "hamgam: goroutine "), 2) << child.error;
}

// The child of a fork waited for a lock that a thread had which was not there, and died of it.
TEST(HeldMutexes, forks_while_they_are_seen) {
  test::Child const child = test::in_child([] {
    observe::watch_mutexes();
    max_procs(1);
    std::atomic<bool> over{false};
    WaitGroup all;
    for (int i = 0; i < 2; ++i) {
      all.go([&over] {
        std::mutex mutex;
        while (!over) {
          mutex.lock();
          yield();
          mutex.unlock();
        }
      });
    }
    int bad = 0;
    for (int i = 0; i < test::scaled(500); ++i) {
      test::until([] { return observe::mutex_reports() != 0; });
      pid_t const forked = fork();
      if (forked == 0) {
        alarm(20);
        _exit(observe::mutex_reports() != 0 ? 100 : 1);
      }
      int status = -1;
      waitpid(forked, &status, 0);
      bad += WIFEXITED(status) && WEXITSTATUS(status) == 100 ? 0 : 1;
    }
    over = true;
    all.wait();
    std::_Exit(bad == 0 ? 0 : 1);
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
}

TEST(HeldMutexes, the_exit_waits_until_it_is_told) {
  auto const child = test::in_child([] {
    observe::watch_mutexes();
    auto const never = make_chan<int>();
    go({.name = "holder"}, [never] { holds_a_mutex([&] { (void)never.recv(); }); });
    test::await_waiting("holder", "chan receive");
    std::exit(0);
  });
  EXPECT_TRUE(child.succeeded()) << child.status;
  EXPECT_TRUE(child.says(" [chan receive]: holder\n")) << child.error;
}

TEST(HeldMutexes, readers) {
  test::Child const child = in_goroutine(1, holds_to_read);
  EXPECT_TRUE(child.succeeded()) << child.error;
  EXPECT_TRUE(child.says("holds_to_read")) << child.error;
}

TEST(HeldMutexes, a_place_once_and_all_counted) {
  test::Child const child = in_goroutine(11, [](const Gate& gate) {
    for (int i = 0; i < 10; ++i) {
      holds_a_mutex([&] { (void)gate.recv(); });
    }
    holds_to_read(gate);
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
  EXPECT_EQ(times(child.error, "hamgam: goroutine "), 2) << child.error;
  EXPECT_TRUE(child.says("\n11 seen\n")) << child.error;
}

TEST(HeldMutexes, several) {
  test::Child const child = in_goroutine(1, [](const Gate& gate) {
    std::lock_guard const other(g_shared);
    holds_a_mutex([&] { (void)gate.recv(); });
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
  EXPECT_TRUE(child.says(" has a mutex that is not ours, and 1 more; it was locked at\n"))
      << child.error;
}

// Of a switch that another goroutine makes on that thread it is not told.
TEST(HeldMutexes, not_those_who_do_not) {
  test::Child const child = in_goroutine(0, [](const Gate& /*gate*/) {
    { std::lock_guard const guard(g_mutex); }
    sleep(1ms);
    g_mutex.lock();
    EXPECT_FALSE(g_mutex.try_lock());
    g_mutex.unlock();
    sleep(1ms);
    Mutex ours;
    std::lock_guard const guard(ours);
    sleep(1ms);
    blocking([] { holds_a_mutex([] { std::this_thread::sleep_for(1ms); }); });
    holds_a_mutex([] {
      (void)make_chan<int>(1).try_send(1);
      Mutex free;
      std::lock_guard const uncontended(free);
    });
    WaitGroup group;
    group.go([] {
      for (int i = 0; i < 10; ++i) {
        sleep(100us);
      }
    });
    group.wait();
    std::thread([] { holds_a_mutex([] { sleep(1ms); }); }).join();  // a plain thread keeps itself
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
  EXPECT_EQ(child.error, "0 seen\n");
}

TEST(HeldMutexes, another_who_goes_on_there_is_not_told_of) {
  test::Child const child = in_goroutine(1, [](const Gate& gate) {
    auto const unlock = make_chan<int>();
    WaitGroup group;
    group.go([&] { holds_a_mutex([&] { (void)unlock.recv(); }); });
    (void)gate.recv();
    for (int i = 0; i < 10; ++i) {
      sleep(100us);
    }
    unlock.send(1);
    group.wait();
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
  EXPECT_TRUE(child.says("\n1 seen\n")) << child.error;
}

TEST(HeldMutexes, condition_variables_of_threads) {
  test::Child const child = in_goroutine(0, [](const Gate& /*gate*/) {
    std::condition_variable changed;
    bool done = false;
    blocking([&] {
      std::thread other([&] {
        std::lock_guard const guard(g_mutex);
        done = true;
        changed.notify_one();
      });
      {
        std::unique_lock lock(g_mutex);
        changed.wait(lock, [&] { return done; });
      }
      other.join();
    });
    sleep(1ms);
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
  EXPECT_EQ(child.error, "0 seen\n");
}

}  // namespace
}  // namespace hamgam
