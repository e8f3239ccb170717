// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// A system that has no thread for us, as long as the test says so: the linker has the library call
// the function below (-Wl,--wrap=pthread_create).

#include <pthread.h>

#include <atomic>
#include <cerrno>

namespace hamgam::test {
inline constinit std::atomic<bool> g_no_more_threads{false};
}

extern "C" int __real_pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                                     void* (*entry)(void*), void* argument);
extern "C" int __wrap_pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                                     void* (*entry)(void*), void* argument) {
  return hamgam::test::g_no_more_threads
             ? EAGAIN
             : __real_pthread_create(thread, attributes, entry, argument);
}
