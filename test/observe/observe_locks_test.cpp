// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <mutex>
#include <new>
#include <numeric>
#include <random>
#include <regex>
#include <shared_mutex>
#include <string>
#include <thread>
#include <vector>

#include "hamgam/hamgam.h"
#include "observe/stacks.h"
#include "support/child.h"
#include "support/crew.h"
#include "support/seed.h"
#include "support/until.h"

// Locks that are watched: circles of those who wait for each other are told of, and nothing else.

namespace hamgam {
namespace {

using namespace std::chrono_literals;

// The test goes on while the others wait for ever; so does the child that is told to.
[[noreturn]] void leave(bool good) { std::_Exit(good ? 0 : 1); }

// One report, and then the child ends. `wrong`: makes the circle.
template <class Wrong>
test::Child reported(Wrong wrong, std::uint64_t reports = 1) {
  return test::in_child(
      [&] {
        wrong();
        test::until([&] { return observe::lock_reports() >= reports; });
        // Others go on.
        WaitGroup all;
        Mutex mutex;
        for (int i = 0; i < 10; ++i) {
          all.go([&] { std::lock_guard const guard(mutex); });
        }
        all.wait();
        leave(observe::lock_reports() == reports);
      },
      {"HAMGAM_DEBUG=locks"});
}

int count_in(const std::string& text, const std::string& word) {
  int count = 0;
  for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
    ++count;
  }
  return count;
}

// Each takes its own, then its neighbour's. For ever.
template <class M>
struct Table {
  explicit Table(int seats) : locks(static_cast<std::size_t>(seats)), all_have_one(seats) {}
  HAMGAM_TEST_FRAME void takes_its_own(std::size_t seat) {
    locks[seat].lock();
    all_have_one.arrive_and_wait();
    takes_the_next(seat);
  }
  HAMGAM_TEST_FRAME void takes_the_next(std::size_t seat) {
    locks[(seat + 1) % locks.size()].lock();
    ++done;
  }
  std::vector<M> locks;
  Barrier all_have_one;
  std::atomic<int> done{0};
};

// (sanitizers, issues 492 and 1258: the deadlock that really closes is not seen.)
TEST(Locks, OB5_two_goroutines_and_a_thread) {
  auto const child = reported([] {
    static Table<Mutex> table(3);
    go({.name = "first"}, [] { table.takes_its_own(0); });
    go({.name = "second"}, [] { table.takes_its_own(1); });
    std::thread([] { table.takes_its_own(2); }).detach();
  });
  EXPECT_TRUE(child.succeeded()) << child.status;
  EXPECT_TRUE(child.begins("hamgam: deadlock: 3 wait for each other's locks, for ever\n\n"))
      << child.error;
  EXPECT_EQ(count_in(child.error, " waits for Mutex 0x"), 3) << child.error;
  EXPECT_EQ(count_in(child.error, " locked at\n"), 3) << child.error;
  EXPECT_TRUE(child.says(" [sync.Mutex.Lock]: first\n")) << child.error;
  EXPECT_TRUE(child.says(" [sync.Mutex.Lock]: second\n")) << child.error;
  EXPECT_TRUE(child.says("\nthread ")) << child.error;
  // Where each took its own, and where it waits; of the goroutines only if stacks are seen.
  EXPECT_TRUE(std::regex_search(child.error,
                                std::regex("( locked at\n.*takes_its_own.*\n\t.*\n[^\n]*){3}\n")))
      << child.error;
  EXPECT_GE(count_in(child.error, "takes_the_next"), test::stacks_are_seen() ? 3 : 1)
      << child.error;
}

// (ByroRedux, issue 2675: circles of two only.)
TEST(Locks, OB18_circles_of_many) {
  for (int size : {2, 3, 5, 17}) {
    auto const child = reported([size] {
      auto* const table = new Table<Mutex>(size);
      for (int i = 0; i < size; ++i) {
        go([table, i] { table->takes_its_own(static_cast<std::size_t>(i)); });
      }
    });
    EXPECT_TRUE(child.succeeded()) << child.status << child.error;
    EXPECT_TRUE(child.begins("hamgam: deadlock: " + std::to_string(size) + " wait for"))
        << child.error;
    EXPECT_EQ(count_in(child.error, " waits for Mutex 0x"), size) << child.error;
  }
}

TEST(Locks, of_writers) {
  auto const child = reported([] {
    static Table<RWMutex> table(2);
    for (std::size_t i : {0U, 1U}) {
      go([i] { table.takes_its_own(i); });
    }
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
  EXPECT_EQ(count_in(child.error, " waits for RWMutex 0x"), 2) << child.error;
}

Mutex g_named;

TEST(Locks, ones_own) {
  auto const child = reported([] {
    go([] {
      g_named.lock();
      g_named.lock();
    });
  });
  EXPECT_TRUE(child.succeeded()) << child.status;
  EXPECT_TRUE(child.begins("hamgam: deadlock: one waits for a lock that it has itself\n\n"))
      << child.error;
  EXPECT_TRUE(child.says("g_named\", which goroutine ")) << child.error;
  auto const thread = reported([] {
    std::thread([] {
      g_named.lock();
      g_named.lock();
    }).detach();
  });
  EXPECT_TRUE(thread.succeeded()) << thread.status;
  EXPECT_TRUE(thread.says("g_named\", which thread ")) << thread.error;
}

// A reader that becomes a writer waits for itself; so do two who read and write crosswise.
TEST(Locks, readers) {
  auto const own = reported([] {
    static RWMutex mutex;
    go([] {
      mutex.lock_shared();
      mutex.lock();
    });
  });
  EXPECT_TRUE(own.succeeded()) << own.status << own.error;
  auto const crosswise = reported([] {
    static std::array<RWMutex, 2> mutexes;
    static Barrier both(2);
    for (std::size_t i : {0U, 1U}) {
      go([i] {
        mutexes[i].lock_shared();
        both.arrive_and_wait();
        mutexes[1 - i].lock();
      });
    }
  });
  EXPECT_TRUE(crosswise.succeeded()) << crosswise.status << crosswise.error;
  EXPECT_EQ(count_in(crosswise.error, " waits for RWMutex 0x"), 2) << crosswise.error;
}

// Reads again, with a writer in between who waits for it, and keeps out new readers.
TEST(Locks, reads_again) {
  auto const child = reported([] {
    static RWMutex mutex;
    static Barrier reads(2);
    go({.name = "reader"}, [] {
      mutex.lock_shared();
      reads.arrive_and_wait();
      test::await_waiting("writer", "sync.RWMutex.Lock");
      mutex.lock_shared();
    });
    go({.name = "writer"}, [] {
      reads.arrive_and_wait();
      mutex.lock();
    });
  });
  EXPECT_TRUE(child.succeeded()) << child.status;
  EXPECT_TRUE(child.says("hamgam: deadlock: 2 wait for each other's locks")) << child.error;
  EXPECT_TRUE(child.says("[sync.RWMutex.RLock]: reader")) << child.error;
  EXPECT_TRUE(child.says("[sync.RWMutex.Lock]: writer")) << child.error;
}

// Both locks are new, so who has one may not have come to note that when the other one waits.
TEST(Locks, first_use) {
  auto const child = test::in_child(
      [] {
        struct Pair {
          Mutex first;
          Mutex second;
          std::atomic<int> there{0};
          std::atomic<int> done{0};
        };
        int missed = 0;
        for (int i = 0; i < 60; ++i) {
          auto* const pair = new Pair;
          auto const take = [pair](Mutex& one, Mutex& other) {
            ++pair->there;
            while (pair->there < 2) {
              std::this_thread::yield();
            }
            std::lock_guard const guard(one);
            std::lock_guard const second(other);
            ++pair->done;
          };
          std::uint64_t const before = observe::lock_reports();
          std::thread([=] { take(pair->first, pair->second); }).detach();
          std::thread([=] { take(pair->second, pair->first); }).detach();
          // Either it goes well, or that is told; but for a rare one (observe.h).
          auto const is_over = [&] { return pair->done == 2 || observe::lock_reports() > before; };
          auto const limit = std::chrono::steady_clock::now() + 5s;
          while (!is_over() && std::chrono::steady_clock::now() < limit) {
            std::this_thread::sleep_for(1ms);
          }
          missed += is_over() ? 0 : 1;
        }
        leave(missed <= 3);
      },
      {"HAMGAM_DEBUG=locks"});
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// Another writer's unlock lets a reader in, and the next writer wait for that, without a wake-up.
TEST(Locks, writer_after_another) {
  auto const child = reported([] {
    static RWMutex mutex;
    mutex.lock();
    go({.name = "reader"}, [] {
      mutex.lock_shared();
      mutex.lock();
    });
    test::await_waiting("reader", "sync.RWMutex.RLock");
    go({.name = "writer"}, [] { mutex.lock(); });
    test::await_waiting("writer", "sync.RWMutex.Lock");
    mutex.unlock();
  });
  EXPECT_TRUE(child.succeeded()) << child.status;
  // The reader may be there before the next writer.
  EXPECT_TRUE(child.says("hamgam: deadlock: 2 wait for each other's locks") ||
              child.says("hamgam: deadlock: one waits for a lock that it has itself"))
      << child.error;
}

// Who is notified waits for the Mutex of the Cond.
TEST(Locks, after_a_cond) {
  auto const child = reported([] {
    static Mutex first;
    static Mutex second;
    static Cond cond;
    go({.name = "notified"}, [] {
      std::lock_guard const guard(first);
      std::unique_lock lock(second);
      cond.wait(lock);
    });
    test::await_waiting("notified", "sync.Cond.Wait");
    go([] {
      std::lock_guard const guard(second);
      cond.notify_all();
      test::await_waiting("notified", "sync.Mutex.Lock");
      first.lock();
    });
  });
  EXPECT_TRUE(child.succeeded()) << child.status;
  EXPECT_TRUE(child.begins("hamgam: deadlock: 2 wait for each other's locks")) << child.error;
}

// Locks that were had when watching began.
TEST(Locks, read_before_it_was_watched) {
  auto const child = test::in_child([] {
    RWMutex read;
    Mutex a;
    read.lock_shared();
    observe::watch_locks();
    std::thread([&] { std::shared_lock const other(read); }).join();
    read.unlock_shared();
    std::unique_lock write(read);
    a.lock();
    a.unlock();
    write.unlock();
    a.lock();
    read.lock();
    std::_Exit(observe::lock_reports() == 1 ? 0 : 1);
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// The report comes before the one that ends the process.
Mutex g_counter;
RWMutex g_shelf;

HAMGAM_TEST_FRAME void has_counter(const Chan<int>& chan) {
  std::lock_guard const guard(g_counter);
  (void)chan.recv();
}

// Dumps say who has what others wait for.
TEST(Locks, dumps_say_who_has_them) {
  auto const child = test::in_child(
      [] {
        auto const chan = make_chan<int>();
        WaitGroup all;
        all.go({.name = "keeper"}, [&] { has_counter(chan); });
        test::await_waiting("keeper", "chan receive");
        all.go({.name = "reader"}, [&] {
          SharedLockGuard const guard(g_shelf);
          (void)chan.recv();
        });
        test::await_waiting("reader", "chan receive");
        all.go({.name = "wants"}, [] { std::lock_guard const guard(g_counter); });
        all.go({.name = "writes"}, [] { std::lock_guard const guard(g_shelf); });
        observe::GoroutineInfo wants;
        observe::GoroutineInfo writes;
        test::until([&] {
          wants = test::named("wants");
          writes = test::named("writes");
          return wants.wait_reason == "sync.Mutex.Lock" &&
                 writes.wait_reason == "sync.RWMutex.Lock" &&
                 (!test::stacks_are_seen() ||
                  (wants.waits_on != nullptr && writes.waits_on != nullptr));
        });
        observe::dump(std::cerr);
        bool const told =
            wants.held_by == test::named("keeper").id && writes.held_by == test::named("reader").id;
        leave(told || !test::stacks_are_seen());
      },
      {"HAMGAM_DEBUG=locks"});
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
  if (test::stacks_are_seen()) {
    EXPECT_TRUE(std::regex_search(
        child.error,
        std::regex("\nwaits for 0x[0-9a-f]+ \".*g_counter\", held by goroutine [0-9]+, "
                   "which locked it at .*has_counter.*\n\t.*\n")))
        << child.error;
    EXPECT_TRUE(std::regex_search(
        child.error,
        std::regex("\nwaits for 0x[0-9a-f]+ \".*g_shelf\", read by goroutine [0-9]+, ")))
        << child.error;
  }
}

TEST(Locks, who_has_it_has_ended) {
  auto const child = test::in_child(
      [] {
        run([] {
          static Mutex left;
          static RWMutex read;
          WaitGroup ended;
          ended.go([] { left.lock(); });
          ended.go([] { read.lock_shared(); });
          ended.wait();
          std::thread([] { read.lock_shared(); }).join();
          go({.name = "heir"}, [] { left.lock(); });
          go({.name = "writer"}, [] { read.lock(); });
          test::until([] {
            return test::named("heir").waits_on == &left && test::named("writer").waits_on == &read;
          });
          observe::dump(std::cerr);
          leave(observe::lock_reports() == 0);
        });
      },
      {"HAMGAM_DEBUG=locks"});
  EXPECT_TRUE(child.succeeded()) << child.error;
  EXPECT_TRUE(
      std::regex_search(child.error, std::regex("held by goroutine [0-9]+ \\(ended\\), which")))
      << child.error;
  EXPECT_TRUE(
      std::regex_search(child.error, std::regex("read by (goroutine|thread) [0-9]+ \\(ended\\) "
                                                "and (goroutine|thread) [0-9]+ \\(ended\\)")))
      << child.error;
}

TEST(Locks, when_all_are_asleep) {
  if (std::getenv("HAMGAM_TEST_EMULATOR") != nullptr) {
    return;  // nothing is taken for a deadlock there
  }
  auto const child = test::in_child(
      [] {
        static Table<Mutex> table(2);
        run([] {
          go([] { table.takes_its_own(0); });
          table.takes_its_own(1);
        });
      },
      {"HAMGAM_DEBUG=waits,locks"});
  EXPECT_TRUE(child.aborted()) << child.status;
  EXPECT_TRUE(child.begins("hamgam: deadlock: 2 wait for")) << child.error;
  EXPECT_TRUE(child.says("fatal error: all goroutines are asleep - deadlock!\n")) << child.error;
}

// From here on nothing is wrong.

class LocksQuiet : public testing::Test {
 protected:
  void SetUp() override {
    observe::watch_locks();
    before_ = observe::lock_reports();
  }
  void TearDown() override { EXPECT_EQ(observe::lock_reports(), before_); }

 private:
  std::uint64_t before_ = 0;
};

// (llvm, issue 57007: the 65th lock that is held ends the program.)
TEST_F(LocksQuiet, OB4_a_thousand_held) {
  std::mt19937_64 random(test::seed());
  std::vector<Mutex> mutexes(1000);
  std::vector<std::size_t> order(mutexes.size());
  std::iota(order.begin(), order.end(), 0U);
  auto const hold_all = [&] {
    for (Mutex& mutex : mutexes) {
      mutex.lock();
    }
    std::shuffle(order.begin(), order.end(), random);
    for (std::size_t i : order) {
      mutexes[i].unlock();
    }
  };
  WaitGroup all;
  all.go(hold_all);
  all.wait();
  std::thread(hold_all).join();
}

// (node, issue 301: the "circle" of two locks that were at one address, one after the other.)
TEST_F(LocksQuiet, OB6_one_address_many_locks) {
  alignas(Mutex) std::byte places[2][sizeof(Mutex)];
  for (int i = 0; i < 10'000; ++i) {
    auto* const first = new (places[i % 2]) Mutex;
    auto* const second = new (places[1 - i % 2]) Mutex;
    WaitGroup all;
    all.go([&] { std::scoped_lock const both(*first, *second); });
    first->lock();
    second->lock();
    if (i % 3 != 0) {  // the rest dies locked, as it may
      second->unlock();
      first->unlock();
      all.wait();
    } else {
      second->unlock();
      first->unlock();
      all.wait();
      first->lock();
    }
  }
}

// Waits that end by themselves are no part of a circle.
TEST_F(LocksQuiet, waits_with_a_limit) {
  std::array<Mutex, 2> mutexes;
  Barrier both(2);
  std::atomic<int> gave_up{0};
  WaitGroup all;
  for (std::size_t i : {0U, 1U}) {
    all.go([&, i] {
      std::lock_guard const guard(mutexes[i]);
      both.arrive_and_wait();
      if (!mutexes[1 - i].try_lock_for(100ms)) {
        ++gave_up;
        return;
      }
      mutexes[1 - i].unlock();
    });
  }
  all.wait();
  EXPECT_GE(gave_up, 1);
}

// Unlocked by another: as a gate for one.
TEST_F(LocksQuiet, given_to_another) {
  Mutex gate;
  WaitGroup all;
  gate.lock();
  all.go([&] { gate.unlock(); });
  all.wait();
  for (int i = 0; i < 1000; ++i) {
    gate.lock();
    all.go([&] { gate.unlock(); });
    gate.lock();
    gate.unlock();
    all.wait();
  }
}

// Everything at once, with what is well ordered only.
TEST_F(LocksQuiet, stress) {
  std::mt19937_64 seeds(test::seed());
  std::array<Mutex, 4> mutexes;
  std::array<RWMutex, 4> shared;
  Mutex for_cond;
  Cond cond;
  std::atomic<int> turns{0};
  auto const work = [&](std::uint64_t seed) {
    std::mt19937_64 random(seed);
    for (int i = 0; i < 300; ++i) {
      std::size_t const a = random() % 4;
      std::size_t const b = random() % 4;
      switch (random() % 5) {
        case 0: {
          std::lock_guard const first(mutexes[std::min(a, b)]);
          if (a != b) {
            std::lock_guard const second(mutexes[std::max(a, b)]);
          }
          break;
        }
        case 1: {
          std::shared_lock const first(shared[std::min(a, b)]);
          if (a != b) {
            std::lock_guard const second(shared[std::max(a, b)]);
          }
          break;
        }
        case 2: {
          std::unique_lock lock(for_cond);
          ++turns;
          (void)cond.wait_for(lock, 10us);
          cond.notify_all();
          break;
        }
        case 3: {
          std::unique_lock const lock(shared[a], 10us);
          break;
        }
        default: {
          shared[a].lock();
          shared[a].downgrade();
          shared[a].unlock_shared();
        }
      }
    }
  };
  for (test::Who who : {test::Who::kGoroutines, test::Who::kThreads, test::Who::kBoth}) {
    std::array<std::uint64_t, 8> each;
    std::generate(each.begin(), each.end(), std::ref(seeds));
    test::at_once(who, static_cast<int>(each.size()),
                  [&](int i) { work(each[static_cast<std::size_t>(i)]); });
  }
}

}  // namespace
}  // namespace hamgam
