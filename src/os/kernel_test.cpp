// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "hamgam/detail/rseq.h"
#include "os/membarrier.h"
#include "os/memory.h"
#include "support/child.h"

// What is asked of the kernel that it may not have. Registered again with a kernel that refuses it
// (test/refuse); HAMGAM_TEST_REFUSED tells what.

namespace hamgam {
namespace {

bool refused(const char* what) {
  const char* all = std::getenv("HAMGAM_TEST_REFUSED");
  return all != nullptr && std::strstr(all, what) != nullptr;
}

TEST(Kernel, rseq_and_its_barrier) {
  errno = EAGAIN;
  bool const available = detail::rseq_barrier_available();
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_EQ(detail::rseq_barrier_available(), available);
  std::printf("rseq barrier: %s\n", available ? "yes" : "no");
  if (refused("membarrier")) {
    EXPECT_FALSE(available);
  }
  if (available) {
    EXPECT_TRUE(detail::rseq_barrier());
  }
}

TEST(Kernel, restartable_sequence) {
  if (detail::rseq_offset == 0) {
    std::puts("no restartable sequences");
    return;
  }
  EXPECT_FALSE(refused("membarrier") || refused("rseq"));
  detail::atomic<std::uint32_t> word{5};
  EXPECT_FALSE(detail::store_if_equal(word, 4U, 7U));
  EXPECT_EQ(word.load(), 5U);
  // An interrupt makes it fail without cause, now and then.
  bool stored = false;
  for (int i = 0; i < 1000 && !stored; ++i) {
    stored = detail::store_if_equal(word, 5U, 7U);
  }
  EXPECT_TRUE(stored);
  EXPECT_EQ(word.load(), 7U);
}

TEST(Kernel, guard) {
  std::size_t const page = detail::page_size();
  auto* memory = static_cast<char*>(detail::reserve_memory(4 * page));
  ASSERT_NE(memory, nullptr);
  EXPECT_TRUE(detail::install_guard(memory + page, page));
  memory[0] = 'a';
  memory[2 * page] = 'b';
  detail::discard_memory(memory, 4 * page);
  EXPECT_EQ(memory[0], '\0');
  EXPECT_EQ(memory[2 * page], '\0');
  detail::release_memory(memory, 4 * page);
  // Its first byte and its last.
  for (std::size_t at : {page, 3 * page - 1}) {
    auto child = test::in_child([page, at] {
      std::signal(SIGSEGV, [](int) { _exit(7); });
      auto* guarded = static_cast<char*>(detail::reserve_memory(4 * page));
      (void)detail::install_guard(guarded + page, 2 * page);
      detail::discard_memory(guarded, 4 * page);  // it survives this
      *static_cast<volatile char*>(guarded + page - 1) = 1;
      *static_cast<volatile char*>(guarded + 3 * page) = 1;
      *static_cast<volatile char*>(guarded + at) = 1;
    });
    EXPECT_TRUE(child.exited_with(7)) << child.status << child.error;
  }
}

// More guards than mprotect may install: then without, but without an error.
TEST(Kernel, more_guards_than_mappings) {
  std::size_t const page = detail::page_size();
  constexpr std::size_t kGuards = 40000;
  auto* memory = static_cast<char*>(detail::reserve_memory(kGuards * 2 * page));
  ASSERT_NE(memory, nullptr);
  std::size_t installed = 0;
  for (std::size_t i = 0; i < kGuards; ++i) {
    installed += detail::install_guard(memory + i * 2 * page, page) ? 1 : 0;
  }
  std::printf("%zu of %zu guards\n", installed, kGuards);
  EXPECT_GT(installed, 1000U);
  if (refused("guards")) {
    EXPECT_LT(installed, 33000U);  // half of vm.max_map_count's default is left to the program
  }
  void* other = detail::reserve_memory(page);
  EXPECT_NE(other, nullptr);
  detail::release_memory(other, page);
  detail::release_memory(memory, kGuards * 2 * page);
}

}  // namespace
}  // namespace hamgam
