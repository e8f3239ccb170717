// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// wordfreq: the most frequent words of all text files under the given paths.
//
// Exit status: 0 all went well, also if single files could not be read; 1 --check found a
// difference; 2 wrong usage, a path that does not exist, or no output; 3 there was something to
// read, but nothing of it could be; 130 Ctrl-C.
#include <fcntl.h>
#include <fmt/format.h>
#include <hamgam/context.h>
#include <hamgam/go.h>
#include <hamgam/signals.h>
#include <hamgam/version.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <string>
#include <system_error>
#include <vector>

#include "count.h"
#include "files.h"
#include "progress.h"
#include "report.h"

namespace {

enum ExitStatus { kOk = 0, kDiffers = 1, kUsage = 2, kNothingRead = 3, kInterrupted = 130 };

struct Options {
  std::size_t top = 20;
  int jobs = hamgam::max_procs();
  bool skip_common = false;
  bool check = false;
  bool no_progress = false;
  bool json = false;
  std::vector<std::string> paths{"."};
};

// Says what is wrong with it, or nothing.
std::string must_be_count(const std::string& text) {
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size()
             ? ""
             : fmt::format("'{}' is not a number from 0 on", text);
}

void declare(CLI::App& app, Options& options) {
  constexpr int kMostJobs = 1024;
  app.add_option("--top", options.top, "How many of the most frequent words to print")
      ->check(CLI::Validator(must_be_count, "NUMBER"))
      ->capture_default_str();
  app.add_option("--jobs", options.jobs, "How many goroutines count, on as many cores")
      ->check(CLI::Range(1, kMostJobs))
      ->capture_default_str();
  app.add_flag("--skip-common", options.skip_common,
               "Leave the most common English words (the, of, and, ...) out of those printed");
  app.add_flag("--check", options.check, "Count again in one plain loop and compare");
  app.add_flag("--no-progress", options.no_progress, "No progress bar");
  app.add_flag("--json", options.json, "Print JSON");
  app.add_option("PATH", options.paths, "Files and directories; - is standard input")
      ->capture_default_str();
  app.set_version_flag("--version",
                       fmt::format("wordfreq, an example of Hamgam {}.{}.{}", HAMGAM_VERSION_MAJOR,
                                   HAMGAM_VERSION_MINOR, HAMGAM_VERSION_PATCH));
  app.footer(
      "A word is letters and digits of any alphabet, in UTF-8. A to Z count as a to z; other "
      "capital\n"
      "letters are kept apart (\u00c9 from \u00e9). Symbolic links are not followed. Binary files, "
      "pipes,\n"
      "sockets and devices are left out.\n\n"
      "Exit status: 0 well done, 1 --check found a difference, 2 wrong usage or no output, 3 "
      "nothing\n"
      "could be read, 130 Ctrl-C.");
}

bool all_exist(const std::vector<std::string>& paths) {
  bool all = true;
  for (const auto& path : paths) {
    struct stat info {};
    if (path == "-") {
      continue;
    }
    if (lstat(path.c_str(), &info) != 0) {
      wordfreq::complain(path, std::strerror(errno));
      all = false;
    } else if (S_ISLNK(info.st_mode)) {
      wordfreq::complain(path, "Symbolic link, not followed");
    } else if (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) {
      wordfreq::complain(path, "Neither a file nor a directory, left out");
    }
  }
  return all;
}

// A standard descriptor that is closed would be taken by whatever is opened next, and the report be
// written to that. What is put in its place refuses what it is used for.
void occupy_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(descriptor, F_GETFD) < 0) {
      // The lowest one that is free: this one. It stays open.
      (void)open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    }
  }
}

bool print(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0 &&
      std::ferror(stdout) == 0) {
    return true;
  }
  wordfreq::complain("standard output", std::strerror(errno));
  return false;
}

int count(const Options& options) {
  hamgam::max_procs(options.jobs);
  const auto [ctx, cancel] = hamgam::with_signals(hamgam::Context::background(), {SIGINT});
  const hamgam::CancelGuard guard(cancel);
  const auto second_kills = hamgam::after_func(ctx, cancel);  // does what it did before
  const bool show_progress = !options.no_progress && wordfreq::stderr_is_terminal();
  wordfreq::Totals totals;
  const auto result =
      wordfreq::count_parallel(ctx, options.paths, options.jobs, show_progress, totals);

  wordfreq::Report report{.counts = result.counts,
                          .totals = totals,
                          .elapsed = result.elapsed,
                          .top = options.top,
                          .skip_common = options.skip_common,
                          .jobs = options.jobs,
                          .interrupted = false,
                          .check = {}};
  if (options.check && !ctx.err()) {
    wordfreq::Totals plain;
    const auto again = wordfreq::count_plain(ctx, options.paths, plain);
    if (!ctx.err()) {
      report.check = {result.counts == again.counts, again.elapsed, plain.bytes.value()};
    }
  }
  report.interrupted = static_cast<bool>(ctx.err());
  if (!print(options.json ? as_json(report) : as_text(report))) {
    return kUsage;
  }
  if (report.interrupted) {
    return kInterrupted;
  }
  if (report.check && !report.check->agrees) {
    return kDiffers;
  }
  return totals.nothing_read() ? kNothingRead : kOk;
}

}  // namespace

int main(int argc, char** argv) {
  occupy_standard_descriptors();
  Options options;
  CLI::App app("Prints the most frequent words of all text files under the given paths.",
               "wordfreq");
  declare(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (app.exit(error) != 0) {
      return kUsage;
    }
    return print({}) ? kOk : kUsage;  // --help and --version
  }
  if (!all_exist(options.paths)) {
    return kUsage;
  }
  if (std::find(options.paths.begin(), options.paths.end(), "-") != options.paths.end()) {
    try {
      wordfreq::keep_standard_input();
    } catch (const std::system_error& error) {
      wordfreq::complain("standard input", error.what());
      return kUsage;
    }
  }
  return hamgam::run([&] { return count(options); });
}
