// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>

#include "hamgam/detail/atomic.h"
#include "os/memory.h"
#include "os/valgrind.h"

#if defined(HAMGAM_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#endif

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr int kMadvGuardInstall = 102;  // MADV_GUARD_INSTALL; not in older headers
constexpr int kProtection = PROT_READ | PROT_WRITE;
constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

// LeakSanitizer reads the stacks page by page and knows guards only as mappings of their own.
// Valgrind reads them word by word, and takes a fault at each of a marked guard.
bool may_mark() noexcept {
#if defined(HAMGAM_ASAN)
  return false;
#else
  return !running_on_valgrind();
#endif
}

// How many guards mprotect may install: each splits a mapping in two, and the program needs some.
long mprotect_budget() noexcept {
  long limit = 65530;
  if (std::FILE* file = std::fopen("/proc/sys/vm/max_map_count", "re")) {
    long read = 0;
    if (std::fscanf(file, "%ld", &read) == 1 && read > 0) {
      limit = read;
    }
    std::fclose(file);
  }
  return limit / 4;
}

// An emulator or a sandbox may say yes to any madvise and do nothing.
bool refuses_access(const void* page) noexcept {
  int ends[2];
  int const saved = errno;
  bool refused = false;
  if (pipe2(ends, O_CLOEXEC) == 0) {
    refused = write(ends[1], page, 1) < 0 && errno == EFAULT;
    close(ends[0]);
    close(ends[1]);
  }
  errno = saved;
  return refused;
}

}  // namespace

std::size_t page_size() noexcept {
  static const auto kSize = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return kSize;
}

std::size_t touched_bytes(const char* start, const char* end) noexcept {
  unsigned char present[256];
  std::size_t const page = page_size();
  for (const char* at = start; at < end;) {
    std::size_t const bytes = std::min(sizeof present * page, static_cast<std::size_t>(end - at));
    if (mincore(const_cast<char*>(at), bytes, present) != 0) {
      return 0;
    }
    for (std::size_t i = 0; i < bytes / page; ++i) {
      if ((present[i] & 1) != 0) {
        return static_cast<std::size_t>(end - at) - i * page;
      }
    }
    at += bytes;
  }
  return 0;
}

void* reserve_memory(std::size_t size) noexcept {
  void* start = mmap(nullptr, size, kProtection, kFlags, -1, 0);
  if (start == MAP_FAILED) {
    return nullptr;
  }
  madvise(start, size, MADV_NOHUGEPAGE);
#if defined(HAMGAM_ASAN)
  __lsan_register_root_region(start, size);
#endif
  return start;
}

void release_memory(void* start, std::size_t size) noexcept {
#if defined(HAMGAM_ASAN)
  __lsan_unregister_root_region(start, size);
#endif
  munmap(start, size);
}

void discard_memory(void* start, std::size_t size) noexcept { madvise(start, size, MADV_DONTNEED); }

bool address_space_is_limited() noexcept {
  rlimit limit{};
  return getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

bool install_guard(void* start, std::size_t size) noexcept {
  enum Marks : std::uint8_t { kUnknown, kWork, kDoNot };
  static atomic<Marks> marks{may_mark() ? kUnknown : kDoNot};
  static atomic<long> budget{mprotect_budget()};
  // relaxed throughout: both are hints that guard no other data
  Marks known = marks.load(kRelaxed);
  if (known != kDoNot) {
    bool const marked = madvise(start, size, kMadvGuardInstall) == 0;
    if (known == kUnknown || !marked) {
      known = marked && refuses_access(start) ? kWork : kDoNot;
      marks.store(known, kRelaxed);
    }
    if (known == kWork) {
      return true;
    }
  }
  return budget.fetch_sub(1, kRelaxed) > 0 && mprotect(start, size, PROT_NONE) == 0;
}

void forget_memory([[maybe_unused]] void* start, [[maybe_unused]] std::size_t size) noexcept {
#if defined(HAMGAM_ASAN)
  ASAN_UNPOISON_MEMORY_REGION(start, size);
#elif defined(HAMGAM_TSAN)
  // ThreadSanitizer resets a range when it is mapped anew while accesses are being ignored.
  TsanIgnore const ignore;
  mmap(start, size, kProtection, kFlags | MAP_FIXED, -1, 0);
  // The edges of what stood there it forgets before it lets the kernel unmap a range. This one the
  // kernel refuses, as it does not begin with a page.
  constexpr std::size_t kCell = 16;
  int const saved = errno;
  munmap(static_cast<char*>(start) + kCell, size - kCell);
  errno = saved;
#endif
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
