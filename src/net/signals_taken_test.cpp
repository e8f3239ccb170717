// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "hamgam/hamgam.h"
#include "support/child.h"
#include "support/scale.h"
#include "support/until.h"

namespace hamgam {
namespace {

using namespace std::chrono_literals;
using test::in_child;

void send(int signal) { kill(getpid(), signal); }

void handle(int signal, void (*handler)(int), int flags = 0) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigaction(signal, &action, nullptr);
}

// The default action, from here on: what is pending is dropped.
void forget(int signal) {
  handle(signal, SIG_IGN);
  handle(signal, SIG_DFL);
}

// What the signal does now.
struct sigaction action_of(int signal) {
  struct sigaction action {};
  sigaction(signal, nullptr, &action);
  return action;
}

bool does_default(int signal) { return action_of(signal).sa_handler == SIG_DFL; }

// A handler of the program, and how often it ran.
std::atomic<int> g_handled{0};
void count_it(int /*signal*/) { ++g_handled; }

// Whoever saved our handler and puts it back when we have gone gets what was before it.
TEST(SignalsTaken, a_handler_that_is_put_back) {
  auto child = in_child([] {
    forget(SIGUSR1);
    struct sigaction saved {};
    for (int i = 0; i < 2; ++i) {
      Signals signals({SIGUSR1});
      saved = action_of(SIGUSR1);
      handle(SIGUSR1, SIG_IGN);
      signals.stop();
      sigaction(SIGUSR1, &saved, nullptr);
    }
    send(SIGUSR1);
    for (;;) {
      pause();
    }
  });
  EXPECT_TRUE(WIFSIGNALED(child.status) && WTERMSIG(child.status) == SIGUSR1) << child.status;
}

class Width : public testing::TestWithParam<int> {
 protected:
  Width() : former_(max_procs(GetParam())) {}
  ~Width() override { (void)max_procs(former_); }

 private:
  int former_;
};

INSTANTIATE_TEST_SUITE_P(SignalsTaken, Width, testing::Values(1, 2, 8),
                         [](const auto& info) { return std::to_string(info.param); });

TEST_P(Width, goroutines_and_threads_receive) {
  Signals const signals({SIGUSR1, SIGUSR2});
  auto receive = [&](int rounds) {
    for (int i = 0; i < rounds; ++i) {
      int const signal = i % 2 == 0 ? SIGUSR1 : SIGUSR2;
      send(signal);
      EXPECT_EQ(signals.chan().recv(), signal);
    }
  };
  int const rounds = test::scaled(200);
  receive(rounds);  // nobody has called run
  (void)run([&] { receive(rounds); });
  std::thread([&] { receive(rounds); }).join();
}

// Workers that compute do not keep it from arriving.
TEST_P(Width, it_arrives_beside_computation) {
  (void)run([] {
    Signals const signals({SIGUSR1});
    std::atomic<bool> stop{false};
    WaitGroup busy;
    for (int i = 0; i < 2; ++i) {
      busy.go([&stop] {
        while (!stop.load()) {
        }
      });
    }
    for (int i = 0; i < test::scaled(40); ++i) {
      send(SIGUSR1);
      EXPECT_EQ(signals.chan().recv(), SIGUSR1);
    }
    stop.store(true);
    busy.wait();
  });
}

TEST_P(Width, each_of_several_gets_every_one) {
  (void)run([] {
    Signals const first({SIGUSR1});
    Signals const both({SIGUSR1, SIGUSR2, SIGUSR1});
    Signals const second({SIGUSR2});
    for (int i = 0; i < 10; ++i) {
      send(SIGUSR1);
      EXPECT_EQ(first.chan().recv(), SIGUSR1);
      EXPECT_EQ(both.chan().recv(), SIGUSR1);
      send(SIGUSR2);
      EXPECT_EQ(both.chan().recv(), SIGUSR2);
      EXPECT_EQ(second.chan().recv(), SIGUSR2);
    }
    EXPECT_EQ(first.chan().len() + both.chan().len() + second.chan().len(), 0U);
  });
}

// Some goroutines take a signal and stop again while it keeps coming: nothing is sent after a stop,
// and what was not taken went to the handler that was there before.
TEST_P(Width, stop_is_the_end) {
  handle(SIGUSR1, &count_it, SA_RESTART | SA_ONSTACK);
  std::atomic<bool> over{false};
  std::thread storm([&over] {
    while (!over.load()) {
      send(SIGUSR1);
      std::this_thread::sleep_for(10us);  // its pace
    }
  });
  (void)run([] {
    WaitGroup group;
    for (int i = 0; i < 4; ++i) {
      group.go([i] {
        for (int round = 0; round < test::scaled(200); ++round) {
          Signals signals({SIGUSR1}, i == 3 ? 0 : 16);
          RecvChan<int> const chan = signals.chan();
          if (round % 2 == 0 && i != 3) {
            EXPECT_EQ(chan.recv(), SIGUSR1);
          }
          WaitGroup stops;
          stops.go([&] { signals.stop(); });
          signals.stop();
          while (chan.try_recv().value) {
          }
          yield();
          EXPECT_FALSE(chan.try_recv().value);
          stops.wait();
        }
      });
    }
    group.wait();
  });
  over.store(true);
  storm.join();
  int const before = g_handled.load();
  std::raise(SIGUSR1);
  EXPECT_GT(g_handled.load(), before);
  forget(SIGUSR1);
}

TEST(SignalsTaken, a_full_channel_drops) {
  Signals const witness({SIGUSR1});
  Signals const small({SIGUSR1}, 2);
  Signals const none({SIGUSR1}, 0);
  EXPECT_EQ(witness.chan().cap(), Signals::kCapacity);
  for (int i = 0; i < 5; ++i) {
    send(SIGUSR1);
    EXPECT_EQ(witness.chan().recv(), SIGUSR1);
  }
  send(SIGUSR1);
  EXPECT_EQ(witness.chan().recv(), SIGUSR1);  // so all got the one before
  EXPECT_EQ(small.chan().len(), 2U);
  EXPECT_EQ(none.chan().len(), 0U);
}

TEST(SignalsTaken, who_waits_gets_it_without_any_capacity) {
  handle(SIGUSR1, &count_it);  // for what is not handled when it is over
  (void)run([] {
    Signals const signals({SIGUSR1}, 0);
    std::atomic<bool> got{false};
    WaitGroup group;
    group.go([&] {
      EXPECT_EQ(signals.chan().recv(), SIGUSR1);
      got.store(true);
    });
    while (!got.load()) {
      send(SIGUSR1);
      sleep(1ms);  // its pace
    }
    group.wait();
  });
  forget(SIGUSR1);
}

// The system queues those, each with its own interruption: all of them arrive. (ThreadSanitizer and
// the emulator keep one of a kind.)
TEST(SignalsTaken, none_is_lost) {
  int const signal = test::emulated() ? SIGUSR1 : SIGRTMIN + 3;
  bool const counts = !test::emulated() && !test::kSanitized;
  constexpr int kThreads = 4;
  int const each = test::scaled(500);
  Signals const signals({signal}, static_cast<std::size_t>(kThreads) * each);
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < each; ++k) {
        while (sigqueue(getpid(), signal, {}) != 0 && errno == EAGAIN) {
          std::this_thread::yield();
        }
      }
    });
  }
  for (int i = 0; i < (counts ? kThreads * each : 1); ++i) {
    EXPECT_EQ(signals.chan().recv(), signal);
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  if (counts) {
    EXPECT_EQ(signals.chan().len(), 0U);
  }
}

// What comes before a stop arrives, what comes after it goes where it went before.
TEST(SignalsTaken, none_is_lost_at_a_stop) {
  if (test::emulated() || test::kSanitized) {
    return;  // as above
  }
  int const signal = SIGRTMIN + 4;
  handle(signal, &count_it, SA_RESTART | SA_ONSTACK);
  g_handled.store(0);
  constexpr int kAll = 4000;
  std::atomic<bool> over{false};
  std::thread storm([&] {
    for (int i = 0; i < kAll; ++i) {
      while (sigqueue(getpid(), signal, {}) != 0 && errno == EAGAIN) {
        std::this_thread::yield();
      }
    }
    over.store(true);
  });
  int taken = 0;
  auto take = [&] {
    Signals signals({signal}, kAll);
    taken += signals.chan().recv_for(100us).value ? 1 : 0;
    signals.stop();
    taken += static_cast<int>(signals.chan().len());
  };
  while (!over.load()) {
    take();
  }
  storm.join();
  take();
  EXPECT_TRUE(test::comes_true([&] { return taken + g_handled.load() >= kAll; }));
  EXPECT_EQ(taken + g_handled.load(), kAll);
  handle(signal, SIG_DFL);
}

TEST(SignalsTaken, the_former_action_comes_back) {
  for (void (*handler)(int) : {SIG_DFL, SIG_IGN, &count_it}) {
    handle(SIGUSR1, handler, SA_NODEFER);
    {
      std::optional<Signals> first(std::in_place, std::initializer_list<int>{SIGUSR1});
      Signals second({SIGUSR1, SIGUSR2});
      EXPECT_NE(action_of(SIGUSR1).sa_handler, handler);
      first.reset();
      EXPECT_NE(action_of(SIGUSR1).sa_handler, handler);
      send(SIGUSR1);
      EXPECT_EQ(second.chan().recv(), SIGUSR1);
      second.stop();
      EXPECT_EQ(action_of(SIGUSR1).sa_handler, handler);
      EXPECT_NE(action_of(SIGUSR1).sa_flags & SA_NODEFER, 0);
      second.stop();
    }
    EXPECT_EQ(action_of(SIGUSR1).sa_handler, handler);
    EXPECT_TRUE(does_default(SIGUSR2));
  }
  handle(SIGUSR1, SIG_DFL);
}

TEST(SignalsTaken, a_handler_that_came_later_stays) {
  {
    Signals const signals({SIGUSR1});
    handle(SIGUSR1, &count_it);
  }
  EXPECT_EQ(action_of(SIGUSR1).sa_handler, &count_it);
  handle(SIGUSR1, SIG_DFL);
}

TEST(SignalsTaken, handles_move) {
  Signals empty;
  empty.stop();
  EXPECT_FALSE(empty.chan());
  Signals signals({SIGUSR1});
  Signals moved(std::move(signals));
  signals = std::move(moved);
  send(SIGUSR1);
  EXPECT_EQ(signals.chan().recv(), SIGUSR1);
  signals = Signals({SIGUSR2});
  EXPECT_TRUE(does_default(SIGUSR1));
  EXPECT_FALSE(does_default(SIGUSR2));
  signals = {};
  EXPECT_TRUE(does_default(SIGUSR2));
}

TEST(SignalsTaken, errno_is_kept) {
  Signals const signals({SIGUSR1});
  errno = 77;
  std::raise(SIGUSR1);
  EXPECT_EQ(errno, 77);
  EXPECT_EQ(signals.chan().recv(), SIGUSR1);
}

std::string refusal(std::initializer_list<int> list) {
  std::string text;
  try {
    Signals const signals(list);
  } catch (const Panic& panic) {
    text = panic.what();
  }
  try {
    (void)with_signals(Context::background(), list);
    return "taken";
  } catch (const Panic& panic) {
    return text == panic.what() ? text : "two texts";
  }
}

TEST(SignalsTaken, what_is_refused) {
  EXPECT_EQ(refusal({}), "signal: none given");
  EXPECT_EQ(refusal({0}), "signal: 0 can't be taken: there is no such signal");
  EXPECT_EQ(refusal({-1}), "signal: -1 can't be taken: there is no such signal");
  EXPECT_EQ(refusal({65}), "signal: 65 can't be taken: there is no such signal");
  EXPECT_EQ(refusal({SIGTERM, SIGKILL}), "signal: 9 can't be taken: no program can catch it");
  EXPECT_EQ(refusal({SIGSTOP}), "signal: 19 can't be taken: no program can catch it");
  for (int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT}) {
    EXPECT_EQ(refusal({signal}),
              "signal: " + std::to_string(signal) +
                  " can't be taken: it is a fault of the code that gets it, which cannot go on");
  }
  EXPECT_EQ(refusal({32}), "signal: 32 can't be taken: it is the C library's own");
  EXPECT_TRUE(does_default(SIGTERM));
}

// nohup: it is taken nevertheless, and ignored again afterwards.
TEST(SignalsTaken, what_was_ignored_at_the_start_is_taken) {
  auto child = in_child([] {
    std::signal(SIGHUP, SIG_IGN);
    {
      Signals const signals({SIGHUP});
      send(SIGHUP);
      if (signals.chan().recv() != SIGHUP) {
        std::_Exit(1);
      }
    }
    send(SIGHUP);
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

TEST(SignalsTaken, after_a_stop_a_signal_ends_the_program) {
  auto child = in_child([] {
    (void)run([] {
      Signals signals({SIGTERM});
      send(SIGTERM);
      if (signals.chan().recv() != SIGTERM) {
        std::_Exit(1);
      }
      signals.stop();
      std::raise(SIGTERM);
    });
  });
  EXPECT_TRUE(WIFSIGNALED(child.status) && WTERMSIG(child.status) == SIGTERM) << child.status;
}

// The kernel's own timer, so that no thread is there that could do anything else.
void send_later(int signal) {
  sigevent event{};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = signal;
  timer_t timer = nullptr;
  itimerspec when{};
  when.it_value.tv_nsec = 200'000'000;
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 ||
      timer_settime(timer, 0, &when, nullptr) != 0) {
    std::_Exit(3);
  }
}

TEST(SignalsTaken, who_waits_for_a_signal_is_not_deadlocked) {
  if (test::emulated()) {
    return;  // it has threads of its own, beside which nothing is ever taken for a deadlock
  }
  auto child = in_child([] {
    (void)run([] {
      Signals signals({SIGUSR1});
      send_later(SIGUSR1);
      if (signals.chan().recv() == SIGUSR1) {
        auto [ctx, cancel] = with_signals(Context::background(), {SIGUSR2});
        signals.stop();
        send_later(SIGUSR2);
        (void)ctx.done().recv();
        cancel();
        (void)!write(STDERR_FILENO, "got both\n", 9);
      }
      (void)signals.chan().recv();
    });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("got both\nfatal error: all goroutines are asleep - deadlock!\n"))
      << child.error;
}

TEST(SignalsTaken, a_thread_that_stops_leaves_a_deadlock) {
  if (test::emulated()) {
    return;  // it has threads of its own, beside which nothing is ever taken for a deadlock
  }
  auto child = in_child([] {
    Signals signals({SIGUSR1});
    std::thread stops([&signals] {
      std::this_thread::sleep_for(2s);  // everything has been asleep for long
      signals.stop();
    });
    stops.detach();
    (void)run([&signals] { (void)signals.chan().recv(); });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("fatal error: all goroutines are asleep - deadlock!\n")) << child.error;
}

TEST(SignalsTaken, a_context_ends_with_the_first) {
  (void)run([] {
    {
      auto [ctx, cancel] = with_signals(Context::background(), {SIGINT, SIGTERM, SIGRTMIN + 5});
      EXPECT_EQ(ctx.err(), std::error_code());
      send(SIGTERM);
      (void)ctx.done().recv();
      EXPECT_EQ(ctx.err(), ContextError::canceled);
      try {
        std::rethrow_exception(ctx.cause());
      } catch (const SignalError& error) {
        EXPECT_STREQ(error.what(), "terminated signal received");
        EXPECT_EQ(error.signal(), SIGTERM);
      }
      Signals const witness({SIGINT});
      send(SIGINT);  // does nothing
      EXPECT_EQ(witness.chan().recv(), SIGINT);
      EXPECT_FALSE(does_default(SIGTERM));
      cancel();
      EXPECT_TRUE(does_default(SIGTERM));
    }
    EXPECT_TRUE(does_default(SIGINT));
    EXPECT_STREQ(SignalError(SIGINT).what(), "interrupt signal received");
    EXPECT_STREQ(SignalError(SIGHUP).what(), "hangup signal received");
    EXPECT_STREQ(SignalError(SIGWINCH).what(), "signal 28 signal received");
  });
}

TEST(SignalsTaken, a_context_that_is_cancelled_takes_no_signals) {
  auto [ctx, cancel] = with_signals(Context::background(), {SIGUSR1});
  EXPECT_FALSE(does_default(SIGUSR1));
  cancel(std::make_exception_ptr(1));
  EXPECT_TRUE(does_default(SIGUSR1));
  EXPECT_THROW(std::rethrow_exception(ctx.cause()), int);
  cancel();
}

TEST(SignalsTaken, a_context_has_its_parents_values_and_end) {
  static constexpr ContextKey<int> kKey;
  auto [parent, cancel_parent] = with_timeout(Context::background(), 1h);
  {
    auto [ctx, cancel] = with_signals(with_value(parent, kKey, 5), {SIGUSR1});
    EXPECT_EQ(*ctx.value(kKey), 5);
    EXPECT_EQ(ctx.deadline(), parent.deadline());
    cancel_parent();
    EXPECT_EQ(ctx.err(), ContextError::canceled);
    EXPECT_FALSE(does_default(SIGUSR1));  // until cancel(), or
  }
  EXPECT_TRUE(does_default(SIGUSR1));  // until nobody sees it any more
  auto [late, cancel_late] = with_signals(parent, {SIGUSR1});
  EXPECT_EQ(late.err(), ContextError::canceled);
}

// Who holds the channel or the token of a context that is gone sees it cancelled.
TEST(SignalsTaken, a_context_that_nobody_holds) {
  for (bool const below : {false, true}) {
    auto [parent, cancel_parent] = with_cancel(Context::background());
    Context const above = below ? parent : Context::background();
    (void)with_signals(above, {SIGUSR1});
    EXPECT_TRUE(does_default(SIGUSR1));
    {
      RecvChan<Unit> const done = with_signals(above, {SIGUSR1}).ctx.done();
      send(SIGUSR1);
      EXPECT_FALSE(done.recv());
    }
    EXPECT_TRUE(test::comes_true([] { return does_default(SIGUSR1); }));
    std::stop_token const token = with_signals(above, {SIGUSR1}).ctx.stop_token();
    std::atomic<bool> called{false};
    (void)after_func(with_signals(above, {SIGUSR1}).ctx, [&called] { called.store(true); });
    send(SIGUSR1);
    EXPECT_TRUE(test::comes_true([&] { return called.load() && token.stop_requested(); }));
    EXPECT_TRUE(test::comes_true([] { return does_default(SIGUSR1); }));
  }
}

// Contexts come and go while the signal does.
TEST_P(Width, contexts_in_a_storm) {
  handle(SIGUSR1, &count_it, SA_RESTART | SA_ONSTACK);
  std::atomic<bool> over{false};
  std::thread storm([&over] {
    while (!over.load()) {
      send(SIGUSR1);
      std::this_thread::sleep_for(10us);  // its pace
    }
  });
  (void)run([] {
    WaitGroup group;
    for (int i = 0; i < 4; ++i) {
      group.go([i] {
        for (int round = 0; round < test::scaled(200); ++round) {
          auto [ctx, cancel] = with_signals(Context::background(), {SIGUSR1});
          if (i == 0) {
            (void)ctx.done().recv();
          } else if (i == 1) {
            cancel();
          } else if (i == 2) {
            go([token = ctx.stop_token(), cancel = cancel] { cancel(); });
          }
        }
      });
    }
    group.wait();
  });
  over.store(true);
  storm.join();
  // Those that were to be cancelled by goroutines of their own.
  EXPECT_TRUE(test::comes_true([] { return action_of(SIGUSR1).sa_handler == &count_it; }));
  forget(SIGUSR1);
}

// Lines of /proc/self/status of a process that is executed.
std::string status_of_executed(bool spawned) {
  int ends[2];
  if (pipe(ends) != 0) {
    return "no pipe";
  }
  const char* const words[] = {"grep", "-E", "Sig(Blk|Ign|Cgt)", "/proc/self/status", nullptr};
  auto** const arguments = const_cast<char**>(words);
  pid_t pid = -1;
  if (spawned) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    (void)posix_spawnp(&pid, "grep", &actions, nullptr, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
  } else {
    pid = fork();
    if (pid == 0) {
      dup2(ends[1], STDOUT_FILENO);
      execvp("grep", arguments);
      _exit(1);
    }
  }
  close(ends[1]);
  std::string all;
  char text[200];
  for (ssize_t got; (got = read(ends[0], text, sizeof text)) > 0;) {
    all.append(text, static_cast<std::size_t>(got));
  }
  close(ends[0]);
  waitpid(pid, nullptr, 0);
  return all;
}

TEST(SignalsTaken, what_is_executed_is_as_without) {
  std::signal(SIGHUP, SIG_IGN);
  std::string const forked = status_of_executed(false);
  std::signal(SIGHUP, SIG_DFL);
  std::string const spawned = status_of_executed(true);
  (void)run([&] {
    Signals const signals({SIGTERM, SIGINT, SIGCHLD, SIGPIPE});
    EXPECT_EQ(status_of_executed(true), spawned);
    std::signal(SIGHUP, SIG_IGN);
    Signals const hangups({SIGHUP});
    EXPECT_EQ(status_of_executed(false), forked);  // what was ignored is
  });
  std::signal(SIGHUP, SIG_DFL);
}

// The child ended by the signal, and the parent, which takes that one and SIGUSR1, heard nothing of
// it. In a process that ends otherwise.
void expect_only_the_child_ends(pid_t pid, int signal, const Signals& signals) {
  int status = 0;
  waitpid(pid, &status, 0);
  if (!WIFSIGNALED(status) || WTERMSIG(status) != signal) {
    std::_Exit(3);
  }
  send(SIGUSR1);
  if (signals.chan().recv() != SIGUSR1 || signals.chan().len() != 0) {
    std::_Exit(4);
  }
}

// The parent hears nothing of signals that its child gets, which do there what they did before.
TEST(SignalsTaken, a_forked_child_has_the_former_actions) {
  auto child = in_child([] {
    (void)run([] {
      Signals signals({SIGTERM, SIGUSR1});
      auto [ctx, cancel] = with_signals(Context::background(), {SIGUSR2});
      pid_t const pid = fork();
      if (pid == 0) {
        if (!does_default(SIGTERM) || !does_default(SIGUSR2)) {
          _exit(1);
        }
        signals.stop();
        cancel();
        raise(SIGTERM);
        _exit(2);
      }
      expect_only_the_child_ends(pid, SIGTERM, signals);
    });
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// Nor if it was made behind the C library's back. (Sanitizers would not know of it.)
TEST(SignalsTaken, so_has_a_child_that_was_made_without_handlers_of_fork) {
  if (test::kSanitized) {
    return;
  }
  auto child = in_child([] {
    Signals const signals({SIGTERM, SIGUSR1});
    pid_t const pid = _Fork();
    if (pid == 0) {
      kill(getpid(), SIGTERM);
      _exit(2);
    }
    expect_only_the_child_ends(pid, SIGTERM, signals);
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// Signals keep coming while the process ends, in which a static object takes some.
TEST(SignalsTaken, a_process_exits_while_they_come) {
  auto child = in_child([] {
    handle(SIGUSR1, &count_it, SA_RESTART | SA_ONSTACK);
    static Signals const signals({SIGUSR1});
    (void)run([] {
      go([] {
        for (int signal : signals.chan()) {
          (void)signal;
        }
      });
      std::thread([] {
        for (;;) {
          send(SIGUSR1);
        }
      }).detach();
      (void)signals.chan().recv();
    });
    std::exit(7);
  });
  EXPECT_TRUE(child.exited_with(7)) << child.status << child.error;
}

}  // namespace
}  // namespace hamgam
