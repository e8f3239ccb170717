// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <new>
#include <span>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "hamgam/hamgam.h"
#include "support/asleep.h"
#include "support/descriptors.h"
#include "support/until.h"

namespace hamgam {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace): literals
namespace fs = std::filesystem;

// A folder, gone afterwards.
class Files : public testing::Test {
 protected:
  Files() {
    std::string name = (fs::temp_directory_path() / "hamgam-files-").string() + std::string(6, 'X');
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  ~Files() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  [[nodiscard]] fs::path path(const char* name) const { return folder_ / name; }
  [[nodiscard]] fs::path fifo() const {
    EXPECT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);
    return path("pipe");
  }

 private:
  fs::path folder_;
};

template <class F>
std::string what_of(F f) {
  try {
    f();
  } catch (const std::system_error& e) {
    return e.what();
  }
  return {};
}

TEST_F(Files, there_and_back) {
  auto play = [this] {
    int const before = test::open_descriptors();
    for (std::size_t const size : {0U, 1U, 4095U, 4096U, 4097U, 3'000'000U}) {
      std::string text(size, '\0');
      for (std::size_t i = 0; i < size; ++i) {
        text[i] = static_cast<char>(i * 7 + i / 251);
      }
      file::write_all(path("a"), text);
      EXPECT_TRUE(file::read_all(path("a")) == text) << size;
    }
    file::write_all(path("a"), "short");  // what was there is gone
    EXPECT_EQ(file::read_all(path("a")), "short");
    std::vector<std::byte> const bytes(5, std::byte{'x'});
    std::error_code error = std::make_error_code(std::errc::io_error);
    EXPECT_EQ(file::write_all(path("b"), bytes, error), 5U);
    EXPECT_FALSE(error);
    EXPECT_EQ(file::read_all(path("b"), error), "xxxxx");
    EXPECT_FALSE(error);
    EXPECT_LE(test::open_descriptors(), before);
  };
  play();
  (void)run(play);
}

TEST_F(Files, whose_size_is_not_told) {
  std::string const status = file::read_all("/proc/self/status");
  EXPECT_EQ(status.rfind("Name:", 0), 0U);
  EXPECT_EQ(status.back(), '\n');
  EXPECT_EQ(file::read_all("/dev/null"), "");
}

TEST_F(Files, what_fails_is_told) {
  int const before = test::open_descriptors();
  std::string const none = path("none").string();
  EXPECT_EQ(what_of([&] { (void)file::read_all(none); }),
            "open " + none + ": No such file or directory");
  EXPECT_EQ(what_of([&] { (void)file::read_all_for(none, 1h); }),
            "open " + none + ": No such file or directory");
  EXPECT_EQ(what_of([&] { file::write_all(none + "/x", "text"); }),
            "open " + none + "/x: No such file or directory");
  std::error_code error;
  EXPECT_EQ(file::read_all(none, error), "");
  EXPECT_EQ(error, std::errc::no_such_file_or_directory);
  EXPECT_EQ(file::read_all(path(""), error), "");
  EXPECT_EQ(error, std::errc::is_a_directory);
  EXPECT_EQ(what_of([&] { (void)file::read_all(path("")); }),
            "read " + path("").string() + ": Is a directory");
  EXPECT_EQ(file::write_all("/dev/full", "text", error), 0U);
  EXPECT_EQ(error, std::errc::no_space_on_device);
  EXPECT_EQ(what_of([] { file::write_all("/dev/full", "text"); }),
            "write /dev/full: No space left on device");
  EXPECT_EQ(test::open_descriptors(), before);
}

// A path of which the system would see the beginning only.
TEST_F(Files, no_other_file_than_was_named) {
  using std::string_literals::operator""s;
  fs::path const other = path("").native() + "other\0name"s;
  std::error_code error;
  EXPECT_EQ(file::write_all(other, "text", error), 0U);
  EXPECT_EQ(error, std::errc::invalid_argument);
  EXPECT_FALSE(fs::exists(path("other")));
  EXPECT_EQ(file::read_all(other, error), "");
  EXPECT_EQ(error, std::errc::invalid_argument);
}

// A file with a hole that no string could hold.
TEST_F(Files, larger_than_any_string) {
  int const number = memfd_create("hole", MFD_CLOEXEC);
  ASSERT_EQ(ftruncate(number, std::numeric_limits<off_t>::max()), 0);
  std::string const name = "/proc/self/fd/" + std::to_string(number);
  EXPECT_THROW((void)file::read_all(name), std::bad_alloc);
  std::error_code error;
  EXPECT_THROW((void)file::read_all(name, error), std::bad_alloc);
  EXPECT_THROW((void)file::read_all_for(name, 1h), std::bad_alloc);
  ::close(number);
}

// A named pipe blocks who opens it until there is somebody at the other end.
TEST_F(Files, others_go_on_meanwhile) {
  fs::path const pipe = fifo();
  (void)run([&] {
    auto reader = spawn([&] { return file::read_all(pipe); });
    std::string const text(300'000, 'x');  // more than a pipe holds
    for (int i = 0; i < 100; ++i) {
      EXPECT_EQ(spawn([i] { return i; }).get(), i);
    }
    EXPECT_FALSE(reader.done());
    file::write_all(pipe, text);
    EXPECT_EQ(reader.get(), text);
  });
}

// To a pipe whose reader has gone.
TEST_F(Files, raises_no_sigpipe) {
  fs::path const pipe = fifo();
  (void)run([&] {
    auto writer = spawn([&] {
      std::error_code error;
      std::string const text(300'000, 'x');
      EXPECT_LT(file::write_all(pipe, text, error), text.size());
      return error;
    });
    int const reader = blocking([&] { return open(pipe.c_str(), O_RDONLY | O_CLOEXEC); });
    char byte = 0;
    EXPECT_EQ(blocking([&] { return read(reader, &byte, 1); }), 1);
    close(reader);
    EXPECT_EQ(writer.get(), std::errc::broken_pipe);
  });
}

TEST_F(Files, a_reading_is_given_up) {
  fs::path const pipe = fifo();
  (void)run([&] {
    EXPECT_FALSE(file::read_all_for(pipe, 1ms));
    EXPECT_FALSE(file::read_all_until(pipe, Clock::now() + 1ms));
    std::stop_source source;
    auto stopped = spawn([&] { return file::read_all(pipe, source.get_token()); });
    source.request_stop();
    EXPECT_FALSE(stopped.get());
    file::write_all(path("a"), "text");
    EXPECT_EQ(file::read_all_for(path("a"), 1h), "text");
    EXPECT_EQ(file::read_all_until(path("a"), Clock::now() + 1h), "text");
    std::stop_source const other;
    EXPECT_EQ(file::read_all(path("a"), other.get_token()), "text");
    EXPECT_TRUE(test::comes_true([&] {  // their threads still wait for a writer, or soon will
      ::close(open(pipe.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
      return num_goroutine() == 1;
    }));
  });
}

// Who has no time, or is stopped already, reads nothing: of a pipe it would be gone.
TEST_F(Files, a_reading_that_is_over_does_not_begin) {
  fs::path const pipe = fifo();
  (void)run([&] {
    std::stop_source source;
    source.request_stop();
    EXPECT_FALSE(file::read_all(pipe, source.get_token()));
    EXPECT_FALSE(file::read_all_for(pipe, 0ms));
    EXPECT_FALSE(file::read_all_until(pipe, Clock::now() - 1h));
    EXPECT_EQ(num_goroutine(), 1);
    EXPECT_EQ(open(pipe.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC), -1);  // no reader
    EXPECT_EQ(errno, ENXIO);
  });
}

TEST_F(Files, many_at_once) {
  (void)run([&] {
    WaitGroup group;
    for (int i = 0; i < 100; ++i) {
      group.go([&, i] {
        std::string const name = std::to_string(i);
        std::string const text(static_cast<std::size_t>(100 * i), 'y');
        for (int k = 0; k < 5; ++k) {
          file::write_all(path(name.c_str()), text);
          EXPECT_EQ(file::read_all(path(name.c_str())), text);
        }
      });
    }
    group.wait();
  });
}

// They have places among the calls that block.
TEST_F(Files, count_to_max_blocking) {
  file::write_all(path("a"), "text");
  int const former = max_blocking(1);
  (void)run([&] {
    std::atomic<bool> inside{false};
    std::atomic<bool> open{false};
    auto holder = spawn([&] {
      blocking([&] {
        inside = true;
        while (!open) {
          std::this_thread::yield();
        }
      });
    });
    test::until([&] { return inside.load(); });
    std::uint64_t const before = test::parks();
    auto reader = spawn([&] { return file::read_all(path("a")); });
    test::until([before] { return test::parks() > before; });
    EXPECT_FALSE(reader.done());
    open = true;
    EXPECT_EQ(reader.get(), "text");
  });
  max_blocking(former);
}

}  // namespace
}  // namespace hamgam
