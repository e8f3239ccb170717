// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Map: when its values live and die, what users' functions may do, and how it grows. What Go's
// tests check is in go_map_test.
#include "hamgam/map.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "hamgam/go.h"
#include "hamgam/waitgroup.h"
#include "support/crew.h"
#include "support/scale.h"
#include "support/seed.h"
#include "support/until.h"

namespace {

using hamgam::WaitGroup;
using hamgam::test::at_once;
using hamgam::test::Who;

using hamgam::test::kSanitized;
using hamgam::test::slow;

// Values that know how many of them there are.
struct Value {
  explicit Value(int n) : number(n) { ++alive; }
  Value(const Value& other) : number(other.number) { ++alive; }
  Value(Value&& other) noexcept : number(other.number) { ++alive; }
  Value& operator=(const Value&) = delete;
  ~Value() {
    number = -1;
    --alive;
  }

  int number;
  static inline std::atomic<int> alive{0};
};

// MA3
TEST(Map, RemovedValuesAreDestroyedAtOnceIfNobodyReads) {
  hamgam::Map<int, std::shared_ptr<int>> map;
  auto const value = std::make_shared<int>(1);
  map.store(1, value);
  EXPECT_EQ(value.use_count(), 2);
  map.store(1, nullptr);
  EXPECT_EQ(value.use_count(), 1);
  map.store(1, value);
  EXPECT_TRUE(map.erase(1));
  EXPECT_EQ(value.use_count(), 1);
  map.store(2, value);
  EXPECT_EQ(map.load_and_erase(2), value);
  EXPECT_EQ(value.use_count(), 1);
  for (int key = 0; key < 100; ++key) {
    map.store(key, value);
  }
  EXPECT_EQ(value.use_count(), 101);
  map.clear();
  EXPECT_EQ(value.use_count(), 1);
  {
    hamgam::Map<int, std::shared_ptr<int>> other;
    other.store(1, value);
    other.store(2, value);
  }
  EXPECT_EQ(value.use_count(), 1);
}

// The janitor's turn.
void await_alive(int count) {
  hamgam::test::until([count] { return Value::alive == count; });
}

TEST(Map, WhatWasRemovedMeanwhileGoesAfterTheLastReader) {
  hamgam::Map<int, Value> map;
  for (int key = 0; key < 10; ++key) {
    map.store(key, Value(key));
  }
  WaitGroup inside;
  WaitGroup removed;
  WaitGroup done;
  inside.add(1);
  removed.add(1);
  done.go([&] {
    bool first = true;
    map.for_each([&](int, const Value& value) {
      if (first) {
        first = false;
        int const before = value.number;
        inside.done();
        removed.wait();  // parks while it reads, and may go on elsewhere
        EXPECT_EQ(value.number, before);
      }
    });
  });
  inside.wait();
  for (int key = 0; key < 10; ++key) {
    map.erase(key);
  }
  EXPECT_EQ(Value::alive, 10);
  // Another map is not held up, nor are reads of this one.
  hamgam::Map<int, Value> other;
  other.store(1, Value(1));
  other.erase(1);
  EXPECT_EQ(Value::alive, 10);
  EXPECT_FALSE(map.load(1).has_value());
  removed.done();
  done.wait();
  await_alive(0);
}

// Readers that come and go without a gap do not keep values alive.
TEST(Map, ValuesGoWhileReadersComeAndGo) {
  hamgam::Map<int, Value> map;
  std::atomic<bool> stop{false};
  WaitGroup readers;
  for (int i = 0; i < 4; ++i) {
    readers.go([&] {
      while (!stop) {
        if (auto value = map.load(1)) {
          EXPECT_GE(value->number, 0);
        }
        hamgam::yield();
      }
    });
  }
  for (int i = 0; i < (slow() ? 2000 : 50000); ++i) {
    map.store(1, Value(i));
  }
  stop = true;
  readers.wait();
  await_alive(1);
  map.clear();
  EXPECT_EQ(Value::alive, 0);
}

// Two readers leave at once, each while the other seems to read still.
TEST(Map, ARemovedValueGoesThoughNobodyComesAnyMore) {
  hamgam::Map<int, Value> map;
  map.store(100, Value(100));
  map.store(101, Value(101));
  std::atomic<int> round{0};
  std::atomic<int> inside{0};
  std::atomic<int> leave{0};
  int const rounds = slow() ? 50 : 300;
  std::thread reader([&] {
    for (int mine = 1; mine <= rounds; ++mine) {
      while (round < mine) {
        std::this_thread::yield();
      }
      map.for_each([&](int, const Value&) {
        inside = mine;
        while (leave < mine) {
          hamgam::detail::spin_pause();
        }
        return false;
      });
    }
  });
  std::mt19937_64 random(hamgam::test::seed());
  for (int mine = 1; mine <= rounds; ++mine) {
    map.store(1, Value(1));
    round = mine;
    while (inside < mine) {
      std::this_thread::yield();
    }
    int const delay = static_cast<int>(random() % 64);
    map.for_each([&](int, const Value&) {
      EXPECT_TRUE(map.erase(1));
      leave = mine;
      for (int i = 0; i < delay; ++i) {
        hamgam::detail::spin_pause();
      }
      return false;
    });
    await_alive(2);
  }
  reader.join();
}

// A reader may hold a lock that destructors take.
TEST(Map, NoDestructorRunsInAReader) {
  struct Locking {
    Locking(hamgam::Mutex* m, std::atomic<int>* n) : mutex(m), gone(n) {}
    ~Locking() {
      mutex->lock();
      mutex->unlock();
      ++*gone;
    }
    Locking(const Locking&) = delete;
    Locking& operator=(const Locking&) = delete;
    hamgam::Mutex* mutex;
    std::atomic<int>* gone;
  };
  hamgam::Mutex mutex;
  std::atomic<int> gone{0};
  hamgam::Map<int, std::shared_ptr<Locking>> map;
  map.store(0, nullptr);
  int const rounds = slow() ? 20 : 100;
  for (int i = 1; i <= rounds; ++i) {
    map.store(1, std::make_shared<Locking>(&mutex, &gone));
    WaitGroup writer;
    mutex.lock();
    map.for_each([&](int key, const std::shared_ptr<Locking>&) {
      if (key == 0) {
        writer.go([&] { EXPECT_TRUE(map.erase(1)); });
        writer.wait();
      }
    });
    EXPECT_FALSE(map.load(2).has_value());
    EXPECT_EQ(map.size(), 1U);
    EXPECT_EQ(gone, i - 1);
    mutex.unlock();
    hamgam::test::until([&] { return gone == i; });
  }
}

// What the janitor destroys may be the last to hold the map.
struct Owner;
using Owners = hamgam::Map<int, std::shared_ptr<Owner>>;
struct Owner {
  Owners map;
  Value value{1};
};

TEST(Map, ARemovedValueMayOwnTheMap) {
  for (int i = 0; i < 20; ++i) {
    auto owner = std::make_shared<Owner>();
    Owners& map = owner->map;
    map.store(0, nullptr);
    map.store(1, owner);
    WaitGroup reader;
    WaitGroup inside;
    WaitGroup erased;
    inside.add(1);
    erased.add(1);
    reader.go([&, owner]() mutable {
      owner->map.for_each([&](int, const std::shared_ptr<Owner>&) {
        inside.done();
        erased.wait();
        return false;
      });
    });
    inside.wait();
    EXPECT_TRUE(map.erase(1));
    owner.reset();
    erased.done();
    reader.wait();
    await_alive(0);
  }
}

TEST(Map, AClearedValueMayOwnTheMap) {
  for (int owned = 0; owned < 32; ++owned) {
    auto owner = std::make_shared<Owner>();
    Owners& map = owner->map;
    for (int key = 0; key < 32; ++key) {
      map.store(key, std::make_shared<Owner>());
    }
    map.store(owned, std::move(owner));
    map.clear();
    EXPECT_EQ(Value::alive, 0);
  }
}

// Copying a value, comparing and hashing may park.
struct Parks {
  explicit Parks(int n) : number(n) {}
  Parks(const Parks& other) : number(other.number) { hamgam::yield(); }
  Parks(Parks&& other) noexcept : number(other.number) {}
  Parks& operator=(const Parks&) = delete;
  bool operator==(const Parks& other) const {
    hamgam::yield();
    return number == other.number;
  }
  int number;
};
struct ParkingHash {
  std::size_t operator()(int key) const {
    hamgam::yield();
    return static_cast<unsigned>(key) % 4;
  }
};
struct ParkingEq {
  bool operator()(int a, int b) const {
    hamgam::yield();
    return a == b;
  }
};

TEST(Map, UsersFunctionsMayPark) {
  hamgam::Map<int, Parks, ParkingHash, ParkingEq> map;
  at_once(Who::kBoth, 8, [&map](int i) {
    for (int round = 0; round < (slow() ? 100 : 500); ++round) {
      int const key = (round + i) % 16;
      switch (round % 5) {
        case 0:
          map.store(key, Parks(key));
          break;
        case 1:
          EXPECT_EQ(map.load_or_store(key, Parks(key)).first.number, key);
          break;
        case 2:
          (void)map.compare_and_swap(key, Parks(key), Parks(key));
          break;
        case 3:
          map.erase(key);
          break;
        default:
          if (auto value = map.load(key)) {
            EXPECT_EQ(value->number, key);
          }
      }
    }
  });
}

TEST(Map, GrowsAndKeepsEverything) {
  hamgam::Map<int, int> map;
  constexpr int kKeys = kSanitized ? 20'000 : 300'000;
  at_once(Who::kGoroutines, 4, [&map](int i) {
    for (int key = i; key < kKeys; key += 4) {
      map.store(key, key);
    }
  });
  EXPECT_EQ(map.size(), static_cast<std::size_t>(kKeys));
  for (int key = 0; key < kKeys; ++key) {
    ASSERT_EQ(map.load(key), key);
  }
  EXPECT_EQ(map.load(kKeys), std::nullopt);
  std::vector<bool> seen(static_cast<std::size_t>(kKeys));
  map.for_each([&seen](int key, int) {
    EXPECT_FALSE(seen[static_cast<std::size_t>(key)]);
    seen[static_cast<std::size_t>(key)] = true;
  });
  EXPECT_EQ(std::count(seen.begin(), seen.end(), true), kKeys);
  for (int key = 0; key < kKeys; key += 2) {
    ASSERT_TRUE(map.erase(key));
  }
  EXPECT_EQ(map.size(), static_cast<std::size_t>(kKeys / 2));
}

// What throws leaves the map as it was.
struct Thrower {
  explicit Thrower(int n) : number(n) {}
  Thrower(const Thrower& other) : number(other.number) {
    if (armed) {
      throw std::runtime_error("copy");
    }
  }
  Thrower(Thrower&& other) noexcept : number(other.number) {}
  Thrower& operator=(const Thrower&) = delete;
  bool operator==(const Thrower& other) const {
    if (armed) {
      throw std::runtime_error("compare");
    }
    return number == other.number;
  }
  int number;
  static inline bool armed = false;
};
struct ThrowingHash {
  std::size_t operator()(int key) const {
    if (armed) {
      throw std::runtime_error("hash");
    }
    return static_cast<unsigned>(key);
  }
  static inline bool armed = false;
};
struct ThrowingEq {
  bool operator()(int a, int b) const {
    if (armed) {
      throw std::runtime_error("eq");
    }
    return a == b;
  }
  static inline bool armed = false;
};

TEST(Map, WhatThrowsLeavesItAsItWas) {
  hamgam::Map<int, Thrower, ThrowingHash, ThrowingEq> map;
  map.store(1, Thrower(1));
  for (bool* armed : {&Thrower::armed, &ThrowingHash::armed, &ThrowingEq::armed}) {
    *armed = true;
    EXPECT_THROW((void)map.load(1), std::runtime_error);
    EXPECT_THROW((void)map.swap(1, Thrower(2)), std::runtime_error);
    EXPECT_THROW((void)map.load_and_erase(1), std::runtime_error);
    EXPECT_THROW((void)map.load_or_store(1, Thrower(2)), std::runtime_error);
    EXPECT_THROW((void)map.compare_and_swap(1, Thrower(1), Thrower(2)), std::runtime_error);
    EXPECT_THROW((void)map.compare_and_erase(1, Thrower(1)), std::runtime_error);
    if (armed != &Thrower::armed) {
      EXPECT_THROW(map.store(1, Thrower(2)), std::runtime_error);
      EXPECT_THROW((void)map.erase(1), std::runtime_error);
    }
    *armed = false;
    EXPECT_EQ(map.size(), 1U);
    EXPECT_EQ(map.load(1)->number, 1);
  }
  EXPECT_TRUE(map.erase(1));  // no lock was left behind
}

// Whichever of the copies throws, the one for the result, too.
struct Copied {
  Copied() = default;
  Copied(const Copied& /*other*/) {
    if (left-- == 0) {
      throw std::runtime_error("copy");
    }
  }
  static inline int left = -1;
};

TEST(Map, WhateverCopyThrowsLeavesItAsItWas) {
  bool threw = true;
  for (int copies = 0; threw; ++copies) {
    ASSERT_LT(copies, 20);
    hamgam::Map<int, Copied> map;
    Copied const value;
    threw = false;
    Copied::left = copies;
    try {
      (void)map.load_or_store(1, value);
    } catch (const std::runtime_error&) {
      threw = true;
    }
    Copied::left = -1;
    EXPECT_EQ(map.size(), threw ? 0U : 1U) << copies;
    map.store(2, value);  // no lock was left behind
  }
}

TEST(Map, AnyCopyableValue) {
  hamgam::Map<std::string, std::vector<int>> map;
  map.store("a", {1, 2, 3});
  EXPECT_EQ(map.load("a")->size(), 3U);
  EXPECT_TRUE(map.compare_and_swap("a", {1, 2, 3}, {}));
  EXPECT_TRUE(map.load("a")->empty());
  // Without == it has all but the comparing operations.
  struct Opaque {
    int x;
  };
  hamgam::Map<int, Opaque> opaque;
  opaque.store(1, Opaque{2});
  EXPECT_EQ(opaque.load(1)->x, 2);
}

// Destructors may use the map that the value was in.
TEST(Map, DestructorsMayUseTheMap) {
  struct Node;
  using Nodes = hamgam::Map<int, std::shared_ptr<Node>>;
  struct Node {
    Node(Nodes* m, int c) : map(m), child(c) {}
    ~Node() { map->erase(child); }
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;
    Nodes* map;
    int child;
  };
  Nodes map;
  for (int i = 0; i < 100; ++i) {
    map.store(i, std::make_shared<Node>(&map, i + 1));
  }
  EXPECT_TRUE(map.erase(0));
  EXPECT_EQ(map.size(), 0U);
}

struct ConstantHash {
  std::size_t operator()(int /*key*/) const { return 7; }
};

// f takes each key out and puts it back, which then stands elsewhere, perhaps further on.
template <class Hash>
void move_what_is_met(int keys) {
  hamgam::Map<int, std::string, Hash> map;
  for (int key = 0; key < keys; ++key) {
    map.store(key, "first");
  }
  std::vector<int> met(static_cast<std::size_t>(keys));
  int last = 0;
  map.for_each([&](int key, const std::string&) {
    ++met[static_cast<std::size_t>(key)];
    EXPECT_TRUE(map.erase(key));
    EXPECT_EQ(map.erase(last), key != last && met[static_cast<std::size_t>(last)] != 0);
    map.store(key, "again");
    map.store(last, "again");
    last = key;
  });
  EXPECT_EQ(std::count(met.begin(), met.end(), 1), keys);
}

TEST(Map, AKeyThatIsRemovedAndComesBackIsMetOnce) {
  move_what_is_met<std::hash<int>>(1000);
  move_what_is_met<ConstantHash>(20);
  move_what_is_met<ConstantHash>(200);  // more than for_each reads at once
}

// The table that a walk began with is outgrown, and others change what they may.
TEST(Map, AWalkMeetsWhatIsThereAllTheTimeWhileTheMapGrows) {
  constexpr int kKeys = 500;
  hamgam::Map<int, int> map;
  for (int key = 0; key < kKeys; ++key) {
    map.store(key, 0);
  }
  std::atomic<bool> stop{false};
  WaitGroup others;
  others.go([&] {
    for (int i = 0; !stop; ++i) {
      map.store(i % kKeys, i);  // another value is no other key
      hamgam::yield();
    }
  });
  for (int round = 0; round < 3; ++round) {
    std::vector<int> met(kKeys);
    int fresh = kKeys;
    map.for_each([&](int key, int) {
      for (int i = 0; i < 4; ++i, ++fresh) {
        map.store(fresh, fresh);
      }
      if (key < kKeys) {
        ++met[static_cast<std::size_t>(key)];
      }
    });
    EXPECT_EQ(std::count(met.begin(), met.end(), 1), kKeys);
    for (int key = kKeys; key < fresh; ++key) {
      map.erase(key);
    }
  }
  stop = true;
  others.wait();
}

TEST(Map, ReadersFindWhatIsThereWhileItGrows) {
  constexpr int kKeys = 100;
  for (int round = 0; round < (slow() ? 3 : 20); ++round) {
    hamgam::Map<int, std::string> map;
    for (int key = 0; key < kKeys; ++key) {
      map.store(key, std::to_string(key));
    }
    std::atomic<bool> stop{false};
    at_once(Who::kBoth, 4, [&](int i) {
      if (i == 0) {
        for (int key = kKeys; key < (slow() ? 5'000 : 20'000); ++key) {
          map.store(key, std::to_string(key));
        }
        stop = true;
        return;
      }
      for (int key = 0; !stop; key = (key + 1) % kKeys) {
        ASSERT_EQ(map.load(key), std::to_string(key));
        if (key == 0) {
          hamgam::yield();
        }
      }
    });
  }
}

// Who has met a key gone by clear() meets no other one.
TEST(Map, ClearTakesAllKeysAtOnce) {
  constexpr int kKeys = 200;
  hamgam::Map<int, int> map;
  std::atomic<int> begun{0};
  std::atomic<int> looked{0};
  int const rounds = slow() ? 200 : 2000;
  std::thread reader([&] {
    for (int round = 1; round <= rounds; ++round) {
      while (begun < round) {
        std::this_thread::yield();
      }
      for (bool gone = false; !gone;) {
        for (int key = 0; key < kKeys; ++key) {
          bool const there = map.load(key).has_value();
          ASSERT_FALSE(gone && there) << "round " << round << ", key " << key;
          gone = gone || !there;
        }
      }
      looked = round;
    }
  });
  for (int round = 1; round <= rounds; ++round) {
    for (int key = 0; key < kKeys; ++key) {
      map.store(key, round);
    }
    begun = round;
    map.clear();
    while (looked < round) {
      std::this_thread::yield();
    }
    EXPECT_EQ(map.size(), 0U);
  }
  reader.join();
}

// Values that change in their entry, and those that only look like it.
template <class V>
void change_values(V a, V b) {
  hamgam::Map<int, V> map;
  map.store(1, a);
  EXPECT_TRUE(*map.load(1) == a);
  map.store(1, b);
  EXPECT_TRUE(*map.load(1) == b);
  EXPECT_TRUE(*map.swap(1, a) == b);
  EXPECT_FALSE(map.compare_and_swap(1, b, a));
  EXPECT_TRUE(map.compare_and_swap(1, a, b));
  EXPECT_TRUE(map.load_or_store(1, a).first == b);
  map.for_each([&](int, const V& value) {
    V const before = value;
    map.store(1, a);
    EXPECT_TRUE(value == before) << "what f is given does not change";
  });
  EXPECT_FALSE(map.compare_and_erase(1, b));
  EXPECT_TRUE(map.load_and_erase(1) == a);
  EXPECT_EQ(map.size(), 0U);
}

TEST(Map, ValuesOfAnySize) {
  struct Pair {
    int a, b;
    bool operator==(const Pair&) const = default;
  };
  struct Fixed {
    const int a;
    bool operator==(const Fixed&) const = default;
  };
  int one = 1;
  change_values(true, false);
  change_values<std::int16_t>(1, 2);
  change_values(1, 2);
  change_values(1.5, 2.5);
  change_values<int*>(&one, nullptr);
  change_values(Pair{1, 2}, Pair{2, 1});
  change_values(Fixed{1}, Fixed{2});
  change_values(std::pair<std::int64_t, std::int64_t>(1, 2), {2, 1});
  change_values<std::string>("a", "b");
}

TEST(Map, WhatAValuePointsToIsSeen) {
  struct Text {
    std::string text;
  };
  hamgam::Map<int, const Text*> map;
  constexpr int kRounds = kSanitized ? 500 : 5000;
  std::vector<Text> texts(kRounds);
  at_once(Who::kBoth, 3, [&](int i) {
    for (int round = 0; round < kRounds; ++round) {
      if (i == 0) {
        texts[static_cast<std::size_t>(round)].text = std::to_string(round);
        map.store(1, &texts[static_cast<std::size_t>(round)]);
      } else if (auto const found = map.load(1)) {
        EXPECT_FALSE((*found)->text.empty());
      }
    }
  });
}

// Keys whose hashes differ in few bits only.
TEST(Map, PatternsInHashes) {
  for (unsigned shift = 0; shift < 56; ++shift) {
    hamgam::Map<std::uint64_t, int> map;
    for (std::uint64_t i = 0; i < 256; ++i) {
      map.store(i << shift, 1);
    }
    EXPECT_EQ(map.size(), 256U);
    for (std::uint64_t i = 0; i < 256; ++i) {
      EXPECT_TRUE(map.load(i << shift).has_value());
      EXPECT_TRUE(map.erase(i << shift));
    }
    EXPECT_EQ(map.size(), 0U);
  }
}

// Threads that end leave nothing behind that a later reader would trip over.
TEST(Map, ThreadsComeAndGo) {
  hamgam::Map<int, int> map;
  for (int round = 0; round < 50; ++round) {
    at_once(Who::kThreads, 4, [&map](int i) {
      map.store(i, i);
      EXPECT_EQ(map.load(i), i);
    });
  }
  EXPECT_EQ(map.size(), 4U);
}

// A value's destructor may use the map, also while that is destroyed.
struct UsesItsMap {
  using Those = hamgam::Map<int, std::shared_ptr<UsesItsMap>>;
  UsesItsMap(Those* m, int k) : map(m), key(k) {}
  UsesItsMap(const UsesItsMap&) = delete;
  UsesItsMap& operator=(const UsesItsMap&) = delete;
  ~UsesItsMap() {
    map->erase(key + 1);
    if (key < 3) {
      map->store(key + 100, std::make_shared<UsesItsMap>(map, key + 100));
    }
    (void)map->load(key);
  }

  Those* map;
  int key;
};

TEST(Map, DestructorsUseItWhileItGoes) {
  for (int round = 0; round < 20; ++round) {
    auto map = std::make_unique<UsesItsMap::Those>();
    for (int key = 0; key < 50; ++key) {
      map->store(key, std::make_shared<UsesItsMap>(map.get(), key));
    }
    int seen = 0;
    map->for_each([&](int key, const std::shared_ptr<UsesItsMap>& /*value*/) {
      map->erase(key);  // the value waits for us
      return ++seen < 20;
    });
  }
}

// Nothing of a key or a value is destroyed under the map's locks.
struct Probe {
  using Those = hamgam::Map<int, Probe>;
  explicit Probe(Those* m) : map(m) {}
  Probe(const Probe&) = default;  // it does not move
  Probe& operator=(const Probe&) = default;
  ~Probe() {
    if (map != nullptr) {
      map->erase(1);
    }
  }

  Those* map;
};

TEST(Map, ValuesAreNotDestroyedUnderItsLocks) {
  Probe::Those map;
  map.store(1, Probe(nullptr));
  map.store(1, Probe(&map));  // its copies erase the key
  map.store(1, Probe(nullptr));
  map.store(17, Probe(&map));
  (void)map.swap(17, Probe(&map));
  (void)map.load(17);
  (void)map.load_or_store(17, Probe(&map));
  EXPECT_TRUE(map.load_and_erase(17).has_value());
}

struct ProbeKey {
  struct Hash {
    std::size_t operator()(const ProbeKey& key) const { return std::hash<int>()(key.number); }
  };
  using Those = hamgam::Map<ProbeKey, int, Hash>;
  ProbeKey(Those* m, int n) : map(m), number(n) {}
  ProbeKey(const ProbeKey&) = default;  // it does not move
  ProbeKey& operator=(const ProbeKey&) = default;
  ~ProbeKey() {
    if (map != nullptr) {
      map->erase(ProbeKey(nullptr, number + 1));
    }
  }
  bool operator==(const ProbeKey& other) const { return number == other.number; }

  Those* map;
  int number;
};

TEST(Map, KeysAreNotDestroyedUnderItsLocks) {
  ProbeKey::Those map;
  map.store(ProbeKey(&map, 1), 1);
  EXPECT_FALSE(map.load_or_store(ProbeKey(&map, 2), 2).second);
  map.store(ProbeKey(&map, 2), 2);
  map.erase(ProbeKey(nullptr, 1));
}

}  // namespace
