// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/detail/config.h"

// What ThreadSanitizer, where it looks for users' races, takes for one and is none.
//
// ~stop_callback knows by the thread's number that it runs on the thread that requested the stop:
// then the call is over, or it is in it. So it is for goroutines: the thread has them one after the
// other. But that is no order that ThreadSanitizer knows of, nor is it to know: there would be none
// of two goroutines' races on one worker.
//
// A program that has suppressions of its own defines __tsan_default_suppressions and
// hamgam_tsan_suppressions; then this file is not taken from the library.

#if HAMGAM_TSAN_USER

extern "C" {

extern const char hamgam_tsan_suppressions[];
const char hamgam_tsan_suppressions[] =
    "race_top:_Stop_state_t::_M_remove_callback\n"
    "race_top:__stop_state::__remove_callback\n";

// NOLINTNEXTLINE(bugprone-reserved-identifier): ThreadSanitizer's
__attribute__((visibility("default"))) const char* __tsan_default_suppressions();
const char* __tsan_default_suppressions() { return hamgam_tsan_suppressions; }

}  // extern "C"

#endif
