// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Where Map's entries live: memory of removed ones is used again, and goes with clear() and with
// the map.
#include "hamgam/detail/map_memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "hamgam/chan.h"
#include "hamgam/map.h"
#include "hamgam/waitgroup.h"
#include "support/allocations.h"
#include "support/scale.h"

namespace {

using hamgam::detail::MapMemory;
using hamgam::test::allocated;
using hamgam::test::allocations;

constexpr std::size_t kSize = 24;

TEST(MapMemory, PiecesAreApart) {
  MapMemory memory;
  std::vector<char*> pieces;
  for (int i = 0; i < 2000; ++i) {
    pieces.push_back(static_cast<char*>(memory.take(kSize)));
    std::fill_n(pieces.back(), kSize, 'x');
  }
  std::sort(pieces.begin(), pieces.end());
  for (std::size_t i = 1; i < pieces.size(); ++i) {
    EXPECT_GE(pieces[i] - pieces[i - 1], static_cast<std::ptrdiff_t>(kSize));
  }
}

TEST(MapMemory, WhatCameBackIsUsedFirst) {
  MapMemory memory;
  std::set<void*> pieces;
  for (int i = 0; i < 8; ++i) {
    pieces.insert(memory.take(kSize));
  }
  for (void* piece : pieces) {
    memory.give(piece);
  }
  for (int i = 0; i < 12; ++i) {  // some may be left of the last block
    pieces.erase(memory.take(kSize));
  }
  EXPECT_TRUE(pieces.empty());
}

TEST(MapMemory, BlocksStayWhileAPieceIsOnItsWay) {
  MapMemory memory;
  void* const held = memory.take(kSize);
  void* const removed = memory.take(kSize);
  EXPECT_EQ(memory.take_blocks(1), nullptr);  // the table has one, and two are out
  memory.give(removed);
  MapMemory::Block* const blocks = memory.take_blocks(1);
  EXPECT_NE(blocks, nullptr);
  EXPECT_EQ(memory.take_blocks(0), nullptr);  // none are left
  void* const fresh = memory.take(kSize);
  EXPECT_NE(fresh, removed);
  EXPECT_NE(fresh, held);
  MapMemory::free_blocks(blocks);
}

// As users have it, ThreadSanitizer does not see what passes pieces on: it has none.
#if !HAMGAM_TSAN_USER

// A piece is one's own from take to give.
TEST(MapMemory, GivenBesideTakes) {
  constexpr int kThreads = 4;
  int const rounds = hamgam::test::slow() ? 2'000 : 50'000;
  MapMemory memory;
  std::mutex mutex;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      std::array<std::uint64_t*, 3> mine{};
      for (int round = 0; round < rounds; ++round) {
        auto const mark = static_cast<std::uint64_t>(i * rounds + round);
        {
          std::lock_guard const lock(mutex);
          for (auto& piece : mine) {
            piece = static_cast<std::uint64_t*>(memory.take(kSize));
          }
        }
        for (std::uint64_t* piece : mine) {
          std::fill_n(piece, 3, mark);
        }
        for (std::uint64_t* piece : mine) {
          ASSERT_EQ(piece[0], mark);
          ASSERT_EQ(piece[2], mark);
          memory.give(piece);
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  MapMemory::Block* const blocks = memory.take_blocks(0);
  EXPECT_NE(blocks, nullptr);
  MapMemory::free_blocks(blocks);
}

#endif

// Under the sanitizers each entry is allocated by itself, for them to see it come and go.
#if !defined(HAMGAM_ASAN) && !defined(HAMGAM_TSAN)

constexpr int kKeys = 5000;

template <class M>
void fill(M& map, int from = 0) {
  for (int key = from; key < from + kKeys; ++key) {
    map.store(key, {});
  }
}

template <class M>
void erase_all(M& map) {
  std::vector<int> keys;
  map.for_each([&](int key, const auto& /*value*/) { keys.push_back(key); });
  for (int key : keys) {
    map.erase(key);
  }
}

TEST(Map, EntriesAreNotAllocatedOneByOne) {
  std::size_t const before = allocations();
  hamgam::Map<int, int> map;
  fill(map);
  EXPECT_LT(allocations() - before, kKeys / 10);
}

TEST(Map, MemoryOfRemovedEntriesIsUsedAgain) {
  hamgam::Map<int, std::string> map;
  fill(map);
  for (int round = 1; round < 10; ++round) {
    erase_all(map);
    std::size_t const before = allocations();
    fill(map, 16 * round);  // as many in each stripe, though not the same keys
    EXPECT_LT(allocations() - before, 16 * 20) << round;
  }
  std::size_t const before = allocations();
  for (int round = 0; round < 10 * kKeys; ++round) {
    map.store(16 * 9 + round % kKeys, "short");  // a new entry each, and the former one goes
  }
  EXPECT_LT(allocations() - before, 16 * 2);
}

// With nothing to destroy, memory comes back within erase().
TEST(Map, MemoryOfRemovedPlainEntriesIsUsedAtOnce) {
  hamgam::Map<int, std::array<int, 4>> map;
  map.store(1, {1});
  map.store(2, {2});
  std::size_t const before = allocations();
  for (int round = 0; round < kKeys; ++round) {
    EXPECT_TRUE(map.erase(1));
    map.store(1, {round});
    EXPECT_TRUE(map.compare_and_erase(2, map.load(2).value()));
    map.store(2, {round});
  }
  EXPECT_EQ(allocations(), before);
}

// But not what somebody reads, be it who erases.
TEST(Map, APlainEntryThatIsReadIsNotUsedAgain) {
  hamgam::Map<int, std::array<int, 4>> map;
  constexpr std::array<int, 4> kValue{1, 2, 3, 4};
  map.store(0, kValue);
  map.for_each([&](const int& key, const std::array<int, 4>& value) {
    EXPECT_TRUE(map.erase(0));
    for (int other = 1; other < 1000; ++other) {
      map.store(16 * other, {});
    }
    EXPECT_EQ(key, 0);
    EXPECT_EQ(value, kValue);
    return false;
  });
}

TEST(Map, MemoryGoesWithTheMap) {
  std::size_t const before = allocated();
  for (bool erases : {false, true}) {
    hamgam::Map<int, std::shared_ptr<int>> map;
    fill(map);
    if (erases) {
      erase_all(map);
    }
  }
  EXPECT_EQ(allocated(), before);
}

TEST(Map, MemoryGoesWithClear) {
  hamgam::Map<int, int> map;
  map.store(1, 1);
  map.clear();
  std::size_t const before = allocated();
  fill(map);
  for (int key = 0; key < kKeys; key += 2) {
    map.erase(key);
  }
  map.clear();
  EXPECT_EQ(allocated(), before);
}

// An entry that a reader still sees is in no table any more when the map is cleared.
TEST(Map, ClearLeavesWhatAReaderHas) {
  hamgam::Map<int, std::string> map;
  std::string const text(100, 'x');
  map.store(1, text);
  auto inside = hamgam::make_chan<bool>();
  auto cleared = hamgam::make_chan<bool>();
  hamgam::WaitGroup reader;
  reader.go([&] {
    map.for_each([&](int /*key*/, const std::string& value) {
      (void)inside.send(true);
      (void)cleared.recv();
      EXPECT_EQ(value, text);
    });
  });
  (void)inside.recv();
  map.erase(1);
  map.clear();
  for (int key = 0; key < 100; ++key) {
    map.store(key, "other");
  }
  map.clear();
  cleared.close();
  reader.wait();
}

// Large ones, and those with an alignment of their own, come from operator new.
TEST(Map, EntriesOfAnySizeAndAlignment) {
  struct alignas(64) Aligned {
    char bytes[64] = {};
  };
  struct Large {
    char bytes[1000] = {};
  };
  hamgam::Map<int, Aligned> aligned;
  hamgam::Map<int, Large> large;
  fill(aligned);
  fill(large);
  aligned.for_each([](int /*key*/, const Aligned& value) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&value) % 64, 0U);
  });
  erase_all(aligned);
  erase_all(large);
  EXPECT_EQ(aligned.size() + large.size(), 0U);
}

// Whichever allocation fails: the map is as it was.
TEST(Map, NoMemoryLosesNothing) {
  for (int nth = 1; nth < 50; ++nth) {
    hamgam::Map<int, std::string> map;
    int stored = 0;
    hamgam::test::g_refused_in = nth;
    for (int key = 0; key < 100; ++key) {
      try {
        map.store(key, "short");
        ++stored;
      } catch (const std::bad_alloc&) {
        EXPECT_FALSE(map.load(key).has_value());
      }
    }
    hamgam::test::g_refused_in = 0;
    EXPECT_EQ(map.size(), static_cast<std::size_t>(stored));
    EXPECT_GE(stored, 99);
    map.clear();
    fill(map);
    EXPECT_EQ(map.size(), static_cast<std::size_t>(kKeys));
  }
}

#endif

}  // namespace
