// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "hamgam/hamgam.h"
#include "support/child.h"
#include "support/crew.h"
#include "support/full_pipe.h"
#include "support/scale.h"
#include "support/trace.h"
#include "support/until.h"

// Traces, as files that are read back. What every trace must be, read_trace() looks at: each slice
// has its end, those of a thread do not overlap, each arrow goes from a slice to another.

namespace hamgam {
namespace {

using namespace std::chrono_literals;
using test::read_trace;
using test::Slice;
using test::Trace;

// In both forms.
class TraceTest : public testing::TestWithParam<const char*> {
 protected:
  TraceTest()
      : path_(testing::TempDir() + "hamgam_trace_" + std::to_string(getpid()) + "." + GetParam()) {}
  ~TraceTest() override { std::remove(path_.c_str()); }

  void start(std::size_t memory = std::size_t{64} << 20) const {
    observe::start_trace(path_, {.memory = memory});
  }
  [[nodiscard]] Trace stop() const {
    observe::stop_trace();
    return read_trace(path_);
  }

  // In a child: its output is not shown.
  static void end_if_failed() {
    const testing::TestResult& result =
        *testing::UnitTest::GetInstance()->current_test_info()->result();
    for (int i = 0; i < result.total_part_count(); ++i) {
      std::fprintf(stderr, "%s\n", result.GetTestPartResult(i).summary());
    }
    if (HasFailure()) {
      std::_Exit(1);
    }
  }

  std::string const path_;
};

bool has_monitor() {
  for (auto const& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream file(entry.path() / "comm");
    std::string name;
    if (std::getline(file, name) && name == "hamgam-monitor") {
      return true;
    }
  }
  return false;
}

int sum_of_channel(int count) {
  auto const chan = make_chan<int>();
  WaitGroup group;
  group.go({.name = "sender"}, [&] {
    for (int i = 0; i < count; ++i) {
      chan.send(i);
    }
    chan.close();
  });
  int sum = 0;
  group.go({.name = "receiver"}, [&] {
    for (int const i : chan) {
      sum += i;
    }
  });
  group.wait();
  return sum;
}

TEST_P(TraceTest, smoke) {
  start();
  EXPECT_EQ(sum_of_channel(100), 4950);
  Trace const trace = stop();
  EXPECT_EQ(trace.lost, 0U);
  EXPECT_GT(trace.records, 100U);
  EXPECT_GT(trace.counters, 0U);
  EXPECT_GT(trace.named("sender (").size() + trace.named("receiver (").size(), 50U);
  EXPECT_TRUE(trace.has_arrow("sender", "receiver") || trace.has_arrow("receiver", "sender"));
  EXPECT_TRUE(trace.has_arrow("go", "sender"));  // started by a plain thread
  for (const char* name : {"sender", "receiver"}) {
    std::vector<Slice> const slices = trace.named(name);
    ASSERT_FALSE(slices.empty());
    for (const Slice& slice : slices) {
      bool const last = &slice == &slices.back();  // its end is told before it is left
      EXPECT_TRUE(last ? slice.then == "ended" || slice.then.empty()
                       : slice.then == "chan send" || slice.then == "chan receive")
          << name << " stopped because of " << slice.then;
    }
  }
}

TEST_P(TraceTest, in_run_the_main_goroutine_has_number_1) {
  auto const child = test::in_child([&] {
    start();
    run([] { sleep(1ms); });
    Trace const trace = stop();
    std::vector<Slice> const slices = trace.named("goroutine 1");
    ASSERT_GE(slices.size(), 2U);
    EXPECT_EQ(slices.front().then, "sleep");
    // Its end is told before it is left.
    EXPECT_TRUE(slices.back().then == "ended" || slices.back().then.empty());
    EXPECT_TRUE(trace.has_arrow("timer, socket", "goroutine 1") ||
                trace.has_arrow("", "goroutine 1"));
    end_if_failed();
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
}

TEST_P(TraceTest, regions_are_slices_of_their_goroutine) {
  start();
  WaitGroup group;
  group.go({.name = "reader"}, [] {
    observe::Region const outer("request");
    for (int i = 0; i < 3; ++i) {
      observe::Region const inner("parse");
      sleep(1ms);  // it may come back on another thread
    }
  });
  group.wait();
  std::thread([] { observe::Region const region("of a thread"); }).join();
  Trace const trace = stop();
  std::vector<Slice> const outer = trace.named("request", 2);
  std::vector<Slice> const inner = trace.named("parse", 2);
  ASSERT_EQ(outer.size(), 1U);
  ASSERT_EQ(inner.size(), 3U);
  for (const Slice& slice : inner) {
    EXPECT_EQ(slice.track, outer[0].track);
    EXPECT_GE(slice.end - slice.begin, 1000);
  }
  EXPECT_NE(trace.tracks.at({2, outer[0].track}).find("reader"), std::string::npos);
  EXPECT_EQ(trace.named("of a thread", 2).size(), 1U);
}

TEST_P(TraceTest, blocking_is_told_inside_of_the_slice) {
  start();
  WaitGroup group;
  std::atomic<bool> over{false};
  group.go({.name = "blocks"},
           [&] { blocking([&] { test::until([&] { return over.load(); }); }); });
  group.go({.name = "other"}, [&] { over = true; });
  group.wait();
  Trace const trace = stop();
  std::vector<Slice> const inside = trace.named("blocking");
  ASSERT_EQ(inside.size(), 1U);
  ASSERT_EQ(trace.named("blocks").size(), 1U);
  Slice const around = trace.named("blocks").front();
  EXPECT_EQ(around.track, inside[0].track);
  EXPECT_LE(around.begin, inside[0].begin);
  EXPECT_GE(around.end, inside[0].end);
}

// A goroutine that runs from before the beginning to behind the end is there, too; and one that was
// there before has its name.
TEST_P(TraceTest, what_ran_before_is_told_of) {
  WaitGroup group;
  std::atomic<bool> runs{false};
  std::atomic<bool> over{false};
  auto const gate = make_chan<Unit>();
  group.go({.name = "waits"}, [&] { (void)gate.recv(); });
  group.go({.name = "spins"}, [&] {
    runs = true;
    while (!over) {
    }
  });
  test::until([&] { return runs.load(); });
  start();
  gate.close();
  test::until([&] { return observe::stats().goroutines == 1; });
  Trace const trace = stop();
  over = true;
  group.wait();
  ASSERT_EQ(trace.named("spins").size(), 1U);
  EXPECT_EQ(trace.named("spins")[0].begin, 0);
  EXPECT_GT(trace.named("spins")[0].end, 0);
  ASSERT_EQ(trace.named("waits").size(), 1U);
  EXPECT_EQ(trace.named("waits")[0].then, "ended");  // it is no goroutine any more
}

// Test 15: a million records make a file that is right.
TEST_P(TraceTest, OB15_a_million_records) {
#if defined(__OPTIMIZE__)
  int const count = test::scaled_spawns(400'000);
#else
  int const count = test::scaled(10'000);  // it takes long to read
#endif
  start(std::size_t{256} << 20);
  WaitGroup group;
  for (int w = 0; w < 4; ++w) {
    group.go([&] {
      for (int i = 0; i < count / 4; ++i) {
        WaitGroup inner;
        inner.go([] {});
        inner.wait();
      }
    });
  }
  group.wait();
  Trace const trace = stop();
  EXPECT_EQ(trace.lost, 0U);
  EXPECT_GE(trace.records, 5U * static_cast<unsigned>(count) / 2);
  struct stat status {};
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  auto const size = static_cast<std::uint64_t>(status.st_size);
  std::printf("%llu records, %llu bytes\n", static_cast<unsigned long long>(trace.records),
              static_cast<unsigned long long>(size));
  if (path_.ends_with(".pftrace")) {
    EXPECT_LE(size, 20 * trace.records) << "more than 20 MB for a million";
  }
}

// Test 11: what does not fit is counted, and what is there is right and the newest.
TEST_P(TraceTest, OB11_what_is_lost_is_counted) {
  start(std::size_t{64} << 10);
  WaitGroup group;
  for (int w = 0; w < 4; ++w) {
    group.go({.name = "pingpong"}, [] { (void)sum_of_channel(test::scaled(20'000)); });
  }
  group.wait();
  WaitGroup last;
  last.go({.name = "last"}, [] {});
  last.wait();
  std::uint64_t const spawned = observe::stats().spawned;
  EXPECT_GT(spawned, 0U);
  Trace const trace = stop();
  EXPECT_GT(trace.lost, 1000U);
  EXPECT_LE(trace.records, (std::size_t{64} << 10) / 32);
  EXPECT_EQ(trace.named("last").size(), 1U);
}

// More workers than there is room for.
TEST_P(TraceTest, more_workers_than_chunks) {
  start(1);
  WaitGroup group;
  Barrier all(20);
  for (int i = 0; i < 20; ++i) {
    group.go([&all] {
      for (int j = 0; j < 10; ++j) {
        blocking([&all] { all.arrive_and_wait(); });
      }
    });
  }
  group.wait();
  EXPECT_GT(stop().lost, 0U);
}

TEST_P(TraceTest, one_after_the_other) {
  for (int i = 0; i < 20; ++i) {
    start();
    EXPECT_EQ(sum_of_channel(10), 45);
    Trace const trace = stop();
    EXPECT_EQ(trace.lost, 0U);
    EXPECT_FALSE(trace.named("sender").empty());
  }
}

// Workers write when it ends and when the next begins.
TEST_P(TraceTest, begins_and_ends_under_load) {
  std::atomic<bool> over{false};
  WaitGroup group;
  for (int i = 0; i < 4; ++i) {
    group.go([&over] {
      while (!over) {
        (void)sum_of_channel(100);
      }
    });
  }
  test::Crew crew(test::Who::kBoth);
  for (int i = 0; i < 2; ++i) {
    crew.start([&over] {
      while (!over) {
        WaitGroup inner;
        inner.go([] { observe::Region const region("region"); });
        inner.wait();
      }
    });
  }
  for (int i = 0; i < test::scaled(20); ++i) {
    start(std::size_t{16} << 10);
    sleep(1ms);
    (void)stop();
  }
  over = true;
  crew.join();
  group.wait();
}

TEST_P(TraceTest, errors_are_told) {
  EXPECT_THROW(observe::start_trace("/nowhere/at/all.json"), std::system_error);
  observe::stop_trace();  // nothing is on
  start();
  try {
    observe::start_trace(path_ + ".other");
    ADD_FAILURE() << "two at once";
  } catch (const std::system_error& e) {
    EXPECT_EQ(e.code(), std::errc::device_or_resource_busy);
    EXPECT_NE(std::string(e.what()).find(path_), std::string::npos) << e.what();
  }
  EXPECT_EQ(access((path_ + ".other").c_str(), F_OK), -1);
  EXPECT_EQ(sum_of_channel(10), 45);
  EXPECT_FALSE(stop().named("sender").empty());  // the first one has taken no harm
}

// The disk is full: it says so, keeps what it has, and the next trace may begin.
TEST_P(TraceTest, a_full_disk) {
  observe::start_trace("/dev/full");
  EXPECT_EQ(sum_of_channel(10), 45);
  for (int i = 0; i < 2; ++i) {
    try {
      observe::stop_trace();
      ADD_FAILURE() << "it was written";
    } catch (const std::system_error& e) {
      EXPECT_EQ(e.code(), std::errc::no_space_on_device) << e.what();
    }
  }
  start();
  EXPECT_EQ(sum_of_channel(10), 45);
  EXPECT_FALSE(stop().named("sender").empty());
}

TEST_P(TraceTest, a_file_that_is_there_stays_until_it_is_written) {
  std::FILE* const file = std::fopen(path_.c_str(), "w");
  ASSERT_NE(file, nullptr);
  std::string const former(100'000, 'x');
  std::fputs(former.c_str(), file);
  std::fclose(file);
  start();
  struct stat status {};
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_size, 100'000);
  EXPECT_EQ(sum_of_channel(10), 45);
  EXPECT_FALSE(stop().named("sender").empty());  // nothing of the former is behind it
}

TEST_P(TraceTest, the_exit_writes_it) {
  auto const child = test::in_child(
      [] {
        std::string const path = std::getenv("TRACE_PATH");
        observe::start_trace(path);
        run([] { EXPECT_EQ(sum_of_channel(10), 45); });
        std::exit(0);
      },
      {"TRACE_PATH=" + path_});
  EXPECT_TRUE(child.succeeded()) << child.error;
  EXPECT_FALSE(read_trace(path_).named("sender").empty());
}

// Not for a stopped goroutine, and so without destructors.
TEST_P(TraceTest, the_exit_writes_it_beside_one_that_computes) {
  auto const child = test::in_child(
      [] {
        observe::start_trace(std::getenv("TRACE_PATH"));
        EXPECT_EQ(sum_of_channel(10), 45);
        std::atomic<bool> computes{false};
        go([&computes] {
          for (volatile bool for_ever = computes = true; for_ever;) {
          }
        });
        test::until([&computes] { return computes.load(); });
        std::exit(0);
      },
      {"TRACE_PATH=" + path_});
  EXPECT_TRUE(child.succeeded()) << child.error;
  EXPECT_FALSE(read_trace(path_).named("sender").empty());
}

// Who has begun to write is waited for.
TEST_P(TraceTest, the_exit_beside_who_stops_it) {
  auto const child = test::in_child(
      [] {
        observe::start_trace(std::getenv("TRACE_PATH"));
        (void)sum_of_channel(test::scaled(20'000));
        std::atomic<bool> begins{false};
        std::thread([&begins] {
          begins = true;
          observe::stop_trace();
        }).detach();
        test::until([&begins] { return begins.load(); });
        std::exit(0);
      },
      {"TRACE_PATH=" + path_});
  EXPECT_TRUE(child.succeeded()) << child.error;
  EXPECT_FALSE(read_trace(path_).named("sender").empty());
}

// Without a search for leaks: what the parent's threads have is nobody's in the child.
TEST_P(TraceTest, the_child_of_a_fork_is_not_traced) {
  auto const body = [this] {
    start();
    EXPECT_EQ(sum_of_channel(10), 45);
    pid_t const pid = fork();
    if (pid == 0) {
      observe::stop_trace();  // not ours: nothing happens
      { observe::Region const region("of the child"); }
      std::exit(0);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0);
    Trace const trace = stop();
    EXPECT_FALSE(trace.named("sender").empty());
    EXPECT_TRUE(trace.named("of the child", 2).empty());
    end_if_failed();
  };
  auto const outer = test::in_child(body, {"ASAN_OPTIONS=detect_leaks=0"});
  EXPECT_TRUE(outer.succeeded()) << outer.error;
}

TEST_P(TraceTest, names_of_any_letters) {
  start();
  WaitGroup group;
  group.go({.name = "a \"quoted\" \\ name\n of more than eight bytes"}, [] {});
  group.go({.name = "گوروتین"}, [] {});
  group.go({.name = "broken \xff\xc3"}, [] {});
  group.wait();
  Trace const trace = stop();
  EXPECT_EQ(trace.named("a \"quoted\" \\ name\n of more than eight bytes").size(), 1U);
  EXPECT_EQ(trace.named("گوروتین").size(), 1U);
  EXPECT_EQ(trace.named("broken ??").size(), 1U);
}

// Again and again, while workers write and chunks are used again: each is whole in itself.
TEST_P(TraceTest, it_is_written_while_it_goes_on) {
  start(std::size_t{128} << 10);
  std::atomic<bool> over{false};
  WaitGroup group;
  for (int i = 0; i < 4; ++i) {
    group.go({.name = "pingpong"}, [&over] {
      while (!over) {
        (void)sum_of_channel(100);
      }
    });
  }
  std::string const copy = path_.substr(0, path_.rfind('.')) + "_copy." + GetParam();
  for (int i = 0; i < (test::emulated() ? 2 : 5); ++i) {
    observe::Region const region("copied");
    observe::write_trace(copy);
    Trace const trace = read_trace(copy);
    EXPECT_LE(trace.named("copied", 2).size(), 1U + static_cast<unsigned>(i));
    EXPECT_FALSE(trace.slices.empty());
  }
  over = true;
  group.wait();
  std::remove(copy.c_str());
  EXPECT_FALSE(stop().slices.empty());
  EXPECT_THROW(observe::write_trace(copy), std::system_error);  // there is none
}

TEST_P(TraceTest, without_a_file_only_copies_are_written) {
  observe::start_trace("");
  EXPECT_EQ(sum_of_channel(10), 45);
  observe::write_trace(path_);
  EXPECT_EQ(sum_of_channel(10), 45);
  Trace const trace = read_trace(path_);
  EXPECT_EQ(trace.lost, 0U);
  EXPECT_EQ(trace.named("sender (").empty(), false);
  observe::stop_trace();
  EXPECT_THROW(observe::write_trace("/nowhere/at/all.json"), std::system_error);
}

TEST_P(TraceTest, a_flight_recorder_is_written_when_the_process_dies) {
  if (test::emulated()) {
    return;  // nothing is taken for a deadlock there
  }
  auto const child = test::in_child(
      [] {
        observe::start_trace(std::getenv("TRACE_PATH"), {.on_reports = true});
        run([] {
          EXPECT_EQ(sum_of_channel(10), 45);
          (void)make_chan<int>().recv();
        });
      },
      {"TRACE_PATH=" + path_});
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.says("deadlock!"));
  EXPECT_TRUE(child.says("hamgam: what led to it: " + path_ + "\n")) << child.error;
  Trace const trace = read_trace(path_);
  EXPECT_FALSE(trace.named("sender (").empty());
  EXPECT_EQ(trace.named("goroutine 1").back().then, "chan receive");
}

// Also if it is the first goroutine's exception, that comes out of run(); and if nobody reads
// standard error.
TEST_P(TraceTest, a_flight_recorder_is_written_when_an_exception_comes_out_of_run) {
  auto const child = test::in_child(
      [] {
        observe::start_trace(std::getenv("TRACE_PATH"), {.on_reports = true});
        std::thread([] {  // GoogleTest would catch it
          run([] {
            EXPECT_EQ(sum_of_channel(10), 45);
            throw std::runtime_error("out");
          });
        })
            .join();
      },
      {"TRACE_PATH=" + path_});
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.says("hamgam: what led to it: " + path_ + "\n")) << child.error;
  EXPECT_FALSE(read_trace(path_).named("sender (").empty());
}

TEST_P(TraceTest, a_flight_recorder_is_written_though_nobody_reads_errors) {
  if (test::emulated()) {
    return;  // an emulator tells of the death itself, and waits for a reader
  }
  auto const child = test::in_child(
      [] {
        observe::start_trace(std::getenv("TRACE_PATH"), {.on_reports = true});
        EXPECT_EQ(sum_of_channel(10), 45);
        test::fill_standard_error();
        go([] { (void)make_chan<int>(-1); });
        test::until([] { return false; });
      },
      {"TRACE_PATH=" + path_});
  EXPECT_TRUE(child.aborted());
  EXPECT_FALSE(read_trace(path_).named("sender (").empty());
}

TEST_P(TraceTest, a_flight_recorder_is_written_at_a_fault) {
  auto const child = test::in_child(
      [] {
        observe::start_trace(std::getenv("TRACE_PATH"), {.on_reports = true});
        WaitGroup group;
        group.go([] {});
        group.wait();
        test::until(&has_monitor);  // who writes it
        group.go({.name = "faults"}, [] {
          int* volatile const nowhere = reinterpret_cast<int*>(64);
          *nowhere = 1;
        });
        group.wait();
      },
      {"TRACE_PATH=" + path_, "ASAN_OPTIONS=handle_segv=0", "TSAN_OPTIONS=handle_segv=0"});
  EXPECT_FALSE(child.succeeded());
  EXPECT_TRUE(child.says("hamgam: what led to it: " + path_ + "\n")) << child.error;
  EXPECT_FALSE(read_trace(path_).named("faults").empty());
}

TEST_P(TraceTest, a_flight_recorder_is_written_at_a_deadlock_of_some) {
  auto const child = test::in_child(
      [] {
        observe::start_trace(std::getenv("TRACE_PATH"), {.on_reports = true});
        observe::watch_locks();
        static Mutex mutex;
        go({.name = "itself"}, [] {
          mutex.lock();
          mutex.lock();
        });
        test::until([] { return observe::lock_reports() == 1; });
        std::_Exit(0);
      },
      {"TRACE_PATH=" + path_});
  EXPECT_TRUE(child.succeeded()) << child.error;
  std::string flight = path_;
  flight.insert(flight.rfind('.'), "-deadlock");
  EXPECT_TRUE(child.says("hamgam: what led to it: " + flight + "\n")) << child.error;
  EXPECT_EQ(read_trace(flight).named("itself").back().then, "sync.Mutex.Lock");
  std::remove(flight.c_str());
}

// Who waits for a stop is not kept back by goroutines that it stands in the way of.
TEST_P(TraceTest, a_goroutine_stops_it_on_the_only_processor) {
  test::Procs const one(1);
  start();
  WaitGroup group;
  group.go([] {
    EXPECT_EQ(sum_of_channel(10), 45);
    observe::stop_trace();
  });
  group.wait();
  EXPECT_FALSE(read_trace(path_).named("sender").empty());
}

INSTANTIATE_TEST_SUITE_P(Forms, TraceTest, testing::Values("json", "pftrace"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace hamgam
