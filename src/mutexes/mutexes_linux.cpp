// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// The component hamgam_mutexes: pthreads' functions that lock and unlock, which call the C
// library's and note which locks the calling thread has. Until somebody asks for that they only
// call on. It uses nothing of the library's, which finds it by name (base/held_mutexes.h).
//
// pthread_cond_wait is not among them: a thread that waits there is no worker between two
// goroutines, and has the lock again when it goes on.

#include <dlfcn.h>
#include <pthread.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

#include "base/held_mutexes.h"
#include "hamgam/detail/atomic.h"

using hamgam::detail::atomic;
using hamgam::detail::CaptureFrames;
using hamgam::detail::HeldMutex;
using hamgam::detail::kAcquire;
using hamgam::detail::kRelaxed;
using hamgam::detail::kRelease;

#define EXPORTED extern "C" __attribute__((visibility("default")))

namespace {

constexpr std::size_t kMost = 16;  // of those that are locked beyond, nothing is known

struct Held {
  std::size_t count = 0;
  bool noting = false;  // whoever captures may lock, too
  HeldMutex mutexes[kMost] = {};
};
// Of the initial memory of each thread: it is there without malloc, which may lock, too.
__attribute__((tls_model("initial-exec"))) thread_local constinit Held t_held;

constinit atomic<CaptureFrames> g_capture{nullptr};

void note_lock(const void* mutex, const void* caller, const void* frame) noexcept {
  // [mutexes.1] acquire, pairs with [mutexes.2]: what it uses
  CaptureFrames const capture = g_capture.load(kAcquire);
  Held& held = t_held;
  if (capture == nullptr || held.noting || held.count == kMost) {
    return;
  }
  held.noting = true;
  HeldMutex& one = held.mutexes[held.count++];
  one = {mutex, {caller}};
  (void)capture(frame, one.frames + 1, HeldMutex::kFrames - 1);
  held.noting = false;
}

// One that was locked by another thread, or before anybody asked, is not there.
void note_unlock(const void* mutex) noexcept {
  Held& held = t_held;
  for (std::size_t i = held.count; i-- > 0;) {
    if (held.mutexes[i].mutex == mutex) {
      std::copy(held.mutexes + i + 1, held.mutexes + held.count, held.mutexes + i);
      --held.count;
      return;
    }
  }
}

// The function of that name in the libraries behind this one.
template <class F>
class Next {
 public:
  explicit constexpr Next(const char* name) noexcept : name_(name) {}

  template <class... Args>
  int operator()(Args... args) noexcept {
    // relaxed throughout: each who looks finds the same
    F* function = function_.load(kRelaxed);
    if (function == nullptr) {
      function = reinterpret_cast<F*>(dlsym(RTLD_NEXT, name_));
      function_.store(function, kRelaxed);
    }
    return function(args...);
  }

 private:
  const char* const name_;
  atomic<F*> function_{nullptr};
};

int locked(int result, const void* mutex, const void* caller, const void* frame) noexcept {
  if (result == 0 || result == EOWNERDEAD) {
    note_lock(mutex, caller, frame);
  }
  return result;
}

}  // namespace

EXPORTED void hamgam_note_mutexes(CaptureFrames capture) noexcept {
  // [mutexes.2] release, pairs with [mutexes.1]
  g_capture.store(capture, kRelease);
}

EXPORTED std::size_t hamgam_take_held_mutexes(HeldMutex* to, std::size_t most) noexcept {
  Held& held = t_held;
  std::copy_n(held.mutexes, std::min(most, held.count), to);
  return std::exchange(held.count, 0);
}

#define LOCKS(name, parameters, ...)                                    \
  EXPORTED int name parameters noexcept {                               \
    static constinit Next<int parameters> next(#name);                  \
    return locked(next(__VA_ARGS__), lock, __builtin_return_address(0), \
                  __builtin_frame_address(0));                          \
  }

// Noted before: once it is unlocked, another thread may destroy it, and lock what is made there.
#define UNLOCKS(name, Lock)                        \
  EXPORTED int name(Lock* lock) noexcept {         \
    static constinit Next<int(Lock*)> next(#name); \
    note_unlock(lock);                             \
    return next(lock);                             \
  }

// NOLINTBEGIN: the C library's names
// clang-format off
LOCKS(pthread_mutex_lock, (pthread_mutex_t* lock), lock)
LOCKS(pthread_mutex_trylock, (pthread_mutex_t* lock), lock)
LOCKS(pthread_mutex_timedlock, (pthread_mutex_t* lock, const timespec* time), lock, time)
LOCKS(pthread_mutex_clocklock, (pthread_mutex_t* lock, clockid_t clock, const timespec* time), lock, clock, time)
UNLOCKS(pthread_mutex_unlock, pthread_mutex_t)

LOCKS(pthread_rwlock_rdlock, (pthread_rwlock_t* lock), lock)
LOCKS(pthread_rwlock_tryrdlock, (pthread_rwlock_t* lock), lock)
LOCKS(pthread_rwlock_timedrdlock, (pthread_rwlock_t* lock, const timespec* time), lock, time)
LOCKS(pthread_rwlock_clockrdlock, (pthread_rwlock_t* lock, clockid_t clock, const timespec* time), lock, clock, time)
LOCKS(pthread_rwlock_wrlock, (pthread_rwlock_t* lock), lock)
LOCKS(pthread_rwlock_trywrlock, (pthread_rwlock_t* lock), lock)
LOCKS(pthread_rwlock_timedwrlock, (pthread_rwlock_t* lock, const timespec* time), lock, time)
LOCKS(pthread_rwlock_clockwrlock, (pthread_rwlock_t* lock, clockid_t clock, const timespec* time), lock, clock, time)
UNLOCKS(pthread_rwlock_unlock, pthread_rwlock_t)
// clang-format on
// NOLINTEND
