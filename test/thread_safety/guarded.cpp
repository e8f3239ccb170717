// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// For clang's thread-safety analysis: right as it stands; each macro plants a mistake.
#include "hamgam/mutex.h"
#include "hamgam/rwmutex.h"

namespace {

class Counter {
 public:
  void add() {
    const hamgam::LockGuard lock(mutex_);
    ++value_;
  }

  int try_read() {
    if (!mutex_.try_lock()) {
      return -1;
    }
    const int value = value_;
    mutex_.unlock();
    return value;
  }

#if defined(UNGUARDED_READ)
  int read() const { return value_; }
#endif

#if defined(FORGOTTEN_UNLOCK)
  void forget() {
    mutex_.lock();
    ++value_;
  }
#endif

#if defined(LOCKED_TWICE)
  void twice() {
    mutex_.lock();
    mutex_.lock();
    mutex_.unlock();
  }
#endif

 private:
  hamgam::Mutex mutex_;
  int value_ HAMGAM_GUARDED_BY(mutex_) = 0;
};

class Setting {
 public:
  int get() {
    const hamgam::SharedLockGuard lock(mutex_);
    return value_;
  }

  int set(int value) {
    mutex_.lock();
    value_ = value;
    mutex_.downgrade();
    const int now = value_;
    mutex_.unlock_shared();
    return now;
  }

#if defined(WRITE_UNDER_SHARED_LOCK)
  void forget() {
    const hamgam::SharedLockGuard lock(mutex_);
    value_ = 0;
  }
#endif

 private:
  hamgam::RWMutex mutex_;
  int value_ HAMGAM_GUARDED_BY(mutex_) = 0;
};

}  // namespace

int main() {
  Counter counter;
  counter.add();
  Setting setting;
  return counter.try_read() + setting.set(1) + setting.get();
}
