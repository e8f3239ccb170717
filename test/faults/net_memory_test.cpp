// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "hamgam/hamgam.h"
#include "support/allocations.h"
#include "support/until.h"

// Without memory for the timer of a deadline a transfer said that it had moved nothing.
// Not under ThreadSanitizer, where clang does not let us replace its operators.

// The linker has this program and the library call this for malloc.
extern "C" void* __real_malloc(std::size_t size);
extern "C" void* __wrap_malloc(std::size_t size) {
  return hamgam::test::g_none_left ? nullptr : __real_malloc(size);
}

#if !defined(HAMGAM_TSAN)

namespace hamgam {
namespace {

TEST(NetMemory, a_transfer_tells_what_it_moved) {
  (void)run([] {
    constexpr int kWriters = 200;
    std::vector<std::pair<net::Pipe, net::Pipe>> pipes;
    std::string const much(8 << 20, 'x');
    std::vector<std::size_t> moved(kWriters);
    std::vector<std::error_code> errors(kWriters);
    std::atomic<int> ready{0};
    std::atomic<int> failed{0};
    WaitGroup gate;
    WaitGroup group;
    gate.add(1);
    for (int i = 0; i < kWriters; ++i) {
      pipes.push_back(net::pipe());
      pipes.back().first.set_write_deadline(Clock::now() + std::chrono::hours(1));
    }
    for (std::size_t i = 0; i < kWriters; ++i) {
      group.go([&, i] {
        ++ready;
        gate.wait();
        moved[i] = pipes[i].first.write_all(std::as_bytes(std::span(much)), errors[i]);
        failed += errors[i] == std::errc::not_enough_memory ? 1 : 0;
      });
    }
    test::until([&] { return ready == kWriters; });
    test::g_none_left = true;
    gate.done();
    test::until([&] { return failed > 0; });
    test::g_none_left = false;
    for (auto& [writer, reader] : pipes) {
      writer.close();
    }
    group.wait();
    for (std::size_t i = 0; i < kWriters; ++i) {
      EXPECT_TRUE(errors[i] == std::errc::not_enough_memory || errors[i] == net::Errc::closed)
          << errors[i].message();
      EXPECT_TRUE(errors[i] == net::Errc::closed || moved[i] > 0);
    }
  });
}

}  // namespace
}  // namespace hamgam

#endif
