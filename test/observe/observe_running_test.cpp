// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <latch>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <utility>

#include "hamgam/hamgam.h"
#include "observe/stacks.h"
#include "support/child.h"
#include "support/crew.h"
#include "support/scale.h"
#include "support/until.h"

// The stacks of those that run, or keep their thread while they wait: it is interrupted for that.

namespace hamgam {
namespace {

using observe::GoroutineInfo;
using observe::GoroutineState;
using test::in_child;
using test::named;
using test::running_ones_are_seen;
using test::stands_in;

std::atomic<int> g_done{0};

class Pipe {
 public:
  Pipe() { EXPECT_EQ(pipe2(ends_.data(), O_CLOEXEC), 0); }
  ~Pipe() {
    close(ends_[0]);
    close(ends_[1]);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void put(char c) const { EXPECT_EQ(write(ends_[1], &c, 1), 1); }
  [[nodiscard]] int reader() const { return ends_[0]; }

 private:
  std::array<int, 2> ends_{};
};

HAMGAM_TEST_FRAME void spins(const std::atomic<bool>& over) {
  while (!over) {
  }
  ++g_done;
}

// As a database's client does that has its own socket.
HAMGAM_TEST_FRAME void polls(const Pipe& pipe) {
  pollfd wanted{pipe.reader(), POLLIN, 0};
  while (poll(&wanted, 1, -1) < 0 && errno == EINTR) {
  }
  ++g_done;
}

// How many bytes come until there is a 'z'; -1: the call failed.
HAMGAM_TEST_FRAME int reads(const Pipe& pipe) {
  for (int bytes = 0;; ++bytes) {
    char c = 0;
    if (read(pipe.reader(), &c, 1) != 1) {
      return -1;
    }
    if (c == 'z') {
      ++g_done;
      return bytes;
    }
  }
}

HAMGAM_TEST_FRAME void locks(Mutex& mutex) {
  std::lock_guard const guard(mutex);
  ++g_done;
}

void await_stack(const char* name, const char* function) {
  test::until([&] {
    GoroutineInfo const info = named(name);
    return running_ones_are_seen() ? stands_in(info, function) : info.id != 0;
  });
}

TEST(ObserveRunning, wherever_they_are) {
  std::atomic<bool> over{false};
  Pipe polled;
  Pipe read_from;
  Mutex mutex;
  mutex.lock();
  WaitGroup all;
  all.go({.name = "spins"}, [&] { spins(over); });
  all.go({.name = "polls"}, [&] { blocking([&] { polls(polled); }); });
  all.go({.name = "reads"}, [&] { EXPECT_EQ(reads(read_from), 0); });  // and has told nobody
  all.go({.name = "locks"}, [&] { blocking([&] { locks(mutex); }); });
  for (const char* name : {"spins", "polls", "reads", "locks"}) {
    await_stack(name, name);
  }
  GoroutineInfo waits;
  test::until([&] {  // and is seen to
    waits = named("locks");
    return waits.state == GoroutineState::waiting &&
           (stands_in(waits, "locks") || !running_ones_are_seen());
  });
  EXPECT_EQ(waits.wait_reason, "waits on its thread");
  EXPECT_EQ(waits.waits_on, &mutex);
  std::ostringstream text;
  observe::dump(text);
  EXPECT_EQ(named("spins").state, GoroutineState::running);
  EXPECT_EQ(named("reads").state, GoroutineState::running);
  EXPECT_EQ(named("polls").state, GoroutineState::blocking);
  if (running_ones_are_seen()) {
    // The library's own part of the wait is not shown.
    EXPECT_NE(waits.frames[0].function, "syscall") << test::text_of(waits);
    EXPECT_FALSE(stands_in(waits, "lock_slow")) << test::text_of(waits);
    EXPECT_NE(text.str().find("polls("), std::string::npos) << text.str();
  }
  over = true;
  mutex.unlock();
  polled.put('z');
  read_from.put('z');
  all.wait();
}

HAMGAM_TEST_FRAME void receives(const Chan<int>& chan) {
  (void)chan.recv();
  ++g_done;
}

std::string dumped() {
  std::ostringstream text;
  observe::dump(text);
  return "\n" + text.str() + "\n";
}

// Plain threads that wait for something of ours are told of, too.
TEST(ObserveRunning, threads_that_wait) {
  Mutex mutex;
  auto const chan = make_chan<int>();
  mutex.lock();
  std::thread locker([&] { locks(mutex); });
  std::thread receiver([&] { receives(chan); });
  for (auto const& [reason, function] :
       {std::pair("sync.Mutex.Lock", "locks("), std::pair("chan receive", "receives(")}) {
    std::string part;
    test::until([&] {
      std::string const text = dumped();
      std::size_t const state = text.find(std::string(" [") + reason);
      std::size_t const begin = text.rfind("\nthread ", state);
      part = begin == std::string::npos ? "" : text.substr(begin, text.find("\n\n", state) - begin);
      return part.find(reason) != std::string::npos &&
             (part.find(function) != std::string::npos || !running_ones_are_seen());
    });
    EXPECT_NE(part.find("]:\nwaits for 0x"), std::string::npos) << part;
    EXPECT_EQ(part.find("\nsyscall"), std::string::npos) << part;
  }
  mutex.unlock();
  chan.close();
  locker.join();
  receiver.join();
  EXPECT_EQ(dumped().find("\nthread "), std::string::npos);
}

// A call that blocks is not ended by it.
TEST(ObserveRunning, their_calls_go_on) {
  Pipe pipe;
  int const bytes = test::scaled(300);
  WaitGroup all;
  all.go({.name = "reads"}, [&] { EXPECT_EQ(reads(pipe), bytes); });
  await_stack("reads", "reads");
  for (int i = 0; i < bytes; ++i) {
    EXPECT_FALSE(observe::goroutines().empty());
    pipe.put('a');
  }
  pipe.put('z');
  all.wait();
}

// Each is found where it was, and nobody in another's place: while they change threads, and several
// look.
template <int kNumber>
HAMGAM_TEST_FRAME void works_as(int steps) {
  for (int i = 0; i < steps; ++i) {
    asm volatile("" ::"i"(kNumber));
  }
}

TEST(ObserveRunning, nobody_is_taken_for_another) {
  constexpr std::array kWorks{&works_as<0>, &works_as<1>, &works_as<2>, &works_as<3>};
  std::atomic<bool> over{false};
  std::atomic<int> seen{0};
  WaitGroup all;
  for (std::size_t i = 0; i < kWorks.size(); ++i) {
    all.go({.name = "work " + std::to_string(i)}, [&, i] {
      for (int n = 0; !over; ++n) {
        kWorks[i](n % 64 == 0 ? 20'000 : 20);
        yield();
      }
    });
  }
  int const least = running_ones_are_seen() ? test::scaled(50) : 0;
  test::at_once(test::Who::kBoth, 4, [&](int) {
    for (int n = 0; n < test::scaled(50) || seen < least; ++n) {
      for (GoroutineInfo const& info : observe::goroutines()) {
        for (std::size_t i = 0; i < kWorks.size(); ++i) {
          if (stands_in(info, "works_as<" + std::to_string(i) + ">")) {
            EXPECT_EQ(info.name, "work " + std::to_string(i)) << test::text_of(info);
            ++seen;
          }
        }
      }
    }
  });
  over = true;
  all.wait();
}

// One that blocks all signals is not seen, and delays nobody for ever; what it did not answer does
// no harm later.
TEST(ObserveRunning, one_that_blocks_signals) {
  std::atomic<bool> unblock{false};
  std::atomic<bool> over{false};
  std::latch blocked(1);
  WaitGroup all;
  all.go({.name = "deaf"}, [&] {
    sigset_t every;
    sigset_t former;
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &former);
    blocked.count_down();
    spins(unblock);
    pthread_sigmask(SIG_SETMASK, &former, nullptr);
    spins(over);
  });
  blocked.wait();
  std::ostringstream text;
  observe::dump(text);
  EXPECT_NE(text.str().find(" [running]: deaf\n"
                            "\tgoroutine running on other thread; stack unavailable\n"),
            std::string::npos)
      << text.str();
  EXPECT_TRUE(named("deaf").frames.empty());
  unblock = true;
  await_stack("deaf", "spins");
  over = true;
  all.wait();
}

std::atomic<int> g_urgent{0};

// Whose signal it is, if the program handles that itself.
TEST(ObserveRunning, the_programs_own_handler_is_left_alone) {
  auto child = in_child([] {
    struct sigaction action {};
    action.sa_handler = [](int) { ++g_urgent; };
    sigaction(SIGURG, &action, nullptr);
    std::atomic<bool> over{false};
    std::latch begun(1);
    WaitGroup all;
    all.go({.name = "spins"}, [&] {
      begun.count_down();
      spins(over);
    });
    begun.wait();
    EXPECT_TRUE(named("spins").frames.empty());
    EXPECT_EQ(g_urgent, 0);
    raise(SIGURG);
    EXPECT_EQ(g_urgent, 1);
    over = true;
    all.wait();
    if (testing::Test::HasFailure()) {
      std::_Exit(1);
    }
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
}

// As programs do that have a thread which waits for signals.
TEST(ObserveRunning, a_program_that_blocks_all_signals_at_first) {
  auto child = in_child([] {
    sigset_t every;
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, nullptr);
    std::atomic<bool> over{false};
    WaitGroup all;
    all.go({.name = "spins"}, [&] { spins(over); });
    await_stack("spins", "spins");
    over = true;
    all.wait();
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
}

TEST(ObserveRunning, fatal_errors_show_them) {
  auto child = in_child([] {
    std::atomic<bool> begun{false};
    std::atomic<bool> over{false};
    go({.name = "spins"}, [&] {
      begun = true;
      spins(over);
    });
    test::until([&] { return begun.load(); });
    await_stack("spins", "spins");
    Mutex().unlock();
  });
  EXPECT_TRUE(child.aborted());
  std::size_t const at = child.error.find(" [running]: spins\n");
  ASSERT_NE(at, std::string::npos) << child.error;
  EXPECT_TRUE(!running_ones_are_seen() || child.error.find("spins(", at) != std::string::npos)
      << child.error;
}

}  // namespace
}  // namespace hamgam
