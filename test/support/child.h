// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Runs a piece of a test in a child process of its own: this program, started again with the same
// test as its only one, which comes to the same call of in_child and runs its body there.
//
//   TEST(Mutex, misuse) {
//     auto child = in_child([] { Mutex().unlock(); });
//     EXPECT_TRUE(child.aborted());
//     EXPECT_TRUE(child.begins("fatal error: sync: unlock of unlocked mutex\n")) << child.error;
//   }
//
// The child passes by the earlier calls, whose Child is empty then: check with EXPECT, not ASSERT.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

namespace hamgam::test {

struct Child {
  int status = -1;    // of waitpid; -1: it was not started
  std::string error;  // what it wrote to standard error

  [[nodiscard]] bool aborted() const { return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT; }
  [[nodiscard]] bool succeeded() const { return WIFEXITED(status) && WEXITSTATUS(status) == 0; }
  [[nodiscard]] bool exited_with(int code) const {
    return WIFEXITED(status) && WEXITSTATUS(status) == code;
  }
  [[nodiscard]] bool begins(const std::string& text) const { return error.rfind(text, 0) == 0; }
  [[nodiscard]] bool says(const std::string& text) const {
    return error.find(text) != std::string::npos;
  }
};

namespace internal {

inline constexpr const char* kMark = "HAMGAM_TEST_CHILD";
inline constexpr unsigned kSeconds = 100;  // a child that hangs dies by SIGALRM then

inline std::string own_path() {
  char path[4096];
  ssize_t const length = readlink("/proc/self/exe", path, sizeof path);
  return {path, length > 0 ? static_cast<std::size_t>(length) : 0};
}

// Which call of in_child in the running test. It may run again, if tests are repeated.
inline int ordinal() {
  static std::string last;
  static int count = 0;
  const testing::TestInfo* info = testing::UnitTest::GetInstance()->current_test_info();
  std::string name = info->test_suite_name();
  name += '.';
  name += info->name();
  name += std::to_string(info->result()->start_timestamp());
  count = name == last ? count + 1 : 0;
  last = name;
  return count;
}

inline Child start(const std::vector<std::string>& settings, int number) {
  std::vector<std::string> words;
  if (const char* emulator = std::getenv("HAMGAM_TEST_EMULATOR")) {
    std::istringstream stream(emulator);
    for (std::string word; stream >> word;) {
      words.push_back(word);
    }
  }
  const testing::TestInfo* info = testing::UnitTest::GetInstance()->current_test_info();
  words.push_back(own_path());
  words.emplace_back("--gtest_filter=");
  words.back() += info->test_suite_name();
  words.back() += '.';
  words.back() += info->name();
  std::vector<char*> arguments;
  for (std::string& word : words) {
    arguments.push_back(word.data());
  }
  arguments.push_back(nullptr);
  std::vector<std::string> extra = settings;
  extra.emplace_back(kMark);
  extra.back() += '=';
  extra.back() += std::to_string(number);
  std::vector<char*> environment;
  for (std::string& setting : extra) {
    environment.push_back(setting.data());
  }
  for (char** entry = environ; *entry != nullptr; ++entry) {
    environment.push_back(*entry);
  }
  environment.push_back(nullptr);

  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return {};
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t pid = -1;
  int const refused =
      posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  Child child;
  char buffer[4096];
  for (ssize_t got; (got = read(ends[0], buffer, sizeof buffer)) > 0;) {
    child.error.append(buffer, static_cast<std::size_t>(got));
  }
  close(ends[0]);
  if (refused == 0) {
    waitpid(pid, &child.status, 0);
  }
  return child;
}

}  // namespace internal

// Runs body in a child with these additions to the environment ("NAME=value") and returns what
// became of it. The child exits with 0 if body returns.
template <class Body>
Child in_child(Body body, const std::vector<std::string>& settings = {}) {
  int const number = internal::ordinal();
  const char* mark = std::getenv(internal::kMark);
  if (mark == nullptr) {
    return internal::start(settings, number);
  }
  if (number == std::atoi(mark)) {
    rlimit const no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    alarm(internal::kSeconds);
    body();
#if defined(HAMGAM_TSAN)
    std::fflush(nullptr);
    std::_Exit(0);  // ThreadSanitizer would wait a second for races at the end
#else
    std::exit(0);
#endif
  }
  return {};  // the child is about a later one
}

// What a command of the shell prints, on standard error, too.
inline std::string output_of(const std::string& command) {
  std::string output;
  std::FILE* const pipe = popen((command + " 2>&1").c_str(), "re");
  char buffer[4096];
  for (std::size_t got;
       pipe != nullptr && (got = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) {
    output.append(buffer, got);
  }
  if (pipe != nullptr) {
    (void)pclose(pipe);
  }
  return output;
}

}  // namespace hamgam::test
