// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "observe/page_trace.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <system_error>
#include <utility>

#include "hamgam/observe.h"
#include "sched/exit.h"

// The program may stop the trace meanwhile, as stop_trace() stops any: then the file is written by
// that, and another one that the program has begun is left alone.

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr std::size_t kMemory = std::size_t{8} << 20;  // 260,000 records: some 40 MB of JSON

int open_file() {
  int const file = memfd_create("hamgam-trace", MFD_CLOEXEC);
  if (file < 0) {
    throw std::system_error(errno, std::system_category(), "observe: trace");
  }
  return file;
}

}  // namespace

PageTrace::PageTrace() : file_(open_file()) {
  try {
    observe::start_trace("/proc/self/fd/" + std::to_string(file_), {.memory = kMemory});
  } catch (...) {
    (void)close(file_);
    throw;
  }
}

PageTrace::~PageTrace() {
  // From exit() on it is ended by that.
  if (on_ && !exiting() && !stopped_by_others()) {
    try {
      observe::stop_trace();
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): it is lost anyway
    }
  }
  (void)close(file_);
}

bool PageTrace::stopped_by_others() const noexcept {
  struct stat status {};
  return fstat(file_, &status) == 0 && status.st_size != 0;
}

std::string PageTrace::end() {
  on_ = false;
  if (!stopped_by_others()) {
    observe::stop_trace();
  }
  std::string text;
  struct stat status {};
  if (fstat(file_, &status) == 0) {
    text.resize(static_cast<std::size_t>(status.st_size));
  }
  std::size_t size = 0;
  for (ssize_t got = 1; got > 0 && size < text.size(); size += static_cast<std::size_t>(got)) {
    got = pread(file_, text.data() + size, text.size() - size, static_cast<off_t>(size));
    if (got < 0) {
      throw std::system_error(errno, std::system_category(), "observe: trace");
    }
  }
  text.resize(size);
  return text;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
