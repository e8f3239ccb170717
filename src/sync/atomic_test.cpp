// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/atomic.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "hamgam/semaphore.h"
#include "hamgam/waitgroup.h"
#include "support/asleep.h"
#include "support/crew.h"
#include "support/scale.h"

namespace hamgam {
namespace {

using test::Crew;
using test::Who;

static_assert(!std::is_copy_constructible_v<Atomic<int>>);
static_assert(sizeof(Atomic<std::uint64_t>) == 8 && alignof(Atomic<std::uint64_t>) == 8);  // AT6
static_assert(sizeof(Atomic<bool>) == 1);
[[maybe_unused]] constinit Atomic<int> g_can_be_a_global{3};

template <class A>
concept CanAdd = requires(A& a) { a.add(1); };
static_assert(CanAdd<Atomic<unsigned char>> && CanAdd<Atomic<std::int64_t>>);
static_assert(!CanAdd<Atomic<bool>> && !CanAdd<Atomic<double>> && !CanAdd<Atomic<int*>>);

template <class T>
class AtomicTypes : public testing::Test {};
using Integers = testing::Types<std::int8_t, std::uint16_t, std::int32_t, std::uint32_t,
                                std::int64_t, std::uint64_t, std::uintptr_t>;
TYPED_TEST_SUITE(AtomicTypes, Integers);

// AT1: each operation, with neighbours that must not change. AT2: add returns the new value, and
// the others the old one.
TYPED_TEST(AtomicTypes, AT1_AT2_operations) {
  using T = TypeParam;
  struct {
    T before = 0x5A;
    Atomic<T> value;
    T after = 0x25;
  } s;
  T const most = std::numeric_limits<T>::max();
  EXPECT_EQ(s.value.load(), T{0});
  s.value.store(5);
  EXPECT_EQ(s.value.load(), T{5});
  EXPECT_EQ(s.value.add(3), T{8});
  EXPECT_EQ(s.value.add(static_cast<T>(-2)), T{6});
  EXPECT_EQ(s.value.swap(0x0F), T{6});
  EXPECT_EQ(s.value.bit_and(0x3C), T{0x0F});
  EXPECT_EQ(s.value.load(), T{0x0C});
  EXPECT_EQ(s.value.bit_or(0x30), T{0x0C});
  EXPECT_EQ(s.value.load(), T{0x3C});
  EXPECT_FALSE(s.value.compare_and_swap(1, 2));
  EXPECT_EQ(s.value.load(), T{0x3C});
  EXPECT_TRUE(s.value.compare_and_swap(0x3C, most));
  EXPECT_EQ(s.value.add(1), std::numeric_limits<T>::min());  // wraps around
  EXPECT_EQ(s.before, T{0x5A});
  EXPECT_EQ(s.after, T{0x25});
}

TEST(Atomic, other_types) {
  int target = 0;
  Atomic<int*> pointer;
  EXPECT_EQ(pointer.load(), nullptr);
  EXPECT_TRUE(pointer.compare_and_swap(nullptr, &target));
  EXPECT_EQ(pointer.swap(nullptr), &target);
  Atomic<bool> flag;
  EXPECT_FALSE(flag.swap(true));
  EXPECT_TRUE(flag.load());
  Atomic<double> real(1.5);
  EXPECT_TRUE(real.compare_and_swap(1.5, 2.5));
  EXPECT_EQ(real.load(), 2.5);
  struct Pair {
    std::int32_t a, b;
  };
  Atomic<Pair> pair(Pair{1, 2});
  EXPECT_TRUE(pair.compare_and_swap(Pair{1, 2}, Pair{3, 4}));
  EXPECT_EQ(pair.load().b, 4);
  enum class Colour : std::uint8_t { kRed, kGreen };
  Atomic<Colour> colour(Colour::kGreen);
  EXPECT_EQ(colour.load(), Colour::kGreen);
}

template <std::size_t size>
struct Bytes {
  std::array<std::uint8_t, size> byte{};

  static Bytes all(unsigned n) {
    Bytes bytes;
    bytes.byte.fill(static_cast<std::uint8_t>(n));
    return bytes;
  }
  [[nodiscard]] bool torn() const { return *this != all(byte[0]); }
  bool operator==(const Bytes&) const = default;
};

static_assert(Atomic<std::uint64_t>::is_always_lock_free);
static_assert(!Atomic<Bytes<3>>::is_always_lock_free && !Atomic<Bytes<16>>::is_always_lock_free);
[[maybe_unused]] constinit Atomic<Bytes<40>> g_wide_can_be_a_global;

// Padding is no part of a value.
TEST(Atomic, compare_and_swap_of_a_value_with_padding) {
  struct Padded {
    std::uint8_t small = 0;
    std::uint32_t big = 0;
    bool operator==(const Padded&) const = default;
  };
  struct Wide {
    std::uint8_t small = 0;
    std::uint64_t big = 0;
    double real = 0;
    bool operator==(const Wide&) const = default;
  };
  auto with_padding = []<class T>(T value, int padding) {
    alignas(T) std::array<unsigned char, sizeof(T)> bytes;
    bytes.fill(static_cast<unsigned char>(padding));
    auto* made = reinterpret_cast<T*>(bytes.data());
    made->small = value.small;
    made->big = value.big;
    T copy;
    std::memcpy(static_cast<void*>(&copy), bytes.data(), sizeof(T));
    return copy;
  };
  for (int padding : {0, 0xFF}) {
    Atomic<Padded> padded(with_padding(Padded{1, 2}, padding));
    EXPECT_FALSE(padded.compare_and_swap(with_padding(Padded{2, 2}, 0x55), Padded{3, 4}));
    EXPECT_TRUE(padded.compare_and_swap(with_padding(Padded{1, 2}, 0x55), Padded{3, 4}));
    EXPECT_EQ(padded.load(), (Padded{3, 4}));
    padded.wait(Padded{1, 2});
    Atomic<Wide> wide(with_padding(Wide{1, 2}, padding));
    EXPECT_FALSE(wide.compare_and_swap(Wide{1, 2, 1.5}, Wide{}));
  }
}

// The fault: the == of the user ran under locks of the library.
template <class Real>
struct Nosy {
  std::uint8_t small = 0;
  Real real = 0;
  static inline std::function<void()> hook;
  bool operator==(const Nosy& other) const {
    if (auto const run = std::exchange(hook, nullptr)) {
      run();
    }
    return small == other.small && real == other.real;
  }
};

template <class T>
void equality_may_use_the_atomic() {
  Atomic<T> value(T{1, 1.5});
  auto const during = [](auto f) { T::hook = f; };
  during([&] { EXPECT_EQ(value.load().real, 1.5); });
  EXPECT_TRUE(value.compare_and_swap(T{1, 1.5}, T{2, 2.5}));
  during([&] { value.store(T{3, 3.5}); });  // found to be the same, but is no more
  bool const swapped = value.compare_and_swap(T{2, 2.5}, T{4, 4.5});
  bool const compared = !T::hook;  // not if it is lock-free and the paddings are the same
  EXPECT_TRUE(compared || Atomic<T>::is_always_lock_free);
  EXPECT_EQ(swapped, !compared);
  EXPECT_EQ(value.load().real, compared ? 3.5 : 4.5);
  during([&] { value.store(T{5, 5.5}); });  // found to differ; that it does no more is too late
  EXPECT_FALSE(value.compare_and_swap(T{5, 5.5}, T{6, 6.5}));
  EXPECT_EQ(value.load().real, 5.5);
  value.store(T{7, 7.5});
  during([&] {  // other bytes, the same value
    T same{7, 7.5};
    std::memset(static_cast<void*>(&same), 0x55, sizeof same);
    same.small = 7;
    same.real = 7.5;
    value.store(same);
  });
  EXPECT_TRUE(value.compare_and_swap(T{7, 7.5}, T{8, 8.5}));
  EXPECT_EQ(value.load().real, 8.5);
  during([&] {
    value.notify_all();
    value.store(T{9, 9.5});
  });
  value.wait(T{8, 8.5});
  EXPECT_EQ(value.load().real, 9.5);
  during(nullptr);
}

TEST(Atomic, equality_runs_without_a_lock) {
  static_assert(Atomic<Nosy<float>>::is_always_lock_free);
  static_assert(!Atomic<Nosy<double>>::is_always_lock_free);
  equality_may_use_the_atomic<Nosy<float>>();
  equality_may_use_the_atomic<Nosy<double>>();
  equality_may_use_the_atomic<Nosy<long double>>();
}

class AtomicTest : public testing::TestWithParam<Who> {};

INSTANTIATE_TEST_SUITE_P(, AtomicTest, test::everybody(), test::name_of);

// AT3
TEST_P(AtomicTest, AT3_hammer) {
  int const rounds = test::scaled(20000);
  constexpr int kParties = 4;
  Atomic<std::int32_t> added;
  Atomic<std::uint64_t> added64;
  Atomic<std::uint32_t> swapped;
  Atomic<std::uint64_t> exchanged;
  std::atomic<std::uint64_t> taken{0};
  Crew crew(GetParam());
  for (int i = 0; i < kParties; ++i) {
    crew.start([&] {
      std::uint64_t mine = 0;
      for (int round = 0; round < rounds; ++round) {
        added.add(1);
        added64.add(std::uint64_t{1} << 32);
        std::uint32_t now = swapped.load();
        while (!swapped.compare_and_swap(now, now + 1)) {
          now = swapped.load();
        }
        mine += exchanged.swap(1);
      }
      taken += mine;
    });
  }
  crew.join();
  EXPECT_EQ(added.load(), kParties * rounds);
  EXPECT_EQ(added64.load() >> 32, static_cast<std::uint64_t>(kParties * rounds));
  EXPECT_EQ(swapped.load(), static_cast<std::uint32_t>(kParties * rounds));
  EXPECT_EQ(taken.load() + 1, static_cast<std::uint64_t>(kParties * rounds));  // the first took 0
}

// x = 1; r = y beside y = 1; s = x. Both cannot miss the other.
template <class T>
void store_buffer_litmus(Who who, int rounds, T one, bool (*is_set)(const T&)) {
  Atomic<T> x;
  Atomic<std::int64_t> y;
  Atomic<int> arrived;
  bool seen_y = false;
  bool seen_x = false;
  auto meet = [&](int everybody) {
    arrived.add(1);
    while (arrived.load() < everybody) {
      yield();
    }
  };
  Crew crew(who);
  crew.start([&] {
    for (int round = 0; round < rounds; ++round) {
      meet(4 * round + 2);
      x.store(one);
      seen_y = y.load() != 0;
      meet(4 * round + 4);
      ASSERT_TRUE(seen_y || seen_x);
      x.store({});
    }
  });
  crew.start([&] {
    for (int round = 0; round < rounds; ++round) {
      meet(4 * round + 2);
      y.store(1);
      seen_x = is_set(x.load());
      meet(4 * round + 4);
      ASSERT_TRUE(seen_y || seen_x);
      y.store(0);
    }
  });
}

TEST_P(AtomicTest, AT4_store_buffer_litmus) {
  // qemu runs AArch64's stlr and ldar without a fence between them.
  int const rounds = test::emulated() ? 0 : test::scaled(1500);
  store_buffer_litmus<std::int32_t>(GetParam(), rounds, 1,
                                    [](const std::int32_t& x) { return x != 0; });
}

// AT5: what was written before a store is seen by whoever loads it.
TEST_P(AtomicTest, AT5_release_acquire_litmus) {
  int const rounds = test::scaled(1500);
  Atomic<std::uint32_t> turn;
  std::uint64_t data = 0;
  Crew crew(GetParam());
  for (std::uint32_t me = 0; me < 2; ++me) {
    crew.start([&, me] {
      for (int round = 0; round < rounds; ++round) {
        while (turn.load() % 2 != me) {
          yield();
        }
        ASSERT_EQ(data, turn.load());
        ++data;
        turn.add(1);
      }
    });
  }
}

// Of sizes that the processor has no instructions for: no value is torn or lost, and no other
// library is needed.
template <std::size_t size>
void hammer_wide(Who who) {
  int const rounds = test::scaled(1000);
  constexpr unsigned kParties = 4;
  Atomic<Bytes<size>> value;
  Atomic<Bytes<size>> counter;
  std::atomic<bool> torn{false};
  Crew crew(who);
  for (unsigned me = 1; me <= kParties; ++me) {
    crew.start([&, me] {
      for (int round = 0; round < rounds; ++round) {
        value.store(Bytes<size>::all(me));
        if (value.load().torn() || value.swap(Bytes<size>::all(2 * me)).torn()) {
          torn = true;
        }
        auto now = counter.load();
        while (!counter.compare_and_swap(now, Bytes<size>::all(now.byte[0] + 1U))) {
          now = counter.load();
        }
      }
    });
  }
  crew.join();
  EXPECT_FALSE(torn.load());
  EXPECT_EQ(counter.load(), Bytes<size>::all(kParties * static_cast<unsigned>(rounds)));
}

TEST_P(AtomicTest, wide_hammer) {
  hammer_wide<3>(GetParam());
  hammer_wide<16>(GetParam());
  hammer_wide<40>(GetParam());
}

// As AT4, with a wide value on one side: all operations are in one order.
TEST_P(AtomicTest, wide_store_buffer_litmus) {
  using Wide = Bytes<16>;
  int const rounds = test::emulated() ? 0 : test::scaled(300);
  store_buffer_litmus<Wide>(GetParam(), rounds, Wide::all(1),
                            [](const Wide& x) { return x.byte[0] != 0; });
}

TEST_P(AtomicTest, wide_wait_and_notify) {
  Atomic<Bytes<24>> value;
  Crew crew(GetParam());
  for (int i = 0; i < 2; ++i) {
    crew.start([&] {
      value.wait({});
      EXPECT_EQ(value.load(), Bytes<24>::all(7));
    });
  }
  value.store(Bytes<24>::all(7));
  value.notify_all();
}

// As that, with a == of the user's.
template <class T>
void hammer_compared(Who who) {
  int const rounds = test::scaled(1000);
  constexpr int kParties = 4;
  Atomic<T> counter;
  Crew crew(who);
  for (int me = 0; me < kParties; ++me) {
    crew.start([&] {
      for (int round = 0; round < rounds; ++round) {
        T now = counter.load();
        while (!counter.compare_and_swap(now, T{1, now.real + 1})) {
          now = counter.load();
        }
      }
      counter.notify_all();
    });
  }
  for (T now = counter.load(); now.real != kParties * rounds; now = counter.load()) {
    counter.wait(now);
  }
  crew.join();
}

TEST_P(AtomicTest, compared_hammer) {
  struct Small {
    std::uint8_t small = 0;
    float real = 0;
    bool operator==(const Small&) const = default;
  };
  struct Wide {
    std::uint8_t small = 0;
    double real = 0;
    bool operator==(const Wide&) const = default;
  };
  hammer_compared<Small>(GetParam());
  hammer_compared<Wide>(GetParam());
}

TEST_P(AtomicTest, wait_returns_at_once_if_it_differs) {
  Atomic<int> value(1);
  Crew crew(GetParam());
  for (int i = 0; i < 2; ++i) {
    crew.start([&] { value.wait(0); });
  }
}

TEST_P(AtomicTest, wait_and_notify_one) {
  Atomic<int> value;
  Crew crew(GetParam());
  for (int i = 0; i < 3; ++i) {
    crew.start([&] { value.wait(0); });
  }
  test::await_asleep(&value, 3);
  value.notify_one();  // nothing has changed: it sleeps again
  test::await_asleep(&value, 3);
  value.store(1);
  for (int asleep = 3; asleep > 0; --asleep) {
    value.notify_one();
    EXPECT_EQ(test::count_asleep(&value), asleep - 1);
  }
  value.notify_one();  // nobody is there
}

TEST_P(AtomicTest, wait_and_notify_all) {
  Atomic<bool> open;
  Atomic<bool> neighbour;
  std::atomic<int> passed{0};
  Crew crew(GetParam());
  for (int i = 0; i < 5; ++i) {
    crew.start([&] {
      open.wait(false);
      ++passed;
    });
  }
  test::await_asleep(&open, 5);
  neighbour.notify_all();
  EXPECT_EQ(test::count_asleep(&open), 5);
  open.store(true);
  open.notify_all();
  crew.join();
  EXPECT_EQ(passed.load(), 5);
}

// A notify that comes when the Atomic is gone, because whoever waited had seen the value. What
// lives at its address now took that for its own wake: units were had twice.
TEST_P(AtomicTest, late_notify_wakes_nobody_else_at_the_address) {
  constexpr std::size_t kSize =
      std::max({sizeof(Atomic<int>), sizeof(Semaphore), sizeof(WaitGroup)});
  alignas(16) std::byte place[kSize];
  static_assert(alignof(Semaphore) <= 16 && alignof(WaitGroup) <= 16);
  auto late_notify = [&place] {
    std::launder(reinterpret_cast<Atomic<int>*>(place))->notify_one();
    std::launder(reinterpret_cast<Atomic<int>*>(place))->notify_all();
  };
  auto* flag = ::new (place) Atomic<int>(0);
  flag->store(1);
  flag->wait(0);
  flag->~Atomic();
  {
    auto* semaphore = ::new (place) Semaphore(1);
    semaphore->acquire();
    Crew crew(GetParam());
    crew.start([semaphore] { semaphore->acquire(); });
    test::await_asleep(semaphore, 1);
    late_notify();
    EXPECT_EQ(test::count_asleep(semaphore), 1);
    semaphore->release();
    crew.join();
    semaphore->~Semaphore();
  }
  {
    auto* group = ::new (place) WaitGroup;
    group->add(1);
    Crew crew(GetParam());
    crew.start([group] { group->wait(); });
    test::await_asleep(group, 1);
    late_notify();
    EXPECT_EQ(test::count_asleep(group), 1);
    group->done();
    crew.join();
    group->~WaitGroup();
  }
}

// A ball that each waits for in turn: no notify is lost.
TEST_P(AtomicTest, stress_wait_and_notify) {
  int const rounds = test::scaled(4000);
  constexpr int kParties = 3;
  Atomic<int> ball;
  Crew crew(GetParam());
  for (int me = 0; me < kParties; ++me) {
    crew.start([&, me] {
      for (int round = 0; round < rounds; ++round) {
        int const mine = round * kParties + me;
        for (int now = ball.load(); now != mine; now = ball.load()) {
          ball.wait(now);
        }
        ball.store(mine + 1);
        ball.notify_all();
      }
    });
  }
  crew.join();
  EXPECT_EQ(ball.load(), rounds * kParties);
}

TEST(AtomicValue, smoke) {
  AtomicValue<std::string> value;
  EXPECT_EQ(value.load(), nullptr);
  value.store("first");
  auto kept = value.load();
  EXPECT_EQ(*kept, "first");
  EXPECT_EQ(*value.swap("second"), "first");
  EXPECT_EQ(*kept, "first");  // a reader keeps what it loaded
  EXPECT_EQ(*value.load(), "second");
  AtomicValue<std::string> made("third");
  EXPECT_EQ(*made.load(), "third");
  static_assert(std::is_same_v<decltype(value.load()), std::shared_ptr<const std::string>>);
}

TEST(AtomicValue, old_values_are_freed) {
  auto token = std::make_shared<int>(1);
  AtomicValue<std::shared_ptr<int>> value(token);
  for (int i = 0; i < 10; ++i) {
    value.store(token);
  }
  EXPECT_EQ(token.use_count(), 2);
  EXPECT_EQ(value.swap(nullptr)->use_count(), 2);
  EXPECT_EQ(token.use_count(), 1);
}

class AtomicValueTest : public testing::TestWithParam<Who> {};

INSTANTIATE_TEST_SUITE_P(, AtomicValueTest, test::everybody(), test::name_of);

// AT8: a large value is never torn, and values stored by one are seen in order.
TEST_P(AtomicValueTest, AT8_stress) {
  using Five = std::array<std::uint64_t, 5>;
  AtomicValue<Five> value(Five{});
  int const rounds = test::scaled(20000);
  std::atomic<int> writing{2};
  Crew crew(GetParam());
  for (std::uint64_t writer = 0; writer < 2; ++writer) {
    crew.start([&, writer] {
      for (int round = 1; round <= rounds; ++round) {
        Five five;
        five.fill(static_cast<std::uint64_t>(round) * 2 + writer);
        if (round % 2 == 0) {
          value.store(five);
        } else {
          auto const old = value.swap(five);
          ASSERT_EQ((*old)[0], (*old)[4]);
        }
      }
      --writing;
    });
  }
  for (int reader = 0; reader < 2; ++reader) {
    crew.start([&] {
      std::uint64_t last[2] = {};
      while (writing.load() > 0) {
        auto const five = value.load();
        for (std::uint64_t word : *five) {
          ASSERT_EQ(word, (*five)[0]);
        }
        std::uint64_t const writer = (*five)[0] % 2;
        ASSERT_GE((*five)[0], last[writer]);
        last[writer] = (*five)[0];
        yield();
      }
    });
  }
}

class CounterTest : public testing::TestWithParam<Who> {};

INSTANTIATE_TEST_SUITE_P(, CounterTest, test::everybody(), test::name_of);

TEST_P(CounterTest, stress) {
  Counter counter;
  EXPECT_EQ(counter.value(), 0);
  int const rounds = test::scaled(20000);
  std::atomic<int> adding{4};
  Crew crew(GetParam());
  for (int i = 0; i < 4; ++i) {
    crew.start([&] {
      for (int round = 0; round < rounds; ++round) {
        counter.add();
        counter.add(10);
        counter.add(-5);
        if (round % 64 == 0) {
          yield();  // to another worker, another shard
        }
      }
      --adding;
    });
  }
  crew.join();
  EXPECT_EQ(counter.value(), std::int64_t{6} * 4 * rounds);
}

}  // namespace
}  // namespace hamgam
