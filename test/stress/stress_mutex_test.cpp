// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <stop_token>
#include <thread>
#include <vector>

#include "base/random.h"
#include "hamgam/hamgam.h"
#include "support/crew.h"
#include "support/scale.h"
#include "support/seed.h"

namespace hamgam {
namespace {

using namespace std::chrono_literals;
using detail::Random;
using test::Crew;
using test::Who;

class StressMutexTest : public testing::TestWithParam<Who> {};

INSTANTIATE_TEST_SUITE_P(, StressMutexTest, test::everybody(), test::name_of);

// Whoever is last destroys the mutex right after its own unlock; the one before it has then left
// unlock() no more than in name.
TEST_P(StressMutexTest, destroy_after_unlock) {
  struct Shared {
    Mutex mutex;
    int users = 3;
  };
#if defined(HAMGAM_ASAN)
  int const total = 350000;  // for each kind: more than a million
#else
  int const total = test::scaled(350000);
#endif
  constexpr int kBatch = 2000;
  for (int from = 0; from < total; from += kBatch) {
    std::vector<std::unique_ptr<Shared>> shared(kBatch);
    for (auto& one : shared) {
      one = std::make_unique<Shared>();
    }
    Crew crew(GetParam());
    for (int user = 0; user < 3; ++user) {
      crew.start([&] {
        for (auto& one : shared) {
          one->mutex.lock();
          bool const last = --one->users == 0;
          one->mutex.unlock();
          if (last) {
            one.reset();
          }
        }
      });
    }
    crew.join();
    for (auto& one : shared) {
      ASSERT_EQ(one, nullptr);
    }
  }
}

// The same with a waiter that certainly sleeps and then destroys.
TEST_P(StressMutexTest, destroy_after_a_wait) {
  int const rounds = test::scaled(4000);
  for (int round = 0; round < rounds; ++round) {
    auto mutex = std::make_unique<Mutex>();
    mutex->lock();
    std::atomic<bool> started{false};
    Crew crew(GetParam());
    crew.start([&] {
      started.store(true);
      mutex->lock();
      mutex->unlock();
      mutex.reset();
    });
    crew.start([&, raw = mutex.get()] {
      while (!started.load()) {
        yield();
      }
      yield();
      raw->unlock();
    });
    crew.join();
    ASSERT_EQ(mutex, nullptr);
  }
}

// 3 or 4 contenders: one that unlocks, one that barges, one that was woken, one that goes to sleep.
TEST_P(StressMutexTest, contenders) {
  std::uint64_t const seed = test::seed();
  for (int contenders : {2, 3, 4, 8}) {
    Mutex mutex;
    int counter = 0;
    int const rounds = test::scaled(16000) / contenders;
    Crew crew(GetParam());
    for (int i = 0; i < contenders; ++i) {
      crew.start([&, i] {
        Random random(seed + static_cast<std::uint64_t>(i));
        for (int round = 0; round < rounds; ++round) {
          mutex.lock();
          ++counter;
          if (random.below(64) == 0) {
            yield();  // so that others come and sleep
          }
          mutex.unlock();
          if (random.below(16) == 0) {
            yield();
          }
        }
      });
    }
    crew.join();
    EXPECT_EQ(counter, contenders * rounds);
  }
}

// Every form of locking at once, with deadlines and stops that race with the unlock.
TEST_P(StressMutexTest, stress) {
  std::uint64_t const seed = test::seed();
  Mutex mutex;
  int inside = 0;
  long counter = 0;
  std::atomic<long> counted{0};
  int const rounds = test::scaled(6000);
  Crew crew(GetParam());
  for (int i = 0; i < 6; ++i) {
    crew.start([&, i] {
      Random random(seed + static_cast<std::uint64_t>(i));
      for (int round = 0; round < rounds; ++round) {
        bool locked = true;
        switch (random.below(6)) {
          case 0:
            locked = mutex.try_lock();
            break;
          case 1:
            locked = mutex.try_lock_for(std::chrono::microseconds(random.below(100)));
            break;
          case 2:
            locked = mutex.try_lock_until(std::chrono::steady_clock::now() +
                                          std::chrono::microseconds(random.below(100)));
            break;
          case 3: {
            std::stop_source source;
            if (random.below(2) == 0) {
              go([source]() mutable { source.request_stop(); });
            }
            locked = mutex.try_lock(source.get_token());
            source.request_stop();  // so that it does not matter whether the goroutine is late
            break;
          }
          default:
            mutex.lock();
        }
        if (locked) {
          EXPECT_EQ(++inside, 1);
          ++counter;
          if (random.below(32) == 0) {
            yield();
          }
          --inside;
          mutex.unlock();
          ++counted;
        }
      }
    });
  }
  crew.join();
  EXPECT_EQ(counter, counted.load());
  EXPECT_TRUE(mutex.try_lock());
}

// A time-out that comes while the lock is being given: it is either had or not, and nobody else
// waits for ever on a lock that is free (absl's TimeoutBug).
TEST_P(StressMutexTest, timeout_races_with_unlock) {
  Mutex mutex;
  std::atomic<int> had{0};
  int const rounds = test::scaled(3000);
  Crew crew(GetParam());
  for (int i = 0; i < 2; ++i) {
    crew.start([&, i] {
      for (int round = 0; round < rounds; ++round) {
        if (mutex.try_lock_for(std::chrono::microseconds(round % 40))) {
          ++had;
          mutex.unlock();
        }
        if (i == 0 && round % 8 == 0) {
          mutex.lock();  // waits without a limit behind those that give up
          mutex.unlock();
        }
      }
    });
  }
  crew.start([&] {
    for (int round = 0; round < rounds; ++round) {
      mutex.lock();
      yield();
      mutex.unlock();
    }
  });
  crew.join();
  EXPECT_GT(had.load(), 0);
}

// The holder goes from thread to thread while it holds the lock.
TEST(StressMutex, migrate) {
  Mutex mutex;
  int counter = 0;
  int const rounds = test::scaled(4000);
  Crew crew(Who::kGoroutines);
  for (int i = 0; i < 8; ++i) {
    crew.start([&] {
      for (int round = 0; round < rounds; ++round) {
        LockGuard const guard(mutex);
        int const before = counter;
        yield();
        counter = before + 1;
      }
    });
  }
  crew.join();
  EXPECT_EQ(counter, 8 * rounds);
}

// An array of neighbours: unlocks of one do not disturb waiters of another in the same bucket
// (MU7).
TEST_P(StressMutexTest, MU7_many_mutexes) {
  std::uint64_t const seed = test::seed();
  constexpr std::uint32_t kMutexes = 3000;  // three to a bucket
  std::vector<Mutex> mutexes(kMutexes);
  std::vector<int> counters(kMutexes);
  int const rounds = test::scaled(6000);
  Crew crew(GetParam());
  for (int i = 0; i < 8; ++i) {
    crew.start([&, i] {
      Random random(seed + static_cast<std::uint64_t>(i / 2));  // pairs that meet
      for (int round = 0; round < rounds; ++round) {
        std::uint32_t const at = random.below(kMutexes);
        LockGuard const guard(mutexes[at]);
        ++counters[at];
        if (round % 16 == 0) {
          yield();
        }
      }
    });
  }
  crew.join();
  long sum = 0;
  for (int counter : counters) {
    sum += counter;
  }
  EXPECT_EQ(sum, 8L * rounds);
}

// A child that a program forks while its goroutines run has one thread and may use locks that
// nobody held, also those whose slow paths ask the kernel for a barrier.
TEST_P(StressMutexTest, fork_in_the_middle) {
  constexpr int kForks = 10;
  constexpr int kFine = 7;
  std::atomic<bool> stop{false};
  Mutex busy;
  RWMutex shared;
  Crew crew(GetParam());
  for (int i = 0; i < 4; ++i) {
    crew.start([&] {
      while (!stop) {
        LockGuard const guard(busy);
      }
    });
  }
  RWMutex biased;
  for (int i = 0; i < 3000; ++i) {
    SharedLockGuard const guard(biased);
  }
  for (int i = 0; i < kForks; ++i) {
    pid_t const child = fork();
    if (child == 0) {
      Mutex mutex;
      bool fine = mutex.try_lock() && !mutex.try_lock();
      mutex.unlock();
      Once once;
      once.call([&] { fine = fine && biased.try_lock(); });
      biased.unlock();
      _exit(fine && once.done() && shared.try_lock_shared() ? kFine : 1);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == kFine) << status;
  }
  stop = true;
}

}  // namespace
}  // namespace hamgam
