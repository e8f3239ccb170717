// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "os/fork.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <new>

#include "base/fatal.h"
#include "hamgam/detail/atomic.h"
#include "os/thread.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {
constinit atomic<bool> g_alone{false};  // who forks is the only thread
constinit atomic<bool> g_was_forked{false};
constinit atomic<bool> g_forked{false};
constinit atomic<int> g_process{0};
atomic<bool>* g_own = nullptr;  // true; the kernel makes it false in a copy of the memory
void (*g_in_child)() noexcept = nullptr;

// Null where the kernel does not do that.
atomic<bool>* make_own() noexcept {
  constexpr std::size_t kSize = sizeof(atomic<bool>);  // a page
  void* const page =
      mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED || madvise(page, kSize, MADV_WIPEONFORK) != 0) {
    return nullptr;
  }
  return new (page) atomic<bool>{true};
}

// Plain threads have locks of ours, too.
[[gnu::constructor]] void watch_forks() noexcept {
  g_own = make_own();
  g_process.store(getpid(), kRelaxed);  // relaxed: there is one thread, or it is as it was
  // A parent without other threads, as servers are that fork their workers first, leaves nothing
  // locked: where its children wait long for a lock they are only slow, or stopped in a debugger.
  static_cast<void>(pthread_atfork(
      [] {
        int const saved = errno;
        g_alone.store(count_threads() == 1, kRelaxed);  // relaxed: if others fork, too, it is false
        errno = saved;
      },
      nullptr,
      [] {
        // relaxed throughout: there is one thread
        g_process.store(getpid(), kRelaxed);
        if (g_own != nullptr) {
          g_own->store(true, kRelaxed);
        }
        if (!g_alone.load(kRelaxed)) {
          g_was_forked.store(true, kRelaxed);
        }
      }));
}
}  // namespace

void forks_lose_threads(void (*in_child)() noexcept) noexcept {
  g_in_child = in_child;
  // No memory for it: children then wait for ever where they should have spoken.
  static_cast<void>(pthread_atfork(nullptr, nullptr, [] {
    g_forked.store(true, kRelaxed);  // relaxed: there is one thread
    set_fatal_dump(nullptr);         // it may wait for a lock
    g_in_child();
  }));
}

bool is_forked_child() noexcept {
  return g_forked.load(kRelaxed);  // relaxed: set before anybody else is there
}

bool was_forked() noexcept {
  return g_was_forked.load(kRelaxed);  // relaxed: set before anybody else is there
}

// vfork calls no handlers. Nor do other ways to make a child, which has a copy of the memory then.
// Where the kernel does not tell the two apart, the child is taken for one of vfork. Not seen is a
// child that is the first process of its namespace as its parent is of another.
bool has_parents_memory() noexcept {
  pid_t const process = g_process.load(kRelaxed);  // relaxed: it changes in a child only
  if (process == 0 || process == getpid()) {
    return false;  // 0: the constructor above has not run yet
  }
  return g_own == nullptr || g_own->load(kRelaxed);  // relaxed: set before there is a child
}

void refuse_in_child() noexcept {
  fatal(
      is_forked_child()
          ? "this is the child of a fork: the threads that run goroutines are not in it; "
            "it can exec or _exit"
          : "this is the child of a fork: a lock of the library's is held by a thread that is not "
            "in it; it can exec or _exit");
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
