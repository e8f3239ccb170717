// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// The process exits, and the destructor of a static object waits by the standard library's means:
// for what a goroutine that was stopped would have done, then the process ends with its status; or
// for what somebody else is at, then it gets that, however long it takes.
#include <gtest/gtest.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <future>
#include <mutex>
#include <optional>
#include <semaphore>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include "hamgam/hamgam.h"
#include "hamgam/observe.h"
#include "support/asleep.h"
#include "support/child.h"
#include "support/full_pipe.h"

namespace {

using namespace std::chrono_literals;
using hamgam::go;
using hamgam::run;
using hamgam::test::Child;
using hamgam::test::until;

constexpr int kStatus = 7;
constexpr auto kLong = 1800ms;  // it would have been given up before

// A static object's destructor calls it.
template <class F>
class AtExit {
 public:
  explicit AtExit(F f) : f_(std::move(f)) {}
  ~AtExit() { f_(); }
  AtExit(const AtExit&) = delete;
  AtExit& operator=(const AtExit&) = delete;

 private:
  F f_;
};

void wait_for_ever() { (void)hamgam::make_chan<int>().recv(); }

// Calls f, which is not to return, in a goroutine, and returns when that has called the argument.
template <class F>
void go_stuck(F f) {
  static std::atomic<bool> there{false};
  there = false;
  go([f = std::move(f)] { f([] { there = true; }); });
  until([] { return there.load(); });
}

// How the process gets to its exit: with a goroutine that does this, and a destructor that waits.
template <class Stuck, class Wait>
Child exit_beside(int procs, Stuck stuck, Wait wait) {
  return hamgam::test::in_child(
      [&] {
        static AtExit<Wait> const last(wait);
        static_cast<void>(&last);
        std::exit(run([&] {
          go_stuck(stuck);
          return kStatus;
        }));
      },
      {"ASAN_OPTIONS=detect_leaks=0", "HAMGAM_PROCS=" + std::to_string(procs)});
}

void expect_given_up(const Child& child) {
  EXPECT_TRUE(child.exited_with(kStatus)) << child.status << child.error;
  EXPECT_EQ(child.error,
            "hamgam: exit: a static object's destructor waits, and no thread is left that could "
            "end that; goroutines were stopped before, and the destructors that follow are not "
            "run\n");
}

void expect_waited(const Child& child) {
  EXPECT_TRUE(child.exited_with(kStatus)) << child.status << child.error;
  EXPECT_EQ(child.error, "got it\n");
}

void tell_got() { std::fputs("got it\n", stderr); }

class ExitWaits : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Procs, ExitWaits, testing::Values(1, 8));

// A destructor waits for a callback that is under way, called by cancel(its source).
void expect_given_up_beside_callback(int procs, void (*cancel)(std::stop_source& source)) {
  static std::stop_source source;
  static std::optional<std::stop_callback<void (*)()>> callback;
  static std::function<void()> there;
  expect_given_up(exit_beside(
      procs,
      [cancel](auto is_there) {
        there = is_there;
        callback.emplace(source.get_token(), [] {
          there();
          wait_for_ever();
        });
        cancel(source);
      },
      [] { callback.reset(); }));
}

TEST_P(ExitWaits, stop_callback_whose_callback_was_stopped) {
  expect_given_up_beside_callback(GetParam(),
                                  [](std::stop_source& source) { source.request_stop(); });
}

TEST_P(ExitWaits, stop_callback_whose_canceller_was_stopped_in_blocking) {
  expect_given_up_beside_callback(GetParam(), [](std::stop_source& source) {
    hamgam::blocking([&] { source.request_stop(); });
  });
}

TEST_P(ExitWaits, join_of_a_thread_that_waits_for_a_goroutine) {
  static std::jthread thread;
  static hamgam::Mutex mutex;
  expect_given_up(exit_beside(
      GetParam(),
      [](auto is_there) {
        mutex.lock();
        thread = std::jthread([] { mutex.lock(); });
        is_there();
        wait_for_ever();
      },
      [] { thread = std::jthread(); }));
}

TEST_P(ExitWaits, join_of_a_thread_that_waits_by_the_standard_library) {
  static std::jthread thread;
  static std::promise<int> promise;
  expect_given_up(exit_beside(
      GetParam(),
      [](auto is_there) {
        thread = std::jthread([] { (void)promise.get_future().get(); });
        is_there();
        wait_for_ever();
        promise.set_value(1);
      },
      [] { thread.join(); }));
}

TEST_P(ExitWaits, condition_variable) {
  static std::mutex mutex;
  static std::condition_variable changed;
  static bool ready = false;
  expect_given_up(exit_beside(
      GetParam(),
      [](auto is_there) {
        is_there();
        wait_for_ever();
        changed.notify_all();
      },
      [] {
        std::unique_lock lock(mutex);
        changed.wait(lock, [] { return ready; });
      }));
}

TEST_P(ExitWaits, future) {
  static std::promise<int> promise;
  expect_given_up(exit_beside(
      GetParam(),
      [](auto is_there) {
        is_there();
        wait_for_ever();
        promise.set_value(1);
      },
      [] { (void)promise.get_future().get(); }));
}

TEST_P(ExitWaits, mutex_that_a_goroutine_holds) {
  static std::mutex mutex;
  expect_given_up(exit_beside(
      GetParam(),
      [](auto is_there) {
        hamgam::blocking([&] {
          std::scoped_lock const lock(mutex);
          is_there();
          wait_for_ever();
        });
      },
      [] { std::scoped_lock const lock(mutex); }));
}

TEST_P(ExitWaits, semaphore) {
  static std::binary_semaphore semaphore(0);
  expect_given_up(exit_beside(
      GetParam(),
      [](auto is_there) {
        is_there();
        wait_for_ever();
        semaphore.release();
      },
      [] { semaphore.acquire(); }));
}

// Whose lock the flush of all streams would wait for, too.
TEST(ExitWaits, stream_that_a_goroutine_has_locked) {
  expect_given_up(exit_beside(
      8,
      [](auto is_there) {
        hamgam::blocking([&] {
          flockfile(stdout);
          is_there();
          wait_for_ever();
        });
      },
      [] { std::puts("written"); }));
}

TEST(ExitWaits, by_a_goroutine) {
  static std::promise<int> promise;
  expect_given_up(exit_beside(
      8, [](auto /*is_there*/) { std::exit(kStatus); }, [] { (void)promise.get_future().get(); }));
}

TEST(ExitWaits, by_a_thread_when_the_first_has_ended) {
  static std::promise<int> promise;
  expect_given_up(hamgam::test::in_child(
      [] {
        static AtExit const last([] { (void)promise.get_future().get(); });
        static_cast<void>(&last);
        std::thread([] {
          (void)run([] {});
          std::exit(kStatus);
        }).detach();
        syscall(SYS_exit, 0);  // the thread's alone
      },
      {"ASAN_OPTIONS=detect_leaks=0"}));
}

// Those that do nothing for the program any more: one keeps time and looks after sockets, the
// monitor, the janitor, one for a page and one for SIGQUIT.
TEST(ExitWaits, beside_all_the_threads_of_the_library) {
  static std::promise<int> promise;
  static std::optional<hamgam::observe::PageServer> server;
  static hamgam::net::TcpListener listener;
  expect_given_up(exit_beside(
      8,
      [](auto is_there) {
        server.emplace(hamgam::observe::serve("127.0.0.1:0"));
        hamgam::observe::install_signal_handler();
        listener = hamgam::net::TcpListener::bind("127.0.0.1:0");
        go([] { (void)listener.accept(); });
        go([] { hamgam::sleep(1h); });
        static hamgam::Pool<std::string> pool;
        pool.put(std::make_unique<std::string>("kept"));
        (void)hamgam::after(1ms).recv();
        is_there();
        wait_for_ever();
      },
      [] { (void)promise.get_future().get(); }));
}

// Nobody reads standard error, so a report of locks never comes to its end.
Child exit_beside_unread_report(void (*wait)()) {
  return exit_beside(
      8,
      [](auto is_there) {
        hamgam::test::fill_standard_error();
        hamgam::observe::watch_locks();
        static hamgam::Mutex first;
        static hamgam::Mutex second;
        for (auto [one, other] : {std::pair{&first, &second}, std::pair{&second, &first}}) {
          std::scoped_lock const outer(*one);
          std::scoped_lock const inner(*other);
        }
        is_there();
        wait_for_ever();
      },
      wait);
}

TEST(ExitWaits, beside_a_report_that_nobody_reads) {
  Child const child = exit_beside_unread_report([] {
    static std::promise<int> promise;
    (void)promise.get_future().get();
  });
  EXPECT_TRUE(child.exited_with(kStatus)) << child.status;
}

TEST(ExitWaits, for_how_many_reports_there_were) {
  Child const child = exit_beside_unread_report([] {
    (void)hamgam::observe::lock_reports();
    std::_Exit(kStatus + 1);
  });
  EXPECT_TRUE(child.exited_with(kStatus + 1)) << child.status;
}

// From here on what is waited for comes.

template <class Work>
void expect_waits_for_thread(Work work) {
  expect_waited(exit_beside(
      8, [](auto is_there) { is_there(), wait_for_ever(); },
      [work] {
        std::thread thread(work);
        thread.join();
        tell_got();
      }));
}

void compute() {
  for (auto const end = std::chrono::steady_clock::now() + kLong;
       std::chrono::steady_clock::now() < end;) {
  }
}

TEST(ExitWaits, for_a_thread_that_computes) { expect_waits_for_thread(&compute); }

TEST(ExitWaits, for_a_thread_that_sleeps) {
  expect_waits_for_thread([] { std::this_thread::sleep_for(kLong); });
}

TEST(ExitWaits, for_a_thread_that_reads) {
  expect_waits_for_thread([] {
    int const timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    itimerspec const once{{0, 0}, {1, 800'000'000}};
    timerfd_settime(timer, 0, &once, nullptr);
    std::uint64_t count = 0;
    (void)!read(timer, &count, sizeof count);
    close(timer);
  });
}

TEST(ExitWaits, for_a_thread_that_waits_with_a_limit) {
  expect_waits_for_thread([] { (void)std::binary_semaphore(0).try_acquire_for(kLong); });
}

// Each is asleep as good as always, and has nobody but the other to wake it.
TEST(ExitWaits, for_threads_that_wake_each_other) {
  expect_waits_for_thread([] {
    static std::binary_semaphore here(0);
    static std::binary_semaphore there(0);
    static std::atomic<bool> over{false};
    std::thread echo([] {
      while (!over) {
        here.acquire();
        there.release();
      }
    });
    for (auto const end = std::chrono::steady_clock::now() + kLong;
         std::chrono::steady_clock::now() < end;) {
      here.release();
      there.acquire();
    }
    over = true;
    here.release();
    echo.join();
  });
}

TEST(ExitWaits, for_a_goroutine_in_blocking) {
  static std::promise<int> promise;
  static std::atomic<bool> exits{false};
  expect_waited(exit_beside(
      8,
      [](auto is_there) {
        hamgam::blocking([&] {
          is_there();
          while (!exits) {
            std::this_thread::yield();  // ours would stop it
          }
          std::this_thread::sleep_for(kLong);
          promise.set_value(1);
        });
      },
      [] {
        exits = true;
        (void)promise.get_future().get();
        tell_got();
      }));
}

TEST(ExitWaits, for_another_process) {
  expect_waited(hamgam::test::in_child(
      [] {
        static sem_t* const semaphore = static_cast<sem_t*>(mmap(
            nullptr, sizeof(sem_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
        int ends[2];
        if (semaphore == MAP_FAILED || sem_init(semaphore, 1, 0) != 0 || pipe(ends) != 0) {
          std::_Exit(1);
        }
        if (fork() == 0) {
          char byte = 0;
          (void)!read(ends[0], &byte, 1);
          std::this_thread::sleep_for(kLong);
          sem_post(semaphore);
          _exit(0);
        }
        static int const to_child = ends[1];
        static AtExit const last([] {
          (void)!write(to_child, "x", 1);
          sem_wait(semaphore);
          tell_got();
        });
        static_cast<void>(&last);
        std::exit(run([] {
          go_stuck([](auto is_there) { is_there(), wait_for_ever(); });
          return kStatus;
        }));
      },
      {"ASAN_OPTIONS=detect_leaks=0"}));
}

TEST_P(ExitWaits, while_the_destructor_computes) {
  expect_waited(exit_beside(
      GetParam(), [](auto is_there) { is_there(), wait_for_ever(); },
      [] { compute(), tell_got(); }));
}

TEST_P(ExitWaits, while_the_destructor_sleeps) {
  expect_waited(exit_beside(
      GetParam(), [](auto is_there) { is_there(), wait_for_ever(); },
      [] { std::this_thread::sleep_for(kLong), tell_got(); }));
}

// Then it is not the exit that ends the process.
TEST(ExitWaits, dies_and_its_terminate_handler_waits) {
  auto const child = hamgam::test::in_child(
      [] {
        (void)std::set_terminate([] {
          std::mutex mutex;
          std::unique_lock lock(mutex);
          std::condition_variable().wait(lock, [] { return false; });
          std::abort();
        });
        static AtExit const last([] { std::terminate(); });
        static_cast<void>(&last);
        std::exit(run([] { return kStatus; }));
      },
      {"ASAN_OPTIONS=detect_leaks=0"});
  EXPECT_TRUE(child.aborted()) << child.status << child.error;
}

}  // namespace
