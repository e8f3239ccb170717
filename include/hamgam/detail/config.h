// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Compiler and build switches that the public headers need. Every header includes this one before
// its first line of code, so that what is missing is said by the first error. HAMGAM_TSAN and
// HAMGAM_ASAN come from the build (HAMGAM_SANITIZE); the inline namespace differs with them, so
// that a program and a library that were built differently fail to link instead of failing to work.
// HAMGAM_TSAN is 1 where users' races are looked for (thread-user) and 2 where our own are
// (thread).

#if !defined(__cplusplus) || __cplusplus < 202002L
#error "Hamgam needs C++20: compile with -std=c++20 or newer, by gcc 12, clang 16 or newer"
#elif !defined(__cpp_exceptions)
#error "Hamgam throws exceptions: compile without -fno-exceptions"
#endif

// Comes with an installed library and says how that was built. Looked for beside this file only, as
// its name is in no other folder.
#if __has_include("hamgam_build.h")
#include "hamgam_build.h"
#endif

#if defined(__SANITIZE_ADDRESS__)
#define HAMGAM_WITH_ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define HAMGAM_WITH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAMGAM_WITH_ASAN 1
#elif __has_feature(thread_sanitizer)
#define HAMGAM_WITH_TSAN 1
#endif
#endif

// A sanitizer that is not told of the switches finds faults that are none, and none that are.
// HAMGAM_LIBRARY: the library itself is not instrumented for thread-user.
#if defined(HAMGAM_WITH_ASAN) && !defined(HAMGAM_ASAN)
#error \
    "-fsanitize=address needs Hamgam built with it: configure that with -DHAMGAM_SANITIZE=address"
#elif defined(HAMGAM_WITH_TSAN) && !defined(HAMGAM_TSAN)
#error \
    "-fsanitize=thread needs Hamgam built for it: configure that with -DHAMGAM_SANITIZE=thread-user"
#elif defined(HAMGAM_ASAN) && !defined(HAMGAM_WITH_ASAN)
#error "this Hamgam was built with -DHAMGAM_SANITIZE=address: compile with -fsanitize=address"
#elif defined(HAMGAM_TSAN) && !defined(HAMGAM_WITH_TSAN) && !defined(HAMGAM_LIBRARY)
#error "this Hamgam was built with -DHAMGAM_SANITIZE=thread-user: compile with -fsanitize=thread"
#endif

#if defined(HAMGAM_TSAN) && HAMGAM_TSAN == 2
#define HAMGAM_TSAN_USER 0
#define HAMGAM_TSAN_ALL 1
#elif defined(HAMGAM_TSAN)
#define HAMGAM_TSAN_USER 1
#define HAMGAM_TSAN_ALL 0
#else
#define HAMGAM_TSAN_USER 0
#define HAMGAM_TSAN_ALL 0
#endif

// Then memory from malloc has marks in its addresses' highest bits: the library must know, too.
#if defined(__SANITIZE_HWADDRESS__)
#define HAMGAM_HWASAN 1
#elif defined(__has_feature)
#if __has_feature(hwaddress_sanitizer)
#define HAMGAM_HWASAN 1
#endif
#endif
#ifndef HAMGAM_HWASAN
#define HAMGAM_HWASAN 0
#endif

#if HAMGAM_TSAN_ALL
#define HAMGAM_ABI v0_tsan_all
#elif HAMGAM_TSAN_USER
#define HAMGAM_ABI v0_tsan
#elif defined(HAMGAM_ASAN)
#define HAMGAM_ABI v0_asan
#elif HAMGAM_HWASAN
#define HAMGAM_ABI v0_hwasan
#else
#define HAMGAM_ABI v0
#endif

#define HAMGAM_API __attribute__((visibility("default")))
#define HAMGAM_NOINLINE __attribute__((noinline))
#define HAMGAM_INLINE __attribute__((always_inline)) inline
#define HAMGAM_COLD __attribute__((cold, noinline))
// Behind a call: it is no jump, so whoever is called finds the caller on the stack.
#define HAMGAM_STAY_ON_STACK() __asm__ volatile("")
#define HAMGAM_LIKELY(x) __builtin_expect(!!(x), 1)
#define HAMGAM_UNLIKELY(x) __builtin_expect(!!(x), 0)

#if defined(__clang__)
#define HAMGAM_LIFETIMEBOUND [[clang::lifetimebound]]
#else
#define HAMGAM_LIFETIMEBOUND
#endif

#include "hamgam/detail/errno.h"
