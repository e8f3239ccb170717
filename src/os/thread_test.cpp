// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "os/thread.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <latch>
#include <thread>
#include <vector>

#include "os/clock.h"
#include "os/futex.h"
#include "os/membarrier.h"
#include "os/spin_lock.h"
#include "support/child.h"
#include "support/scale.h"

namespace hamgam {
namespace {

using detail::SpinLock;

TEST(Thread, count) {
  std::thread([] {}).join();  // a sanitizer starts its own with the first
  int const before = detail::count_threads();
  if (test::emulated()) {
    return;  // an emulator does not tell
  }
  EXPECT_GE(before, 1);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      while (!stop.load()) {
        std::this_thread::yield();
      }
    });
  }
  EXPECT_EQ(detail::count_threads(), before + 3);
  stop.store(true);
  for (std::thread& thread : threads) {
    thread.join();
  }
  // The kernel may still be about to forget them.
  while (detail::count_threads() != before) {
    std::this_thread::yield();
  }
  // A name that looks like the end of it.
  pthread_setname_np(pthread_self(), "a) b) 7 (c");
  EXPECT_EQ(detail::count_threads(), before);
}

TEST(Thread, start) {
  struct Seen {
    detail::atomic<std::uint32_t> done{0};
    sigset_t blocked{};
    char name[32] = {};
  };
  sigset_t former;
  pthread_sigmask(SIG_SETMASK, nullptr, &former);
  for (auto signals : {detail::Signals::kPrograms, detail::Signals::kFaults}) {
    Seen seen;
    ASSERT_TRUE(detail::start_thread(
        "worker's name",
        [](void* raw) {
          auto* s = static_cast<Seen*>(raw);
          pthread_sigmask(SIG_SETMASK, nullptr, &s->blocked);
          pthread_getname_np(pthread_self(), s->name, sizeof s->name);
          s->done.store(1);
          detail::futex_wake(s->done);
        },
        &seen, signals));
    while (seen.done.load() == 0) {
      detail::futex_wait(seen.done, 0);
    }
    EXPECT_STREQ(seen.name, "worker's name");
    int const blocked = signals == detail::Signals::kFaults ? 1 : 0;
    EXPECT_EQ(sigismember(&seen.blocked, SIGTERM), blocked);
    EXPECT_EQ(sigismember(&seen.blocked, SIGPIPE), blocked);
    EXPECT_EQ(sigismember(&seen.blocked, SIGSEGV), 0);
  }
  sigset_t mine;
  pthread_sigmask(SIG_SETMASK, nullptr, &mine);
  EXPECT_EQ(sigismember(&mine, SIGTERM), sigismember(&former, SIGTERM));  // ours is as before
}

TEST(Thread, stack) {
  const void* bottom = nullptr;
  std::size_t size = 0;
  detail::find_thread_stack(bottom, size);
  char here = 0;
  EXPECT_GE(&here, static_cast<const char*>(bottom));
  EXPECT_LT(&here, static_cast<const char*>(bottom) + size);
}

TEST(Thread, cpus) {
  EXPECT_GE(detail::available_cpus(), 1);
  EXPECT_LE(detail::available_cpus(), 4096);
}

TEST(Futex, timeout_and_mismatch) {
  detail::atomic<std::uint32_t> word{5};
  EXPECT_TRUE(detail::futex_wait(word, 4));  // differs: returns at once
  detail::Nanos const deadline = detail::now() + detail::kMillisecond;
  while (detail::futex_wait(word, 5, deadline)) {
  }
  EXPECT_GE(detail::now(), deadline);
  EXPECT_FALSE(detail::futex_wait(word, 5, 0));
}

// The child of a fork waited for ever for a lock that another thread had, where that process had
// run no goroutines.
TEST(SpinLock, a_child_says_that_its_holder_is_not_there) {
  auto child = test::in_child([] {
    SpinLock lock;
    std::latch held(1);
    std::thread([&] {
      lock.lock();
      held.count_down();
      pause();
    }).detach();
    held.wait();
    pid_t const forked = fork();
    if (forked == 0) {
      lock.lock();
      _exit(0);
    }
    int status = -1;
    waitpid(forked, &status, 0);
    std::_Exit(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT ? 100 : 1);
  });
  EXPECT_TRUE(child.exited_with(100)) << child.status;
  EXPECT_TRUE(
      child.begins("fatal error: this is the child of a fork: a lock of the library's is "
                   "held by a thread that is not in it; it can exec or _exit\n"))
      << child.error;
}

TEST(SpinLock, stress) {
  SpinLock lock;
  EXPECT_TRUE(lock.try_lock());
  EXPECT_FALSE(lock.try_lock());
  lock.unlock();
  int counter = 0;
  int const rounds = test::scaled(50000);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < rounds; ++round) {
        if (i == 0) {
          while (!lock.try_lock()) {
            std::this_thread::yield();
          }
        } else {
          lock.lock();
        }
        ++counter;
        lock.unlock();
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(counter, 4 * rounds);
}

}  // namespace
}  // namespace hamgam
