// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Clang's thread-safety analysis (-Wthread-safety). Empty for other compilers.
// HAMGAM_GUARDED_BY(m) marks data that m protects; the rest is for lock types and guards.

#if defined(__clang__)
#define HAMGAM_TSA(x) __attribute__((x))
#else
#define HAMGAM_TSA(x)
#endif

#define HAMGAM_CAPABILITY(name) HAMGAM_TSA(capability(name))
#define HAMGAM_SCOPED_CAPABILITY HAMGAM_TSA(scoped_lockable)
#define HAMGAM_GUARDED_BY(m) HAMGAM_TSA(guarded_by(m))
#define HAMGAM_ACQUIRE(...) HAMGAM_TSA(acquire_capability(__VA_ARGS__))
#define HAMGAM_ACQUIRE_SHARED(...) HAMGAM_TSA(acquire_shared_capability(__VA_ARGS__))
#define HAMGAM_RELEASE(...) HAMGAM_TSA(release_capability(__VA_ARGS__))
#define HAMGAM_RELEASE_SHARED(...) HAMGAM_TSA(release_shared_capability(__VA_ARGS__))
#define HAMGAM_TRY_ACQUIRE(...) HAMGAM_TSA(try_acquire_capability(__VA_ARGS__))
#define HAMGAM_TRY_ACQUIRE_SHARED(...) HAMGAM_TSA(try_acquire_shared_capability(__VA_ARGS__))
#define HAMGAM_NO_THREAD_SAFETY_ANALYSIS HAMGAM_TSA(no_thread_safety_analysis)
