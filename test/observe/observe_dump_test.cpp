// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <latch>
#include <mutex>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "hamgam/hamgam.h"
#include "observe/stacks.h"
#include "support/child.h"
#include "support/crew.h"
#include "support/until.h"

// What is told of goroutines: what each does, since when, where, and who started it.

extern "C" {
hamgam::Mutex m;
HAMGAM_TEST_FRAME void w(const hamgam::Chan<int>& chan) {
  EXPECT_FALSE(chan.recv());
  asm volatile("");  // not the last thing that it does
}
}

namespace hamgam {
namespace {

using namespace std::chrono_literals;
using observe::GoroutineInfo;
using observe::GoroutineState;
using test::await_waiting;
using test::named;
using test::stacks_are_seen;
using test::stands_in;

// Each is the innermost frame of the test's in its own wait; the counter keeps the call from being
// the last thing that it does.
std::atomic<int> g_waited{0};

HAMGAM_TEST_FRAME void waits_for_mutex(Mutex& mutex) {
  std::lock_guard const guard(mutex);
  ++g_waited;
}
HAMGAM_TEST_FRAME void waits_to_receive(const Chan<int>& chan) {
  (void)chan.recv();
  ++g_waited;
}
HAMGAM_TEST_FRAME void waits_to_send(const Chan<int>& chan) {
  chan.send(1);
  ++g_waited;
}
HAMGAM_TEST_FRAME void waits_in_select(const Chan<int>& chan) {
  select(on_recv(chan), on_recv(Chan<int>()));
  ++g_waited;
}
HAMGAM_TEST_FRAME void waits_for_group(WaitGroup& group) {
  group.wait();
  ++g_waited;
}
HAMGAM_TEST_FRAME void waits_to_read(RWMutex& mutex) {
  mutex.lock_shared();
  mutex.unlock_shared();
  ++g_waited;
}
HAMGAM_TEST_FRAME void waits_inside_catch(const Chan<int>& chan) {
  try {
    throw Panic("thrown to be caught");
  } catch (const Panic&) {
    waits_to_receive(chan);
  }
  ++g_waited;
}

TEST(Observe, waits_of_all_kinds) {
  Mutex mutex;
  mutex.lock();
  RWMutex rwmutex;
  rwmutex.lock();
  auto const chan = make_chan<int>();
  auto const full = make_chan<int>();
  WaitGroup group;
  group.add(1);
  WaitGroup all;
  all.go({.name = "mutex"}, [&] { waits_for_mutex(mutex); });
  all.go({.name = "recv"}, [&] { waits_to_receive(chan); });
  all.go({.name = "send"}, [&] { waits_to_send(full); });
  all.go({.name = "select"}, [&] { waits_in_select(chan); });
  all.go({.name = "group"}, [&] { waits_for_group(group); });
  all.go({.name = "read"}, [&] { waits_to_read(rwmutex); });
  all.go({.name = "catch"}, [&] { waits_inside_catch(chan); });
  struct Expected {
    const char* name;
    const char* reason;
    const char* function;
    const void* object;
  };
  for (Expected const& expected : {
           Expected{"mutex", "sync.Mutex.Lock", "waits_for_mutex", &mutex},
           Expected{"recv", "chan receive", "waits_to_receive", nullptr},
           Expected{"send", "chan send", "waits_to_send", nullptr},
           Expected{"select", "select", "waits_in_select", nullptr},
           Expected{"group", "sync.WaitGroup.Wait", "waits_for_group", &group},
           Expected{"read", "sync.RWMutex.RLock", "waits_to_read", &rwmutex},
           Expected{"catch", "chan receive", "waits_inside_catch", nullptr},
       }) {
    await_waiting(expected.name, expected.reason);
    GoroutineInfo info;
    test::until([&] {  // it says so a moment before it has left its stack
      info = named(expected.name);
      return !stacks_are_seen() ||
             (!info.frames.empty() && (info.waits_on != nullptr || info.wait_reason == "select"));
    });
    EXPECT_EQ(info.state, GoroutineState::waiting) << expected.name;
    EXPECT_EQ(info.wait_reason, expected.reason) << expected.name;
    if (stacks_are_seen()) {
      EXPECT_TRUE(stands_in(info, expected.function)) << test::text_of(info);
      if (expected.object != nullptr) {
        EXPECT_EQ(info.waits_on, expected.object) << expected.name;
      } else {
        EXPECT_EQ(info.waits_on != nullptr, info.wait_reason != "select") << expected.name;
      }
    }
  }
  mutex.unlock();
  rwmutex.unlock();
  group.done();
  chan.close();
  (void)full.recv();
  all.wait();
}

// Is its code none but the library's?
bool is_the_librarys(const observe::Frame& frame) {
  std::string_view const name = frame.function;
  std::size_t const arguments = name.find('<');
  return name.find("hamgam::v") < arguments && (arguments == std::string_view::npos ||
                                                name.find("::(anonymous namespace)::") < arguments);
}

template <class F>
HAMGAM_TEST_FRAME void waits_in(F f) {
  f();
  ++g_waited;
}

// Some had the library's own at one end: functions in anonymous namespaces, public ones, and what
// calls that which was given to go.
TEST(Observe, none_of_the_librarys_own_at_both_ends) {
  Mutex mutex;
  mutex.lock();
  Semaphore none(1);
  none.acquire();
  Barrier barrier(2);
  Atomic<int> atom{1};
  Once once;
  Cond cond;
  Mutex cond_mutex;
  auto const chan = make_chan<int>();
  std::stop_source stop;
  auto const listener = net::TcpListener::bind("127.0.0.1:0");
  WaitGroup all;
  std::vector<std::string> names;
  auto const add = [&](const char* name, auto f) {
    names.emplace_back(name);
    all.go({.name = name}, [f] { waits_in(f); });
  };
  add("mutex", [&] { std::lock_guard const guard(mutex); });
  add("limited mutex", [&] {
    if (mutex.try_lock_for(1h)) {
      mutex.unlock();
    }
  });
  add("semaphore", [&] { none.acquire(); });
  add("barrier", [&] { barrier.arrive_and_wait(); });
  add("atomic", [&] { atom.wait(1); });
  add("once", [&] { once.call([&] { (void)chan.recv(); }); });
  add("cond", [&] {
    std::unique_lock lock(cond_mutex);
    (void)cond.wait(lock, stop.get_token(), [] { return false; });
  });
  add("set", [&] {
    SelectSet set;
    set.add(on_recv(chan));
    set.wait();
  });
  add("sleep", [&] { (void)sleep(1h, stop.get_token()); });
  add("accept", [&] { (void)listener.accept(stop.get_token()); });
  for (std::string const& name : names) {
    GoroutineInfo info;
    test::until([&] {
      info = named(name);
      return info.state == GoroutineState::waiting && (!stacks_are_seen() || !info.frames.empty());
    });
    if (stacks_are_seen()) {
      ASSERT_FALSE(info.frames.empty()) << name;
      EXPECT_TRUE(stands_in(info, "waits_in<")) << test::text_of(info);
      EXPECT_FALSE(is_the_librarys(info.frames[0])) << test::text_of(info);
      EXPECT_FALSE(is_the_librarys(info.frames[info.frames.size() - 1])) << test::text_of(info);
    }
  }
  // Where what was given to go has a frame of its own.
  auto const plain = [&chan]() HAMGAM_TEST_FRAME {
    (void)chan.recv();
    ++g_waited;
  };
  go({.name = "plain"}, plain);
  await_waiting("plain", "chan receive");
  GoroutineInfo info;
  test::until([&] {
    info = named("plain");
    return !stacks_are_seen() || !info.frames.empty();
  });
  if (stacks_are_seen()) {
    auto const& last = info.frames[info.frames.size() - 1].function;
    EXPECT_NE(last.find("operator()"), std::string::npos) << test::text_of(info);
  }
  mutex.unlock();
  none.release();
  barrier.arrive_and_wait();
  atom.store(0);
  atom.notify_all();
  stop.request_stop();
  chan.close();
  all.wait();
  test::until([] { return named("plain").id == 0; });
  (void)g_waited.load();  // after what it did
}

HAMGAM_TEST_FRAME void keeps_yielding(const std::atomic<bool>& over) {
  while (!over) {
    yield();
  }
  ++g_waited;
}

// One that waits for its turn only.
TEST(Observe, runnable) {
  test::Procs const one(1);
  std::atomic<bool> over{false};
  GoroutineInfo seen;
  WaitGroup all;
  all.go({.name = "main"}, [&] {
    all.go({.name = "yields"}, [&] { keeps_yielding(over); });
    test::until([&] {
      seen = named("yields");  // on another thread now and then, if this one takes its time
      return seen.state == GoroutineState::runnable &&
             (!stacks_are_seen() || stands_in(seen, "keeps_yielding"));
    });
    over = true;
  });
  all.wait();
  EXPECT_EQ(seen.state, GoroutineState::runnable);
}

TEST(Observe, one_that_has_not_begun) {
  test::Procs const one(1);
  WaitGroup all;
  GoroutineInfo seen;
  all.go([&] {
    all.go({.name = "to begin"}, [] {});
    seen = named("to begin");
  });
  all.wait();
  EXPECT_EQ(seen.state, GoroutineState::runnable);
  EXPECT_TRUE(seen.frames.empty());
}

HAMGAM_TEST_FRAME GoroutineInfo looks_at_itself() {
  GoroutineInfo info = named("looks");
  ++g_waited;
  return info;
}

TEST(Observe, the_one_that_looks) {
  GoroutineInfo seen;
  WaitGroup all;
  all.go({.name = "looks"}, [&] { seen = looks_at_itself(); });
  all.wait();
  EXPECT_EQ(seen.state, GoroutineState::running);
  EXPECT_TRUE(stands_in(seen, "looks_at_itself")) << test::text_of(seen);
}

TEST(Observe, running_and_blocking_elsewhere) {
  std::atomic<bool> over{false};
  std::latch in_both(2);
  WaitGroup all;
  all.go({.name = "spins"}, [&] {
    in_both.count_down();
    while (!over) {
    }
  });
  all.go({.name = "blocks"}, [&] {
    blocking([&] {
      in_both.count_down();
      while (!over) {
        std::this_thread::yield();
      }
    });
  });
  in_both.wait();
  EXPECT_EQ(named("spins").state, GoroutineState::running);
  EXPECT_EQ(named("blocks").state, GoroutineState::blocking);
  std::ostringstream text;
  observe::dump(text);
  EXPECT_NE(text.str().find(" [running]: spins\n"), std::string::npos) << text.str();
  EXPECT_NE(text.str().find(" [blocking]: blocks\n"), std::string::npos) << text.str();
  over = true;
  all.wait();
}

HAMGAM_TEST_FRAME void starts_another(WaitGroup& all, const Chan<int>& chan) {
  all.go({.name = "started"}, [chan] { waits_to_receive(chan); });
  ++g_waited;
}

TEST(Observe, creator) {
  auto const chan = make_chan<int>();
  std::uint64_t creator = 0;
  WaitGroup all;
  all.go([&] {
    creator = goroutine_id();
    starts_another(all, chan);
  });
  await_waiting("started", "chan receive");
  GoroutineInfo const info = named("started");
  chan.close();
  all.wait();
  EXPECT_EQ(info.created_by, creator);
  // Ours between are inlined, whether optimised or not.
  EXPECT_EQ(info.created_at.function.find("hamgam::detail"), std::string::npos);
  if (test::stacks_are_seen()) {
    EXPECT_NE(info.created_at.function.find("starts_another"), std::string::npos)
        << info.created_at.function;
  }
}

// Only when a worker had been idle it was known what others wait for.
TEST(Observe, waits_of_the_first_who_waits) {
  auto child = test::in_child(
      [] {
        auto const chan = make_chan<int>();
        std::atomic<bool> done{false};
        go({.name = "first"}, [&] {
          go([&] {
            GoroutineInfo const info = named("first");
            if (stacks_are_seen() && (info.waits_on == nullptr || info.waiting_for > 1min)) {
              std::_Exit(1);
            }
            done = true;
          });
          waits_to_receive(chan);
        });
        while (!done) {
          std::this_thread::yield();
        }
        std::_Exit(0);
      },
      {"HAMGAM_PROCS=1"});
  EXPECT_TRUE(child.succeeded()) << child.error;
}

// The age is never less than it was, and more by what the coarse clock is behind.
TEST(Observe, since_when) {
  auto const chan = make_chan<int>();
  using Steady = std::chrono::steady_clock;
  bool exact = false;
  for (int i = 0; i < 100 && !exact; ++i) {
    WaitGroup all;
    auto const before = Steady::now();
    all.go({.name = "waits"}, [&] { waits_to_receive(chan); });
    await_waiting("waits", "chan receive");
    auto const asleep = Steady::now();
    sleep(50ms);
    auto const looks = Steady::now();
    auto const age = named("waits").waiting_for;
    if (!stacks_are_seen()) {
      exact = age == 0ns;
    } else {
      EXPECT_GE(age, looks - asleep);
      exact = age <= Steady::now() - before + 20ms;
    }
    chan.send(1);
    all.wait();
  }
  EXPECT_TRUE(exact);
}

// Also of those that keep their thread.
TEST(Observe, since_when_one_keeps_its_thread) {
  Mutex mutex;
  mutex.lock();
  std::atomic<bool> over{false};
  WaitGroup all;
  all.go({.name = "waits"}, [&] {
    blocking([&] {
      std::lock_guard const guard(mutex);
      ++g_waited;
    });
  });
  all.go({.name = "blocks"}, [&] {
    blocking([&] {
      while (!over) {
        std::this_thread::yield();
      }
    });
  });
  await_waiting("waits", "waits on its thread");
  EXPECT_TRUE(test::comes_true([&] { return named("waits").waiting_for >= 30ms; }));
  EXPECT_TRUE(test::comes_true([&] { return named("blocks").waiting_for >= 30ms; }));
  EXPECT_EQ(named("waits").wait_reason, "waits on its thread");
  EXPECT_EQ(named("blocks").state, GoroutineState::blocking);
  mutex.unlock();
  over = true;
  all.wait();
}

template <class... T>
HAMGAM_TEST_FRAME void waits_with_a_long_name(const Chan<int>& chan, std::tuple<T...>* /*unused*/) {
  (void)chan.recv();
  ++g_waited;
}

// Who looks may have a small stack: to make a name readable takes some hundred bytes for each of
// its.
TEST(Observe, a_long_name_on_a_small_stack) {
  using Long = decltype([]<int... kSizes>(std::integer_sequence<int, kSizes...>) {
    return std::tuple<std::array<char, 1'000'000 + kSizes>*...>();
  }(std::make_integer_sequence<int, 50>()));
  auto const chan = make_chan<int>();
  WaitGroup all;
  all.go({.name = "long"}, [&] { waits_with_a_long_name(chan, static_cast<Long*>(nullptr)); });
  await_waiting("long", "chan receive");
  for (std::size_t const size : {std::size_t{32} << 10, std::size_t{64} << 10}) {
    std::string text;
    std::atomic<bool> done{false};
    all.go({.name = "looks", .stack_size = size}, [&] {
      std::ostringstream out;
      observe::dump(out);
      text = out.str();
      done = true;
    });
    test::until([&] { return done.load(); });
    EXPECT_TRUE(!stacks_are_seen() ||
                text.find("waits_with_a_long_name<std::array<") != std::string::npos)
        << text;
  }
  chan.close();
  all.wait();
}

// Those that do the same are told of together.
TEST(Observe, equal_ones_together) {
  auto const chan = make_chan<int>();
  WaitGroup all;
  for (int i = 0; i < 20; ++i) {
    all.go([&] { waits_to_receive(chan); });
  }
  test::until([&] { return test::count_waiting("chan receive") == 20; });
  std::ostringstream text;
  observe::dump(text);
  if (stacks_are_seen()) {
    EXPECT_NE(text.str().find(" ... (20 in all) [chan receive]:\nwaits for 0x"), std::string::npos)
        << text.str();
    EXPECT_NE(text.str().find("waits_to_receive"), std::string::npos) << text.str();
    EXPECT_EQ(text.str().find("hamgam_fiber_entry"), std::string::npos) << text.str();
  }
  chan.close();
  all.wait();
}

// C's names are not mangled: "m" is no unsigned long.
TEST(Observe, names_of_c) {
  auto const chan = make_chan<int>();
  WaitGroup all;
  m.lock();
  all.go({.name = "for m"}, [] { waits_for_mutex(m); });
  all.go({.name = "in w"}, [&] { w(chan); });
  await_waiting("for m", "sync.Mutex.Lock");
  await_waiting("in w", "chan receive");
  std::ostringstream text;
  observe::dump(text);
  if (stacks_are_seen()) {
    EXPECT_NE(text.str().find(" \"m\""), std::string::npos) << text.str();
    EXPECT_NE(text.str().find("\nw\n\t"), std::string::npos) << text.str();
  }
  m.unlock();
  chan.close();
  all.wait();
}

// A name stays on its line, whatever it is; who asks for it gets it as it was given.
TEST(Observe, names_that_look_like_more) {
  auto const chan = make_chan<int>();
  WaitGroup all;
  std::string const name = "one\n\ngoroutine 99 [running]: another\x1b[2J";
  all.go({.name = name}, [&] { waits_to_receive(chan); });
  await_waiting(name, "chan receive");
  std::ostringstream text;
  observe::dump(text);
  EXPECT_NE(text.str().find("[chan receive]: one??goroutine 99 [running]: another?[2J\n"),
            std::string::npos)
      << text.str();
  chan.close();
  all.wait();
}

}  // namespace
}  // namespace hamgam
