// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <string>
#include <thread>

#include "hamgam/hamgam.h"
#include "support/asleep.h"
#include "support/child.h"
#include "support/scale.h"

// Workers had nearly all signals blocked: what a goroutine started could not be ended by SIGTERM, a
// filter went on after its reader had gone, raise() did nothing.

namespace hamgam {
namespace {

using namespace std::chrono_literals;
using test::in_child;

// The signals that a process which is started here has blocked, as /proc shows them.
std::string mask_of_child() {
  int ends[2];
  if (pipe(ends) != 0) {
    return "no pipe";
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  std::string words[] = {"grep", "SigBlk", "/proc/self/status"};
  char* const arguments[] = {words[0].data(), words[1].data(), words[2].data(), nullptr};
  pid_t pid = -1;
  int const refused = posix_spawnp(&pid, "grep", &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  char text[200];
  ssize_t const length = read(ends[0], text, sizeof text);
  close(ends[0]);
  if (refused == 0) {
    waitpid(pid, nullptr, 0);
  }
  return {text, length > 0 ? static_cast<std::size_t>(length) : 0};
}

TEST(Signals, processes_that_goroutines_start_have_the_programs_mask) {
  std::string const of_thread = mask_of_child();
  std::string of_goroutine;
  std::string of_blocking;
  std::string of_timer;
  (void)run([&] {
    of_goroutine = mask_of_child();
    of_blocking = blocking([] { return mask_of_child(); });
    WaitGroup group;
    group.add(1);
    Timer const timer = after_func(1ms, [&] {
      of_timer = mask_of_child();
      group.done();
    });
    group.wait();
  });
  EXPECT_EQ(of_goroutine, of_thread);
  EXPECT_EQ(of_blocking, of_thread);
  EXPECT_EQ(of_timer, of_thread);
}

// Whoever blocks signals before the first goroutine, to take them by sigwait, has them blocked in
// all workers, however late these start; and for good.
TEST(Signals, workers_have_the_mask_that_was_there_first) {
  auto child = in_child([] {
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &mask, nullptr);
    std::atomic<int> wrong{0};
    (void)run([&] {
      auto look = [&wrong] {
        sigset_t mine;
        pthread_sigmask(SIG_BLOCK, nullptr, &mine);
        wrong += sigismember(&mine, SIGUSR1) == 1 && sigismember(&mine, SIGTERM) == 0 ? 0 : 1;
      };
      look();
      sigset_t all;
      sigset_t former;
      sigfillset(&all);
      pthread_sigmask(SIG_SETMASK, &all, &former);
      WaitGroup group;  // starts workers, while this thread blocks everything
      for (int i = 0; i < 4; ++i) {
        group.go([&] { blocking([&] { look(); }); });
      }
      pthread_sigmask(SIG_SETMASK, &former, nullptr);
      group.wait();
      kill(getpid(), SIGUSR1);
      int got = 0;
      blocking([&] { sigwait(&mask, &got); });
      wrong += got == SIGUSR1 ? 0 : 1;
    });
    std::_Exit(wrong.load());
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

TEST(Signals, a_filter_dies_with_its_reader) {
  auto child = in_child([] {
    (void)run([] {
      int ends[2];
      if (pipe(ends) != 0) {
        std::_Exit(1);
      }
      close(ends[0]);
      while (write(ends[1], "y\n", 2) < 0) {
        std::_Exit(errno == EPIPE ? 2 : 3);
      }
    });
  });
  EXPECT_TRUE(WIFSIGNALED(child.status) && WTERMSIG(child.status) == SIGPIPE) << child.status;
}

TEST(Signals, raise_runs_the_handler_before_it_returns) {
  auto child = in_child([] {
    static volatile std::sig_atomic_t seen = 0;
    std::signal(SIGUSR1, [](int) { seen = seen + 1; });
    (void)run([] {
      for (int i = 1; i <= 20; ++i) {
        std::raise(SIGUSR1);
        if (seen != i) {
          std::_Exit(1);
        }
        yield();
      }
      std::signal(SIGTERM, SIG_DFL);
      std::raise(SIGTERM);
      std::_Exit(2);
    });
  });
  EXPECT_TRUE(WIFSIGNALED(child.status) && WTERMSIG(child.status) == SIGTERM) << child.status;
}

// Handlers run while every thread waits here: in run, for a Mutex, for work.
TEST(Signals, handlers_run_while_run_waits) {
  auto child = in_child([] {
    static int ends[2];
    if (pipe(ends) != 0) {
      std::_Exit(1);
    }
    auto handler = [](int) { (void)!write(ends[1], "x", 1); };
    std::signal(SIGTERM, handler);
    (void)run([] {
      for (int i = 0; i < 20; ++i) {
        kill(getpid(), SIGTERM);
        char c = 0;
        blocking([&c] {
          while (read(ends[0], &c, 1) < 0 && errno == EINTR) {
          }
        });
      }
    });
    // The same for a plain thread that waits, the only one to take the signal.
    Mutex mutex;
    mutex.lock();
    std::thread waits([&mutex] {
      mutex.lock();
      mutex.unlock();
    });
    test::await_asleep(&mutex, 1);
    for (int i = 0; i < 100; ++i) {
      pthread_kill(waits.native_handle(), SIGTERM);
      char c = 0;
      while (read(ends[0], &c, 1) < 0 && errno == EINTR) {
      }
    }
    mutex.unlock();
    waits.join();
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// A storm of signals that any worker may take, at any point of the scheduler.
TEST(Signals, handlers_interrupt_everything) {
  auto child = in_child([] {
    static std::atomic<int> seen{0};
    struct sigaction action {};
    action.sa_handler = [](int) { ++seen; };
    action.sa_flags = SA_ONSTACK | SA_RESTART;
    sigaction(SIGUSR1, &action, nullptr);
    // The kernel prefers the main thread.
    (void)run([] {});
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &mask, nullptr);
    std::atomic<bool> stop{false};
    std::thread storm([&stop] {
      while (!stop.load()) {
        kill(getpid(), SIGUSR1);
        std::this_thread::sleep_for(20us);  // its pace
      }
    });
    while (seen.load() == 0) {  // by a worker, which sleeps
      std::this_thread::yield();
    }
    int const rounds = test::scaled(2000);
    long sum = 0;
    (void)run([&] {
      Mutex mutex;
      Chan<int> numbers = make_chan<int>(1);
      WaitGroup group;
      for (int i = 0; i < 4; ++i) {
        group.go([&] {
          for (int round = 0; round < rounds; ++round) {
            mutex.lock();
            ++sum;
            mutex.unlock();
            numbers.send(round);
            if (round % 64 == 0) {
              sleep(10us);
            }
          }
        });
      }
      for (int i = 0; i < 4 * rounds; ++i) {
        (void)numbers.recv();
      }
      group.wait();
    });
    stop.store(true);
    storm.join();
    std::_Exit(sum == 4L * rounds ? 0 : 1);
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

}  // namespace
}  // namespace hamgam
