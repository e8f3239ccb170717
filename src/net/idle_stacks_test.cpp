// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include "hamgam/hamgam.h"
#include "hamgam/net.h"
#include "support/scale.h"
#include "support/until.h"
#include "sync/janitor.h"

// A goroutine that has gone deep and then waits for long gives the memory back, and nothing else.

namespace hamgam {
namespace {

std::byte read_one(const net::Pipe& pipe) {
  std::array<std::byte, 1> byte{};
  EXPECT_EQ(pipe.read_some(byte), 1U);
  return byte[0];
}

void write_one(const net::Pipe& pipe, std::byte value) {
  std::array<std::byte, 1> const byte{value};
  pipe.write_all(byte);
}

#if !defined(HAMGAM_CONTEXT_UCONTEXT)

constexpr std::size_t kDeep = 24 * 1024;

// Uses that much of the stack; `middle`: an address there.
[[gnu::noinline]] void go_deep(std::atomic<std::uintptr_t>& middle) {
  volatile char frame[kDeep];
  for (std::size_t i = 0; i < kDeep; i += 64) {
    frame[i] = 1;
  }
  middle = reinterpret_cast<std::uintptr_t>(&frame[kDeep / 2]);
}

bool is_resident(std::uintptr_t address) {
  auto const page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  std::uintptr_t const start = address / page * page;
  unsigned char there = 0;
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  EXPECT_EQ(mincore(reinterpret_cast<void*>(start), page, &there), 0);
  return (there & 1) != 0;
}

TEST(IdleStacks, memory_comes_back) {
  (void)run([] {
    int const count = test::scaled_spawns(500);
    std::vector<std::pair<net::Pipe, net::Pipe>> pipes;
    std::vector<std::atomic<std::uintptr_t>> deep(static_cast<std::size_t>(count));
    WaitGroup group;
    for (int i = 0; i < count; ++i) {
      pipes.push_back(net::pipe());
    }
    for (std::size_t i = 0; i < deep.size(); ++i) {
      group.go([&, i] {
        go_deep(deep[i]);
        (void)read_one(pipes[i].first);
      });
    }
    EXPECT_TRUE(test::comes_true([&] {
      return std::all_of(deep.begin(), deep.end(), [](const std::atomic<std::uintptr_t>& address) {
        return address != 0 && (test::emulated() || !is_resident(address));
      });
    }));
    for (auto& pipe : pipes) {
      write_one(pipe.second, std::byte{1});
    }
    group.wait();
  });
}
#endif

// Its stack pointer is not in the goroutine's stack then.
#if !defined(HAMGAM_TSAN) && !defined(HAMGAM_ASAN)
ucontext_t g_goroutine;
ucontext_t g_coroutine;
const net::Pipe* g_pipe = nullptr;

TEST(IdleStacks, another_librarys_coroutine_waits) {
  (void)run([] {
    auto [here, there] = net::pipe();
    WaitGroup group;
    group.go([&here = here] {
      std::vector<char> stack(std::size_t{256} * 1024);
      volatile char frame[16 * 1024];
      for (std::size_t i = 0; i < sizeof frame; ++i) {
        frame[i] = 7;
      }
      g_pipe = &here;
      getcontext(&g_coroutine);
      g_coroutine.uc_stack.ss_sp = stack.data();
      g_coroutine.uc_stack.ss_size = stack.size();
      g_coroutine.uc_link = &g_goroutine;
      makecontext(
          &g_coroutine, [] { (void)read_one(*g_pipe); }, 0);
      swapcontext(&g_goroutine, &g_coroutine);
      int lost = 0;
      for (std::size_t i = 0; i < sizeof frame; ++i) {
        lost += frame[i] == 7 ? 0 : 1;
      }
      EXPECT_EQ(lost, 0);
    });
    for (int i = 0; i < 10; ++i) {
      sleep(std::chrono::milliseconds(1));  // it is asleep by then, most likely
      blocking([] { detail::age_all(); });
    }
    write_one(there, std::byte{1});
    group.wait();
  });
}
#endif

// Looks all the time, while goroutines sleep and wake.
TEST(IdleStacks, nothing_in_use_goes) {
  (void)run([] {
    constexpr int kPairs = 20;
    int const rounds = test::scaled(1000);
    std::atomic<int> wrong{0};
    WaitGroup players;
    for (int i = 0; i < kPairs; ++i) {
      auto [a, b] = net::pipe();
      for (auto const& [own, first] : {std::pair{a, true}, std::pair{b, false}}) {
        players.go([&wrong, rounds, own = own, first = first] {
          for (int round = 0; round < rounds; ++round) {
            volatile unsigned char frame[6000];
            auto const mark = static_cast<unsigned char>(round % 250 + 1);
            for (std::size_t k = 0; k < sizeof frame; k += 100) {
              frame[k] = mark;
            }
            if (first) {
              write_one(own, std::byte{mark});
            }
            std::byte const got = read_one(own);
            if (!first) {
              write_one(own, got);
            }
            for (std::size_t k = 0; k < sizeof frame; k += 100) {
              wrong += frame[k] != mark ? 1 : 0;
            }
            wrong += got != std::byte{mark} ? 1 : 0;
          }
        });
      }
    }
    std::atomic<bool> done{false};
    std::thread janitor([&] {
      while (!done) {
        detail::age_all();
        std::this_thread::yield();
      }
    });
    players.wait();
    done = true;
    blocking([&] { janitor.join(); });
    EXPECT_EQ(wrong, 0);
  });
}

}  // namespace
}  // namespace hamgam
