// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

#include "hamgam/hamgam.h"
#include "support/scale.h"

// Who parks in for_each takes a record of its own. These stayed for ever, and each later removal
// from any map looked at all of them.

namespace {

constexpr std::size_t kLine = 64;
std::atomic<long> g_lines{0};  // allocations of one cache line that live

}  // namespace

// Not inline: gcc takes what it then sees for a mistake.
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t align,
                                     const std::nothrow_t&) noexcept {
  auto const unit = static_cast<std::size_t>(align);
  g_lines += unit == kLine ? 1 : 0;
  return std::aligned_alloc(unit, (size + unit - 1) / unit * unit);
}
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t align) {
  void* const memory = operator new(size, align, std::nothrow);
  if (memory == nullptr) {
    throw std::bad_alloc();
  }
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t align) noexcept {
  g_lines -= memory != nullptr && static_cast<std::size_t>(align) == kLine ? 1 : 0;
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t /*size*/,
                                       std::align_val_t align) noexcept {
  operator delete(memory, align);
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
