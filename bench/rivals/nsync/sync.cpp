// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include <nsync.h>

#include "../lock_cases.h"

namespace {

struct Lock {
  nsync::nsync_mu mutex = NSYNC_MU_INIT;
  void lock() { nsync::nsync_mu_lock(&mutex); }
  void unlock() { nsync::nsync_mu_unlock(&mutex); }
  void lock_shared() { nsync::nsync_mu_rlock(&mutex); }
  void unlock_shared() { nsync::nsync_mu_runlock(&mutex); }
};
const bench::RWMutexCases<Lock> rwmutex;

struct Cond {
  nsync::nsync_cv cond = NSYNC_CV_INIT;
  void wait(Lock& lock) { nsync::nsync_cv_wait(&cond, &lock.mutex); }
  void notify_one() { nsync::nsync_cv_signal(&cond); }
};
const bench::Case pingpong("Cond/pingpong", {1, 2}, bench::ping_pong<Lock, Cond>);

const bench::Case once("Once/done", {1}, [](int, std::int64_t n) {
  bench::in_threads(1, [n] {
    nsync::nsync_once flag = NSYNC_ONCE_INIT;
    const auto nothing = [] {};
    nsync::nsync_run_once(&flag, nothing);
    for (std::int64_t i = 0; i < n; ++i) nsync::nsync_run_once(&flag, nothing);
  });
});

}  // namespace
