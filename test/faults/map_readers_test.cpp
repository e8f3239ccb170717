// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "hamgam/hamgam.h"
#include "support/scale.h"

// Who parks in for_each takes a record of its own. These stayed for ever, and each later removal
// from any map looked at all of them.

namespace {

constexpr std::size_t kLine = 64;
constexpr std::uint64_t kMark = 0x6B72616D20656E69;
std::atomic<long> g_lines{0};  // allocations of one cache line that live

}  // namespace

// The linker has this program and the library call these for aligned_alloc and free. Behind each
// line is a mark.
extern "C" void* __real_aligned_alloc(std::size_t align, std::size_t size);
extern "C" void* __wrap_aligned_alloc(std::size_t align, std::size_t size) {
  if (align != kLine || size != kLine) {
    return __real_aligned_alloc(align, size);
  }
  void* const memory = __real_aligned_alloc(kLine, 2 * kLine);
  if (memory != nullptr) {
    std::memcpy(static_cast<char*>(memory) + kLine, &kMark, sizeof kMark);
    ++g_lines;
  }
  return memory;
}
extern "C" void __real_free(void* memory);
extern "C" void __wrap_free(void* memory) {
  if (memory != nullptr && malloc_usable_size(memory) >= 2 * kLine) {
    char* const mark = static_cast<char*>(memory) + kLine;
    if (std::memcmp(mark, &kMark, sizeof kMark) == 0) {
      std::memset(mark, 0, sizeof kMark);
      --g_lines;
    }
  }
  __real_free(memory);
}

namespace hamgam {
namespace {

TEST(MapReaders, records_go_with_the_readers) {
  int const readers = test::scaled_spawns(5000);
  (void)run([readers] {
    Map<int, int> map;
    map.store(1, 1);
    WaitGroup inside;
    WaitGroup done;
    auto leave = make_chan<int>();
    long const before = g_lines;
    inside.add(readers);
    for (int i = 0; i < readers; ++i) {
      done.go([&] {
        map.for_each([&](int /*key*/, int /*value*/) {
          inside.done();
          (void)leave.recv();
          return true;
        });
      });
    }
    inside.wait();
    EXPECT_GE(g_lines - before, readers / 2) << "the records are not counted any more";
    map.store(2, 2);
    map.erase(2);  // what is removed beside them goes later
    leave.close();
    done.wait();
    EXPECT_LE(g_lines - before, 200);
    map.erase(1);
    EXPECT_EQ(map.size(), 0U);
  });
}

}  // namespace
}  // namespace hamgam
