// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// The classic programs of channels, at their full sizes in a plain build.

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <vector>

#include "hamgam/hamgam.h"
#include "support/close.h"
#include "support/scale.h"

namespace {

using hamgam::Chan;
using hamgam::go;
using hamgam::make_chan;
using hamgam::RecvChan;
using hamgam::SendChan;
using hamgam::Unit;
using hamgam::WaitGroup;
using hamgam::test::scaled;

// KB of memory in use.
long resident() {
  long pages = 0;
  if (std::FILE* file = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(file, "%*d %ld", &pages) != 1) {
      pages = 0;
    }
    std::fclose(file);
  }
  return pages * 4;
}

// The full size where nothing but the optimiser stands between the program and the machine.
#if defined(NDEBUG) && !defined(HAMGAM_TSAN) && !defined(HAMGAM_ASAN)
constexpr bool kFull = true;
#else
constexpr bool kFull = false;
#endif

int full(int n) {
  return kFull && !hamgam::test::emulated() ? n : scaled(n / 10) > 0 ? scaled(n / 10) : 1;
}

// CH22: a chain of filters, one goroutine for each prime.
TEST(Classics, prime_sieve) {
  int const primes = full(10'000);
  (void)hamgam::run([primes] {
    auto const numbers = make_chan<int>();
    std::atomic<bool> over{false};
    WaitGroup all;
    all.go([&, numbers] {
      for (int i = 2; !over; ++i) {
        numbers.send(i);
      }
      numbers.close();
    });
    int last = 0;
    RecvChan<int> from = numbers;
    for (int i = 0; i < primes; ++i) {
      last = from.recv().value_or(0);
      auto const to = make_chan<int>();
      all.go([from, to, prime = last] {
        for (int number : from) {
          if (number % prime != 0) {
            to.send(number);
          }
        }
        to.close();
      });
      from = to;
    }
    over = true;
    while (from.recv()) {
    }
    all.wait();
    if (primes == 10'000) {
      EXPECT_EQ(last, 104'729);
    }
  });
}

// A token that goes round 503 goroutines.
TEST(Classics, thread_ring) {
  constexpr int kRing = 503;
  int const passes = full(50'000'000);
  (void)hamgam::run([passes] {
    std::vector<Chan<int>> links;
    for (int i = 0; i < kRing; ++i) {
      links.push_back(make_chan<int>());
    }
    auto const winner = make_chan<int>(1);
    WaitGroup all;
    for (std::size_t i = 0; i < kRing; ++i) {
      all.go([=, from = links[i], to = links[(i + 1) % kRing]] {
        for (int left : from) {
          if (left == 0) {
            winner.send(static_cast<int>(i) + 1);
          } else {
            to.send(left - 1);
          }
        }
      });
    }
    links[0].send(passes);
    EXPECT_EQ(winner.recv(), passes % kRing + 1);
    for (const auto& link : links) {
      link.close();
    }
    all.wait();
  });
}

// A tree of goroutines, ten to each, that add up the numbers of its leaves.
void skynet(const SendChan<std::int64_t>& result, std::int64_t number, std::int64_t size) {
  if (size == 1) {
    result.send(number);
    return;
  }
  auto const parts = make_chan<std::int64_t>();
  for (int i = 0; i < 10; ++i) {
    go([=] { skynet(parts, number + i * (size / 10), size / 10); });
  }
  std::int64_t sum = 0;
  for (int i = 0; i < 10; ++i) {
    sum += parts.recv().value_or(0);
  }
  result.send(sum);
}

TEST(Classics, skynet) {
  constexpr std::int64_t kLeaves = kFull ? 1'000'000 : 10'000;
  (void)hamgam::run([] {
    auto const result = make_chan<std::int64_t>();
    go([=] { skynet(result, 0, kLeaves); });
    EXPECT_EQ(result.recv(), kLeaves * (kLeaves - 1) / 2);
  });
}

// Creatures meet in pairs at one place and change colours; each meeting is counted twice.
enum class Colour : std::uint8_t { kBlue, kRed, kYellow };

Colour blend(Colour a, Colour b) {
  return a == b ? a : static_cast<Colour>(3 - static_cast<int>(a) - static_cast<int>(b));
}

struct Visitor {
  Colour colour;
  Chan<Colour> other;
};

TEST(Classics, chameneos_redux) {
  int const meetings = scaled(200'000);
  for (int const creatures : {3, 10}) {
    (void)hamgam::run([=] {
      auto const place = make_chan<Visitor>();
      WaitGroup all;
      std::vector<int> met(static_cast<std::size_t>(creatures));
      for (int c = 0; c < creatures; ++c) {
        all.go([&, c] {
          Visitor me{static_cast<Colour>(c % 3), make_chan<Colour>(1)};
          for (;;) {
            try {
              place.send(me);
            } catch (const hamgam::Panic&) {
              return;  // the place is closed
            }
            auto const other = me.other.recv();
            if (!other) {
              return;
            }
            me.colour = blend(me.colour, *other);
            ++met[static_cast<std::size_t>(c)];
          }
        });
      }
      for (int i = 0; i < meetings; ++i) {
        auto const a = place.recv();
        auto const b = place.recv();
        a->other.send(b->colour);
        b->other.send(a->colour);
      }
      hamgam::test::close_beside_senders(place);
      all.wait();
      int sum = 0;
      for (int const m : met) {
        sum += m;
      }
      EXPECT_EQ(sum, 2 * meetings);
    });
  }
}

// Five forks, five philosophers; the last one takes his forks in the other order.
TEST(Classics, dining_philosophers) {
  constexpr std::size_t kSeats = 5;
  int const meals = scaled(20'000);
  (void)hamgam::run([meals] {
    std::array<Chan<Unit>, kSeats> forks;
    for (auto& fork : forks) {
      fork = make_chan<Unit>(1);
      fork.send({});
    }
    std::array<int, kSeats> eaten{};
    WaitGroup all;
    for (std::size_t seat = 0; seat < kSeats; ++seat) {
      all.go([&, seat] {
        auto const& first = forks[seat + 1 == kSeats ? 0 : seat];
        auto const& second = forks[seat + 1 == kSeats ? seat : seat + 1];
        for (int i = 0; i < meals; ++i) {
          first.recv();
          second.recv();
          ++eaten[seat];
          second.send({});
          first.send({});
        }
      });
    }
    all.wait();
    for (int const count : eaten) {
      EXPECT_EQ(count, meals);
    }
  });
}

// CH22: 10,000 goroutines in a chain, each adding one; twice, and the second takes no more memory.
TEST(Classics, chain_of_10000) {
  int const length = scaled(10'000);
  long after_first = 0;
  for (int round = 0; round < 3; ++round) {
    (void)hamgam::run([length] {
      auto const leftmost = make_chan<int>();
      auto left = leftmost;
      for (int i = 0; i < length; ++i) {
        auto const right = make_chan<int>();
        go([left, right] { left.send(1 + right.recv().value_or(0)); });
        left = right;
      }
      go([left] { left.send(0); });
      EXPECT_EQ(leftmost.recv(), length);
    });
    if (round == 0) {
      after_first = resident();
    }
  }
#if !defined(HAMGAM_TSAN) && !defined(HAMGAM_ASAN)
  EXPECT_LT(resident(), after_first + 32 * 1024);
#else
  (void)after_first;
#endif
}

}  // namespace
