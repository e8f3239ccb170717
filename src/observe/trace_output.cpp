// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "observe/trace_file.h"
#include "os/clock.h"
#include "os/no_sigpipe.h"
#include "sched/trace.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

// How many bytes the character takes that begins there; 0: it is none in UTF-8.
std::size_t character(std::string_view text) noexcept {
  auto const byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  unsigned const first = byte(0);
  std::size_t const length = first < 0x80   ? 1
                             : first < 0xC2 ? 0
                             : first < 0xE0 ? 2
                             : first < 0xF0 ? 3
                             : first < 0xF5 ? 4
                                            : 0;
  if (length > text.size()) {
    return 0;
  }
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80) {
      return 0;
    }
  }
  // Spelled longer than need be, surrogates, beyond the last.
  bool const bad =
      length >= 3 && ((first == 0xE0 && byte(1) < 0xA0) || (first == 0xED && byte(1) > 0x9F) ||
                      (first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) > 0x8F));
  return bad ? 0 : length;
}

}  // namespace

std::string valid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    std::size_t const length = character(text);
    out += length == 0 ? "?" : text.substr(0, length);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

std::string absolute_path(const std::string& path) {
  std::error_code error;
  std::filesystem::path const whole = std::filesystem::absolute(path, error);
  return error || path.empty() ? path : whole.string();
}

int open_trace_file(const std::string& path, int flags, const char* who) {
  int const how = O_WRONLY | O_CREAT | O_CLOEXEC | flags;
  int const file = open(path.c_str(), how, 0666);  // NOLINT: variadic
  if (file < 0) {
    throw std::system_error(errno, std::system_category(), who + path);
  }
  return file;
}

void TraceOutput::check(const std::string& path, const char* who) const {
  if (unread_) {
    throw TraceStuck("nobody has read " + path + " for 3 seconds");
  }
  if (error_ != 0) {
    throw std::system_error(error_, std::system_category(), who + path);
  }
}

void TraceOutput::flush() {
  std::string_view rest = buffer_;
  if (!std::exchange(begun_, true)) {
    (void)ftruncate(descriptor_, 0);  // a pipe can't
    (void)lseek(descriptor_, 0, SEEK_SET);
  }
  NoSigPipe const quiet;
  Nanos end = now() + kTraceReader * kMillisecond;
  note_trace_progress();
  while (!rest.empty() && error_ == 0) {
    ssize_t const written = write(descriptor_, rest.data(), rest.size());
    if (written >= 0) {
      rest.remove_prefix(static_cast<std::size_t>(written));
      end = now() + kTraceReader * kMillisecond;
      note_trace_progress();
    } else if (errno == EAGAIN) {
      pollfd polled{descriptor_, POLLOUT, 0};
      Nanos const left = end - now();
      unread_ = left <= 0;
      error_ = unread_ ? ETIMEDOUT : 0;
      (void)poll(&polled, 1, left <= 0 ? 0 : static_cast<int>(left / kMillisecond) + 1);
    } else if (errno != EINTR) {
      error_ = errno;
    }
  }
  buffer_.clear();
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
