// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/mutex.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <concepts>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <thread>
#include <type_traits>

#include "hamgam/time.h"
#include "support/asleep.h"
#include "support/crew.h"

namespace hamgam {
namespace {

using namespace std::chrono_literals;
using test::Crew;
using test::Who;

template <class M>
concept BasicLockable = requires(M& m) {
  m.lock();
  m.unlock();
};
template <class M>
concept Lockable = BasicLockable<M> && requires(M& m) {
  { m.try_lock() } -> std::same_as<bool>;
};
template <class M>
concept TimedLockable = Lockable<M> && requires(M& m, std::chrono::milliseconds d,
                                                std::chrono::system_clock::time_point t,
                                                std::chrono::steady_clock::time_point s) {
  { m.try_lock_for(d) } -> std::same_as<bool>;
  { m.try_lock_until(t) } -> std::same_as<bool>;
  { m.try_lock_until(s) } -> std::same_as<bool>;
};
static_assert(TimedLockable<Mutex>);
static_assert(BasicLockable<std::unique_lock<Mutex>>);
static_assert(!std::is_copy_constructible_v<Mutex> && !std::is_move_constructible_v<Mutex>);
static_assert(!std::is_copy_assignable_v<Mutex> && !std::is_move_assignable_v<Mutex>);
static_assert(std::is_nothrow_default_constructible_v<Mutex>);
static_assert(std::is_trivially_destructible_v<Mutex>);
static_assert(sizeof(Mutex) == 4);
[[maybe_unused]] constinit Mutex g_can_be_a_global;

class MutexTest : public testing::TestWithParam<Who> {
 protected:
  Mutex mutex_;
};

INSTANTIATE_TEST_SUITE_P(, MutexTest, test::everybody(), test::name_of);

TEST_P(MutexTest, smoke) {
  int counter = 0;
  Crew crew(GetParam());
  for (int i = 0; i < 4; ++i) {
    crew.start([&] {
      for (int round = 0; round < 1000; ++round) {
        mutex_.lock();
        ++counter;
        mutex_.unlock();
      }
    });
  }
  crew.join();
  EXPECT_EQ(counter, 4000);
}

TEST_P(MutexTest, try) {
  Crew crew(GetParam());
  for (int i = 0; i < 2; ++i) {
    crew.start([] {
      Mutex own;
      EXPECT_TRUE(own.try_lock());
      EXPECT_FALSE(own.try_lock());
      own.unlock();
      EXPECT_TRUE(own.try_lock());
      own.unlock();
    });
  }
  crew.join();
  mutex_.lock();
  for (int i = 0; i < 2; ++i) {
    crew.start([this] { EXPECT_FALSE(mutex_.try_lock()); });
  }
  crew.join();
  mutex_.unlock();
}

TEST_P(MutexTest, timeout) {
  mutex_.lock();
  Crew crew(GetParam());
  for (int i = 0; i < 2; ++i) {
    crew.start([this] {
      auto const start = std::chrono::steady_clock::now();
      EXPECT_FALSE(mutex_.try_lock_for(3ms));
      EXPECT_GE(std::chrono::steady_clock::now() - start, 3ms);  // never early
      EXPECT_FALSE(mutex_.try_lock_until(std::chrono::steady_clock::now() + 1ms));
      EXPECT_FALSE(mutex_.try_lock_until(std::chrono::system_clock::now() + 1ms));
      EXPECT_FALSE(mutex_.try_lock_until(Clock::now() + 1ms));
      EXPECT_FALSE(mutex_.try_lock_for(0s));
      EXPECT_FALSE(mutex_.try_lock_for(-1h));
      EXPECT_FALSE(mutex_.try_lock_until(std::chrono::steady_clock::time_point::min()));
    });
  }
  crew.join();
  mutex_.unlock();
  EXPECT_TRUE(mutex_.try_lock_for(-1h));  // a free lock is taken, however late
  mutex_.unlock();
  EXPECT_TRUE(mutex_.try_lock_until(std::chrono::system_clock::time_point::min()));
  mutex_.unlock();
}

TEST_P(MutexTest, timed_wait_gets_the_lock) {
  mutex_.lock();
  Crew crew(GetParam());
  for (int i = 0; i < 2; ++i) {
    crew.start([this] {
      EXPECT_TRUE(mutex_.try_lock_for(std::chrono::hours::max()));  // saturates
      mutex_.unlock();
      EXPECT_TRUE(mutex_.try_lock_until(std::chrono::steady_clock::time_point::max()));
      mutex_.unlock();
    });
  }
  test::await_asleep(&mutex_, 2);
  mutex_.unlock();
}

TEST_P(MutexTest, stop) {
  mutex_.lock();
  std::stop_source source;
  Crew crew(GetParam());
  for (int i = 0; i < 3; ++i) {
    crew.start([&] { EXPECT_FALSE(mutex_.try_lock(source.get_token())); });
  }
  test::await_asleep(&mutex_, 3);
  source.request_stop();
  crew.join();
  EXPECT_EQ(test::count_asleep(&mutex_), 0);
  crew.start([&] { EXPECT_FALSE(mutex_.try_lock(source.get_token())); });  // at once
  crew.join();
  mutex_.unlock();
}

TEST_P(MutexTest, stop_requested_but_free) {
  std::stop_source source;
  source.request_stop();
  Crew crew(GetParam());
  for (int i = 0; i < 2; ++i) {
    crew.start([&] {
      Mutex own;
      EXPECT_TRUE(own.try_lock(source.get_token()));
      own.unlock();
      EXPECT_TRUE(own.try_lock(std::stop_token()));
    });
  }
}

TEST_P(MutexTest, stop_token_that_never_stops) {
  mutex_.lock();
  std::stop_source source;
  Crew crew(GetParam());
  crew.start([&] {
    EXPECT_TRUE(mutex_.try_lock(source.get_token()));
    mutex_.unlock();
  });
  crew.start([&] {
    EXPECT_TRUE(mutex_.try_lock(std::stop_token()));
    mutex_.unlock();
  });
  test::await_asleep(&mutex_, 2);
  mutex_.unlock();
}

// Not owned: any other may unlock it.
TEST_P(MutexTest, unlocked_by_another) {
  int value = 0;
  mutex_.lock();
  Crew crew(GetParam());
  crew.start([&] {
    mutex_.lock();
    EXPECT_EQ(value, 1);
    mutex_.unlock();
  });
  crew.start([&] {
    test::await_asleep(&mutex_, 1);
    value = 1;
    mutex_.unlock();
  });
}

TEST_P(MutexTest, std_guards) {
  Mutex other;
  int value = 0;
  Crew crew(GetParam());
  for (int i = 0; i < 4; ++i) {
    crew.start([&, i] {
      for (int round = 0; round < 200; ++round) {
        if (i % 2 == 0) {
          std::scoped_lock const both(mutex_, other);  // std::lock: try and back off
          ++value;
        } else {
          std::scoped_lock const both(other, mutex_);
          ++value;
        }
        std::unique_lock lock(mutex_, std::defer_lock);
        lock.lock();
        lock.unlock();
        if (lock.try_lock_for(1s)) {
          ++value;
        }
      }
    });
  }
  crew.join();
  EXPECT_EQ(value, 1600);
  std::unique_lock tried(mutex_, std::try_to_lock);
  EXPECT_TRUE(tried.owns_lock());
  std::unique_lock timed(other, 1ms);
  EXPECT_TRUE(timed.owns_lock());
}

TEST_P(MutexTest, LockGuard) {
  int value = 0;
  Crew crew(GetParam());
  for (int i = 0; i < 2; ++i) {
    crew.start([&] {
      LockGuard const guard(mutex_);
      ++value;
    });
  }
  crew.join();
  EXPECT_EQ(value, 2);
  EXPECT_TRUE(mutex_.try_lock());
  mutex_.unlock();
}

// std::condition_variable_any blocks its thread, so the waiters are threads here.
TEST(Mutex, condition_variable_any) {
  Mutex mutex;
  std::condition_variable_any changed;
  int tokens = 0;
  std::thread consumer([&] {
    for (int i = 0; i < 1000; ++i) {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return tokens > 0; });
      --tokens;
    }
  });
  WaitGroup producers;
  for (int i = 0; i < 2; ++i) {
    producers.go([&] {
      for (int round = 0; round < 500; ++round) {
        {
          LockGuard const guard(mutex);
          ++tokens;
        }
        changed.notify_one();
      }
    });
  }
  producers.wait();
  consumer.join();
  EXPECT_EQ(tokens, 0);
}

}  // namespace
}  // namespace hamgam
