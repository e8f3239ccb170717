// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/rwmutex.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <concepts>
#include <memory>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <stop_token>
#include <tuple>
#include <utility>
#include <vector>

#include "hamgam/guarded.h"
#include "support/asleep.h"
#include "support/crew.h"
#include "support/rwmutex_modes.h"
#include "sync/reader_slots.h"

namespace {

using namespace std::chrono_literals;
using hamgam::Guarded;
using hamgam::RWMutex;
using hamgam::test::await_asleep;
using hamgam::test::biased;
using hamgam::test::count_asleep;
using hamgam::test::Crew;
using hamgam::test::make_biased;
using hamgam::test::Mode;
using hamgam::test::readers_of;
using hamgam::test::RWMutexOf;
using hamgam::test::until;
using hamgam::test::watcher_of;
using hamgam::test::Who;

template <class M>
concept SharedTimedLockable =
    requires(M m, std::chrono::milliseconds d, std::chrono::steady_clock::time_point t) {
      { m.lock() } -> std::same_as<void>;
      { m.unlock() } -> std::same_as<void>;
      { m.try_lock() } -> std::same_as<bool>;
      { m.try_lock_for(d) } -> std::same_as<bool>;
      { m.try_lock_until(t) } -> std::same_as<bool>;
      { m.lock_shared() } -> std::same_as<void>;
      { m.unlock_shared() } -> std::same_as<void>;
      { m.try_lock_shared() } -> std::same_as<bool>;
      { m.try_lock_shared_for(d) } -> std::same_as<bool>;
      { m.try_lock_shared_until(t) } -> std::same_as<bool>;
    };
static_assert(SharedTimedLockable<RWMutex>);
static_assert(sizeof(RWMutex) == 16);
static_assert(!std::is_copy_constructible_v<RWMutex>);
constinit RWMutex g_static;

INSTANTIATE_TEST_SUITE_P(All, RWMutexOf, hamgam::test::all_modes(), hamgam::test::mode_name);

TEST_P(RWMutexOf, smoke) {
  const std::unique_ptr<RWMutex> mutex = make();
  mutex->lock();
  EXPECT_FALSE(mutex->try_lock());
  EXPECT_FALSE(mutex->try_lock_shared());
  mutex->unlock();
  mutex->lock_shared();
  EXPECT_FALSE(mutex->try_lock());
  EXPECT_TRUE(mutex->try_lock_shared());
  mutex->unlock_shared();
  EXPECT_FALSE(mutex->try_lock());
  mutex->unlock_shared();
  EXPECT_TRUE(mutex->try_lock());
  mutex->unlock();
  g_static.lock();
  g_static.unlock();
}

TEST_P(RWMutexOf, RW1_readers_at_the_same_time) {
  for (const int readers : {1, 3, 4}) {
    const std::unique_ptr<RWMutex> mutex = make();
    std::atomic<int> inside{0};
    Crew crew(kind());
    for (int i = 0; i < readers; ++i) {
      crew.start([&] {
        mutex->lock_shared();
        ++inside;
        until([&] { return inside == readers; });
        mutex->unlock_shared();
      });
    }
  }
}

TEST_P(RWMutexOf, RW3_try_matrix) {
  const std::unique_ptr<RWMutex> mutex = make();
  Crew crew(kind());
  crew.start([&] {
    ASSERT_TRUE(mutex->try_lock());
    EXPECT_FALSE(mutex->try_lock());
    EXPECT_FALSE(mutex->try_lock_shared());
    EXPECT_FALSE(mutex->try_lock_for(1ms));
    EXPECT_FALSE(mutex->try_lock_shared_for(1ms));
    EXPECT_FALSE(mutex->try_lock_shared_until(std::chrono::system_clock::now() + 1ms));
    mutex->unlock();
    ASSERT_TRUE(mutex->try_lock_shared());
    EXPECT_TRUE(mutex->try_lock_shared());
    EXPECT_FALSE(mutex->try_lock());
    EXPECT_FALSE(mutex->try_lock_until(std::chrono::steady_clock::now() + 1ms));
    EXPECT_FALSE(mutex->try_lock_for(1ms));
    EXPECT_TRUE(mutex->try_lock_shared());  // a writer that gave up holds nobody back
    mutex->unlock_shared();
    mutex->unlock_shared();
    mutex->unlock_shared();
    EXPECT_TRUE(mutex->try_lock_for(1ms));
    mutex->unlock();
    EXPECT_TRUE(mutex->try_lock_shared_for(1ms));
    mutex->unlock_shared();
  });
}

// RW4, with std::shared_lock in the place of RLocker
TEST_P(RWMutexOf, RW4_writer_waits_for_all_readers) {
  const std::unique_ptr<RWMutex> mutex = make();
  std::shared_lock first(*mutex);
  std::shared_lock second(*mutex, std::try_to_lock);  // one thread has both
  ASSERT_TRUE(second.owns_lock());
  std::atomic<bool> locked{false};
  Crew crew(kind());
  crew.start([&] {
    const std::unique_lock lock(*mutex);
    locked = true;
  });
  await_asleep(watcher_of(*mutex), 1);
  first.unlock();
  await_asleep(watcher_of(*mutex), 1);
  EXPECT_FALSE(locked);
  second.unlock();
  crew.join();
  EXPECT_TRUE(locked);
}

TEST_P(RWMutexOf, waiting_writer_holds_back_readers) {
  const std::unique_ptr<RWMutex> mutex = make();
  mutex->lock_shared();
  std::vector<int> order;  // under the mutex
  std::atomic<int> readers{0};
  Crew crew(kind());
  crew.start([&] {
    const std::unique_lock lock(*mutex);
    EXPECT_EQ(readers, 0);
    order.push_back(1);
  });
  await_asleep(watcher_of(*mutex), 1);
  EXPECT_FALSE(mutex->try_lock_shared());
  for (int i = 0; i < 3; ++i) {
    crew.start([&] {
      const std::shared_lock lock(*mutex);
      EXPECT_EQ(order.size(), 1U);
      ++readers;
    });
  }
  await_asleep(readers_of(*mutex), 3);
  // A second writer: the three readers go before it.
  crew.start([&] {
    const std::unique_lock lock(*mutex);
    EXPECT_EQ(readers, 3);
    order.push_back(2);
  });
  await_asleep(mutex.get(), 1);
  EXPECT_EQ(readers, 0);
  mutex->unlock_shared();
  crew.join();
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

TEST_P(RWMutexOf, downgrade) {
  const std::unique_ptr<RWMutex> mutex = make();
  mutex->lock();
  int value = 0;
  std::atomic<int> readers{0};
  Crew crew(kind());
  for (int i = 0; i < 2; ++i) {
    crew.start([&] {
      const std::shared_lock lock(*mutex);
      EXPECT_EQ(value, 1);
      ++readers;
    });
  }
  await_asleep(readers_of(*mutex), 2);
  crew.start([&] {
    const std::unique_lock lock(*mutex);
    EXPECT_EQ(value, 1);
    value = 2;
  });
  await_asleep(mutex.get(), 1);
  value = 1;
  mutex->downgrade();
  until([&] { return readers == 2; });
  EXPECT_EQ(value, 1);  // no writer comes between
  EXPECT_FALSE(mutex->try_lock());
  mutex->unlock_shared();
  crew.join();
  EXPECT_EQ(value, 2);
  mutex->lock();
  mutex->downgrade();
  EXPECT_TRUE(mutex->try_lock_shared());
  mutex->unlock_shared();
  mutex->unlock_shared();
}

TEST_P(RWMutexOf, stop) {
  const std::unique_ptr<RWMutex> mutex = make();
  std::stop_source stop;
  mutex->lock_shared();
  Crew crew(kind());
  crew.start([&] { EXPECT_FALSE(mutex->try_lock(stop.get_token())); });
  await_asleep(watcher_of(*mutex), 1);
  crew.start([&] { EXPECT_FALSE(mutex->try_lock(stop.get_token())); });
  await_asleep(mutex.get(), 1);
  crew.start([&] {
    mutex->lock_shared();  // let in when the writers give up
    mutex->unlock_shared();
  });
  await_asleep(readers_of(*mutex), 1);
  stop.request_stop();
  crew.join();
  EXPECT_TRUE(mutex->try_lock_shared(stop.get_token()));
  EXPECT_FALSE(mutex->try_lock(stop.get_token()));
  mutex->unlock_shared();
  mutex->unlock_shared();
  EXPECT_TRUE(mutex->try_lock(stop.get_token()));
  EXPECT_FALSE(mutex->try_lock_shared(stop.get_token()));
  std::stop_source other;
  crew.start([&] { EXPECT_FALSE(mutex->try_lock_shared(other.get_token())); });
  await_asleep(readers_of(*mutex), 1);
  other.request_stop();
  crew.join();
  mutex->unlock();
}

TEST_P(RWMutexOf, RW2_hammer) {
  for (const auto& [procs, readers] : {std::pair(1, 1),
                                       {1, 3},
                                       {1, 10},
                                       {4, 1},
                                       {4, 3},
                                       {4, 10},
                                       {10, 1},
                                       {10, 3},
                                       {10, 10},
                                       {10, 5}}) {
    const hamgam::test::Procs width(procs);
    const std::unique_ptr<RWMutex> mutex = make();
    std::atomic<int> activity{0};
    Crew crew(kind());
    const auto write = [&] {
      for (int i = 0; i < 100; ++i) {
        mutex->lock();
        ASSERT_EQ(activity.fetch_add(10'000), 0);
        if (i % 8 == 0) {
          hamgam::yield();
        }
        activity.fetch_sub(10'000);
        mutex->unlock();
        hamgam::yield();
      }
    };
    const auto read = [&] {
      for (int i = 0; i < 1000; ++i) {
        mutex->lock_shared();
        ASSERT_LT(activity.fetch_add(1), 10'000);
        if (i % 64 == 0) {
          hamgam::yield();  // may resume on another worker
        }
        activity.fetch_sub(1);
        mutex->unlock_shared();
      }
    };
    crew.start(write);
    for (int i = 0; i < readers / 2; ++i) {
      crew.start(read);
    }
    crew.start(write);
    for (int i = readers / 2; i < readers; ++i) {
      crew.start(read);
    }
  }
}

// Plain data, so that the sanitizers check the edges.
TEST_P(RWMutexOf, happens_before) {
  const std::unique_ptr<RWMutex> mutex = make();
  int a = 0;
  int b = 0;
  Crew crew(kind());
  for (int i = 0; i < 4; ++i) {
    crew.start([&, i] {
      for (int j = 0; j < 1000; ++j) {
        if (j % 250 == i * 10) {
          const std::unique_lock lock(*mutex);
          ++a;
          ++b;
        } else {
          const std::shared_lock lock(*mutex);
          ASSERT_EQ(a, b);
        }
      }
    });
  }
  crew.join();
  EXPECT_EQ(a, 16);
}

TEST_P(RWMutexOf, timeouts_race_with_unlocks) {
  const std::unique_ptr<RWMutex> mutex = make();
  std::atomic<int> activity{0};
  Crew crew(kind());
  for (int i = 0; i < 6; ++i) {
    crew.start([&, i] {
      std::minstd_rand random(static_cast<unsigned>(i + 1));
      for (int j = 0; j < 300; ++j) {
        const auto d = std::chrono::microseconds(random() % 60);
        if (i < 2) {
          if (mutex->try_lock_for(d)) {
            ASSERT_EQ(activity.fetch_add(10'000), 0);
            hamgam::yield();
            activity.fetch_sub(10'000);
            mutex->unlock();
          }
        } else if (mutex->try_lock_shared_for(d)) {
          ASSERT_LT(activity.fetch_add(1), 10'000);
          hamgam::yield();
          activity.fetch_sub(1);
          mutex->unlock_shared();
        }
      }
    });
  }
  crew.join();
  EXPECT_TRUE(mutex->try_lock());  // nothing was left behind
  mutex->unlock();
}

TEST_P(RWMutexOf, destroyed_after_unlock) {
  for (int i = 0; i < 300; ++i) {
    auto mutex = make();
    mutex->lock_shared();
    Crew crew(kind());
    crew.start([raw = mutex.get()] { raw->unlock_shared(); });
    mutex->lock();
    mutex.reset();
  }
  for (int i = 0; i < 300; ++i) {
    auto mutex = std::make_unique<RWMutex>();
    mutex->lock();
    Crew crew(kind());
    crew.start([raw = mutex.get()] { raw->unlock(); });
    mutex->lock();
    mutex.reset();
  }
}

TEST_P(RWMutexOf, unlocked_by_another) {
  const std::unique_ptr<RWMutex> mutex = make();
  for (int i = 0; i < 50; ++i) {
    mutex->lock_shared();
    Crew crew(kind());
    crew.start([&] { mutex->unlock_shared(); });
    crew.join();
    crew.start([&] { mutex->lock(); });
    crew.join();
    mutex->unlock();
  }
}

// A reader that waits is let in by the first writer that unlocks, however many writers follow; and
// a writer gets in however many readers there are: more writers and readers than a bound would
// allow may not pass.
TEST_P(RWMutexOf, reader_is_not_starved) {
  const std::unique_ptr<RWMutex> mutex = make();
  std::atomic<bool> done{false};
  std::atomic<int> writes{0};
  Crew crew(kind());
  for (int i = 0; i < 4; ++i) {
    crew.start([&] {
      while (!done) {
        mutex->lock();
        ++writes;
        hamgam::yield();
        mutex->unlock();
      }
    });
  }
  for (int i = 0; i < 50; ++i) {
    mutex->lock_shared();
    mutex->unlock_shared();
  }
  // The bound itself, with the order under control: writer inside, writers queued, then a reader.
  done = true;
  crew.join();
  mutex->lock();
  std::atomic<int> since{0};
  for (int i = 0; i < 4; ++i) {
    crew.start([&] {
      mutex->lock();
      ++since;
      mutex->unlock();
    });
  }
  await_asleep(mutex.get(), 4);
  crew.start([&] {
    mutex->lock_shared();
    EXPECT_EQ(since, 0);  // all four queued before it, and still it is next
    mutex->unlock_shared();
  });
  await_asleep(readers_of(*mutex), 1);
  mutex->unlock();
  crew.join();
}

TEST_P(RWMutexOf, writer_is_not_starved) {
  const std::unique_ptr<RWMutex> mutex = make();
  std::atomic<bool> done{false};
  Crew crew(kind());
  for (int i = 0; i < 8; ++i) {
    crew.start([&] {
      while (!done) {
        mutex->lock_shared();
        hamgam::yield();  // so that one is inside at every moment
        mutex->unlock_shared();
      }
    });
  }
  for (int i = 0; i < 50; ++i) {
    mutex->lock();
    mutex->unlock();
  }
  done = true;
}

TEST_P(RWMutexOf, guarded_and_scoped_lock) {
  Guarded<std::vector<int>, RWMutex> guarded;
  guarded.with([](auto& v) { v.push_back(1); });
  EXPECT_EQ(guarded.with_shared([](const auto& v) { return v.size(); }), 1U);
  EXPECT_EQ(guarded.lock_shared()->front(), 1);
  RWMutex a;
  RWMutex b;
  {
    const std::scoped_lock lock(a, b);
    EXPECT_FALSE(a.try_lock_shared());
  }
  {
    const hamgam::SharedLockGuard lock(a);
    EXPECT_FALSE(a.try_lock());
  }
  {
    const hamgam::LockGuard lock(a);
    EXPECT_FALSE(a.try_lock_shared());
  }
}

// ---- the readers' slots -------------------------------------------------------------------------

class ReaderSlots : public testing::Test {
 protected:
  void SetUp() override { hamgam::detail::set_reader_slots_pause(0); }
  void TearDown() override { hamgam::detail::set_reader_slots_pause(9); }
};

std::int64_t slots_of(const RWMutex& mutex) {
  return hamgam::detail::count_readers(hamgam::detail::reader_rows(), &mutex);
}

TEST_F(ReaderSlots, adopted_by_readers_and_revoked_by_a_writer) {
  RWMutex mutex;
  if (!make_biased(mutex)) {
    EXPECT_FALSE(hamgam::detail::reader_slots_enabled());
    return;
  }
  mutex.lock_shared();
  EXPECT_EQ(slots_of(mutex), 1);
  mutex.unlock_shared();
  EXPECT_EQ(slots_of(mutex), 0);
  mutex.lock();
  EXPECT_FALSE(biased(mutex));
  mutex.unlock();
  EXPECT_TRUE(make_biased(mutex));
}

TEST_F(ReaderSlots, not_while_writers_come_now_and_then) {
  RWMutex mutex;
  for (int i = 0; i < 100; ++i) {
    for (int k = 0; k < 100; ++k) {
      mutex.lock_shared();
      mutex.unlock_shared();
    }
    EXPECT_FALSE(biased(mutex));
    mutex.lock();
    mutex.unlock();
  }
}

TEST_F(ReaderSlots, not_soon_after_a_writer_paid_for_them) {
  hamgam::detail::set_reader_slots_pause(1'000'000'000);  // times the cost of a barrier
  RWMutex mutex;
  if (make_biased(mutex)) {
    mutex.lock();
    mutex.unlock();
    EXPECT_FALSE(make_biased(mutex));
  }
}

TEST_F(ReaderSlots, more_readers_than_slots) {
  RWMutex mutex;
  (void)make_biased(mutex);
  for (int i = 0; i < 20; ++i) {
    mutex.lock_shared();
  }
  EXPECT_FALSE(mutex.try_lock());
  for (int i = 0; i < 20; ++i) {
    mutex.unlock_shared();
  }
  EXPECT_TRUE(mutex.try_lock());
  mutex.unlock();
}

TEST_F(ReaderSlots, many_locks_in_one_row) {
  std::vector<std::unique_ptr<RWMutex>> locks;
  for (int i = 0; i < 12; ++i) {
    locks.push_back(std::make_unique<RWMutex>());
    (void)make_biased(*locks.back());
  }
  for (auto& lock : locks) {
    lock->lock_shared();
  }
  for (auto& lock : locks) {
    EXPECT_FALSE(lock->try_lock());
    lock->unlock_shared();
    EXPECT_TRUE(lock->try_lock());
    lock->unlock();
  }
}

TEST_F(ReaderSlots, locked_here_unlocked_there) {
  RWMutex mutex;
  (void)make_biased(mutex);
  mutex.lock_shared();
  std::thread([&] { mutex.unlock_shared(); }).join();  // counted below 0
  EXPECT_TRUE(mutex.try_lock_shared());
  EXPECT_FALSE(mutex.try_lock());
  mutex.unlock_shared();
  // The announcement of the one may stand for the other; nobody is inside now.
  EXPECT_TRUE(mutex.try_lock());
  mutex.unlock();
}

TEST_F(ReaderSlots, nothing_is_left_over_in_the_memory) {
  alignas(RWMutex) std::byte memory[sizeof(RWMutex)];
  for (int i = 0; i < 3; ++i) {
    auto* mutex = new (memory) RWMutex;
    (void)make_biased(*mutex);
    EXPECT_EQ(slots_of(*mutex), 0);
    mutex->lock_shared();
    std::thread([&] { mutex->unlock_shared(); }).join();
    mutex->~RWMutex();
  }
}

TEST_F(ReaderSlots, thread_ends_while_its_row_has_a_reader) {
  RWMutex mutex;
  (void)make_biased(mutex);
  std::thread([&] { mutex.lock_shared(); }).join();
  EXPECT_FALSE(mutex.try_lock());
  std::thread([&] {  // may get the row
    mutex.lock_shared();
    mutex.unlock_shared();
  })
      .join();
  EXPECT_FALSE(mutex.try_lock());
  mutex.unlock_shared();
  EXPECT_TRUE(mutex.try_lock());
  mutex.unlock();
}

// A thread_local that locks while the thread ends, after its row was given back.
TEST_F(ReaderSlots, read_by_a_destructor_of_the_thread) {
  static RWMutex mutex;
  (void)make_biased(mutex);
  struct Late {
    ~Late() {
      mutex.lock_shared();
      mutex.unlock_shared();
    }
  };
  std::thread([] {
    static thread_local Late late;
    (void)&late;
    mutex.lock_shared();
    mutex.unlock_shared();
  }).join();
  EXPECT_TRUE(mutex.try_lock());
  mutex.unlock();
}

TEST_F(ReaderSlots, parks_while_it_reads_and_moves) {
  RWMutex mutex;
  (void)make_biased(mutex);
  for (int round = 0; round < 20; ++round) {
    constexpr int kReaders = 30;
    std::atomic<int> inside{0};
    std::atomic<bool> leave{false};
    Crew crew(Who::kGoroutines);
    for (int i = 0; i < kReaders; ++i) {
      crew.start([&] {
        mutex.lock_shared();
        ++inside;
        until([&] { return leave.load(); });  // yields: resumed by whoever takes it
        mutex.unlock_shared();
      });
    }
    until([&] { return inside == kReaders; });
    EXPECT_FALSE(mutex.try_lock());
    std::atomic<bool> written{false};
    crew.start([&] {
      mutex.lock();
      EXPECT_TRUE(leave);
      mutex.unlock();
      written = true;
    });
    leave = true;
    crew.join();
    EXPECT_TRUE(written);
    (void)make_biased(mutex);
  }
}

TEST_F(ReaderSlots, writer_that_gives_up_leaves_readers_in_peace) {
  RWMutex mutex;
  (void)make_biased(mutex);
  mutex.lock_shared();
  EXPECT_FALSE(mutex.try_lock_for(1ms));
  EXPECT_TRUE(mutex.try_lock_shared());
  (void)make_biased(mutex);  // while one is still in a slot of before
  EXPECT_FALSE(mutex.try_lock());
  mutex.unlock_shared();
  mutex.unlock_shared();
  EXPECT_TRUE(mutex.try_lock());
  mutex.unlock();
}

}  // namespace
