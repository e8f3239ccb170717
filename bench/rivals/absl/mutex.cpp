// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include <absl/synchronization/mutex.h>

#include "../lock_cases.h"

namespace {

struct Lock {
  absl::Mutex mutex;
  void lock() { mutex.Lock(); }
  void unlock() { mutex.Unlock(); }
};

const bench::MutexCases<Lock> cases;

}  // namespace
