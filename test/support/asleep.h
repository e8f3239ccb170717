// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// To wait for the event "somebody has gone to sleep on this object" instead of for some time.

#include <cstdint>

#include "hamgam/atomic.h"
#include "sched/places.h"
#include "support/until.h"
#include "wait/parking_lot.h"

namespace hamgam::test {

// How many sleep on a Mutex, a WaitGroup and the like.
inline int count_asleep(const void* object) {
  detail::TsanHide const hide;
  detail::Bucket& bucket = detail::bucket_of(object);
  bucket.lock();
  int count = 0;
  for (detail::Waiter* waiter = bucket.first(object); waiter != nullptr; waiter = waiter->next) {
    count += waiter->awake ? 0 : 1;
  }
  bucket.unlock();
  return count;
}

template <class T>
int count_asleep(const Atomic<T>* object) {
  return count_asleep(detail::apart(object));
}

template <class T>
void await_asleep(const T* object, int count) {
  until([&] { return count_asleep(object) >= count; });
}

// How often goroutines have gone to sleep on anything, since the process began.
inline std::uint64_t parks() { return detail::g_places.parks(); }

}  // namespace hamgam::test
