// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "observe/page_trace.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "observe/trace.h"
#include "sched/exit.h"

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
    number_ = begin_trace_for("/proc/self/fd/" + std::to_string(file_), kMemory);
  } catch (...) {
    (void)close(file_);
    throw;
  }
}

PageTrace::~PageTrace() {
  if (!exiting()) {  // from exit() on it is ended by that
    give_up_trace_for(number_);
  }
  (void)close(file_);
}

std::string PageTrace::end() {
  end_trace_for(number_);
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
