// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "hamgam/hamgam.h"
#include "support/crew.h"
#include "support/scale.h"

// go, goexit, yield and the numbers of goroutines.

namespace hamgam {
namespace {

template <class F, class... Args>
concept CanGo = requires(F f, Args... args) { hamgam::go(f, args...); };
static_assert(CanGo<void (*)(int), int> && CanGo<void (*)(long), int>);
// What is callable, but not so, is refused in words (test/compile/mistakes.cpp).
static_assert(!CanGo<int>);
static_assert(CanGo<void (*)(int&), std::reference_wrapper<int>>);

int twice(int n) { return 2 * n; }

TEST(Go, smoke) {
  WaitGroup group;
  std::atomic<int> sum{0};
  group.add(3);
  go([&] {
    sum += 1;
    group.done();
  });
  go(
      [&](int n) {
        sum += n;
        group.done();
      },
      20);
  go(
      GoOptions{.name = "three"},
      [&](int a, int b) {
        sum += a + b;
        group.done();
      },
      100, 200);
  group.wait();
  EXPECT_EQ(sum.load(), 321);
  go(twice, 4);  // a result is dropped
}

TEST(Go, arguments_are_moved) {
  WaitGroup group;
  std::string result;
  auto text = std::make_unique<std::string>("moved");
  group.go([&](std::unique_ptr<std::string> p, std::string s) { result = *p + s; }, std::move(text),
           std::string(" twice"));
  group.wait();
  EXPECT_EQ(result, "moved twice");
  EXPECT_EQ(text, nullptr);
}

// Evaluated by the caller: what changes afterwards is not seen.
TEST(Go, arguments_are_copied_now) {
  WaitGroup group;
  int seen = 0;
  int value = 1;
  group.go([&](int n) { seen = n; }, value);
  value = 2;
  group.wait();
  EXPECT_EQ(seen, 1);
  group.go([&](int& n) { n = 3; }, std::ref(value));
  group.wait();
  EXPECT_EQ(value, 3);
  const char text[] = "literal";  // an array decays
  std::string copy;
  group.go([&](const char* s) { copy = s; }, text);
  group.wait();
  EXPECT_EQ(copy, "literal");
}

TEST(Go, members_and_function_objects) {
  struct Account {
    std::atomic<int> sum{0};
    void add(int n) { sum += n; }
  } account;
  struct Once {
    std::atomic<int>& calls;
    void operator()() && { ++calls; }  // called as an rvalue
  };
  std::atomic<int> calls{0};
  WaitGroup group;
  group.go(&Account::add, &account, 5);
  group.go(&Account::add, std::ref(account), 6);
  group.go(Once{calls});
  std::function<void()> function = [&] { account.add(7); };
  group.go(function);
  group.go(std::ref(function));
  group.wait();
  EXPECT_EQ(account.sum.load(), 25);
  EXPECT_EQ(calls.load(), 1);
}

template <std::size_t kSize>
std::size_t sum_of_a_closure() {
  std::array<unsigned char, kSize> bytes;
  for (std::size_t i = 0; i < kSize; ++i) {
    bytes[i] = static_cast<unsigned char>(i);
  }
  std::size_t sum = 0;
  WaitGroup group;
  group.go([&sum, bytes] {
    for (unsigned char byte : bytes) {
      sum += byte;
    }
  });
  group.wait();
  return sum;
}

TEST(Go, closures_of_all_sizes) {
  EXPECT_EQ(sum_of_a_closure<1>(), 0U);
  EXPECT_EQ(sum_of_a_closure<40>(), 780U);
  EXPECT_EQ(sum_of_a_closure<56>(), 1540U);  // about as large as fits into a record
  EXPECT_EQ(sum_of_a_closure<64>(), 2016U);
  EXPECT_EQ(sum_of_a_closure<256>(), 32640U);
  EXPECT_EQ(sum_of_a_closure<256 * 256>(), 32640U * 256);
}

TEST(Go, over_aligned_closure) {
  struct alignas(128) Wide {
    int value = 7;
  };
  WaitGroup group;
  for (int i = 0; i < 20; ++i) {
    group.go([wide = Wide{}] {
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&wide) % 128, 0U);
      EXPECT_EQ(wide.value, 7);
    });
    group.go(
        [](const Wide& given) { EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&given) % 128, 0U); },
        Wide{});
  }
  group.wait();
}

// Counts its living copies and throws from the copy that is asked for.
struct Fragile {
  explicit Fragile(int fuse) : fuse(fuse) { ++living(); }
  Fragile(const Fragile& other) : fuse(other.fuse - 1) {
    if (fuse == 0) {
      throw std::runtime_error("copied");
    }
    ++living();
  }
  ~Fragile() { --living(); }
  Fragile& operator=(const Fragile&) = delete;
  void operator()() const {}

  static std::atomic<int>& living() {
    static std::atomic<int> count{0};
    return count;
  }

  int fuse;
};

TEST(Go, copies_that_throw_leak_nothing) {
  std::size_t const before = num_goroutine();
  int thrown = 0;
  int started = 0;
  for (int fuse = 1; fuse < 12; ++fuse) {
    Fragile const fragile(fuse);
    WaitGroup group;
    auto attempt = [&](auto start) {
      try {
        start();
        ++started;
      } catch (const std::runtime_error&) {
        ++thrown;
      }
    };
    attempt([&] { group.go(fragile); });
    attempt([&] { group.go([](const Fragile&) {}, fragile); });
    attempt([&] { group.go(GoOptions{.name = "fragile"}, fragile); });
    attempt([&] { group.go([fragile, room = std::array<char, 200>{}] { (void)room; }); });
    group.wait();
    ASSERT_EQ(Fragile::living().load(), 1) << fuse;
  }
  EXPECT_GT(thrown, 4);
  EXPECT_GT(started, 4);
  EXPECT_LE(num_goroutine(), before);
}

TEST(Go, options) {
  WaitGroup group;
  std::atomic<int> depth{0};
  std::function<int(int)> recurse = [&](int n) {
    volatile char frame[4096] = {};
    frame[0] = static_cast<char>(n);
    depth = std::max(depth.load(), n);
    return n == 0 ? 0 : recurse(n - 1) + frame[0] * 0;
  };
  for (int i = 0; i < 3; ++i) {
    group.go(GoOptions{.name = "deep", .stack_size = std::size_t{16} << 20}, recurse, 1500);
    group.go(GoOptions{.name = "shallow", .stack_size = 1}, [] {});  // the least there is
  }
  group.wait();
  EXPECT_EQ(depth.load(), 1500);
}

TEST(Go, from_a_thread_and_from_a_goroutine) {
  std::atomic<int> leaves{0};
  WaitGroup group;
  std::function<void(int)> grow = [&](int depth) {
    if (depth == 0) {
      ++leaves;
      return;
    }
    group.go(grow, depth - 1);
    group.go(grow, depth - 1);
  };
  int const depth = test::emulated() ? 8 : 12;
  std::thread([&] { group.go(grow, depth); }).join();
  group.wait();
  EXPECT_EQ(leaves.load(), 1 << depth);
}

// Of those that start the same function, too; these are optimised where the library is.
TEST(Go, places_of_starts_are_the_programs) {
  auto const chan = make_chan<int>();
  auto const waits = [](const Chan<int>& c) { (void)c.recv(); };
  WaitGroup all;
  auto const starts_one = [&]() __attribute__((noinline)) {
    all.go({.name = "placed"}, waits, chan);
  };
  auto const starts_two = [&]() __attribute__((noinline)) {
    all.go({.name = "placed"}, waits, chan);
    all.go({.name = "placed"}, waits, chan);
  };
  starts_one();
  starts_two();
  std::set<const void*> places;
  for (const observe::GoroutineInfo& info : observe::goroutines()) {
    if (info.name == "placed") {  // others may be about to end
      places.insert(info.created_at.address);
    }
  }
  chan.close();
  all.wait();
  EXPECT_EQ(places.size(), 3U);
}

// SC13: destructors run, nothing behind it does, and nothing is in flight for the others.
TEST(Goexit, SC13_unwinds) {
  WaitGroup group;
  std::vector<int> order;
  struct Note {
    std::vector<int>& order;
    int number;
    ~Note() {
      EXPECT_EQ(std::uncaught_exceptions(), 1);
      order.push_back(number);
    }
  };
  group.go([&] {
    Note const first{order, 1};
    try {
      Note const second{order, 2};
      goexit();
    } catch (const std::exception&) {
      order.push_back(3);  // it is no std::exception
    } catch (...) {
      order.push_back(4);
      throw;
    }
    order.push_back(5);
  });
  group.wait();
  EXPECT_EQ(order, (std::vector<int>{2, 4, 1}));
  group.go([] {
    EXPECT_EQ(std::current_exception(), nullptr);
    EXPECT_EQ(std::uncaught_exceptions(), 0);
  });
  group.wait();
}

TEST(Goexit, on_a_thread_is_a_panic) {
  EXPECT_THROW(goexit(), Panic);
  std::thread([] { EXPECT_THROW(goexit(), Panic); }).join();
}

TEST(Yield, SC1_progress) {
  for (int procs : {1, 2}) {
    test::Procs const limit(procs);
    std::atomic<int> turn{0};
    WaitGroup group;
    for (int me = 0; me < 2; ++me) {
      group.go([&, me] {
        for (int round = 0; round < 100; ++round) {
          while (turn.load() % 2 != me) {
            yield();
          }
          ++turn;
        }
      });
    }
    group.wait();
    EXPECT_EQ(turn.load(), 200);
  }
  yield();  // on a thread
}

TEST(GoroutineId, unique_and_stable) {
  EXPECT_EQ(goroutine_id(), 0U);
  Guarded<std::set<std::uint64_t>> ids;
  WaitGroup group;
  for (int i = 0; i < 1000; ++i) {
    group.go([&] {
      std::uint64_t const id = goroutine_id();
      yield();
      EXPECT_EQ(goroutine_id(), id);
      ids.lock()->insert(id);
    });
  }
  group.wait();
  EXPECT_EQ(ids.lock()->size(), 1000U);
  EXPECT_EQ(ids.lock()->count(0), 0U);
}

TEST(NumGoroutine, SC8_counts_those_that_exist) {
  std::size_t const before = num_goroutine();
  Mutex gate;
  gate.lock();
  WaitGroup started;
  WaitGroup ended;
  for (int i = 0; i < 10; ++i) {
    started.add(1);
    ended.go([&] {
      started.done();
      gate.lock();
      gate.unlock();
    });
  }
  EXPECT_EQ(num_goroutine(), before + 10);
  started.wait();
  EXPECT_EQ(num_goroutine(), before + 10);
  gate.unlock();
  ended.wait();
  EXPECT_EQ(num_goroutine(), before);
}

}  // namespace
}  // namespace hamgam
