// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "hamgam/hamgam.h"
#include "observe/stacks.h"
#include "support/child.h"
#include "support/pprof.h"
#include "support/scale.h"
#include "support/until.h"

// Profiles: of waits and of those who make others wait, the delays are right and at the right
// stacks.

namespace hamgam {
namespace {

using namespace std::chrono_literals;
using observe::Profile;
using observe::ProfileFormat;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kCount = 0;
constexpr std::size_t kDelay = 1;

std::string written(Profile profile, ProfileFormat format) {
  std::ostringstream out;
  observe::write_profile(profile, out, format);
  return out.str();
}

test::Pprof profile_of(Profile profile) {
  return test::read_pprof(written(profile, ProfileFormat::pprof));
}

std::int64_t nanos(Clock::duration time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
}

// What somebody is to be charged with: between the two, in nanoseconds.
struct Bounds {
  std::int64_t least = 0;
  std::int64_t most = 0;
};

template <class M>
struct Passer {
  M& mutex;
  HAMGAM_TEST_FRAME void operator()() const { std::lock_guard const guard(mutex); }
};

// Holds the lock for some time, while many wait for it.
template <int Id, class M>
HAMGAM_TEST_FRAME void hold(M& mutex, std::chrono::milliseconds time, Bounds& bounds) {
  constexpr int kWaiters = 8;
  WaitGroup all;
  mutex.lock();
  auto const first = Clock::now();
  for (int i = 0; i < kWaiters; ++i) {
    all.go(Passer<M>{mutex});
  }
  test::until([&] {
    return test::count_waiting("sync.Mutex.Lock") + test::count_waiting("sync.RWMutex.Lock") ==
           kWaiters;
  });
  auto const last = Clock::now();
  sleep(time);
  bounds.least += kWaiters * nanos(Clock::now() - last);
  mutex.unlock();
  bounds.most += kWaiters * nanos(Clock::now() - first);
  all.wait();
}

// (golang/go, issues 73760 and 24877: who is charged with whose time.)
template <int Id, class M>
void charges_the_holders() {
  observe::profile_waits();
  M mutex;
  Bounds one;
  Bounds two;
  Bounds five;
  for (int round = 0; round < 3; ++round) {
    hold<Id + 1>(mutex, 10ms, one);
    hold<Id + 2>(mutex, 20ms, two);
    hold<Id + 5>(mutex, 50ms, five);
  }
  observe::profile_waits(false);
  test::Pprof const profile = profile_of(Profile::mutex);
  auto const expect = [&](int holder, const Bounds& bounds) {
    std::int64_t const delay = profile.sum(
        kDelay, " hamgam::(anonymous namespace)::hold<" + std::to_string(Id + holder) + ",");
    EXPECT_GE(delay, bounds.least) << holder;
    EXPECT_LE(delay, bounds.most) << holder;
  };
  expect(1, one);
  expect(2, two);
  expect(5, five);
  // Of those who pass, each is charged only with those behind it, for a moment.
  EXPECT_LT(profile.sum(kDelay, "Passer<"), five.most);
}

TEST(Profiles, OB19_mutex_charges_who_holds_it_with_all_who_wait) {
  charges_the_holders<0, Mutex>();
}

TEST(Profiles, OB19_rwmutex_charges_who_holds_it_with_all_who_wait) {
  charges_the_holders<10, RWMutex>();
}

HAMGAM_TEST_FRAME void reads_long(RWMutex& mutex, WaitGroup& writers, Bounds& bounds) {
  mutex.lock_shared();
  auto const first = Clock::now();
  writers.go(Passer<RWMutex>{mutex});
  test::until([] { return test::count_waiting("sync.RWMutex.Lock") == 1; });
  auto const last = Clock::now();
  sleep(20ms);
  bounds.least = nanos(Clock::now() - last);
  mutex.unlock_shared();
  bounds.most = nanos(Clock::now() - first);
}

TEST(Profiles, the_last_reader_is_charged_with_the_writer) {
  observe::profile_waits();
  RWMutex mutex;
  WaitGroup writers;
  Bounds bounds;
  reads_long(mutex, writers, bounds);
  writers.wait();
  observe::profile_waits(false);
  std::int64_t const delay = profile_of(Profile::mutex).sum(kDelay, "reads_long");
  EXPECT_GE(delay, bounds.least);
  EXPECT_LE(delay, bounds.most);
}

HAMGAM_TEST_FRAME void waits_for_mutex(Mutex& mutex) {
  mutex.lock();
  mutex.unlock();
}
HAMGAM_TEST_FRAME void waits_to_receive(RecvChan<int> chan) { EXPECT_EQ(chan.recv(), 1); }
HAMGAM_TEST_FRAME void waits_to_send(SendChan<int> chan) {
  chan.send(1);
  asm volatile("");
}
HAMGAM_TEST_FRAME void waits_in_select(RecvChan<int> one, RecvChan<int> two) {
  EXPECT_EQ(select(on_recv(one), on_recv(two)), 1U);
}
HAMGAM_TEST_FRAME void waits_for_group(WaitGroup& group) {
  group.wait();
  asm volatile("");
}
HAMGAM_TEST_FRAME void waits_for_cond(Mutex& mutex, Cond& cond, const bool& good) {
  std::unique_lock lock(mutex);
  cond.wait(lock, [&] { return good; });
}

// Somebody waits at that place for some time, once.
template <class Wait, class Release>
void expect_wait(const char* function, const char* reason, Wait wait, Release release) {
  Bounds bounds;
  WaitGroup all;
  auto const first = Clock::now();
  all.go({.name = function}, wait);
  test::await_waiting(function, reason);
  auto const last = Clock::now();
  sleep(20ms);
  bounds.least = nanos(Clock::now() - last);
  release();
  all.wait();
  bounds.most = nanos(Clock::now() - first);
  test::Pprof const profile = profile_of(Profile::block);
  EXPECT_EQ(profile.sum(kCount, function, reason), 1) << function;
  EXPECT_GE(profile.sum(kDelay, function, reason), bounds.least) << function;
  EXPECT_LE(profile.sum(kDelay, function, reason), bounds.most) << function;
}

void wait_everywhere() {
  observe::profile_waits();
  Mutex mutex;
  mutex.lock();
  expect_wait(
      "waits_for_mutex", "sync.Mutex.Lock", [&] { waits_for_mutex(mutex); },
      [&] { mutex.unlock(); });
  auto const chan = make_chan<int>();
  auto const other = make_chan<int>();
  expect_wait(
      "waits_to_receive", "chan receive", [&] { waits_to_receive(chan); }, [&] { chan.send(1); });
  expect_wait(
      "waits_to_send", "chan send", [&] { waits_to_send(chan); },
      [&] { EXPECT_EQ(chan.recv(), 1); });
  expect_wait(
      "waits_in_select", "select", [&] { waits_in_select(other, chan); }, [&] { chan.send(1); });
  WaitGroup group;
  group.add(1);
  expect_wait(
      "waits_for_group", "sync.WaitGroup.Wait", [&] { waits_for_group(group); },
      [&] { group.done(); });
  Cond cond;
  bool good = false;
  expect_wait(
      "waits_for_cond", "sync.Cond.Wait", [&] { waits_for_cond(mutex, cond, good); },
      [&] {
        std::lock_guard const guard(mutex);
        good = true;
        cond.notify_one();
      });
  observe::profile_waits(false);
}

TEST(Profiles, waits_of_all_kinds) {
  wait_everywhere();
  // Those of a plain thread, too.
  observe::profile_waits();
  Mutex mutex;
  std::unique_lock lock(mutex);
  std::atomic<bool> begun{false};
  std::int64_t const before = profile_of(Profile::block).sum(kDelay, "waits_for_mutex");
  std::thread thread([&] {
    begun = true;
    waits_for_mutex(mutex);
  });
  test::until([&] { return begun.load(); });
  sleep(20ms);
  lock.unlock();
  thread.join();
  observe::profile_waits(false);
  EXPECT_GT(profile_of(Profile::block).sum(kDelay, "waits_for_mutex"), before);
  // Nothing of what is nobody's delay.
  EXPECT_EQ(profile_of(Profile::block).sum(kCount, "", "sleep"), 0);
}

HAMGAM_TEST_FRAME void plays(SendChan<int> out, RecvChan<int> in, int times) {
  for (int i = 0; i < times; ++i) {
    out.send(i);
    (void)in.recv();
  }
}

// Many short waits: a few of them are noted, and stand for all.
TEST(Profiles, short_waits_are_scaled) {
  constexpr int kTimes = 20'000;
  observe::profile_waits();
  auto const ping = make_chan<int>();
  auto const pong = make_chan<int>();
  WaitGroup all;
  auto const start = Clock::now();
  all.go([&] { plays(ping, pong, kTimes); });
  all.go([&] {
    for (int i = 0; i < kTimes; ++i) {
      (void)ping.recv();
      pong.send(i);
    }
  });
  all.wait();
  auto const end = Clock::now();
  observe::profile_waits(false);
  // It waits about once for each, and not longer than all took.
  test::Pprof const profile = profile_of(Profile::block);
  EXPECT_GT(profile.sum(kCount, "plays"), kTimes / 4);
  EXPECT_LT(profile.sum(kCount, "plays"), kTimes * 8);
  EXPECT_GT(profile.sum(kDelay, "plays"), 0);
  EXPECT_LT(profile.sum(kDelay, "plays"), 2 * nanos(end - start));
}

TEST(Profiles, nothing_is_noted_unasked) {
  auto const child = test::in_child([] {
    Mutex mutex;
    Bounds bounds;
    hold<100>(mutex, 1ms, bounds);
    bool const none =
        profile_of(Profile::mutex).samples.empty() && profile_of(Profile::block).samples.empty();
    std::_Exit(none ? 0 : 1);
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
}

TEST(Profiles, asked_for_in_the_environment) {
  auto const child = test::in_child(
      [] {
        Mutex mutex;
        Bounds bounds;
        hold<101>(mutex, 1ms, bounds);
        std::_Exit(profile_of(Profile::mutex).sum(kCount, "hold<101") == 1 ? 0 : 1);
      },
      {"HAMGAM_DEBUG=locks,waits"});
  EXPECT_TRUE(child.succeeded()) << child.error;
}

// What other threads had locked of the tables is of no matter to the child of a fork.
TEST(Profiles, the_child_of_a_fork_has_none) {
  if (test::emulated()) {
    return;  // the child of a process with threads
  }
  observe::profile_waits();
  Mutex mutex;
  Bounds bounds;
  hold<102>(mutex, 1ms, bounds);
  pid_t const pid = fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    bool const none = written(Profile::mutex, ProfileFormat::text) ==
                      "--- mutex:\ncycles/second=1000000000\nsampling period=1\n";
    _exit(none ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
  observe::profile_waits(false);
}

struct Sleeper {
  RecvChan<int> chan;
  HAMGAM_TEST_FRAME void operator()() const { EXPECT_FALSE(chan.recv().has_value()); }
};

TEST(Profiles, goroutines) {
  constexpr int kMany = 1000;
  auto const chan = make_chan<int>();
  WaitGroup all;
  for (int i = 0; i < kMany; ++i) {
    all.go(Sleeper{chan});
  }
  test::until([] { return test::count_waiting("chan receive") == kMany; });
  test::Pprof const profile = profile_of(Profile::goroutine);
  std::string const text = written(Profile::goroutine, ProfileFormat::text);
  chan.close();
  all.wait();
  EXPECT_EQ(profile.types, std::vector<std::string>{"goroutine/count"});
  EXPECT_GE(profile.mappings, 1U);
  if (test::stacks_are_seen()) {
    EXPECT_EQ(profile.sum(kCount, "Sleeper::operator()", "chan receive"), kMany);
    EXPECT_NE(text.find("\n1000 @ 0x"), std::string::npos) << text;
    EXPECT_NE(text.find("Sleeper::operator()"), std::string::npos) << text;
  } else {
    EXPECT_EQ(profile.sum(kCount, "", "chan receive"), kMany);
  }
  EXPECT_EQ(text.rfind("goroutine profile: total ", 0), 0U) << text;
}

// Where Go is: its tool reads all three, and the one that is to blame is the first.
TEST(Profiles, pprof_opens_them) {
  if (test::output_of("command -v go").empty() || test::emulated()) {
    return;
  }
  observe::profile_waits();
  Mutex mutex;
  Bounds bounds;
  hold<103>(mutex, 500ms, bounds);
  observe::profile_waits(false);
  auto const top = [](Profile profile, const char* name) {
    std::string const file = testing::TempDir() + "hamgam_" + name + std::to_string(getpid());
    {
      std::ofstream out(file, std::ios::binary);
      observe::write_profile(profile, out, ProfileFormat::pprof);
    }
    std::string const output = test::output_of("go tool pprof -top " + file);
    (void)std::remove(file.c_str());
    return output;
  };
  // "flat flat% sum% cum cum%", then the first of them.
  auto const first = [](const std::string& text) {
    std::size_t const head = text.find("cum%\n");
    EXPECT_NE(head, std::string::npos) << text;
    std::size_t const line = head + 5;
    return head == std::string::npos ? text : text.substr(line, text.find('\n', line) - line);
  };
  std::string const mutexes = top(Profile::mutex, "mutex");
  EXPECT_NE(mutexes.find("Type: delay"), std::string::npos) << mutexes;
  EXPECT_NE(first(mutexes).find("hold"), std::string::npos) << mutexes;
  std::string const block = top(Profile::block, "block");
  EXPECT_NE(block.find("Passer"), std::string::npos) << block;
  std::string const all = top(Profile::goroutine, "goroutine");
  EXPECT_NE(all.find("Type: goroutine"), std::string::npos) << all;
}

}  // namespace
}  // namespace hamgam
