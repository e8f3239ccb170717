// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "hamgam/go.h"
#include "hamgam/waitgroup.h"
#include "support/scale.h"
#include "sync/janitor.h"
#include "sync/pool.h"

namespace {

using hamgam::Pool;
using hamgam::PoolOptions;
using hamgam::WaitGroup;
namespace detail = hamgam::detail;

// Objects that know how many of them there are.
struct Item {
  explicit Item(int n = 0) : number(n) { ++alive; }
  ~Item() { --alive; }
  Item(const Item&) = delete;
  Item& operator=(const Item&) = delete;

  int number;
  static inline std::atomic<int> alive{0};
};

std::unique_ptr<Item> item(int n) { return std::make_unique<Item>(n); }

using hamgam::test::slow;

// What every test runs as: a goroutine with a shard, a plain thread without, and as if the kernel
// had no heavy fence. The janitor keeps out: tests age the pools themselves.
enum class Where { kGoroutine, kThread, kGoroutineUnfenced };

class PoolAnywhere : public testing::TestWithParam<Where> {
 protected:
  void SetUp() override {
    detail::suspend_janitor(true);
    detail::allow_pool_shards(GetParam() != Where::kGoroutineUnfenced);
  }
  void TearDown() override {
    detail::allow_pool_shards(true);
    detail::suspend_janitor(false);
    EXPECT_EQ(Item::alive, 0);
  }

  template <class F>
  static void there(F f) {
    if (GetParam() == Where::kThread) {
      std::thread(f).join();
    } else {
      WaitGroup done;
      done.go(f);
      done.wait();
    }
  }

  // f(i) in n goroutines or threads at once.
  template <class F>
  static void many(int n, F f) {
    if (GetParam() == Where::kThread) {
      std::vector<std::thread> threads;
      for (int i = 0; i < n; ++i) {
        threads.emplace_back(f, i);
      }
      for (auto& thread : threads) {
        thread.join();
      }
    } else {
      WaitGroup done;
      for (int i = 0; i < n; ++i) {
        done.go(f, i);
      }
      done.wait();
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Sync, PoolAnywhere,
                         testing::Values(Where::kGoroutine, Where::kThread,
                                         Where::kGoroutineUnfenced),
                         [](const auto& info) {
                           return info.param == Where::kGoroutine ? "Goroutine"
                                  : info.param == Where::kThread  ? "Thread"
                                                                  : "Unfenced";
                         });

// PO1
TEST_P(PoolAnywhere, EmptyWithoutMakeGivesNothing) {
  there([] {
    Pool<Item> pool(nullptr);
    EXPECT_EQ(pool.take(), nullptr);
    EXPECT_EQ(pool.get().get(), nullptr);
    pool.put(nullptr);
    EXPECT_EQ(pool.trim(), 0U);
  });
}

// PO2
TEST_P(PoolAnywhere, GivesBackWhatWasPut) {
  there([] {
    Pool<std::string> pool(nullptr);
    pool.put(std::make_unique<std::string>("a"));
    pool.put(std::make_unique<std::string>("b"));
    std::set<std::string> seen;
    seen.insert(*pool.take());
    seen.insert(*pool.take());
    EXPECT_EQ(seen, (std::set<std::string>{"a", "b"}));
    EXPECT_EQ(pool.take(), nullptr);
    // Many more than a shard holds.
    for (int i = 0; i < 100; ++i) {
      pool.put(std::make_unique<std::string>(std::to_string(i)));
    }
    seen.clear();
    for (int i = 0; i < 100; ++i) {
      seen.insert(*pool.take());
    }
    EXPECT_EQ(seen.size(), 100U);
    EXPECT_EQ(pool.take(), nullptr);
  });
}

// PO3
TEST_P(PoolAnywhere, SurvivesOneTrimPeriodAndIsGoneAfterTwo) {
  there([] {
    Pool<Item> pool(nullptr);
    for (int i = 0; i < 100; ++i) {
      pool.put(item(i));
    }
    detail::age_all();
    EXPECT_EQ(Item::alive, 100);
    auto used = pool.take();
    ASSERT_NE(used, nullptr);
    pool.put(std::move(used));  // as good as new
    detail::age_all();
    EXPECT_EQ(Item::alive, 1);
    detail::age_all();
    EXPECT_EQ(Item::alive, 0);
    EXPECT_EQ(pool.take(), nullptr);
  });
}

TEST_P(PoolAnywhere, AVictimCanBeTaken) {
  there([] {
    Pool<Item> pool(nullptr);
    for (int round = 0; round < 20; ++round) {
      pool.put(item(round));
      detail::age_all();
      auto taken = pool.take();
      ASSERT_NE(taken, nullptr);
      EXPECT_EQ(taken->number, round);
    }
  });
}

// PO4
TEST_P(PoolAnywhere, MakesWhenEmpty) {
  there([] {
    int made = 0;
    Pool<int> pool([&made] { return std::make_unique<int>(++made); });
    EXPECT_EQ(*pool.take(), 1);
    EXPECT_EQ(*pool.take(), 2);
    pool.put(std::make_unique<int>(42));
    EXPECT_EQ(*pool.take(), 42);
    EXPECT_EQ(*pool.take(), 3);
  });
}

// PO5
TEST_P(PoolAnywhere, FreesWhatItKeptWhenItIsDestroyed) {
  there([] {
    {
      Pool<Item> pool;
      std::vector<std::unique_ptr<Item>> items(100);
      for (auto& one : items) {
        one = pool.take();
      }
      for (auto& one : items) {
        pool.put(std::move(one));
      }
      EXPECT_EQ(Item::alive, 100);
    }
    EXPECT_EQ(Item::alive, 0);
  });
}

TEST_P(PoolAnywhere, TrimFreesEverythingWhereverItIs) {
  Pool<Item> pool(nullptr);
  many(4, [&pool](int i) {
    for (int j = 0; j < 30; ++j) {
      pool.put(item(i * 100 + j));
      hamgam::yield();
    }
  });
  EXPECT_EQ(Item::alive, 120);
  detail::age_all();
  many(2, [&pool](int i) { pool.put(item(i)); });
  EXPECT_EQ(pool.trim(), 122U);
  EXPECT_EQ(Item::alive, 0);
  EXPECT_EQ(pool.trim(), 0U);
  there([&pool] {
    EXPECT_EQ(pool.take(), nullptr);
    pool.put(item(1));
    EXPECT_NE(pool.take(), nullptr);
  });
}

TEST_P(PoolAnywhere, LeaseGoesBackAtTheEndOfItsScope) {
  there([] {
    Pool<std::vector<int>> pool;
    const std::vector<int>* address = nullptr;
    {
      auto lease = pool.get();
      lease->push_back(1);
      EXPECT_EQ((*lease).size(), 1U);
      address = lease.get();
      auto moved = std::move(lease);
      EXPECT_EQ(moved.get(), address);
      auto& itself = moved;
      moved = std::move(itself);
    }
    auto again = pool.get();
    EXPECT_EQ(again.get(), address);
    std::unique_ptr<std::vector<int>> mine = again.release();
    EXPECT_EQ(again.get(), nullptr);
    EXPECT_EQ(mine.get(), address);
    auto other = pool.get();
    EXPECT_NE(other.get(), address);
    other = pool.get();  // the former one goes back
    auto third = pool.get();
    EXPECT_NE(third.get(), nullptr);
  });
  static_assert(!std::is_copy_constructible_v<Pool<int>::Lease>);
  static_assert(std::is_nothrow_move_constructible_v<Pool<int>::Lease>);
}

TEST_P(PoolAnywhere, MakeThatThrowsLeavesThePoolAsItWas) {
  there([] {
    bool fail = true;
    Pool<Item> pool([&fail] {
      if (fail) {
        throw std::runtime_error("no");
      }
      return item(7);
    });
    EXPECT_THROW((void)pool.get(), std::runtime_error);
    EXPECT_THROW((void)pool.take(), std::runtime_error);
    fail = false;
    EXPECT_EQ(pool.get()->number, 7);
    EXPECT_EQ(pool.trim(), 1U);
  });
}

TEST_P(PoolAnywhere, ResetThatThrowsLeavesThePoolAsItWas) {
  there([] {
    Pool<Item> pool([] { return item(1); },
                    [](Item& it) {
                      if (it.number == 13) {
                        throw std::runtime_error("no");
                      }
                      it.number = 0;
                    });
    pool.put(item(5));
    EXPECT_THROW(pool.put(item(13)), std::runtime_error);
    EXPECT_EQ(Item::alive, 1);
    {
      auto lease = pool.get();
      EXPECT_EQ(lease->number, 0);
      lease->number = 13;
    }
    EXPECT_EQ(Item::alive, 0);
    EXPECT_EQ(pool.get()->number, 1);
    EXPECT_EQ(pool.trim(), 1U);
  });
}

TEST_P(PoolAnywhere, KeepsNoMoreThanItsBudget) {
  for (std::size_t limit : {0U, 1U, 2U, 9U, 20U, 64U}) {
    Pool<Item> pool(nullptr, {}, PoolOptions{.max_cached = limit});
    many(4, [&pool](int) {
      for (int j = 0; j < 50; ++j) {
        pool.put(item(j));
        hamgam::yield();
      }
    });
    EXPECT_LE(Item::alive, static_cast<int>(limit));
    if (limit > 0) {
      EXPECT_GE(Item::alive, 1);
    }
    detail::age_all();
    many(4, [&pool](int) {
      for (int j = 0; j < 50; ++j) {
        pool.put(item(j));
        if (j % 3 == 0) {
          (void)pool.take();
        }
      }
    });
    EXPECT_LE(Item::alive, static_cast<int>(limit));
    auto const kept = static_cast<std::size_t>(Item::alive);
    EXPECT_EQ(pool.trim(), kept);
  }
}

TEST_P(PoolAnywhere, KeepsNoMoreThanItsBytes) {
  there([] {
    Pool<std::string> pool(nullptr, {}, PoolOptions{.max_bytes = 1000},
                           [](const std::string& s) { return s.size(); });
    pool.put(std::make_unique<std::string>(600, 'a'));
    pool.put(std::make_unique<std::string>(600, 'b'));  // too much
    pool.put(std::make_unique<std::string>(400, 'c'));
    pool.put(std::make_unique<std::string>(1, 'd'));     // too much
    pool.put(std::make_unique<std::string>(2000, 'e'));  // too much
    EXPECT_EQ(pool.take()->front(), 'c');
    pool.put(std::make_unique<std::string>(300, 'f'));
    EXPECT_EQ(pool.take()->front(), 'f');
    EXPECT_EQ(pool.take()->front(), 'a');
    EXPECT_EQ(pool.take(), nullptr);
    pool.put(std::make_unique<std::string>(1000, 'g'));
    detail::age_all();
    detail::age_all();
    EXPECT_EQ(pool.take(), nullptr);
    pool.put(std::make_unique<std::string>(1000, 'h'));
    EXPECT_EQ(pool.trim(), 1U);
  });
}

// PO6, PO7: only what was put comes back, and to one at a time.
TEST_P(PoolAnywhere, Stress) {
  constexpr int kMany = 10;
  int const rounds = slow() ? 5'000 : 100'000;
  struct Owned {
    std::atomic<bool> taken{true};
  };
  std::atomic<int> made{0};
  Pool<Owned> pool([&made] {
    ++made;
    return std::make_unique<Owned>();
  });
  std::atomic<bool> stop{false};
  std::thread trimmer([&] {
    while (!stop) {
      (void)pool.trim();
      detail::age_all();
      std::this_thread::yield();
    }
  });
  many(kMany, [&](int i) {
    std::vector<std::unique_ptr<Owned>> held;
    for (int round = 0; round < rounds; ++round) {
      auto one = pool.take();
      ASSERT_TRUE(one->taken || !one->taken.exchange(true)) << "taken twice";
      held.push_back(std::move(one));
      if (static_cast<int>(held.size()) > (round * 7 + i) % 40) {
        for (auto& back : held) {
          back->taken = false;
          pool.put(std::move(back));
        }
        held.clear();
      }
      if (round % 64 == 0) {
        hamgam::yield();
      }
    }
  });
  stop = true;
  trimmer.join();
}

// PO7: each value comes out exactly once.
TEST_P(PoolAnywhere, EachItemExactlyOnce) {
  int const each = slow() ? 2'000 : 50'000;
  constexpr int kMany = 4;
  auto const all = static_cast<std::size_t>(each) * kMany;
  std::vector<std::atomic<int>> seen(all);
  Pool<int> pool(nullptr);
  many(2 * kMany, [&](int i) {
    if (i < kMany) {
      for (int j = 0; j < each; ++j) {
        pool.put(std::make_unique<int>(i * each + j));
        if (j % 100 == 0) {
          hamgam::yield();
        }
      }
    } else {
      for (int j = 0; j < each; ++j) {
        if (auto got = pool.take()) {
          ++seen[static_cast<std::size_t>(*got)];
        }
        if (j % 100 == 0) {
          hamgam::yield();
        }
      }
    }
  });
  // What is left lies with several workers: take what is to be had, and count the rest.
  there([&] {
    while (auto got = pool.take()) {
      ++seen[static_cast<std::size_t>(*got)];
    }
  });
  std::size_t once = 0;
  for (auto& count : seen) {
    ASSERT_LE(count, 1);
    once += static_cast<std::size_t>(count);
  }
  EXPECT_EQ(once + pool.trim(), all);
}

// The lease goes back on whichever worker its goroutine is by then, or on a plain thread.
TEST(Pool, LeasesSurviveMigration) {
  Pool<Item> pool;
  WaitGroup done;
  for (int i = 0; i < 50; ++i) {
    done.go([&pool] {
      for (int round = 0; round < 100; ++round) {
        auto lease = pool.get();
        lease->number = round;
        hamgam::blocking([] { std::this_thread::yield(); });
        hamgam::yield();
        EXPECT_EQ(lease->number, round);
      }
    });
  }
  done.wait();
  auto lease = std::make_unique<Pool<Item>::Lease>(pool.get());
  done.go([&lease] { lease.reset(); });
  done.wait();
  auto const alive = static_cast<std::size_t>(Item::alive);
  EXPECT_EQ(pool.trim(), alive);
}

// Happens-before, for ThreadSanitizer: what was written before put is there after get.
TEST(Pool, PutIsBeforeGet) {
  Pool<std::vector<int>> pool;
  auto work = [&pool] {
    for (int i = 0; i < 2000; ++i) {
      auto lease = pool.get();
      lease->resize(lease->size() % 50 + 1);
      lease->back() = i;
    }
  };
  WaitGroup done;
  for (int i = 0; i < 4; ++i) {
    done.go(work);
  }
  std::thread one(work);
  std::thread two(work);
  one.join();
  two.join();
  done.wait();
}

// Objects whose destructor and makers use the library themselves.
TEST(Pool, DestructorsMayUseThePool) {
  detail::suspend_janitor(true);
  Pool<int> inner;
  struct User {
    Pool<int>* pool;
    ~User() {
      auto lease = pool->get();
      hamgam::yield();
      *lease = 1;
    }
  };
  Pool<User> outer([&inner] { return std::unique_ptr<User>(new User{&inner}); });
  WaitGroup done;
  for (int i = 0; i < 8; ++i) {
    done.go([&outer] { auto lease = outer.get(); });
  }
  done.wait();
  detail::age_all();
  detail::age_all();
  EXPECT_EQ(outer.trim(), 0U);
  detail::suspend_janitor(false);
}

// PO3 by the clock: idle workers' caches are emptied, too.
// What they put while the pool is destroyed used to be left behind, and the janitor with it.
TEST_P(PoolAnywhere, DestructorsMayPutUntilTheEnd) {
  struct Chain {
    Chain(Pool<Chain>& home, int links, int& alive) : pool(&home), left(links), count(&alive) {
      ++*count;
    }
    ~Chain() {
      --*count;
      if (left > 0) {
        pool->put(std::make_unique<Chain>(*pool, left - 1, *count));
      }
    }
    Chain(const Chain&) = delete;
    Chain& operator=(const Chain&) = delete;
    Pool<Chain>* pool;
    int left;
    int* count;
  };
  int alive = 0;
  there([&alive] {
    Pool<Chain> pool(nullptr);
    pool.put(std::make_unique<Chain>(pool, 3, alive));
  });
  EXPECT_EQ(alive, 0);
  detail::age_all();
  EXPECT_EQ(alive, 0);
}

TEST(Pool, JanitorFreesWhatIsNotUsed) {
  Pool<Item> pool;
  WaitGroup done;
  for (int i = 0; i < 8; ++i) {
    done.go([&pool] { auto lease = pool.get(); });
  }
  done.wait();
  EXPECT_GE(Item::alive, 1);
  auto const limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (Item::alive != 0 && std::chrono::steady_clock::now() < limit) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(Item::alive, 0);
}

// Pools come and go while the janitor looks at them.
TEST(Pool, ComeAndGoWhileTheJanitorWorks) {
  std::atomic<bool> stop{false};
  std::thread janitor([&stop] {
    while (!stop) {
      detail::age_all();
    }
  });
  WaitGroup done;
  for (int i = 0; i < 4; ++i) {
    done.go([] {
      for (int round = 0; round < 200; ++round) {
        Pool<Item> pool;
        auto a = pool.get();
        { auto b = pool.get(); }
        hamgam::yield();
      }
    });
  }
  done.wait();
  stop = true;
  janitor.join();
  EXPECT_EQ(Item::alive, 0);
}

TEST(Pool, AggregatesAreMadeEmpty) {
  struct Pod {
    int a;
    char b[32];
  };
  Pool<Pod> pool;
  auto lease = pool.get();
  EXPECT_EQ(lease->a, 0);
  EXPECT_EQ(lease->b[31], 0);
}

}  // namespace
