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

[[noreturn]] void fail() {
  throw std::system_error(errno, std::system_category(), "observe: trace");
}

}  // namespace

MemoryFile::MemoryFile() : file_(memfd_create("hamgam-trace", MFD_CLOEXEC)) {
  if (file_ < 0) {
    fail();
  }
}

MemoryFile::~MemoryFile() { (void)close(file_); }

std::string MemoryFile::text() const {
  std::string text;
  struct stat status {};
  if (fstat(file_, &status) == 0) {
    text.resize(static_cast<std::size_t>(status.st_size));
  }
  std::size_t size = 0;
  for (ssize_t got = 1; got > 0 && size < text.size(); size += static_cast<std::size_t>(got)) {
    got = pread(file_, text.data() + size, text.size() - size, static_cast<off_t>(size));
    if (got < 0) {
      fail();
    }
  }
  text.resize(size);
  return text;
}

PageTrace::PageTrace()
    : number_(begin_trace_for("/proc/self/fd/" + std::to_string(file_.get()), kMemory)) {}

PageTrace::~PageTrace() {
  if (!exiting()) {  // from exit() on it is ended by that
    give_up_trace_for(number_);
  }
}

std::string PageTrace::end() {
  end_trace_for(number_);
  return file_.text();
}

std::optional<std::string> flight(bool packets) {
  MemoryFile const file;
  if (!copy_trace_for(file.get(), packets, kMemory)) {
    return std::nullopt;
  }
  return file.text();
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
