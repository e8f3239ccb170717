// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <latch>
#include <mutex>
#include <new>
#include <regex>
#include <shared_mutex>
#include <string>
#include <thread>
#include <vector>

#include "hamgam/hamgam.h"
#include "observe/stacks.h"
#include "support/asleep.h"
#include "support/child.h"
#include "support/scale.h"

// Orders of locks that could deadlock are told of though they did not; and nothing else.

namespace hamgam {
namespace {

class LockOrder : public testing::Test {
 protected:
  void SetUp() override { observe::watch_locks(); }

  // How many reports f makes.
  template <class F>
  static std::uint64_t reports(F f) {
    std::uint64_t const before = observe::lock_reports();
    f();
    return observe::lock_reports() - before;
  }
};

template <class M>
HAMGAM_TEST_FRAME void takes_both(M& first, M& second) {
  first.lock();
  second.lock();
  second.unlock();
  first.unlock();
}

HAMGAM_TEST_FRAME void takes_them_backwards(Mutex& second, Mutex& first) {
  std::lock_guard const one(second);
  std::lock_guard const other(first);
  asm volatile("# else it is the same as the one above");
}

// Only one frame each, so that each test's orders are its own.
template <class F>
HAMGAM_TEST_FRAME void in_goroutine(F f) {
  WaitGroup all;
  all.go(f);
  all.wait();
}

TEST_F(LockOrder, two_orders) {
  Mutex a;
  Mutex b;
  EXPECT_EQ(reports([&] {
              in_goroutine([&] { takes_both(a, b); });
              in_goroutine([&] { takes_both(b, a); });
            }),
            1U);
  // Once is enough.
  EXPECT_EQ(reports([&] {
              in_goroutine([&] { takes_both(a, b); });
              in_goroutine([&] { takes_both(b, a); });
            }),
            0U);
}

TEST_F(LockOrder, of_a_thread) {
  Mutex a;
  Mutex b;
  EXPECT_EQ(reports([&] {
              std::thread([&] { takes_both(a, b); }).join();
              std::thread([&] { takes_both(b, a); }).join();
            }),
            1U);
}

// (ByroRedux, issue 2675: circles of two only.) One goroutine, one pass.
TEST_F(LockOrder, OB18_circles_of_many) {
  for (std::size_t size : {3U, 5U, 17U}) {
    std::vector<Mutex> mutexes(size);
    EXPECT_EQ(reports([&] {
                in_goroutine([&] {
                  for (std::size_t i = 0; i < size; ++i) {
                    takes_both(mutexes[i], mutexes[(i + 1) % size]);
                  }
                });
              }),
              1U)
        << size;
  }
}

Mutex g_plates;
Mutex g_spoons;

// (tracing-mutex, issue 35: people do not believe it.)
TEST_F(LockOrder, OB21_text) {
  auto const child = test::in_child([] {
    observe::watch_locks();
    in_goroutine([] { takes_both(g_plates, g_spoons); });
    std::thread([] { takes_them_backwards(g_spoons, g_plates); }).join();
    std::_Exit(observe::lock_reports() == 1 ? 0 : 1);
  });
  EXPECT_TRUE(child.succeeded()) << child.status;
  std::string const place = ".*\\n\\t.*\\n";
  std::string const text =
      "hamgam: locks could deadlock: 2 are taken in different orders; this time nobody waited\\n\\n"
      "thread [0-9]+ had 0x[0-9a-f]+ \".*g_spoons\", taken at\\n.*takes_them_backwards" +
      place + "and took 0x[0-9a-f]+ \".*g_plates\" at\\n(.*\\n)*.*takes_them_backwards" + place +
      "(.*\\n)*\\n"
      "goroutine [0-9]+ had 0x[0-9a-f]+ \".*g_plates\", taken at\\n.*takes_both" +
      place + "and took 0x[0-9a-f]+ \".*g_spoons\" at\\n(.*\\n)*.*takes_both(.*\\n)*\\n";
  EXPECT_TRUE(std::regex_match(child.error, std::regex(text))) << child.error;
}

// (node, issue 301.) Ten thousand pairs at one address, and one that is wrong.
TEST_F(LockOrder, OB6_one_address_many_locks) {
  alignas(Mutex) std::byte places[2][sizeof(Mutex)];
  constexpr int kWrong = 7777;
  EXPECT_EQ(reports([&] {
              in_goroutine([&] {
                for (int i = 0; i < 10'000; ++i) {
                  auto* const a = new (places[0]) Mutex;
                  auto* const b = new (places[1]) Mutex;
                  if (i % 2 == 0) {
                    takes_both(*a, *b);
                  } else {
                    takes_both(*b, *a);
                  }
                  if (i == kWrong) {
                    takes_both(*a, *b);
                  }
                }
              });
            }),
            1U);
}

TEST_F(LockOrder, tries_do_not_wait) {
  Mutex a;
  Mutex b;
  EXPECT_EQ(reports([&] {
              takes_both(a, b);
              std::scoped_lock const both(b, a);
            }),
            0U);
  EXPECT_EQ(reports([&] {
              std::lock_guard const guard(b);
              ASSERT_TRUE(a.try_lock());
              a.unlock();
              ASSERT_TRUE(a.try_lock_for(std::chrono::hours(1)));
              a.unlock();
            }),
            0U);
}

// Whoever takes them has another one first.
TEST_F(LockOrder, a_gate) {
  Mutex gate;
  Mutex a;
  Mutex b;
  EXPECT_EQ(reports([&] {
              gate.lock();
              takes_both(a, b);
              takes_both(b, a);
              gate.unlock();
            }),
            0U);
  EXPECT_EQ(reports([&] {
              takes_both(a, b);
              takes_both(b, a);
            }),
            1U);
}

// It is none once they were taken without it, whatever else was new then.
TEST_F(LockOrder, a_gate_that_is_left_out) {
  Mutex gate;
  Mutex a;
  Mutex b;
  EXPECT_EQ(reports([&] {
              gate.lock();
              takes_both(a, b);  // the first time that either is written
              gate.unlock();
              takes_both(a, b);
              gate.lock();
              takes_both(b, a);
              gate.unlock();
            }),
            1U);
}

HAMGAM_TEST_FRAME void reads_twice(RWMutex& mutex) {
  std::shared_lock const first(mutex);
  std::shared_lock const second(mutex);
}

void write_once(RWMutex& mutex) {
  mutex.lock();
  mutex.unlock();
}

// As long as nobody writes it is in order. The first writer makes it wrong, though it is never done
// again.
TEST_F(LockOrder, reads_again) {
  RWMutex mutex;
  EXPECT_EQ(reports([&] { reads_twice(mutex); }), 0U);
  EXPECT_EQ(reports([&] { write_once(mutex); }), 1U);
  EXPECT_EQ(reports([&] {
              reads_twice(mutex);
              write_once(mutex);
            }),
            0U);  // told
}

TEST_F(LockOrder, reads_again_after_a_writer) {
  RWMutex mutex;
  write_once(mutex);
  EXPECT_EQ(reports([&] { reads_twice(mutex); }), 1U);
}

// It would keep a writer out if that took it, too; but then these two are in a circle.
TEST_F(LockOrder, reads_again_under_a_lock_taken_in_between) {
  RWMutex mutex;
  Mutex between;
  write_once(mutex);
  EXPECT_EQ(reports([&] {
              std::shared_lock const first(mutex);
              std::lock_guard const guard(between);
              std::shared_lock const second(mutex);
            }),
            1U);
  RWMutex other;
  EXPECT_EQ(reports([&] {
              std::shared_lock const first(other);
              std::lock_guard const guard(between);
              std::shared_lock const second(other);
            }),
            0U);
  EXPECT_EQ(reports([&] { write_once(other); }), 1U);
}

// That may be what all writers take first.
TEST_F(LockOrder, reads_again_under_a_lock_taken_before) {
  RWMutex mutex;
  Mutex gate;
  auto const write = [&] {
    std::lock_guard const guard(gate);
    write_once(mutex);
  };
  auto const read_twice = [&] {
    std::lock_guard const guard(gate);
    std::shared_lock const first(mutex);
    std::shared_lock const second(mutex);
  };
  write();
  EXPECT_EQ(reports(read_twice), 0U);
  EXPECT_EQ(reports(write), 0U);
  EXPECT_EQ(reports([&] { write_once(mutex); }), 1U);  // the first who does not
  RWMutex other;
  EXPECT_EQ(reports([&] {
              write_once(other);
              std::lock_guard const guard(gate);
              std::shared_lock const first(other);
              std::shared_lock const second(other);
            }),
            1U);
}

// Who tries, or gives up, keeps no reader out for ever.
TEST_F(LockOrder, reads_again_beside_writers_that_do_not_wait) {
  RWMutex mutex;
  auto const try_it = [&] {
    ASSERT_TRUE(mutex.try_lock());
    mutex.unlock();
    ASSERT_TRUE(mutex.try_lock_for(std::chrono::hours(1)));
    mutex.unlock();
  };
  EXPECT_EQ(reports([&] {
              try_it();
              std::shared_lock const first(mutex);
              std::shared_lock const second(mutex);
            }),
            0U);
  EXPECT_EQ(reports(try_it), 0U);
  EXPECT_EQ(reports([&] { write_once(mutex); }), 1U);
}

// The one who reads has long been gone.
TEST_F(LockOrder, reads_again_before_another_ones_writer) {
  RWMutex mutex;
  EXPECT_EQ(reports([&] {
              std::thread([&] {
                std::shared_lock const first(mutex);
                std::shared_lock const second(mutex);
              }).join();
            }),
            0U);
  EXPECT_EQ(reports([&] { in_goroutine([&] { write_once(mutex); }); }), 1U);
}

HAMGAM_TEST_FRAME void reads_both(RWMutex& first, RWMutex& second) {
  std::shared_lock const one(first);
  std::shared_lock const other(second);
}

TEST_F(LockOrder, readers) {
  RWMutex a;
  RWMutex b;
  EXPECT_EQ(reports([&] {
              reads_both(a, b);
              reads_both(b, a);
            }),
            0U);
  EXPECT_EQ(reports([&] { takes_both(a, b); }), 1U);  // now that there are writers
}

// Both must be written: then each reader may wait for a writer who waits for the other.
TEST_F(LockOrder, writers_come_after_the_readers) {
  RWMutex a;
  RWMutex b;
  EXPECT_EQ(reports([&] {
              reads_both(a, b);
              reads_both(b, a);
              write_once(a);
            }),
            0U);
  EXPECT_EQ(reports([&] { write_once(b); }), 1U);
}

void reads_then_takes(RWMutex& first, Mutex& second) {
  std::shared_lock const one(first);
  std::lock_guard const other(second);
}

void takes_then_reads(Mutex& first, RWMutex& second) {
  std::lock_guard const one(first);
  std::shared_lock const other(second);
}

// One way round is only used under a gate, another one is not: whichever is found first.
TEST_F(LockOrder, a_writer_comes_after_two_ways) {
  RWMutex mutex;
  Mutex gate;
  Mutex a;
  Mutex b;
  Mutex c;
  EXPECT_EQ(reports([&] {
              takes_both(b, c);
              gate.lock();
              takes_both(a, c);
              reads_then_takes(mutex, a);
              gate.unlock();
              reads_then_takes(mutex, b);
              gate.lock();
              takes_then_reads(c, mutex);
              gate.unlock();
            }),
            0U);
  EXPECT_EQ(reports([&] { write_once(mutex); }), 1U);
}

HAMGAM_TEST_FRAME void takes_after_cond(Mutex& first, Mutex& second) {
  Cond cond;
  std::unique_lock lock(first);
  (void)cond.wait_for(lock, std::chrono::milliseconds(1));
  std::lock_guard const other(second);
}

HAMGAM_TEST_FRAME void takes_after_try(Mutex& first, Mutex& second) {
  std::latch taken(1);
  std::thread other([&] {
    std::lock_guard const guard(first);
    taken.count_down();
    test::await_asleep(&first, 1);
  });
  taken.wait();
  bool const locked = first.try_lock_for(std::chrono::hours(1));
  other.join();
  if (locked) {
    std::lock_guard const guard(second);
    first.unlock();
  }
}

TEST_F(LockOrder, places_of_waits) {
  auto const child = test::in_child([] {
    observe::watch_locks();
    Mutex a;
    Mutex b;
    std::thread([&] { takes_after_cond(a, b); }).join();
    std::thread([&] { takes_after_cond(b, a); }).join();
    Mutex c;
    Mutex d;
    std::thread([&] { takes_after_try(c, d); }).join();
    std::thread([&] { takes_them_backwards(d, c); }).join();
    std::_Exit(observe::lock_reports() == 2 ? 0 : 1);
  });
  EXPECT_TRUE(child.succeeded()) << child.status;
  for (const char* const name : {"takes_after_cond(", "takes_after_try("}) {
    EXPECT_TRUE(child.says(std::string("taken at\nhamgam::(anonymous namespace)::") + name))
        << child.error;
  }
  EXPECT_FALSE(child.says("(not known)")) << child.error;
}

// The child of a fork has no thread that writes reports: it is not waited for, and if the child
// watches its locks, they begin anew.
TEST_F(LockOrder, forked) {
  if (std::getenv("HAMGAM_TEST_EMULATOR") != nullptr) {
    return;
  }
  auto const child = test::in_child([] {
    observe::watch_locks();
    Mutex a;
    Mutex b;
    auto const wrong = [&] {
      takes_both(a, b);
      takes_both(b, a);
    };
    wrong();
    bool good = observe::lock_reports() == 1;
    pid_t const forked = fork();
    if (forked == 0) {
      wrong();
      good = observe::lock_reports() == 1;
#if !defined(HAMGAM_TSAN)  // which lets such a child have no threads
      observe::watch_locks();
      wrong();
      good = good && observe::lock_reports() == 2;
#endif
      if (test::kSanitized) {
        std::_Exit(good ? 0 : 1);  // what the parent noted would be called a leak
      }
      std::exit(good ? 0 : 1);
    }
    int status = -1;
    waitpid(forked, &status, 0);
    std::_Exit(good && status == 0 ? 0 : 1);
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// Many under one, and a chain.
TEST_F(LockOrder, many_locks) {
  constexpr std::size_t kMany = 20'000;
  Mutex parent;
  std::vector<Mutex> children(kMany);
  EXPECT_EQ(reports([&] {
              std::lock_guard const guard(parent);
              for (Mutex& child : children) {
                std::lock_guard const one(child);
              }
            }),
            0U);
  std::vector<Mutex> chain(1000);
  EXPECT_EQ(reports([&] {
              chain[0].lock();
              for (std::size_t i = 1; i < chain.size(); ++i) {
                chain[i].lock();
                chain[i - 1].unlock();
              }
              chain.back().unlock();
            }),
            0U);
}

}  // namespace
}  // namespace hamgam
