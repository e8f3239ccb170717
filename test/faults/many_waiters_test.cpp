// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "hamgam/hamgam.h"
#include "support/asleep.h"
#include "support/close.h"
#include "support/scale.h"
#include "support/seed.h"

// 50,000 wait for one object and give up: by one stop, which libstdc++ passes on last come, first
// served, and by deadlines in any order. To give up walked the object's whole queue under a spin
// lock: 20,000 took a minute, in which nobody else got at the object. The limits below are many
// times what it takes, and far less than what it took.

namespace hamgam {
namespace {

using namespace std::chrono_literals;

constexpr auto kLimit = 15s;       // for all to give up
constexpr auto kOtherLimit = 10s;  // for one operation of another

// How to wait for an object that nobody gives up, and what others can do with it meanwhile.
struct Object {
  virtual ~Object() = default;
  virtual void wait(std::stop_token token) = 0;
  virtual void wait_until(TimePoint t) = 0;
  virtual void use() {}
};

struct OfMutex : Object {
  OfMutex() { mutex.lock(); }
  ~OfMutex() override { mutex.unlock(); }
  void wait(std::stop_token token) override { EXPECT_FALSE(mutex.try_lock(token)); }
  void wait_until(TimePoint t) override { EXPECT_FALSE(mutex.try_lock_until(t)); }
  void use() override { EXPECT_FALSE(mutex.try_lock_for(1us)); }
  Mutex mutex;
};

struct OfRWMutex : Object {
  OfRWMutex() { mutex.lock(); }
  ~OfRWMutex() override { mutex.unlock(); }
  void wait(std::stop_token token) override {
    if (writers++ % 2 == 0) {
      EXPECT_FALSE(mutex.try_lock(token));
    } else {
      EXPECT_FALSE(mutex.try_lock_shared(token));
    }
  }
  void wait_until(TimePoint t) override {
    if (writers++ % 2 == 0) {
      EXPECT_FALSE(mutex.try_lock_until(t));
    } else {
      EXPECT_FALSE(mutex.try_lock_shared_until(t));
    }
  }
  void use() override { EXPECT_FALSE(mutex.try_lock_shared_for(1us)); }
  RWMutex mutex;
  std::atomic<int> writers{0};
};

// A reader inside, so that the first writer has claimed the lock and waits for it.
struct OfReadRWMutex : Object {
  OfReadRWMutex() { mutex.lock_shared(); }
  ~OfReadRWMutex() override { mutex.unlock_shared(); }
  void wait(std::stop_token token) override { EXPECT_FALSE(mutex.try_lock(token)); }
  void wait_until(TimePoint t) override { EXPECT_FALSE(mutex.try_lock_until(t)); }
  void use() override {
    if (mutex.try_lock_shared_for(1us)) {
      mutex.unlock_shared();
    }
  }
  RWMutex mutex;
};

struct OfSemaphore : Object {
  OfSemaphore() { semaphore.acquire(3); }
  ~OfSemaphore() override { semaphore.release(3); }
  void wait(std::stop_token token) override {
    EXPECT_FALSE(semaphore.acquire(token, 2 + units++ % 5));
  }
  void wait_until(TimePoint t) override {
    EXPECT_FALSE(semaphore.try_acquire_until(t, 2 + units++ % 5));
  }
  void use() override {
    if (semaphore.try_acquire_for(1us)) {
      semaphore.release();
    }
  }
  Semaphore semaphore{4};  // so some ask for more than there can be
  std::atomic<int> units{0};
};

struct OfWaitGroup : Object {
  OfWaitGroup() { group.add(1); }
  ~OfWaitGroup() override { group.done(); }
  void wait(std::stop_token token) override { EXPECT_FALSE(group.wait(token)); }
  void wait_until(TimePoint t) override { EXPECT_FALSE(group.wait_until(t)); }
  void use() override { EXPECT_FALSE(group.wait_for(1us)); }
  WaitGroup group;
};

struct OfTask : Object {
  ~OfTask() override { open.close(); }
  void wait(std::stop_token token) override { EXPECT_FALSE(task.wait(token)); }
  void wait_until(TimePoint t) override { EXPECT_FALSE(task.wait_until(t)); }
  void use() override { EXPECT_FALSE(task.wait_for(1us)); }
  Chan<int> open = make_chan<int>();
  Task<void> task = spawn([gate = open] { (void)gate.recv(); });
};

struct OfCond : Object {
  void wait(std::stop_token token) override {
    std::unique_lock lock(mutex);
    EXPECT_FALSE(cond.wait(lock, token, [] { return false; }));
  }
  void wait_until(TimePoint t) override {
    std::unique_lock lock(mutex);
    EXPECT_FALSE(cond.wait_until(lock, t, [] { return false; }));
  }
  void use() override {
    std::unique_lock lock(mutex);
    EXPECT_FALSE(cond.wait_for(lock, 1us, [] { return false; }));
  }
  Mutex mutex;
  Cond cond;
};

// With a lock of each waiter's own, and notifies meanwhile.
struct OfOwnCond : Object {
  void wait(std::stop_token token) override {
    RWMutex own;
    std::unique_lock lock(own);
    EXPECT_FALSE(cond.wait(lock, token, [] { return false; }));
  }
  void wait_until(TimePoint t) override {
    RWMutex own;
    std::unique_lock lock(own);
    EXPECT_FALSE(cond.wait_until(lock, t, [] { return false; }));
  }
  void use() override { cond.notify_one(); }
  Cond cond;
};

struct OfResourcePool : Object {
  void wait(std::stop_token token) override { EXPECT_FALSE(pool.acquire(token).has_value()); }
  void wait_until(TimePoint t) override { EXPECT_FALSE(pool.acquire_until(t).has_value()); }
  void use() override { EXPECT_FALSE(pool.acquire_for(1us).has_value()); }
  ResourcePool<int> pool{[] { return 1; }, {.max_open = 1}};
  ResourcePool<int>::Lease lease = pool.acquire();
};

struct OfChanRecv : Object {
  void wait(std::stop_token token) override {
    EXPECT_EQ(chan.recv(token).value.has_value(), false);
  }
  void wait_until(TimePoint t) override { EXPECT_FALSE(chan.recv_until(t).value.has_value()); }
  void use() override { EXPECT_FALSE(chan.recv_for(1us).value.has_value()); }
  Chan<int> chan = make_chan<int>();
};

struct OfChanSend : Object {
  void wait(std::stop_token token) override { EXPECT_FALSE(chan.send(1, token)); }
  void wait_until(TimePoint t) override { EXPECT_FALSE(chan.send_until(1, t)); }
  void use() override { EXPECT_FALSE(chan.send_for(1, 1us)); }
  Chan<int> chan = make_chan<int>();
};

struct OfSelect : Object {
  void wait(std::stop_token token) override {
    EXPECT_EQ(select(on_recv(a), on_send(b, 1), on_stop(token)), 2U);
  }
  void wait_until(TimePoint t) override {
    SelectSet set;
    set.add(on_recv(a));
    set.add(on_send(b, 1));
    EXPECT_FALSE(set.wait_until(t).has_value());
  }
  void use() override { EXPECT_EQ(select(on_recv(a), on_send(b, 1), on_timeout(1us)), 2U); }
  Chan<int> a = make_chan<int>();
  Chan<int> b = make_chan<int>();
};

struct OfSleep : Object {
  void wait(std::stop_token token) override { EXPECT_FALSE(sleep(1h, token)); }
  void wait_until(TimePoint t) override { sleep_until(t); }
};

struct Kind {
  const char* name;
  std::function<std::unique_ptr<Object>()> make;
};

template <class O>
Kind kind(const char* name) {
  return {name, [] { return std::make_unique<O>(); }};
}

class ManyWaiters : public testing::TestWithParam<Kind> {};
INSTANTIATE_TEST_SUITE_P(
    , ManyWaiters,
    testing::Values(kind<OfMutex>("Mutex"), kind<OfRWMutex>("RWMutex"),
                    kind<OfReadRWMutex>("RWMutex_behind_a_reader"), kind<OfSemaphore>("Semaphore"),
                    kind<OfWaitGroup>("WaitGroup"), kind<OfTask>("Task"), kind<OfCond>("Cond"),
                    kind<OfOwnCond>("Cond_beside_notifies"), kind<OfResourcePool>("ResourcePool"),
                    kind<OfChanRecv>("recv"), kind<OfChanSend>("send"), kind<OfSelect>("select"),
                    kind<OfSleep>("sleep")),
    [](const auto& info) { return std::string(info.param.name); });

// Others' longest operation, from when they begin.
class Others {
 public:
  explicit Others(Object& object) : object_(object) {
    running_.go([this] {
      while (!over_.load()) {
        auto const start = Clock::now();
        object_.use();
        longest_ = std::max(longest_, Clock::now() - start);
        sleep(100us);  // their pace
      }
    });
  }
  Clock::duration finish() {
    over_.store(true);
    running_.wait();
    return longest_;
  }

 private:
  Object& object_;
  std::atomic<bool> over_{false};
  Clock::duration longest_{};
  WaitGroup running_;
};

TEST_P(ManyWaiters, give_up_by_one_stop) {
  int const count = test::scaled_spawns(50'000);
  auto const object = GetParam().make();
  std::stop_source source;
  WaitGroup waiters;
  auto const parks = test::parks();
  for (int i = 0; i < count; ++i) {
    waiters.go([&] { object->wait(source.get_token()); });
  }
  // Most sleep now; the others will find that stop was requested.
  ASSERT_TRUE(test::comes_true([&] { return test::parks() - parks >= std::uint64_t(count); }));
  Others others(*object);
  auto const start = Clock::now();
  source.request_stop();
  waiters.wait();
  EXPECT_LT(Clock::now() - start, kLimit);
  EXPECT_LT(others.finish(), kOtherLimit);
}

TEST_P(ManyWaiters, give_up_by_deadlines_in_any_order) {
  int const count = test::scaled_spawns(50'000);
  std::mt19937_64 random(test::seed());
  auto const object = GetParam().make();
  auto const base = Clock::now() + 500ms;
  std::atomic<Clock::rep> latest{0};
  WaitGroup waiters;
  for (int i = 0; i < count; ++i) {
    TimePoint const deadline = base + std::chrono::microseconds(random() % 100'000);
    waiters.go([&, deadline] {
      object->wait_until(deadline);
      Clock::rep const late = (Clock::now() - deadline).count();
      Clock::rep known = latest.load();
      while (late > known && !latest.compare_exchange_weak(known, late)) {
      }
    });
  }
  Others others(*object);
  waiters.wait();
  EXPECT_LT(Clock::duration(latest.load()), kLimit);
  EXPECT_LT(others.finish(), kOtherLimit);
}

// All are claimed by one close, with senders and receivers coming and going meanwhile.
TEST(ManyReceivers, are_ended_by_one_close) {
  int const count = test::scaled_spawns(50'000);
  auto chan = std::make_unique<Chan<int>>(make_chan<int>());
  std::atomic<int> ended{0};
  WaitGroup waiters;
  auto const parks = test::parks();
  for (int i = 0; i < count; ++i) {
    waiters.go([&, i, own = *chan] {
      if (i % 2 == 0) {
        EXPECT_FALSE(own.recv().has_value());
      } else {
        select(on_recv(own, [](auto value) { EXPECT_FALSE(value.has_value()); }));
      }
      ++ended;
    });
  }
  ASSERT_TRUE(test::comes_true([&] { return test::parks() - parks >= std::uint64_t(count); }));
  auto const start = Clock::now();
  chan->close();
  EXPECT_FALSE(chan->recv().has_value());
  EXPECT_THROW(chan->send(1), Panic);
  chan.reset();
  waiters.wait();
  EXPECT_LT(Clock::now() - start, kLimit);
  EXPECT_EQ(ended.load(), count);
}

// A send that waits when its channel is closed fails, and nobody receives its value any more: also
// where there are more than a close claims in one go.
TEST(ManySenders, all_fail_when_the_channel_is_closed) {
  constexpr int kSenders = 1000;
  for (int round = 0; round < test::scaled(20); ++round) {
    auto chan = make_chan<int>(1);
    chan.send(-1);
    std::atomic<int> begun{0};
    std::atomic<int> failed{0};
    WaitGroup group;
    for (int i = 0; i < kSenders; ++i) {
      group.go([&, i] {
        ++begun;
        try {
          chan.send(i);
        } catch (const Panic&) {
          ++failed;
        }
      });
    }
    while (begun.load() < kSenders) {
      yield();
    }
    std::atomic<int> received{0};
    group.go([&] {
      std::vector<int> values;
      while (auto const value = chan.recv()) {
        ++received;
        yield();
      }
    });
    test::close_beside_senders(chan);
    group.wait();
    EXPECT_EQ(received.load() - 1 + failed.load(), kSenders);
  }
}

// A case for each of thousands of tokens: one call deep each, they overflowed the stack.
TEST(ManyCases, of_on_stop) {
  int const count = test::scaled(20'000);
  std::vector<std::stop_source> sources(static_cast<std::size_t>(count));
  WaitGroup group;
  auto const parks = test::parks();
  group.go([&] {
    SelectSet set;
    std::vector<SelectSet::Key> keys;
    for (std::stop_source& source : sources) {
      keys.push_back(set.add(on_stop(source.get_token())));
    }
    EXPECT_EQ(set.wait(), keys[keys.size() / 2]);
  });
  test::until([parks] { return test::parks() != parks; });  // the select
  group.go([&] { sources[sources.size() / 2].request_stop(); });
  group.wait();
}

// Thousands of channels in each of several selects, which claim each other all the time.
TEST(ManyCases, of_channels) {
  int const count = test::scaled(5'000);
  constexpr int kSelects = 4;
  constexpr int kValues = 20;
  std::vector<Chan<int>> chans;
  for (int i = 0; i < count; ++i) {
    chans.push_back(make_chan<int>());
  }
  std::atomic<int> received{0};
  WaitGroup group;
  for (int i = 0; i < kSelects; ++i) {
    group.go([&, sends = i % 2 == 0] {
      SelectSet set;
      for (const Chan<int>& chan : chans) {
        if (sends) {
          set.add(on_send(chan, 1));
        } else {
          set.add(on_recv(chan, [&](auto value) { received += value.value_or(0); }));
        }
      }
      for (int n = 0; n < kValues; ++n) {
        set.wait();
      }
    });
  }
  group.wait();
  EXPECT_EQ(received.load(), kSelects / 2 * kValues);
}

}  // namespace
}  // namespace hamgam
