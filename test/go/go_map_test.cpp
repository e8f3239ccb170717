// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Map: the behaviours that Go's tests check, each with a good, a constant and a truncated hash
// (MA8).
#include "hamgam/map.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "hamgam/go.h"
#include "hamgam/waitgroup.h"
#include "support/allocations.h"
#include "support/crew.h"
#include "support/scale.h"

namespace {

using hamgam::WaitGroup;
using hamgam::test::at_once;
using hamgam::test::Who;

using hamgam::test::slow;

struct GoodHash {
  std::size_t operator()(int key) const { return std::hash<int>()(key); }
};
struct ConstantHash {
  std::size_t operator()(int /*key*/) const { return 0; }
};
struct TruncatedHash {
  std::size_t operator()(int key) const { return static_cast<unsigned>(key) & 7U; }
};

template <class Hash>
class MapTest : public testing::Test {
 protected:
  using Map = hamgam::Map<int, int, Hash>;
  static constexpr int kKeys = std::is_same_v<Hash, GoodHash> ? 1000 : 64;
};
using Hashes = testing::Types<GoodHash, ConstantHash, TruncatedHash>;
TYPED_TEST_SUITE(MapTest, Hashes);

TYPED_TEST(MapTest, Smoke) {
  typename TestFixture::Map map;
  EXPECT_EQ(map.load(1), std::nullopt);
  EXPECT_EQ(map.size(), 0U);
  EXPECT_FALSE(map.erase(1));
  map.clear();
  map.store(1, 10);
  EXPECT_EQ(map.load(1), 10);
  map.store(1, 11);
  EXPECT_EQ(map.load(1), 11);
  EXPECT_EQ(map.size(), 1U);
  EXPECT_EQ(map.load_or_store(1, 12), std::make_pair(11, true));
  EXPECT_EQ(map.load_or_store(2, 20), std::make_pair(20, false));
  EXPECT_EQ(map.swap(2, 21), 20);
  EXPECT_EQ(map.swap(3, 30), std::nullopt);
  EXPECT_EQ(map.size(), 3U);
  EXPECT_EQ(map.load_and_erase(2), 21);
  EXPECT_EQ(map.load_and_erase(2), std::nullopt);
  EXPECT_TRUE(map.erase(3));
  EXPECT_FALSE(map.erase(3));
  EXPECT_EQ(map.size(), 1U);
  map.clear();
  EXPECT_EQ(map.size(), 0U);
  EXPECT_EQ(map.load(1), std::nullopt);
}

// MA1
TYPED_TEST(MapTest, RandomOperationsEqualThoseOfAPlainMap) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    typename TestFixture::Map map;
    std::map<int, int> model;
    int const keys = 1 << (random() % 9);
    for (int step = 0; step < 3000; ++step) {
      int const key = static_cast<int>(random() % static_cast<unsigned>(keys)) * 37;
      int const value = static_cast<int>(random() % 8);
      int const other = static_cast<int>(random() % 8);
      auto const at = model.find(key);
      auto const had = at == model.end() ? std::nullopt : std::optional<int>(at->second);
      switch (random() % 10) {
        case 0:
          map.store(key, value);
          model[key] = value;
          break;
        case 1:
          ASSERT_EQ(map.load_or_store(key, value),
                    std::make_pair(had.value_or(value), had.has_value()));
          model.emplace(key, value);
          break;
        case 2:
          ASSERT_EQ(map.load_and_erase(key), had);
          model.erase(key);
          break;
        case 3:
          ASSERT_EQ(map.erase(key), had.has_value());
          model.erase(key);
          break;
        case 4:
          ASSERT_EQ(map.swap(key, value), had);
          model[key] = value;
          break;
        case 5:
          ASSERT_EQ(map.compare_and_swap(key, other, value), had == other);
          if (had == other) {
            model[key] = value;
          }
          break;
        case 6:
          ASSERT_EQ(map.compare_and_erase(key, other), had == other);
          if (had == other) {
            model.erase(key);
          }
          break;
        case 7:
          if (random() % 200 == 0) {
            map.clear();
            model.clear();
          }
          break;
        default:
          ASSERT_EQ(map.load(key), had);
      }
      ASSERT_EQ(map.size(), model.size());
    }
    std::map<int, int> seen;
    map.for_each([&seen](int key, int value) { ASSERT_TRUE(seen.emplace(key, value).second); });
    EXPECT_EQ(seen, model);
  }
}

// MA2
TYPED_TEST(MapTest, ForEachWhileOthersStoreSeesEachKeyOnce) {
  constexpr int kKeys = TestFixture::kKeys;
  typename TestFixture::Map map;
  for (int key = 0; key < kKeys; ++key) {
    map.store(key, key);
  }
  std::atomic<bool> stop{false};
  WaitGroup writers;
  for (int i = 1; i <= 3; ++i) {
    writers.go([&, i] {
      while (!stop) {
        for (int key = 0; key < kKeys; ++key) {
          map.store(key, key * i);
          if (key % 16 == 0) {
            hamgam::yield();
          }
        }
      }
    });
  }
  int const rounds = slow() ? 5 : 30;
  for (int round = 0; round < rounds; ++round) {
    std::set<int> seen;
    map.for_each([&seen](int key, int value) {
      EXPECT_TRUE(seen.insert(key).second) << "twice: " << key;
      EXPECT_TRUE(key == 0 ? value == 0 : value % key == 0);
      return true;
    });
    EXPECT_EQ(seen.size(), static_cast<std::size_t>(kKeys));
  }
  stop = true;
  writers.wait();
}

TYPED_TEST(MapTest, ForEachMeetsNoKeyTwiceWhileItIsErasedAndStored) {
  typename TestFixture::Map map;
  for (int key = 0; key < 64; ++key) {
    map.store(key, 0);
  }
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (int i = 0; !stop; ++i) {
      map.erase(i % 64);
      map.store(i % 64, i);
      if (i % 500 == 0) {
        map.clear();
      }
    }
  });
  int const rounds = slow() ? 50 : 500;
  for (int round = 0; round < rounds; ++round) {
    std::set<int> seen;
    map.for_each([&seen](int key, int) { EXPECT_TRUE(seen.insert(key).second); });
  }
  stop = true;
  writer.join();
}

TYPED_TEST(MapTest, ForEachStopsWhenToldTo) {
  typename TestFixture::Map map;
  for (int key = 0; key < 10; ++key) {
    map.store(key, key);
  }
  int calls = 0;
  map.for_each([&calls](int, int) { return ++calls < 3; });
  EXPECT_EQ(calls, 3);
  EXPECT_THROW(map.for_each([](int, int) { throw std::runtime_error("out"); }), std::runtime_error);
  EXPECT_TRUE(map.erase(0));
}

// MA4
TYPED_TEST(MapTest, ForEachMayChangeTheMap) {
  typename TestFixture::Map map;
  map.for_each([](int, int) { FAIL(); });
  constexpr int kKeys = 10;
  for (int key = 0; key < kKeys; ++key) {
    map.store(key, key);
  }
  int outer = 0;
  map.for_each([&](int key, int) {
    ++outer;
    map.for_each([&](int other, int) {
      if (other == key) {
        (void)map.load_or_store(kKeys + key, 1);
      }
      return true;
    });
    map.erase(key);
    map.store(key, -1);
    hamgam::yield();
  });
  EXPECT_GE(outer, kKeys);
  EXPECT_GE(map.size(), 2U * kKeys);
  map.for_each([&map](int, int) { map.clear(); });
  EXPECT_EQ(map.size(), 0U);
}

// MA6
TYPED_TEST(MapTest, ForEachAndClearAllocateNothing) {
  typename TestFixture::Map map;
  constexpr int kKeys = 100;
  for (int key = 0; key < kKeys; ++key) {
    map.store(key, key);
  }
  auto const before = hamgam::test::allocations();
  int sum = 0;
  map.for_each([&](int key, int) { sum += key; });
  EXPECT_EQ(hamgam::test::allocations(), before);
  EXPECT_EQ(sum, kKeys * (kKeys - 1) / 2);
  map.clear();
  EXPECT_LE(hamgam::test::allocations(), before + 1);
  EXPECT_EQ(map.size(), 0U);
}

// Places are used again: an entry is all that a key takes which comes for one that goes.
TYPED_TEST(MapTest, KeysThatComeAndGoAllocateNothingElse) {
  typename TestFixture::Map map;
  constexpr int kKeys = 100;
  for (int key = 0; key < kKeys; ++key) {
    map.store(key, key);
  }
  for (int round = 0; round < 2; ++round) {
    auto const before = hamgam::test::allocations();
    for (int key = 0; key < 10 * kKeys; ++key) {
      EXPECT_TRUE(map.erase(key % kKeys));
      map.store(key % kKeys, key);
    }
    if (round == 1) {
      EXPECT_LE(hamgam::test::allocations() - before, 10U * kKeys);
    }
  }
}

// MA5
TYPED_TEST(MapTest, CompareAndSwapOfAnAbsentKeyFails) {
  typename TestFixture::Map map;
  EXPECT_FALSE(map.compare_and_swap(1, 0, 42));
  EXPECT_FALSE(map.compare_and_erase(1, 0));
  EXPECT_EQ(map.load(1), std::nullopt);
  map.store(2, 0);
  EXPECT_FALSE(map.compare_and_swap(1, 0, 42));
  EXPECT_FALSE(map.compare_and_swap(2, 1, 42));
  EXPECT_TRUE(map.compare_and_swap(2, 0, 42));
  EXPECT_FALSE(map.compare_and_erase(2, 0));
  EXPECT_TRUE(map.compare_and_erase(2, 42));
  EXPECT_EQ(map.size(), 0U);
}

// MA7
TYPED_TEST(MapTest, IsEmptyAfterTheLastClear) {
  typename TestFixture::Map map;
  at_once(Who::kBoth, 4, [&map](int i) {
    for (int round = 0; round < (slow() ? 300 : 5000); ++round) {
      map.store(round % 64, i);
      if (round % 20 == i) {
        map.clear();
      }
    }
  });
  map.clear();
  EXPECT_EQ(map.size(), 0U);
  map.for_each([](int, int) { FAIL(); });
  map.store(1, 1);
  EXPECT_EQ(map.load(1), 1);
}

// MA8: each actor has keys of its own.
TYPED_TEST(MapTest, UnsharedKeys) {
  constexpr int kKeys = TestFixture::kKeys / 8;
  typename TestFixture::Map map;
  auto const work = [&map](int i) {
    for (int key = i * kKeys; key < (i + 1) * kKeys; ++key) {
      EXPECT_EQ(map.load(key), std::nullopt);
      EXPECT_EQ(map.load_or_store(key, key), std::make_pair(key, false));
      EXPECT_EQ(map.load_or_store(key, 0), std::make_pair(key, true));
      EXPECT_EQ(map.swap(key, key + 1), key);
      EXPECT_FALSE(map.compare_and_swap(key, key, 0));
      EXPECT_TRUE(map.compare_and_swap(key, key + 1, key + 2));
      EXPECT_EQ(map.load(key), key + 2);
      if (key % 2 == 0) {
        EXPECT_FALSE(map.compare_and_erase(key, key));
        EXPECT_TRUE(map.compare_and_erase(key, key + 2));
        EXPECT_FALSE(map.erase(key));
        map.store(key, key);
        EXPECT_EQ(map.load_and_erase(key), key);
        EXPECT_EQ(map.load(key), std::nullopt);
      }
    }
  };
  for (int round = 0; round < 5; ++round) {
    at_once(Who::kGoroutines, 4, work);
    map.clear();
    at_once(Who::kThreads, 4, work);
    map.clear();
    at_once(Who::kBoth, 4, work);
    std::size_t odd = 0;
    map.for_each([&odd](int key, int value) {
      EXPECT_EQ(key % 2, 1);
      EXPECT_EQ(value, key + 2);
      ++odd;
    });
    EXPECT_EQ(odd, static_cast<std::size_t>(4 * kKeys / 2));
    EXPECT_EQ(map.size(), odd);
    map.clear();
  }
}

// MA8: one winner per key.
TYPED_TEST(MapTest, SharedKeys) {
  constexpr int kKeys = TestFixture::kKeys / 4;
  for (int round = 0; round < (slow() ? 2 : 10); ++round) {
    typename TestFixture::Map map;
    std::atomic<int> stored{0};
    std::atomic<int> swapped{0};
    std::atomic<int> erased{0};
    at_once(Who::kBoth, 6, [&](int i) {
      for (int key = 0; key < kKeys; ++key) {
        stored += map.load_or_store(key, i).second ? 0 : 1;
      }
    });
    EXPECT_EQ(stored, kKeys);
    for (int key = 0; key < kKeys; ++key) {
      map.store(key, -1);
    }
    at_once(Who::kBoth, 6, [&](int) {
      for (int key = 0; key < kKeys; ++key) {
        swapped += map.compare_and_swap(key, -1, 7) ? 1 : 0;
      }
    });
    EXPECT_EQ(swapped, kKeys);
    at_once(Who::kBoth, 6, [&](int i) {
      for (int key = 0; key < kKeys; ++key) {
        bool const won =
            i % 3 == 0 ? map.compare_and_erase(key, 7) : map.load_and_erase(key).has_value();
        erased += won ? 1 : 0;
      }
    });
    EXPECT_EQ(erased, kKeys);
    EXPECT_EQ(map.size(), 0U);
  }
}

// MA9
TYPED_TEST(MapTest, SwapAndEraseOfTheSamePairNeverBothWin) {
  constexpr int kKeys = TestFixture::kKeys;
  typename TestFixture::Map map;
  for (int round = 0; round < (slow() ? 2 : 20); ++round) {
    for (int key = 0; key < kKeys; ++key) {
      map.store(key, 1);
    }
    std::vector<std::atomic<int>> wins(kKeys);
    at_once(Who::kBoth, 4, [&](int i) {
      for (int key = 0; key < kKeys; ++key) {
        bool const won = i < 2 ? map.compare_and_swap(key, 1, 2) : map.compare_and_erase(key, 1);
        wins[static_cast<std::size_t>(key)] += won ? 1 : 0;
      }
    });
    for (auto& count : wins) {
      ASSERT_EQ(count, 1);
    }
  }
}

TYPED_TEST(MapTest, Stress) {
  typename TestFixture::Map map;
  at_once(Who::kBoth, 8, [&map](int i) {
    std::mt19937 random(static_cast<unsigned>(i));
    for (int step = 0; step < (slow() ? 2000 : 30000); ++step) {
      int const key = static_cast<int>(random() % TestFixture::kKeys);
      switch (random() % 8) {
        case 0:
          map.store(key, key);
          break;
        case 1:
          map.erase(key);
          break;
        case 2:
          EXPECT_EQ(map.load_or_store(key, key).first, key);
          break;
        case 3:
          EXPECT_EQ(map.swap(key, key).value_or(key), key);
          break;
        default:
          EXPECT_EQ(map.load(key).value_or(key), key);
      }
    }
  });
}

}  // namespace
