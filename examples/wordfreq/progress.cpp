// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include "progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace wordfreq {
namespace {

constexpr std::string_view kClearLine = "\r\x1b[K";
constexpr std::size_t kBarWidth = 30;

// How much of a line the terminal has room for, so that it never wraps.
std::size_t columns() {
  winsize size{};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
  return known ? size.ws_col - 1U : 79U;
}

// How many bytes at the begin of the text are one printable character of UTF-8; 0: none.
std::size_t printable(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const unsigned first = byte(0);
  if (first < 0x80) {
    return first >= 0x20 && first != 0x7f ? 1 : 0;
  }
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || (first == 0xc2 && byte(1) < 0xa0)) {
    return 0;  // the last: control characters, of 8 bits
  }
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0U) != 0x80) {
      return 0;
    }
  }
  return length;
}

std::string harmless(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    if (const std::size_t length = printable(text); length > 0) {
      result += text.substr(0, length);
      text.remove_prefix(length);
    } else {
      result += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[0]));
      text.remove_prefix(1);
    }
  }
  return result;
}

// If standard error takes nothing there is nobody to tell.
void write_out(const std::string& text) { (void)std::fwrite(text.data(), 1, text.size(), stderr); }

}  // namespace

bool stderr_is_terminal() noexcept {
  const char* type = std::getenv("TERM");
  return isatty(STDERR_FILENO) == 1 && (type == nullptr || std::strcmp(type, "dumb") != 0);
}

void Progress::draw() const {
  if (!on_) {
    return;
  }
  const double found = std::max(1.0, static_cast<double>(totals_.found_files.value()));
  const double share = std::min(1.0, static_cast<double>(totals_.done_files.value()) / found);
  const double bytes = static_cast<double>(totals_.done_bytes.value());
  const double all = std::max(1.0, static_cast<double>(totals_.found_bytes.value()));
  // Files are small and many, or big and few, or both. So whichever is behind.
  const double done = all > 1 ? std::min(share, bytes / all) : share;
  std::string line = fmt::format("{:3.0f}% {} of {} files, {:.1f} MB{}", std::floor(done * 100),
                                 totals_.done_files.value(), totals_.found_files.value(),
                                 static_cast<double>(totals_.bytes.value()) / 1e6,
                                 totals_.found_all.load() ? "" : ", looking for more");
  // The bar has what room there is beside the figures.
  const std::size_t room = columns();
  if (room > line.size() + 3) {
    const std::size_t width = std::min(kBarWidth, room - line.size() - 3);
    const auto filled = static_cast<std::size_t>(done * static_cast<double>(width));
    line = fmt::format("[{:<{}}] {}", std::string(filled, '#'), width, line);
  }
  write_out(fmt::format("{}{}", kClearLine, std::string_view(line).substr(0, room)));
}

void Progress::clear() const {
  if (on_) {
    write_out(std::string(kClearLine));
  }
}

void complain(std::string_view path, std::string_view why) {
  write_out(fmt::format("{}wordfreq: {}: {}\n", stderr_is_terminal() ? kClearLine : "",
                        harmless(path), why));
}

}  // namespace wordfreq
