// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// The process exits while goroutines are at work on static objects: it ends quietly, with its
// status, and nothing is used that is destroyed.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "hamgam/hamgam.h"
#include "sched/exit.h"
#include "support/asleep.h"
#include "support/child.h"
#include "support/full_pipe.h"

namespace {

using namespace std::chrono_literals;
using hamgam::go;
using hamgam::run;
using hamgam::test::await_asleep;
using hamgam::test::Child;
using hamgam::test::until;

// Leaks are not of interest.
const std::vector<std::string> kSettings = {"ASAN_OPTIONS=detect_leaks=0"};

template <class Body>
Child in_child(Body body, std::vector<std::string> settings = kSettings) {
  return hamgam::test::in_child(std::move(body), settings);
}

// A static object that tells of its use after its end, which takes a while.
class Watched {
 public:
  constexpr Watched() = default;
  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;
  ~Watched() {
    gone_ = true;
    std::this_thread::sleep_for(2ms);
    if (used_late_) {
      std::fputs("used after its end\n", stderr);
      std::abort();
    }
  }
  void use() {
    if (gone_) {
      used_late_ = true;
    }
  }

 private:
  std::atomic<bool> gone_{false};
  std::atomic<bool> used_late_{false};
};

// Whatever a program keeps in static objects. One is made before the runtime starts, one after.
struct State {
  Watched watched;
  hamgam::Map<int, std::string> map;
  hamgam::Pool<std::string> pool;
  hamgam::ResourcePool<std::string> resources{[] { return std::string(100, 'r'); }};
  hamgam::Mutex mutex;
  hamgam::RWMutex shared;
  hamgam::Cond cond;
  hamgam::WaitGroup group;
  hamgam::Chan<int> values = hamgam::make_chan<int>(1);
  std::string name = std::string(100, 'n');
};

State& early() {
  static State state;
  return state;
}

State& late() {
  static State state;
  return state;
}

std::atomic<int> g_rounds{0};

void work_on(State& state, int me) {
  for (;; ++g_rounds) {
    state.watched.use();
    state.map.store(me, state.name);
    (void)state.map.load(me + 1);
    state.pool.get()->assign(state.name);
    { auto lease = state.resources.acquire(); }
    {
      std::scoped_lock const lock(state.mutex);
      std::shared_lock const reader(state.shared);
      state.cond.notify_all();
    }
    if (me % 2 == 0) {
      state.values.send(me);
    } else {
      (void)state.values.recv();
    }
    state.watched.use();
    hamgam::sleep(20us);  // its pace
  }
}

void start_work() {
  (void)early();
  for (int i = 0; i < 20; ++i) {
    go([i] { work_on(i % 4 < 2 ? early() : late(), i); });
  }
  go([] {
    hamgam::Ticker const ticker(50us);
    for (;;) {
      (void)ticker.chan().recv();
      late().watched.use();
    }
  });
  go([] {
    std::scoped_lock const lock(late().mutex);
    (void)hamgam::make_chan<int>().recv();  // for ever, with the lock
  });
  until([] { return g_rounds > 200; });
}

constexpr int kStatus = 7;

void expect_exited(const Child& child, std::string_view said = "") {
  EXPECT_TRUE(child.exited_with(kStatus)) << child.status << child.error;
  EXPECT_EQ(child.error, said);
}

TEST(Exit, exit_with_statics) {
  auto child = in_child([] {
    (void)early();
    std::exit(run([] {
      start_work();
      return kStatus;
    }));
  });
  expect_exited(child);
}

TEST(Exit, by_a_goroutine) {
  auto child = in_child([] {
    (void)run([] {
      start_work();
      std::exit(kStatus);
    });
  });
  expect_exited(child);
}

// It is one that stopped, not two: the others must be waited for.
TEST(Exit, by_a_goroutine_in_blocking) {
  auto child = in_child([] {
    (void)run([] {
      start_work();
      hamgam::blocking([] { hamgam::blocking([] { std::exit(kStatus); }); });
    });
  });
  expect_exited(child);
}

TEST(Exit, by_a_thread) {
  auto child = in_child([] {
    (void)run([] {
      start_work();
      std::thread([] {
        late().watched.use();
        (void)late().map.load(1);
        std::exit(kStatus);
      }).detach();
      hamgam::sleep(1h);
    });
  });
  expect_exited(child);
}

// As static objects at namespace scope do, of which one starts a goroutine.
TEST(Exit, with_statics_made_after_the_first_goroutine) {
  auto child = in_child([] {
    go([] {});
    (void)early();
    (void)late();
    (void)run([] {
      start_work();
      std::thread([] { std::exit(kStatus); }).detach();
      hamgam::sleep(1h);
    });
  });
  expect_exited(child);
}

TEST(Exit, of_a_program_without_run) {
  auto child = in_child([] {
    start_work();
    std::exit(kStatus);
  });
  expect_exited(child);
}

// By two goroutines and a thread at the same time, and once more by a destructor.
TEST(Exit, several_times) {
  struct Again {
    ~Again() { std::exit(kStatus); }
  };
  auto child = in_child([] {
    (void)run([] {
      start_work();
      static Again const again;
      static_cast<void>(&again);
      std::atomic<bool> knows{false};
      std::atomic<bool> exits{false};
      std::thread([&knows, &exits] {
        (void)late().map.load(1);  // exit() does not stop plain threads, so this must be before it
        knows = true;
        while (!exits) {
        }
        std::exit(kStatus);
      }).detach();
      while (!knows) {
        hamgam::yield();
      }
      go([] { std::exit(kStatus); });
      exits = true;
      std::exit(kStatus);
    });
  });
  expect_exited(child);
}

// What goroutines do in blocking() is not waited for, nor what waits in the kernel without it; the
// destructors run.
TEST(Exit, beside_goroutines_in_the_kernel) {
  struct Last {
    ~Last() {
      std::this_thread::sleep_for(50ms);  // who must not go on would
      std::fputs("destroyed\n", stderr);
    }
  };
  auto child = in_child([] {
    static Last const last;
    static_cast<void>(&last);
    (void)run([] {
      std::atomic<int> there{0};
      std::atomic<bool> exits{false};
      go([&] {
        hamgam::blocking([&] {
          ++there;
          std::this_thread::sleep_for(1h);
        });
      });
      go([&] {
        hamgam::blocking([&] {
          ++there;
          std::this_thread::sleep_for(30ms);
        });
        if (exits) {
          std::fputs("went on\n", stderr);
        }
      });
      go([&] {
        ++there;
        std::this_thread::sleep_for(1h);
      });
      until([&] { return there == 3; });
      exits = true;
      std::exit(kStatus);
    });
  });
  expect_exited(child, "destroyed\n");
}

// Then nothing is destroyed.
template <class Between, class Then>
void expect_end_beside_computing(Between between, Then then, std::string_view said = "") {
  auto child = in_child([&] {
    static Watched watched;
    (void)run([&] {
      static std::atomic<bool> there{false};
      go([between] {
        for (;; between()) {
          watched.use();
          there = true;
        }
      });
      until([] { return there.load(); });
    });
    then();
    std::exit(kStatus);
  });
  expect_exited(child, said);
}

TEST(Exit, beside_a_goroutine_that_computes) {
  expect_end_beside_computing([] {}, [] { std::fputs("written out", stderr); }, "written out");
}

// Who reads has his stream's lock, for which a flush of all streams would wait.
void expect_end_beside_reader(bool reads_stdin) {
  auto child = in_child([=] {
    int ends[2];
    if (pipe(ends) != 0 || dup2(ends[0], STDIN_FILENO) < 0) {
      std::_Exit(1);
    }
    std::FILE* const stream = reads_stdin ? stdin : fdopen(ends[0], "r");
    std::thread([=] {
      char line[80];
      (void)!std::fgets(line, sizeof line, stream);
    }).detach();
    auto const is_reading = [=] {
      bool const is_free = ftrylockfile(stream) == 0;
      if (is_free) {
        funlockfile(stream);
      }
      return !is_free;
    };
    until(is_reading);
    std::atomic<bool> computes{false};
    go([&] {
      for (;;) {
        computes.store(true);
      }
    });
    until([&] { return computes.load(); });
    dup2(STDERR_FILENO, STDOUT_FILENO);
    std::fputs("written", stdout);
    std::exit(7);
  });
  EXPECT_TRUE(child.exited_with(7)) << child.status;
  EXPECT_EQ(child.error, "written");
}

TEST(Exit, beside_a_goroutine_that_computes_and_a_thread_that_reads) {
  expect_end_beside_reader(true);
}

TEST(Exit, beside_a_goroutine_that_computes_and_a_thread_that_reads_a_file) {
  expect_end_beside_reader(false);
}

// More than fits into a pipe at once.
TEST(Exit, beside_a_goroutine_that_computes_all_is_written) {
  static constexpr std::size_t kSize = 500'000;
  auto child = in_child([] {
    std::atomic<bool> computes{false};
    go([&] {
      for (;;) {
        computes.store(true);
      }
    });
    until([&] { return computes.load(); });
    static char buffer[kSize];
    std::FILE* const file = fdopen(dup(STDERR_FILENO), "w");
    std::setvbuf(file, buffer, _IOFBF, sizeof buffer);
    std::fputs(std::string(kSize - 1, 'x').c_str(), file);
    std::exit(7);
  });
  EXPECT_TRUE(child.exited_with(7)) << child.status;
  EXPECT_EQ(child.error.size(), kSize - 1);
}

TEST(Exit, beside_a_goroutine_that_computes_and_no_descriptor_is_left) {
  expect_end_beside_computing([] {},
                              [] {
                                rlimit const few{3, 3};
                                setrlimit(RLIMIT_NOFILE, &few);
                              });
}

// It computes, even if it is in the kernel at the moment.
TEST(Exit, beside_a_goroutine_that_naps_by_turns) {
  expect_end_beside_computing([] { std::this_thread::sleep_for(200us); }, [] {});
}

// In blocking() it may do that for as long as it likes.
TEST(Exit, beside_a_goroutine_that_polls_in_blocking) {
  auto child = in_child([] {
    struct Last {
      ~Last() { std::fputs("destroyed\n", stderr); }
    };
    static Last const last;
    static_cast<void>(&last);
    (void)run([] {
      static std::atomic<int> there{0};
      go([] {
        hamgam::blocking([] {
          for (++there;;) {
            std::this_thread::sleep_for(200us);
          }
        });
      });
      go([] {
        ++there;
        std::this_thread::sleep_for(1h);
      });
      until([] { return there == 2; });
    });
    std::exit(kStatus);
  });
  expect_exited(child, "destroyed\n");
}

// No goroutine that was stopped keeps a lock that it did not see, nor the turn of others.
// AddressSanitizer keeps frames elsewhere, where LeakSanitizer did not look.
TEST(Exit, what_stopped_goroutines_have_is_no_leak) {
  Child const child = hamgam::test::in_child([] {
    std::exit(run([] {
      auto const gate = hamgam::make_chan<hamgam::Unit>();
      hamgam::WaitGroup parked;
      for (int i = 0; i < 50; ++i) {
        parked.add(1);
        go([gate, &parked, text = std::string(100, 'x')] {
          auto const numbers = std::make_unique<std::vector<int>>(1000);
          std::string const twice = text + text;
          parked.done();
          gate.recv();
        });
      }
      parked.wait();
      return 3;
    }));
  });
  EXPECT_TRUE(child.exited_with(3)) << child.error;
}

TEST(Exit, locks_are_not_left_to_who_was_stopped) {
  struct Limited {
    ~Limited() {
      (void)limiter.allow();
      context.cancel();
    }
    hamgam::RateLimiter limiter{1e6, 10};
    hamgam::CancelContext context = hamgam::with_cancel(hamgam::Context::background());
  };
  for (int round = 0; round < 4; ++round) {
    auto child = in_child([round] {
      static Limited limited;
      (void)hamgam::max_procs(
          8);  // more than CPUs, so that holders lose theirs and others wait long
      for (int i = 0; i < 64; ++i) {
        go([round] {
          for (;;) {
            if (round % 2 == 0) {
              (void)limited.limiter.allow();
            } else {
              hamgam::with_cancel(limited.context.ctx).cancel();
            }
          }
        });
      }
      // For a while, so that some have lost their CPU at any point.
      std::this_thread::sleep_for(20ms);
      std::exit(kStatus);
    });
    expect_exited(child);
  }
}

TEST(Exit, a_destructor_locks_what_a_thread_unlocks) {
  struct Locking {
    ~Locking() {
      destroyed = true;
      std::scoped_lock const lock(mutex);
      std::fputs("locked\n", stderr);
    }
    hamgam::Mutex mutex;
    std::atomic<bool> destroyed{false};
  };
  auto child = in_child([] {
    static Locking locking;
    static std::atomic<bool> locked{false};
    std::thread([] {
      locking.mutex.lock();
      locked = true;
      until([] { return locking.destroyed.load(); });
      await_asleep(&locking.mutex, 4);  // the three below and the destructor
      locking.mutex.unlock();
    }).detach();
    until([] { return locked.load(); });
    for (int i = 0; i < 3; ++i) {
      go([] { std::scoped_lock const lock(locking.mutex); });
    }
    await_asleep(&locking.mutex, 3);
    std::exit(kStatus);
  });
  expect_exited(child, "locked\n");
}

// A destructor waits for what a stopped goroutine holds.
template <class Wait>
Child child_that_waits(Wait wait) {
  struct Waiting {
    explicit Waiting(Wait w) : wait(w) {}
    ~Waiting() { wait(); }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
    Wait wait;
  };
  return in_child([wait] {
    static Waiting const waiting(wait);
    static_cast<void>(&waiting);
    std::exit(run([] {
      hamgam::WaitGroup held;
      held.add(1);
      go([&] {
        early().mutex.lock();
        held.done();
        hamgam::sleep(1h);
        early().mutex.unlock();
      });
      held.wait();
      return kStatus;
    }));
  });
}

template <class Wait>
void expect_no_hang(Wait wait) {
  auto const child = child_that_waits(wait);
  EXPECT_TRUE(child.exited_with(kStatus)) << child.status << child.error;
  EXPECT_TRUE(child.begins("hamgam: exit: ")) << child.error;
}

TEST(Exit, a_destructor_locks_what_a_goroutine_holds) {
  expect_no_hang([] { early().mutex.lock(); });
}

TEST(Exit, a_destructor_that_waits_and_nobody_reads_errors) {
  auto const child = child_that_waits([] {
    hamgam::test::fill_standard_error();
    early().mutex.lock();
  });
  EXPECT_TRUE(child.exited_with(kStatus)) << child.status;
}

TEST(Exit, a_destructor_waits_for_a_goroutine) {
  expect_no_hang([] {
    hamgam::WaitGroup group;
    group.go([] {});
    group.wait();
  });
}

TEST(Exit, a_destructor_calls_run) {
  expect_no_hang([] { (void)run([] {}); });
}

// Destructors may wait for plain threads, sleep, and use everything that needs no goroutine.
TEST(Exit, destructors_use_the_library) {
  struct Using {
    ~Using() {
      hamgam::sleep(1ms);
      auto values = hamgam::make_chan<int>();
      std::thread thread([&] { values.send(1); });
      if (*values.recv() == 1 && !hamgam::make_chan<int>().recv_for(1ms).value) {
        std::fputs("received\n", stderr);
      }
      thread.join();
      hamgam::Map<int, int> map;
      map.store(1, 1);
      hamgam::Pool<int>().put(std::make_unique<int>(1));
    }
  };
  auto child = in_child([] {
    static Using const use;
    static_cast<void>(&use);
    (void)run([] { std::exit(kStatus); });
  });
  expect_exited(child, "received\n");
}

// A destructor on the janitor's thread takes its time, or exits itself.
template <class Gone>
void expect_quiet_beside_the_janitor() {
  auto child = in_child([] {
    (void)run([] {
      static hamgam::Map<int, std::shared_ptr<Gone>> map;
      map.store(0, nullptr);
      map.store(1, std::make_shared<Gone>());
      map.for_each([](int, const auto&) { (void)map.erase(1); });
      while (!Gone::begun) {
        hamgam::yield();
      }
      if (Gone::kExits) {
        hamgam::sleep(1h);
      }
      std::exit(kStatus);
    });
  });
  expect_exited(child);
}

struct Slow {
  static constexpr bool kExits = false;
  static inline std::atomic<bool> begun{false};
  ~Slow() {
    static Watched watched;
    begun = true;
    for (int i = 0; i < 10; ++i) {
      watched.use();
      std::this_thread::sleep_for(1ms);  // takes its time
    }
  }
};

TEST(Exit, beside_a_destructor_of_the_janitor) { expect_quiet_beside_the_janitor<Slow>(); }

struct Computing {
  static constexpr bool kExits = false;
  static inline std::atomic<bool> begun{false};
  ~Computing() {
    static Watched watched;
    begun = true;
    for (;;) {
      watched.use();
    }
  }
};

TEST(Exit, beside_a_destructor_of_the_janitor_that_computes) {
  expect_quiet_beside_the_janitor<Computing>();
}

// ThreadSanitizer ends a process that exits while it is to overlook what the thread does, as it is
// in these destructors.
#if !HAMGAM_TSAN_USER
struct Exiting {
  static constexpr bool kExits = true;
  static inline std::atomic<bool> begun{false};
  ~Exiting() {
    begun = true;
    std::exit(kStatus);
  }
};

TEST(Exit, by_a_destructor_of_the_janitor) { expect_quiet_beside_the_janitor<Exiting>(); }
#endif

// The end of a thread is not that of the process.
TEST(Exit, not_by_the_end_of_a_thread) {
  auto child = in_child([] {
    for (int i = 0; i < 20; ++i) {
      std::thread([] {
        hamgam::WaitGroup group;
        group.go([] { hamgam::sleep(100us); });
        group.wait();
      }).join();
    }
    std::exit(run([] {
      hamgam::sleep(1ms);
      return kStatus;
    }));
  });
  expect_exited(child);
}

}  // namespace
