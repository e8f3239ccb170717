// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "hamgam/hamgam.h"
#include "support/child.h"
#include "support/full_pipe.h"
#include "support/scale.h"
#include "support/trace.h"
#include "support/until.h"

// What becomes of a trace when the process exits or dies while somebody is at it.

namespace hamgam {
namespace {

using namespace std::chrono_literals;
using test::read_trace;

class TraceEndTest : public testing::Test {
 protected:
  TraceEndTest() {
    const char* const given = std::getenv("TRACE_PATH");
    path_ = given != nullptr
                ? given
                : testing::TempDir() + "hamgam_trace_end_" + std::to_string(getpid()) + ".json";
    pipe_ = path_ + ".pipe";
    if (given == nullptr) {
      EXPECT_EQ(mkfifo(pipe_.c_str(), 0600), 0);
    }
  }
  ~TraceEndTest() override {
    if (std::getenv("TRACE_PATH") == nullptr) {
      std::remove(path_.c_str());
      std::remove(pipe_.c_str());
    }
  }

  [[nodiscard]] std::vector<std::string> settings() const {
    return {"TRACE_PATH=" + path_, "ASAN_OPTIONS=handle_segv=0", "TSAN_OPTIONS=handle_segv=0"};
  }

  void start() const { observe::start_trace(path_, {.on_reports = true}); }

  // More than fits into a pipe.
  static void record_much() {
    WaitGroup group;
    group.go({.name = "much"}, [] {
      for (int i = 0; i < 5000; ++i) {
        observe::Region const region("part");
      }
    });
    group.wait();
  }

  // A thread has begun to write it and waits for a reader: of what is returned.
  [[nodiscard]] int keep_busy() const {
    int const reader = open(pipe_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);  // NOLINT: variadic
    std::thread([this] { observe::write_trace(pipe_); }).detach();
    pollfd polled{reader, POLLIN, 0};
    EXPECT_EQ(poll(&polled, 1, -1), 1);
    (void)fcntl(reader, F_SETFL, 0);  // NOLINT: variadic
    return reader;
  }

  static void drain(int reader) {
    char buffer[4096];
    while (read(reader, buffer, sizeof buffer) > 0) {
    }
  }

  // A static object that is destroyed by the exit, before the trace would be written.
  static void stop_in_a_destructor() {
    struct Stops {
      ~Stops() {
        observe::stop_trace();
        std::fputs("stopped\n", stderr);
      }
    };
    static Stops const kStops;
  }

  // The pipe is there and has a reader, who does not read.
  void let_nobody_read() const {
    EXPECT_GE(open(pipe_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC), 0);  // NOLINT: variadic
  }

  static bool sleeps(pid_t thread) {
    std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/stat");
    std::string stat;
    std::getline(file, stat);
    return stat.find(") S ") != std::string::npos;
  }

  [[nodiscard]] std::string nobody_reads() const {
    return "hamgam: the trace is lost: nobody has read " + pipe_ + " for 3 seconds\n";
  }

  [[nodiscard]] std::string led_to_it() const { return "hamgam: what led to it: " + path_ + "\n"; }

  std::string path_;
  std::string pipe_;
};

// None of them is handed the trace when it is stopped already; nor dies of there being none.
TEST_F(TraceEndTest, goroutines_that_write_it_do_not_keep_it_from_the_exit) {
  for (int round = 0; round < (test::slow() ? 2 : 5); ++round) {
    std::remove(path_.c_str());
    auto const child = test::in_child(
        [this] {
          observe::start_trace(path_);
          run([] {
            record_much();
            auto const written = make_chan<int>(4);
            for (int i = 0; i < 4; ++i) {
              go([written] {
                for (bool first = true;; first = false) {
                  observe::write_trace("/dev/null");
                  if (first) {
                    written.send(1);
                  }
                }
              });
            }
            for (int i = 0; i < 4; ++i) {
              (void)written.recv();
            }
          });
          std::exit(0);
        },
        settings());
    if (std::getenv("TRACE_PATH") == nullptr) {  // not a child on its way to a later one
      EXPECT_TRUE(child.succeeded()) << child.error;
      EXPECT_EQ(child.error, "");
      EXPECT_FALSE(read_trace(path_).named("much").empty());
    }
  }
}

TEST_F(TraceEndTest, who_dies_waits_for_who_writes) {
  auto const child = test::in_child(
      [this] {
        start();
        record_much();
        int const reader = keep_busy();
        std::thread([reader] {
          std::this_thread::sleep_for(300ms);  // until somebody dies, most often
          drain(reader);
        }).detach();
        go([] { throw std::runtime_error("dies"); });
        test::until([] { return false; });
      },
      settings());
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.says(led_to_it())) << child.error;
  EXPECT_FALSE(read_trace(path_).named("much").empty());
}

TEST_F(TraceEndTest, who_dies_of_a_fault_waits_for_who_writes) {
  auto const child = test::in_child(
      [this] {
        start();
        run([this] {
          record_much();
          int const reader = keep_busy();
          std::thread([reader] {
            std::this_thread::sleep_for(300ms);
            drain(reader);
          }).detach();
          int* volatile const nowhere = reinterpret_cast<int*>(64);
          *nowhere = 1;
        });
      },
      settings());
  EXPECT_FALSE(child.succeeded());
  EXPECT_TRUE(child.says(led_to_it())) << child.error;
  EXPECT_FALSE(read_trace(path_).named("much").empty());
}

TEST_F(TraceEndTest, who_dies_says_that_somebody_did_not_get_on) {
  auto const child = test::in_child(
      [this] {
        start();
        record_much();
        (void)keep_busy();
        go([] { throw std::runtime_error("dies"); });
        test::until([] { return false; });
      },
      settings());
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.says("hamgam: what led to it is lost: another thread is at the trace\n"))
      << child.error;
}

TEST_F(TraceEndTest, the_exit_says_that_somebody_did_not_get_on) {
  auto const child = test::in_child(
      [this] {
        start();
        record_much();
        (void)keep_busy();
        std::exit(0);
      },
      settings());
  EXPECT_TRUE(child.succeeded());
  EXPECT_TRUE(child.says("hamgam: the trace is lost: another thread is at it")) << child.error;
}

TEST_F(TraceEndTest, a_destructor_that_stops_it_waits_for_who_writes) {
  auto const child = test::in_child(
      [this] {
        observe::start_trace(path_);
        record_much();
        int const reader = keep_busy();
        std::thread([reader] {
          std::this_thread::sleep_for(2s);  // longer than the exit waits for other things
          drain(reader);
        }).detach();
        stop_in_a_destructor();
        std::exit(0);
      },
      settings());
  EXPECT_TRUE(child.succeeded());
  EXPECT_EQ(child.error, "stopped\n");
  EXPECT_FALSE(read_trace(path_).named("much").empty());
}

TEST_F(TraceEndTest, a_destructor_that_stops_it_says_that_somebody_did_not_get_on) {
  auto const child = test::in_child(
      [this] {
        observe::start_trace(path_);
        record_much();
        (void)keep_busy();
        stop_in_a_destructor();
        std::exit(0);
      },
      settings());
  EXPECT_TRUE(child.succeeded());
  EXPECT_EQ(child.error,
            "hamgam: the trace is lost: another thread is at it, and has not got on for 5 seconds\n"
            "stopped\n");
}

TEST_F(TraceEndTest, the_exit_says_that_nobody_reads) {
  auto const child = test::in_child(
      [this] {
        let_nobody_read();
        observe::start_trace(pipe_);
        record_much();
        std::exit(0);
      },
      settings());
  EXPECT_TRUE(child.succeeded());
  EXPECT_EQ(child.error, nobody_reads());
}

TEST_F(TraceEndTest, a_destructor_that_stops_it_says_that_nobody_reads) {
  auto const child = test::in_child(
      [this] {
        let_nobody_read();
        observe::start_trace(pipe_);
        record_much();
        stop_in_a_destructor();
        std::exit(0);
      },
      settings());
  EXPECT_TRUE(child.succeeded());
  EXPECT_EQ(child.error, nobody_reads() + "stopped\n");
}

TEST_F(TraceEndTest, a_destructor_that_writes_it_waits_for_no_reader) {
  auto const child = test::in_child(
      [this] {
        observe::start_trace(path_);
        record_much();
        struct Writes {
          ~Writes() {
            try {
              observe::write_trace(std::getenv("TRACE_PATH") + std::string(".pipe"));
            } catch (const std::system_error& error) {
              EXPECT_EQ(error.code(), std::errc::no_such_device_or_address);
              std::fputs("no reader\n", stderr);
            }
          }
        };
        static Writes const kWrites;
        std::exit(0);
      },
      settings());
  EXPECT_TRUE(child.succeeded());
  EXPECT_EQ(child.error, "no reader\n");
  EXPECT_FALSE(read_trace(path_).named("much").empty());
}

TEST_F(TraceEndTest, the_exit_does_not_wait_for_who_reads_errors) {
  auto const child = test::in_child(
      [] {
        observe::start_trace("/dev/full");
        record_much();
        test::fill_standard_error();
        std::exit(0);
      },
      settings());
  EXPECT_TRUE(child.succeeded()) << child.status;
}

// There is no trace yet while its file is opened.
TEST_F(TraceEndTest, the_exit_beside_who_starts_one) {
  auto const child = test::in_child(
      [this] {
        observe::start_trace(path_);
        observe::stop_trace();
        static std::atomic<pid_t> thread{0};
        std::thread([this] {
          thread = gettid();
          observe::start_trace(pipe_);
        }).detach();
        test::until([] { return thread != 0 && sleeps(thread); });
        stop_in_a_destructor();
        std::exit(0);
      },
      settings());
  EXPECT_TRUE(child.succeeded());
  EXPECT_EQ(child.error, "stopped\n");
}

// The file is open already: its name may lead elsewhere by now.
TEST_F(TraceEndTest, who_dies_elsewhere) {
  std::size_t const name = path_.rfind('/') + 1;
  auto const child = test::in_child(
      [&] {
        EXPECT_EQ(chdir(path_.substr(0, name).c_str()), 0);
        observe::start_trace(path_.substr(name), {.on_reports = true});
        record_much();
        EXPECT_EQ(chdir("/proc"), 0);
        go([] { throw std::runtime_error("dies"); });
        test::until([] { return false; });
      },
      settings());
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.says("hamgam: what led to it: /")) << child.error;
  EXPECT_TRUE(child.says("/" + path_.substr(name) + "\n")) << child.error;
  EXPECT_FALSE(read_trace(path_).named("much").empty());
}

// Beside the trace, not beside the program.
TEST_F(TraceEndTest, a_deadlock_elsewhere) {
  std::size_t const name = path_.rfind('/') + 1;
  auto const child = test::in_child(
      [&] {
        EXPECT_EQ(chdir(path_.substr(0, name).c_str()), 0);
        observe::start_trace(path_.substr(name), {.on_reports = true});
        record_much();
        EXPECT_EQ(chdir("/proc"), 0);
        observe::watch_locks();
        static Mutex mutex;
        go([] {
          mutex.lock();
          mutex.lock();
        });
        test::until([] { return observe::lock_reports() == 1; });
        std::_Exit(0);
      },
      settings());
  EXPECT_TRUE(child.succeeded());
  std::string flight = path_;
  flight.insert(flight.rfind('.'), "-deadlock");
  EXPECT_TRUE(child.says("hamgam: what led to it: /")) << child.error;
  EXPECT_TRUE(child.says("/" + flight.substr(name) + "\n")) << child.error;
  EXPECT_FALSE(read_trace(flight).named("much").empty());
  std::remove(flight.c_str());
}

TEST_F(TraceEndTest, from_a_folder_without_a_name) {
  std::size_t const name = path_.rfind('/') + 1;
  auto const child = test::in_child(
      [&] {
        std::string const folder = path_ + ".folder";
        EXPECT_EQ(mkdir(folder.c_str(), 0700), 0);
        EXPECT_EQ(chdir(folder.c_str()), 0);
        EXPECT_EQ(rmdir(folder.c_str()), 0);
        observe::start_trace("../" + path_.substr(name), {.on_reports = true});
        record_much();
        observe::stop_trace();
      },
      settings());
  EXPECT_TRUE(child.succeeded()) << child.error;
  EXPECT_FALSE(read_trace(path_).named("much").empty());
}

TEST_F(TraceEndTest, an_exception_that_was_caught_and_thrown_on) {
  auto const child = test::in_child(
      [this] {
        start();
        std::thread([] {  // GoogleTest would catch it
          try {
            run([] {
              record_much();
              throw std::runtime_error("out");
            });
          } catch (...) {
            throw;
          }
        })
            .join();
      },
      settings());
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.says(led_to_it())) << child.error;
  EXPECT_FALSE(read_trace(path_).named("much").empty());
}

TEST_F(TraceEndTest, a_slow_reader_gets_it_all) {
  std::string all;
  std::thread reader;
  if (std::getenv("TRACE_PATH") == nullptr) {
    reader = std::thread([this, &all] {
      int const file = open(pipe_.c_str(), O_RDONLY | O_CLOEXEC);  // NOLINT: variadic
      char buffer[4096];
      for (ssize_t got; (got = read(file, buffer, sizeof buffer)) > 0;) {
        all.append(buffer, static_cast<std::size_t>(got));
        std::this_thread::sleep_for(1ms);
      }
      close(file);
    });
  }
  auto const child = test::in_child(
      [this] {
        observe::start_trace(pipe_, {.on_reports = true});
        record_much();
        go([] { throw std::runtime_error("dies"); });
        test::until([] { return false; });
      },
      settings());
  reader.join();
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.says("hamgam: what led to it: " + pipe_ + "\n")) << child.error;
  std::ofstream(path_) << all;
  EXPECT_FALSE(read_trace(path_).named("much").empty());
}

// It waits until what writers have stored is seen by other means; ThreadSanitizer's do without.
#if !defined(HAMGAM_TSAN)
TEST_F(TraceEndTest, the_kernel_refuses_barriers_meanwhile) {
  auto const child = test::in_child(
      [] {
        observe::start_trace("");
        record_much();
        sock_filter code[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                              BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
                              BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                              BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
        sock_fprog const program{std::size(code), code};
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
            prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0) {
          auto const begin = std::chrono::steady_clock::now();
          observe::stop_trace();
          EXPECT_GE(std::chrono::steady_clock::now() - begin, 1ms);
        }
        std::_Exit(HasFailure() ? 1 : 0);
      },
      settings());
  EXPECT_TRUE(child.succeeded());
}
#endif

}  // namespace
}  // namespace hamgam
