// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include "progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>

namespace wordfreq {
namespace {

constexpr std::string_view kClearLine = "\r\x1b[K";
constexpr std::size_t kBarWidth = 30;

// As much of the line as the terminal has room for, so that it never wraps.
std::string_view fit(std::string_view line) {
  winsize size{};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
  return line.substr(0, known ? size.ws_col - 1U : 79U);
}

}  // namespace

bool stderr_is_terminal() noexcept { return isatty(STDERR_FILENO) == 1; }

void Progress::draw() const {
  if (!on_) {
    return;
  }
  const double found = std::max(1.0, static_cast<double>(totals_.found_files.value()));
  const double share = std::min(1.0, static_cast<double>(totals_.done_files.value()) / found);
  const double bytes = static_cast<double>(totals_.bytes.value());
  const double all = std::max(1.0, static_cast<double>(totals_.found_bytes.value()));
  // Files are small and many, or big and few; not all are counted. So whichever is further.
  const double done = std::min(1.0, std::max(share, bytes / all));
  const auto filled = static_cast<std::size_t>(done * kBarWidth);
  const std::string line =
      fmt::format("[{:<{}}] {:3.0f}% {} of {} files, {:.1f} MB{}", std::string(filled, '#'),
                  kBarWidth, done * 100, totals_.done_files.value(), totals_.found_files.value(),
                  bytes / 1e6, totals_.found_all.load() ? "" : ", looking for more");
  fmt::print(stderr, "{}{}", kClearLine, fit(line));
}

void Progress::clear() const {
  if (on_) {
    fmt::print(stderr, "{}", kClearLine);
  }
}

void complain(std::string_view path, std::string_view why) {
  fmt::print(stderr, "{}wordfreq: {}: {}\n", stderr_is_terminal() ? kClearLine : "", path, why);
}

}  // namespace wordfreq
