// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/singleflight.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "hamgam/go.h"
#include "hamgam/spawn.h"
#include "hamgam/waitgroup.h"

namespace {

using hamgam::SingleFlight;
using hamgam::WaitGroup;

template <class F>
void in_both(F f) {
  f();
  hamgam::run(f);
}

// SF1
TEST(SingleFlight, Smoke) {
  in_both([] {
    SingleFlight<std::string, int> flights;
    auto const result = flights.call("key", [] { return 7; });
    EXPECT_EQ(result.value, 7);
    EXPECT_FALSE(result.shared);
    EXPECT_THROW((void)flights.call("key", []() -> int { throw std::runtime_error("down"); }),
                 std::runtime_error);
    EXPECT_EQ(flights.call("key", [] { return 8; }).value, 8);
  });
}

// SF2
TEST(SingleFlight, DuplicatesShareOneFlight) {
  in_both([] {
    constexpr int kCallers = 10;
    SingleFlight<int, std::string> flights;
    WaitGroup arrived;
    WaitGroup gate;
    WaitGroup all;
    std::atomic<int> runs{0};
    std::atomic<int> shared{0};
    arrived.add(kCallers);
    gate.add(1);
    for (int i = 0; i < kCallers; ++i) {
      all.go([&] {
        arrived.done();
        auto const result = flights.call(1, [&] {
          ++runs;
          gate.wait();
          return std::string("bar");
        });
        EXPECT_EQ(result.value, "bar");
        shared += result.shared ? 1 : 0;
      });
    }
    arrived.wait();
    gate.done();
    all.wait();
    EXPECT_GT(runs, 0);
    EXPECT_LT(runs, kCallers + 1);
    EXPECT_TRUE(runs == kCallers || shared > 0);
  });
}

// SF3: a flight that was forgotten does not take the new one's place when it lands.
TEST(SingleFlight, Forget) {
  in_both([] {
    SingleFlight<int, int> flights;
    WaitGroup first_started;
    WaitGroup first_gate;
    WaitGroup second_started;
    WaitGroup second_gate;
    for (WaitGroup* group : {&first_started, &first_gate, &second_started, &second_gate}) {
      group->add(1);
    }
    auto first = hamgam::spawn([&] {
      return flights
          .call(1,
                [&] {
                  first_started.done();
                  first_gate.wait();
                  return 1;
                })
          .value;
    });
    first_started.wait();
    flights.forget(1);
    auto second = hamgam::spawn([&] {
      return flights
          .call(1,
                [&] {
                  second_started.done();
                  second_gate.wait();
                  return 2;
                })
          .value;
    });
    second_started.wait();
    first_gate.done();
    EXPECT_EQ(first.get(), 1);
    std::atomic<bool> third_ran{false};
    WaitGroup third_called;
    third_called.add(1);
    auto third = hamgam::spawn([&] {
      third_called.done();
      return flights.call(1, [&] {
        third_ran = true;
        return 3;
      });
    });
    third_called.wait();
    for (int i = 0; i < 100; ++i) {
      hamgam::yield();
    }
    second_gate.done();
    EXPECT_EQ(second.get(), 2);
    auto const result = third.get();
    EXPECT_EQ(result.value, third_ran ? 3 : 2);
  });
}

// SF5
TEST(SingleFlight, ExceptionReachesEveryCaller) {
  in_both([] {
    constexpr int kCallers = 5;
    SingleFlight<int, int> flights;
    WaitGroup started;
    WaitGroup gate;
    WaitGroup calling;
    WaitGroup all;
    std::atomic<int> caught{0};
    started.add(1);
    gate.add(1);
    calling.add(kCallers - 1);
    auto const call = [&](auto f) {
      try {
        (void)flights.call(1, f);
      } catch (const std::runtime_error& e) {
        EXPECT_STREQ(e.what(), "invalid memory address");
        ++caught;
      }
    };
    auto const fails = [&]() -> int {
      gate.wait();
      throw std::runtime_error("invalid memory address");
    };
    all.go([&] {
      call([&]() -> int {
        started.done();
        return fails();
      });
    });
    started.wait();
    for (int i = 1; i < kCallers; ++i) {
      all.go([&] {
        calling.done();
        call(fails);
      });
    }
    calling.wait();
    gate.done();
    all.wait();
    EXPECT_EQ(caught, kCallers);
  });
}

// SF6: each caller's goroutine ends, as Go's do; none hangs.
TEST(SingleFlight, GoexitDoesNotHang) {
  in_both([] {
    constexpr int kCallers = 5;
    SingleFlight<int, int> flights;
    WaitGroup calling;
    WaitGroup gate;
    WaitGroup all;
    std::atomic<int> returned{0};
    calling.add(kCallers);
    gate.add(1);
    for (int i = 0; i < kCallers; ++i) {
      all.go([&] {
        calling.done();
        (void)flights.call(1, [&]() -> int {
          gate.wait();
          hamgam::goexit();
        });
        ++returned;
      });
    }
    calling.wait();
    gate.done();
    all.wait();
    EXPECT_EQ(returned, 0);
    EXPECT_EQ(flights.call(1, [] { return 1; }).value, 1);
  });
}

// The flight is found again whatever becomes of the caller's key.
TEST(SingleFlight, FunctionMayChangeTheCallersKey) {
  in_both([] {
    SingleFlight<std::string, int> flights;
    std::string const original = "a key that is long enough to live on the heap";
    for (int i = 0; i < 3; ++i) {
      std::string key = original;
      auto const take = [&key, i] {
        std::string const taken = std::move(key);
        key = "another key";
        return i;
      };
      EXPECT_EQ(flights.call(key, take).value, i);
      EXPECT_EQ(flights.call("another key", [i] { return 10 + i; }).value, 10 + i);
    }
    // The key's owner may be gone altogether, and the flight be forgotten as well.
    auto owned = std::make_unique<std::string>(original);
    auto const drop = [&] {
      owned.reset();
      flights.forget(original);
      return flights.call(original, [] { return 7; }).value;
    };
    EXPECT_EQ(flights.call(*owned, drop).value, 7);
    EXPECT_EQ(flights.call(original, [] { return 8; }).value, 8);
  });
}

struct Moody {
  struct Hash {
    std::size_t operator()(const Moody& moody) const {
      if (moody.throws != nullptr && *moody.throws) {
        throw std::runtime_error("not now");
      }
      return static_cast<std::size_t>(moody.number % 2);
    }
  };
  bool operator==(const Moody& other) const { return number == other.number; }
  int number;
  std::shared_ptr<bool> throws{};
};

TEST(SingleFlight, HashThatThrows) {
  in_both([] {
    SingleFlight<Moody, int, Moody::Hash> flights;
    Moody const key{1, std::make_shared<bool>(true)};
    auto const seven = [] { return 7; };
    EXPECT_THROW((void)flights.call(key, seven), std::runtime_error);
    *key.throws = false;
    EXPECT_EQ(flights.call(key, seven).value, 7);
    // It begins to throw while flights are under way: they land all the same.
    int const result = flights
                           .call(Moody{3},
                                 [&] {
                                   return flights
                                       .call(key,
                                             [&] {
                                               *key.throws = true;
                                               return 1;
                                             })
                                       .value;
                                 })
                           .value;
    EXPECT_EQ(result, 1);
    *key.throws = false;
    EXPECT_EQ(flights.call(key, seven).value, 7);
    EXPECT_EQ(flights.call(Moody{3}, seven).value, 7);
  });
}

// Whatever ends a flight, the next call starts another.
TEST(SingleFlight, FunctionsOfAllKinds) {
  in_both([] {
    SingleFlight<int, std::string> flights;
    auto once = [made = std::make_unique<std::string>("moved in")] { return std::move(*made); };
    EXPECT_EQ(flights.call(1, std::move(once)).value, "moved in");
    const char* (*pointer)() = [] { return "pointer"; };
    EXPECT_EQ(flights.call(1, pointer).value, "pointer");
    const std::function<std::string()> wrapped = [] { return "wrapped"; };
    EXPECT_EQ(flights.call(1, wrapped).value, "wrapped");
    EXPECT_EQ(flights.call(1, std::function<std::string()>(wrapped)).value, "wrapped");
    struct Pinned {
      Pinned() = default;
      Pinned(const Pinned&) = delete;
      Pinned& operator=(const Pinned&) = delete;
      const char* operator()() const { return "pinned"; }
    };
    EXPECT_EQ(flights.call(1, Pinned()).value, "pinned");
    EXPECT_THROW((void)flights.call(1, std::function<std::string()>()), std::bad_function_call);
    EXPECT_EQ(flights.call(1, [&] { return flights.call(2, pointer).value; }).value, "pointer");
  });
}

TEST(SingleFlight, Threads) {
  SingleFlight<int, int> flights;
  std::atomic<int> sum{0};
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int k = 0; k < 1000; ++k) {
          sum += flights.call(k % 3, [] { return 1; }).value;
        }
      });
    }
  }
  EXPECT_EQ(sum, 4000);
}

}  // namespace
