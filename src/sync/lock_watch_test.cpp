// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sync/lock_watch.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>
#include <thread>

#include "hamgam/mutex.h"
#include "support/child.h"
#include "sync/lock_list.h"

// What is done under locks of our own, and what the system refuses.

namespace {
hamgam::Mutex g_memory;
std::atomic<bool> g_locked_memory{false};
}  // namespace

// As programs have them: under a lock, while the test wants that. Not under ThreadSanitizer, where
// clang does not let us replace them.
#if !defined(HAMGAM_TSAN)
__attribute__((noinline)) void* operator new(std::size_t size) {
  if (g_locked_memory) {
    std::lock_guard const guard(g_memory);
    return std::malloc(size);
  }
  return std::malloc(size);
}
__attribute__((noinline)) void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return operator new(size);  // which throws nothing
}
__attribute__((noinline)) void operator delete(void* memory) noexcept { std::free(memory); }
__attribute__((noinline)) void operator delete(void* memory, std::size_t /*size*/) noexcept {
  std::free(memory);
}
#endif

namespace hamgam {
namespace {

using test::in_child;

// Who listed the locks asked the program's operator new for memory, under its own lock of the very
// Mutex that this one took, and waited for itself.
TEST(LockWatch, a_list_asks_for_no_memory_under_a_lock) {
  auto child = in_child([] {
    detail::start_watching_locks();
    g_locked_memory = true;
    std::atomic<bool> over{false};
    std::thread allocates([&] {
      while (!over) {
        auto* const some = new std::uint64_t;
        asm volatile("" : : "r"(some) : "memory");  // or the compiler would leave both out
        delete some;
      }
    });
    bool seen = false;
    for (int i = 0; i < 1000 || !seen; ++i) {
      for (const detail::LockInfo& info : detail::locks_in_use()) {
        seen = seen || info.lock == &g_memory;
      }
#if defined(HAMGAM_TSAN)
      seen = true;
#endif
    }
    over = true;
    allocates.join();
    std::_Exit(0);
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// Where the first thread's stack is the system tells in a file. Where it did not, any word was
// taken for a frame.
TEST(LockWatch, a_site_where_the_stack_is_not_known) {
  auto child = in_child([] {
    rlimit const none{0, 0};
    setrlimit(RLIMIT_NOFILE, &none);
    detail::start_watching_locks();
    std::uintptr_t frames[2] = {std::uintptr_t{1} << 63, 0};  // is no address
    detail::LockSite const site = detail::lock_site(&frames, frames);
    std::_Exit(site.frames[0] == &frames ? 0 : 1);
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

}  // namespace
}  // namespace hamgam
