// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iostream>
#include <ostream>
#include <random>
#include <sstream>
#include <streambuf>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "hamgam/hamgam.h"
#include "observe/stacks.h"
#include "support/child.h"
#include "support/crew.h"
#include "support/scale.h"
#include "support/seed.h"

// Dumps of programs that are large, busy or broken.

#if !defined(HAMGAM_TSAN) && !defined(HAMGAM_ASAN)
namespace {
std::atomic<int> g_tables_walked{0};  // by dl_iterate_phdr, while it is forbidden
thread_local bool t_forbidden = false;
}  // namespace

// The loader's lock is taken by it, and whoever holds that may wait for somebody who is held.
extern "C" int dl_iterate_phdr(int (*visit)(dl_phdr_info*, std::size_t, void*), void* argument) {
  static auto* const kReal =
      reinterpret_cast<decltype(&dl_iterate_phdr)>(dlsym(RTLD_NEXT, "dl_iterate_phdr"));
  stack_t handlers{};  // those of signals must not, either
  sigaltstack(nullptr, &handlers);
  g_tables_walked += t_forbidden || (handlers.ss_flags & SS_ONSTACK) != 0 ? 1 : 0;
  return kReal(visit, argument);
}
#endif

namespace hamgam {
namespace {

using namespace std::chrono_literals;
using test::stacks_are_seen;
using Steady = std::chrono::steady_clock;

// A stream into a pipe whose reader is slow.
class SlowPipe {
 public:
  SlowPipe() : out_(&buffer_) {
    EXPECT_EQ(pipe2(ends_.data(), O_CLOEXEC), 0);
    buffer_.fd = ends_[1];
    reader_ = std::thread([this] {
      std::array<char, 2048> text;
      while (ssize_t const got = read(ends_[0], text.data(), text.size())) {
        bytes_ += got;
        std::this_thread::sleep_for(1ms);
      }
    });
  }
  ~SlowPipe() {
    close(ends_[1]);
    reader_.join();
    close(ends_[0]);
  }
  SlowPipe(const SlowPipe&) = delete;
  SlowPipe& operator=(const SlowPipe&) = delete;
  std::ostream& out() { return out_; }

 private:
  struct Buffer : std::streambuf {
    int overflow(int c) override {
      char const byte = static_cast<char>(c);
      return xsputn(&byte, 1) == 1 ? c : EOF;
    }
    std::streamsize xsputn(const char* text, std::streamsize size) override {
      for (std::streamsize done = 0; done < size;) {
        ssize_t const written = write(fd, text + done, static_cast<std::size_t>(size - done));
        if (written < 0) {
          return done;
        }
        done += written;
      }
      return size;
    }
    int fd = -1;
  };

  std::array<int, 2> ends_{};
  Buffer buffer_;
  std::ostream out_;
  std::thread reader_;
  std::atomic<std::int64_t> bytes_{0};
};

// Goroutines that begin, wake each other and end, without a pause.
class Storm {
 public:
  Storm() {
    for (int i = 0; i < 8; ++i) {
      all_.go([this] {
        while (!over_) {
          auto const chan = make_chan<int>();
          WaitGroup pair;
          pair.go([&] { chan.send(1); });
          (void)chan.recv();
          yield();
          pair.wait();
          rounds_.fetch_add(1, std::memory_order_relaxed);
        }
      });
    }
  }
  ~Storm() {
    over_ = true;
    all_.wait();
  }
  Storm(const Storm&) = delete;
  Storm& operator=(const Storm&) = delete;

  // Rounds a second while f runs.
  template <class F>
  double rate(F f) {
    auto const begin = Steady::now();
    std::uint64_t const before = rounds_;
    f();
    return static_cast<double>(rounds_ - before) /
           std::chrono::duration<double>(Steady::now() - begin).count();
  }

 private:
  std::atomic<bool> over_{false};
  std::atomic<std::uint64_t> rounds_{0};
  WaitGroup all_;
};

// 1: a dump must not hang, whatever others do meanwhile, nor hold them up.
TEST(ObserveLoad, OB1_dumps_of_a_storm_into_a_slow_pipe) {
  Storm storm;
  SlowPipe pipe;
  int const dumps = test::scaled(1000);
  double best = 0;
  for (int done = 0; done < dumps;) {
    double const alone = storm.rate([] { std::this_thread::sleep_for(20ms); });
    double const beside = storm.rate([&] {
      for (int i = 0; i < dumps / 10 + 1 && done < dumps; ++i, ++done) {
        observe::dump(pipe.out());
      }
    });
    best = std::max(best, beside / alone);
  }
  EXPECT_TRUE(pipe.out().good());
  EXPECT_GE(best, 0.5);
}

// The same from within, by goroutines that look at each other.
TEST(ObserveLoad, OB1_several_that_look_at_each_other) {
  Storm storm;
  test::at_once(test::Who::kBoth, 4, [](int) {
    for (int i = 0; i < test::scaled(100); ++i) {
      EXPECT_GE(observe::goroutines().size(), 4U);
    }
  });
}

template <int kSite>
HAMGAM_TEST_FRAME void waits_at(const Chan<int>& chan) {
  (void)chan.recv();
  asm volatile("" ::"i"(kSite));
}

template <int... kSites>
auto sites(std::integer_sequence<int, kSites...> /*unused*/) {
  return std::array{&waits_at<kSites>...};
}

std::size_t peak_bytes() {
  std::ifstream file("/proc/self/status");
  for (std::string word; file >> word;) {
    if (word == "VmHWM:") {
      std::size_t kilobytes = 0;
      file >> kilobytes;
      return kilobytes * 1024;
    }
  }
  return 0;
}

// The processor time of the calling thread.
std::chrono::nanoseconds own_time() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

// 3 and 13: 100,000 goroutines are dumped in a second of processor time, in little memory, while a
// ticker of 1 ms is late by no more than 10 ms, beyond what it is late without. Several tries, as
// the machine may be busy.
TEST(ObserveLoad, OB3_a_hundred_thousand) {
  constexpr auto kSites = 50;
  int const count = test::scaled_spawns(100'000);
  auto const functions = sites(std::make_integer_sequence<int, kSites>());
  auto const chan = make_chan<int>();
  WaitGroup all;
  for (int i = 0; i < count; ++i) {
    all.go([&, i] { functions[static_cast<std::size_t>(i % kSites)](chan); });
  }
  test::until([&] { return test::count_waiting("chan receive") == count; });

  std::atomic<bool> over{false};
  std::atomic<std::int64_t> worst{0};
  all.go([&] {
    Ticker ticker(1ms);
    auto last = Steady::now();
    while (!over) {
      (void)ticker.chan().recv();
      auto const time = Steady::now();
      worst = std::max(worst.load(), std::int64_t{(time - last - 1ms) / 1us});
      last = time;
    }
  });
  std::size_t const memory = peak_bytes();
  auto fastest = std::chrono::nanoseconds::max();
  std::int64_t least_late = INT64_MAX;
  for (int i = 0; i < 30 && (fastest > 1s || least_late > 10'000); ++i) {
    std::ostringstream text;
    worst = 0;
    auto const begin = own_time();
    auto const wall = Steady::now();
    observe::dump(text);
    auto const took = own_time() - begin;
    auto const lasted = Steady::now() - wall;
    std::int64_t const beside = worst;
    worst = 0;
    std::this_thread::sleep_for(lasted);
    std::int64_t const alone = worst;
    fastest = std::min(fastest, took);
    least_late = std::min(least_late, beside - alone);
    std::printf("dump: %lld ms, ticker late by %lld us at most, %lld without, %zu bytes of text\n",
                static_cast<long long>(took / 1ms), static_cast<long long>(beside),
                static_cast<long long>(alone), text.str().size());
  }
  EXPECT_LE(peak_bytes(), memory + (std::size_t{64} << 20));
  EXPECT_LE(fastest, 1s);
  EXPECT_LE(least_late, 10'000);
  over = true;
  chan.close();
  all.wait();
}

// Calls those whose numbers follow in `way`, and the last one waits.
using Way = std::array<std::uint8_t, 6>;
using Step = void (*)(const Way& way, std::size_t at, const Chan<int>& chan);
const Step* all_steps();

template <int kStep>
HAMGAM_TEST_FRAME void step(const Way& way, std::size_t at, const Chan<int>& chan) {
  if (at == way.size()) {
    (void)chan.recv();
  } else {
    all_steps()[way[at]](way, at + 1, chan);
  }
  asm volatile("" ::"i"(kStep));
}

template <int... kSteps>
const Step* table_of(std::integer_sequence<int, kSteps...> /*unused*/) {
  static constexpr Step kAll[] = {&step<kSteps>...};
  return kAll;
}

constexpr int kStepsThere = 200;
const Step* all_steps() { return table_of(std::make_integer_sequence<int, kStepsThere>()); }

// Ten thousand different stacks through the same 200 functions: what is looked up for one of them
// is not looked up again.
TEST(ObserveLoad, OB12_ten_thousand_different_stacks) {
  int const count = test::scaled_spawns(10'000);
  std::mt19937 engine(test::seed());
  auto const chan = make_chan<int>();
  WaitGroup all;
  for (int i = 0; i < count; ++i) {
    Way way;
    for (std::uint8_t& one : way) {
      one = static_cast<std::uint8_t>(engine() % kStepsThere);
    }
    all.go([way, chan] { all_steps()[way[0]](way, 1, chan); });
  }
  test::until([&] { return test::count_waiting("chan receive") == count; });
  auto const begin = own_time();
  std::ostringstream text;
  observe::dump(text);
  auto const first = own_time() - begin;
#if defined(NDEBUG)
  auto const limit = test::slow() ? 500ms : 100ms;
#else
  auto const limit = 500ms;
#endif
  auto fastest = std::chrono::nanoseconds::max();
  for (int i = 0; i < 30 && fastest > limit; ++i) {
    std::ostringstream again;
    auto const now = own_time();
    observe::dump(again);
    fastest = std::min(fastest, own_time() - now);
  }
  std::printf("dump: %lld ms, then %lld ms, %zu bytes of text\n",
              static_cast<long long>(first / 1ms), static_cast<long long>(fastest / 1ms),
              text.str().size());
  EXPECT_LE(first, 2s);
  EXPECT_LE(fastest, limit);
  chan.close();
  all.wait();
}

#if !defined(HAMGAM_TSAN) && !defined(HAMGAM_ASAN)

// 8: the unwinder asks for no lock of the loader's, while others load and unload.
TEST(ObserveLoad, OB8_beside_dlopen) {
  auto const chan = make_chan<int>();
  WaitGroup all;
  for (int i = 0; i < 100; ++i) {
    all.go([&] { waits_at<0>(chan); });
  }
  test::until([&] { return test::count_waiting("chan receive") == 100; });
  std::atomic<bool> over{false};
  std::vector<std::thread> loaders;
  for (int i = 0; i < 4; ++i) {
    loaders.emplace_back([&] {
      while (!over) {
        if (void* library = dlopen("libutil.so.1", RTLD_NOW)) {
          dlclose(library);
        }
      }
    });
  }
  for (int i = 0; i < test::scaled(200); ++i) {
    t_forbidden = true;
    EXPECT_GE(observe::goroutines().size(), 100U);
    t_forbidden = false;
  }
  EXPECT_EQ(g_tables_walked, 0);
  over = true;
  for (std::thread& loader : loaders) {
    loader.join();
  }
  chan.close();
  all.wait();
}

HAMGAM_TEST_FRAME void uses_what_has_locks() {
  std::vector<std::string> many;
  for (int i = 0; i < 10; ++i) {
    many.emplace_back(static_cast<std::size_t>(100 * i), 'x');
  }
  try {
    throw Panic(many.back());
  } catch (const Panic&) {
    if (void* library = dlopen("libutil.so.1", RTLD_NOW)) {
      dlclose(library);
    }
  }
}

// The same for those that run, which may have been interrupted where they have any lock: of malloc,
// the loader, the unwinder.
TEST(ObserveLoad, OB8_those_that_run_have_locks) {
  std::atomic<bool> over{false};
  std::atomic<int> seen{0};
  WaitGroup all;
  for (int i = 0; i < 4; ++i) {
    all.go({.name = "runs"}, [&] {
      while (!over) {
        uses_what_has_locks();
      }
    });
  }
  for (int i = 0; i < test::scaled(100) || (seen == 0 && test::running_ones_are_seen()); ++i) {
    for (observe::GoroutineInfo const& info : observe::goroutines()) {
      seen += info.name == "runs" && test::stands_in(info, "uses_what_has_locks") ? 1 : 0;
    }
  }
  EXPECT_EQ(g_tables_walked, 0);
  over = true;
  all.wait();
}

#if defined(__x86_64__)

// 9: frames that cannot be unwound end the walk, not the process.

void waits_below(void* chan) { waits_at<1>(*static_cast<const Chan<int>*>(chan)); }

// f(argument), from code that has no unwind table.
extern "C" void hamgam_test_no_table(void (*f)(void*), void* argument);
asm(".text\n"
    ".type hamgam_test_no_table, @function\n"
    "hamgam_test_no_table:\n\t"
    "pushq %rbx\n\t"
    "movq %rdi, %rax\n\t"
    "movq %rsi, %rdi\n\t"
    "callq *%rax\n\t"
    "popq %rbx\n\t"
    "ret\n"
    ".size hamgam_test_no_table, . - hamgam_test_no_table\n");

// The same with a table that says the frame is found by rbp, which is not so.
extern "C" void hamgam_test_smashed(void (*f)(void*), void* argument);
asm(".text\n"
    ".type hamgam_test_smashed, @function\n"
    "hamgam_test_smashed:\n\t"
    ".cfi_startproc\n\t"
    "pushq %rbp\n\t"
    ".cfi_def_cfa_offset 16\n\t"
    ".cfi_offset rbp, -16\n\t"
    "movq %rsp, %rbp\n\t"
    ".cfi_def_cfa_register rbp\n\t"
    "movq $0x1230, %rbp\n\t"
    "movq %rdi, %rax\n\t"
    "movq %rsi, %rdi\n\t"
    "callq *%rax\n\t"
    "popq %rbp\n\t"
    ".cfi_def_cfa rsp, 8\n\t"
    "ret\n\t"
    ".cfi_endproc\n"
    ".size hamgam_test_smashed, . - hamgam_test_smashed\n");

TEST(ObserveLoad, OB9_broken_frames) {
  auto const chan = make_chan<int>();
  void* const argument = const_cast<Chan<int>*>(&chan);
  // The function without a table once more, in memory that belongs to no file.
  auto const* const code = reinterpret_cast<const void*>(&hamgam_test_no_table);
  constexpr std::size_t kPage = 4096;
  void* const page =
      mmap(nullptr, kPage, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(page, MAP_FAILED);
  std::memcpy(page, code, 16);
  auto const compiled = reinterpret_cast<void (*)(void (*)(void*), void*)>(page);
  WaitGroup all;
  all.go({.name = "no table"}, [&] { hamgam_test_no_table(&waits_below, argument); });
  all.go({.name = "no file"}, [&] { compiled(&waits_below, argument); });
  all.go({.name = "smashed"}, [&] { hamgam_test_smashed(&waits_below, argument); });
  for (const char* name : {"no table", "no file", "smashed"}) {
    test::await_waiting(name, "chan receive");
  }
  std::ostringstream text;
  observe::dump(text);
  for (const observe::GoroutineInfo& info : observe::goroutines()) {
    if (info.wait_reason == "chan receive" && stacks_are_seen()) {
      EXPECT_TRUE(test::stands_in(info, "waits_at<1>")) << test::text_of(info);
    }
  }
  if (stacks_are_seen()) {
    char address[32];
    std::snprintf(address, sizeof address, "%p", page);
    EXPECT_NE(
        text.str().find(std::string("??\n\t") + std::string(address, std::strlen(address) - 2)),
        std::string::npos)
        << text.str();
  }
  chan.close();
  all.wait();
  munmap(page, kPage);
}

HAMGAM_TEST_FRAME void looks_at_all(void* text) {
  std::ostringstream out;
  observe::dump(out);
  *static_cast<std::string*>(text) = out.str();
}

// Who looks at its own stack, or has it noted where it waits, had died of it.
TEST(ObserveLoad, OB9_broken_frames_of_its_own) {
  auto const child = test::in_child([] {
    observe::profile_waits();
    observe::watch_locks();
    auto const chan = make_chan<int>();
    void* const argument = const_cast<Chan<int>*>(&chan);
    std::string text;
    WaitGroup all;
    all.go([&] { hamgam_test_smashed(&waits_below, argument); });
    all.go([&] {
      hamgam_test_smashed(&looks_at_all, &text);
      chan.close();
    });
    all.wait();
    std::ostringstream waits;
    observe::write_profile(observe::Profile::block, waits);
    std::cerr << text << waits.str();
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
  EXPECT_TRUE(child.says("looks_at_all(void*)")) << child.error;
  EXPECT_TRUE(child.says("waits_at<1>")) << child.error;
}

#endif
#endif

}  // namespace
}  // namespace hamgam
