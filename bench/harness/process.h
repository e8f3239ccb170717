// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// What the system says of this process.
#pragma once

#include <sys/resource.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace bench {

// Resident memory that belongs to this process and to no file: heap, stacks, written data.
inline std::int64_t private_bytes() {
  std::FILE* status = std::fopen("/proc/self/status", "r");
  if (status == nullptr) return -1;
  char line[256];
  long kilobytes = 0;
  while (std::fgets(line, sizeof line, status) != nullptr) {
    if (std::strncmp(line, "RssAnon:", 8) == 0) kilobytes += std::atol(line + 8);
    if (std::strncmp(line, "RssShmem:", 9) == 0) kilobytes += std::atol(line + 9);
  }
  std::fclose(status);
  return std::int64_t{kilobytes} * 1024;
}

// Processor time used so far, of all threads, user and system.
inline double cpu_microseconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto us = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_usec);
  };
  return us(usage.ru_utime) + us(usage.ru_stime);
}

// How many goroutines the case Go/parked parks; HAMGAM_BENCH_PARKED makes it smaller for a try.
inline std::int64_t parked_count(std::int64_t usual) {
  const char* given = std::getenv("HAMGAM_BENCH_PARKED");
  const long long count = given == nullptr ? 0 : std::atoll(given);
  return count > 0 ? count : usual;
}

}  // namespace bench
