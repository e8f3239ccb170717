// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// The smallest program that needs the library, its headers and its version.
#include <hamgam/hamgam.h>
#include <hamgam/version.h>

#include <cstdio>

static_assert(HAMGAM_VERSION_MAJOR >= 0 && HAMGAM_VERSION_MINOR >= 0 && HAMGAM_VERSION_PATCH >= 0);

int main() {
#if defined(WITH_MUTEXES)
  hamgam::observe::watch_mutexes();  // throws where it is not linked
#endif
  return hamgam::run([] {
    hamgam::Mutex mutex;
    int sum = 0;
    hamgam::WaitGroup group;
    for (int i = 0; i < 5; ++i) {
      group.go([&, i] {
        mutex.lock();
        sum += i;
        mutex.unlock();
      });
    }
    group.wait();
    std::printf("hamgam 0+1+2+3+4 = %d\n", sum);
    return sum == 10 ? 0 : 1;
  });
}
