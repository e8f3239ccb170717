// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include <nsync.h>

#include "../lock_cases.h"

namespace {

struct Lock {
  nsync::nsync_mu mutex = NSYNC_MU_INIT;
  void lock() { nsync::nsync_mu_lock(&mutex); }
  void unlock() { nsync::nsync_mu_unlock(&mutex); }
};

const bench::MutexCases<Lock> cases;

}  // namespace
