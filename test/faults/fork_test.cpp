// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <latch>
#include <stdexcept>
#include <thread>
#include <vector>

#include "hamgam/hamgam.h"
#include "support/child.h"
#include "support/scale.h"

// The child of a fork has none of the threads that run goroutines. It can exec or _exit, and do
// what it need not wait for; the rest says so at once.

namespace hamgam {
namespace {

using namespace std::chrono_literals;
using test::in_child;

constexpr const char* kRefusal =
    "fatal error: this is the child of a fork: the threads that run goroutines are not in it; it "
    "can exec or _exit\n";

// Forks, does f in the child, and exits as the child did.
template <class F>
void fork_and(F f) {
  pid_t const child = fork();
  if (child == 0) {
    f();
    _exit(0);
  }
  int status = -1;
  waitpid(child, &status, 0);
  std::_Exit(WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status) == SIGABRT ? 100 : 101);
}

// The child's `f` was refused, in a process that has run goroutines.
template <class F>
test::Child refused(F f) {
  return in_child([f] {
    (void)run([] { sleep(1ms); });
    fork_and(f);
  });
}

void expect_refused(const std::vector<test::Child>& children) {
  for (const test::Child& child : children) {
    EXPECT_TRUE(child.exited_with(100)) << child.status << child.error;
    EXPECT_TRUE(child.begins(kRefusal)) << child.error;
  }
}

TEST(Fork, before_the_start_the_child_is_whole) {
  auto child = in_child([] {
    fork_and([] {
      int ran = 0;
      (void)run([&] {
        WaitGroup group;
        group.go([&] { ++ran; });
        group.wait();
      });
      if (ran != 1) {
        _exit(1);
      }
    });
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// Servers of several processes open their socket first.
TEST(Fork, before_the_start_children_serve_from_one_socket) {
  auto const child = test::in_child([] {
    auto const listener = net::TcpListener::bind("127.0.0.1:0");
    std::vector<pid_t> servers;
    for (int i = 0; i < 3; ++i) {
      servers.push_back(fork());
      if (servers.back() == 0) {
        (void)run([&] {
          for (int k = 0; k < 5; ++k) {
            listener.accept().write_all(std::array{std::byte{7}});
          }
        });
        std::_Exit(5);
      }
    }
    bool good = true;
    for (int k = 0; k < 15; ++k) {
      auto const conn = net::TcpConn::dial(listener.address().to_string());
      std::array<std::byte, 1> byte{};
      good &= conn.read_exact(byte) == 1 && byte[0] == std::byte{7};
    }
    for (pid_t const server : servers) {
      int status = 0;
      waitpid(server, &status, 0);
      good &= WIFEXITED(status) && WEXITSTATUS(status) == 5;
    }
    std::_Exit(good ? 0 : 1);
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

TEST(Fork, run_and_go_say_so) {
  std::vector<test::Child> children;
  children.push_back(refused([] { (void)run([] {}); }));
  children.push_back(refused([] { go([] {}); }));
  children.push_back(refused([] { (void)spawn([] { return 1; }); }));
  children.push_back(refused([] { (void)after_func(1ms, [] {}); }));
  children.push_back(refused([] { max_procs(3); }));
  children.push_back(refused([] { max_blocking(3); }));
  expect_refused(children);
}

TEST(Fork, waits_say_so) {
  std::vector<test::Child> children;
  children.push_back(refused([] {
    Mutex mutex;
    mutex.lock();
    mutex.lock();
  }));
  children.push_back(refused([] { (void)make_chan<int>().recv(); }));
  children.push_back(refused([] {
    WaitGroup group;
    group.add(1);
    group.wait();
  }));
  children.push_back(refused([] {
    Semaphore semaphore(0);
    semaphore.acquire();
  }));
  children.push_back(refused([] {
    std::byte one{};
    (void)net::pipe().first.read_some({&one, 1});
  }));
  expect_refused(children);
}

TEST(Fork, what_need_not_wait_works) {
  auto const use_all = [] {
    Mutex mutex;
    mutex.lock();
    mutex.unlock();
    RWMutex shared;
    shared.lock_shared();
    shared.unlock_shared();
    Map<int, int> map;
    map.store(1, 2);
    Pool<int> pool;
    auto chan = make_chan<int>(1);
    chan.send(3);
    WaitGroup group;
    group.wait();
    yield();
    sleep(1ms);
    if (max_procs() < 1 || max_blocking() < 1 || num_goroutine() > 1) {
      _exit(2);
    }
    bool const late = !mutex.try_lock() || mutex.try_lock_for(2ms);
    if (map.load(1) != 2 || *pool.get() != 0 || chan.recv() != 3 || late) {
      _exit(1);
    }
  };
  auto from_main = in_child([&] {
    (void)run([] { sleep(1ms); });
    fork_and(use_all);
  });
  EXPECT_TRUE(from_main.succeeded()) << from_main.status << from_main.error;
  auto from_goroutine = in_child([&] { (void)run([&] { fork_and(use_all); }); });
  EXPECT_TRUE(from_goroutine.succeeded()) << from_goroutine.status << from_goroutine.error;
}

// The child waited for ever for the value of an Atomic that another thread was changing.
TEST(Fork, a_value_that_another_thread_changes) {
  auto child = in_child([] {
    detail::BriefLock lock;  // as Atomic and AtomicValue have it
    std::latch held(1);
    std::thread([&] {
      lock.lock();
      held.count_down();
      pause();
    }).detach();
    held.wait();
    fork_and([&] { lock.lock(); });
  });
  EXPECT_TRUE(child.exited_with(100)) << child.status << child.error;
  EXPECT_TRUE(
      child.begins("fatal error: this is the child of a fork: a lock of the library's is "
                   "held by a thread that is not in it; it can exec or _exit\n"))
      << child.error;
}

// AddressSanitizer's allocator is not whole in the child if another thread was inside it at the
// fork: that of LLVM 16 and of GCC 12 takes no care of its locks, as the C library's does.
#if !defined(HAMGAM_ASAN)

// Others' locks inside the library are not its own.
TEST(Fork, a_pool_of_its_own_while_the_janitor_works) {
  auto child = in_child([] {
    (void)run([] {
      std::atomic<bool> over{false};
      WaitGroup busy;
      Map<int, int> map;
      for (int i = 0; i < 8; ++i) {
        busy.go([&, i] {
          while (!over) {
            map.store(i, i);
            map.erase(i);
            yield();
          }
        });
      }
      int bad = 0;
      for (int i = 0; i < 100; ++i) {
        pid_t const forked = fork();
        if (forked == 0) {
          Pool<int> pool;
          { auto const lease = pool.get(); }
          _exit(5);
        }
        int status = 0;
        while (waitpid(forked, &status, WNOHANG) == 0) {
          sleep(100us);
        }
        bad += WIFEXITED(status) && WEXITSTATUS(status) == 5 ? 0 : 1;
      }
      over = true;
      busy.wait();
      std::_Exit(bad == 0 ? 0 : 1);
    });
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// The child waited for ever for a worker that had been in the middle of a put or get.
TEST(Fork, a_pool_that_others_use_is_trimmed_and_destroyed) {
  auto child = in_child([] {
    (void)run([] {
      auto* const pool = new Pool<int>;
      std::atomic<bool> over{false};
      WaitGroup busy;
      for (int i = 0; i < 4; ++i) {
        busy.go([&] {
          while (!over) {
            for (int turn = 0; turn < 1000; ++turn) {
              auto const lease = pool->get();
            }
            yield();
          }
        });
      }
      int bad = 0;
      for (int i = 0; i < 100; ++i) {
        pid_t const forked = fork();
        if (forked == 0) {
          alarm(20);
          (void)pool->trim();
          delete pool;
          _exit(5);
        }
        int status = 0;
        while (waitpid(forked, &status, WNOHANG) == 0) {
          sleep(100us);
        }
        bool const refused = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;  // it had a lock
        bad += refused || (WIFEXITED(status) && WEXITSTATUS(status) == 5) ? 0 : 1;
      }
      over = true;
      busy.wait();
      std::_Exit(bad == 0 ? 0 : 1);
    });
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// The same where no goroutine has ever been, so that the child is whole otherwise.
TEST(Fork, a_map_of_its_own_while_the_janitor_works) {
  auto child = in_child([] {
    Pool<int> pool;
    { auto const lease = pool.get(); }  // there is a janitor
    std::atomic<bool> over{false};
    Map<int, int> map;
    std::thread writer([&] {
      for (int i = 0; !over; ++i) {
        map.store(1, i);
      }
    });
    std::thread reader([&] {
      while (!over) {
        map.for_each([](int, int) {});
      }
    });
    int bad = 0;
    for (int i = 0; i < 100; ++i) {
      pid_t const forked = fork();
      if (forked == 0) {
        alarm(20);
        {
          Map<int, int> own;
          own.store(1, 1);
          own.erase(1);
          Pool<int> another;
          auto const lease = another.get();
        }
        _exit(5);
      }
      int status = 0;
      waitpid(forked, &status, 0);
      bad += WIFEXITED(status) && WEXITSTATUS(status) == 5 ? 0 : 1;
    }
    over = true;
    writer.join();
    reader.join();
    std::_Exit(bad == 0 ? 0 : 1);
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

#endif

TEST(Fork, a_goroutine_execs) {
  auto child = in_child(
      [] { (void)run([] { fork_and([] { execl("/bin/sh", "sh", "-c", "exit 7", nullptr); }); }); });
  EXPECT_TRUE(child.exited_with(7)) << child.status << child.error;
}

TEST(Fork, a_goroutine_that_goes_on_in_the_child_ends_there) {
  auto child = in_child([] {
    (void)run([] {
      pid_t const pid = fork();
      if (pid != 0) {
        int status = -1;
        waitpid(pid, &status, 0);
        std::_Exit(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT ? 100 : 1);
      }
    });
  });
  EXPECT_TRUE(child.exited_with(100)) << child.status << child.error;
  EXPECT_TRUE(child.begins(kRefusal)) << child.error;
}

#if !defined(HAMGAM_ASAN) && !defined(HAMGAM_TSAN)

[[gnu::noinline]] int overflow(int depth) {
  volatile char frame[1000];
  frame[0] = static_cast<char>(depth);
  return depth < 1'000'000 ? overflow(depth + 1) + frame[0] : 0;
}

TEST(Fork, an_overflow_in_the_child_is_told) {
  auto child = in_child([] { (void)run([] { fork_and([] { (void)overflow(0); }); }); });
  EXPECT_TRUE(child.exited_with(100)) << child.status << child.error;
  EXPECT_TRUE(child.begins("fatal error: stack overflow\n")) << child.error;
}

#endif

// The child of vfork has its parent's memory until it executes something. One that died of a fault
// was taken for a thread of the parent's that tells why the process dies: it was waited for.
TEST(Fork, a_child_of_vfork_that_dies_leaves_nothing_behind) {
  auto child = in_child([] {
    (void)run([] {
      pid_t const pid = vfork();
      if (pid == 0) {
        volatile std::uintptr_t const nowhere = 8;
        *reinterpret_cast<volatile std::uint64_t*>(nowhere) = 1;
        _exit(1);
      }
      int status = -1;
      waitpid(pid, &status, 0);
      go([=] {
        throw std::runtime_error(WIFSIGNALED(status) || WEXITSTATUS(status) != 0 ? "died"
                                                                                 : "lived");
      });
      (void)make_chan<Unit>().recv();
    });
  });
  EXPECT_TRUE(child.aborted()) << child.status << child.error;
  EXPECT_TRUE(child.says("panic: died\n")) << child.error;
}

#if !defined(HAMGAM_TSAN) && !defined(HAMGAM_ASAN)  // which know no such children

// So does one in a namespace of its own, where it is the first process, and its parent none; if the
// system permits that.
TEST(Fork, a_child_of_vfork_in_a_namespace_that_dies_leaves_nothing_behind) {
  auto child = in_child([] {
    constexpr int kLikeVfork = CLONE_VM | CLONE_VFORK | SIGCHLD;
    int const status = run([] {
      alignas(16) static char stack[1 << 18];
      auto const dies = [](void* /*unused*/) -> int { std::terminate(); };
      for (int const more : {CLONE_NEWPID, CLONE_NEWUSER | CLONE_NEWPID, 0}) {
        pid_t const pid = clone(dies, stack + sizeof stack, kLikeVfork | more, nullptr);
        if (pid > 0) {
          int how = -1;
          waitpid(pid, &how, 0);
          return WIFSIGNALED(how) ? 3 : 4;
        }
      }
      return 5;
    });
    std::exit(status);
  });
  EXPECT_TRUE(child.exited_with(3)) << child.status << child.error;
  if (!test::emulated()) {  // which makes another child, with a copy of the memory
    EXPECT_FALSE(child.says("goroutine")) << child.error;
  }
}

#endif

}  // namespace
}  // namespace hamgam
