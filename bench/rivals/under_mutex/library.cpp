// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include "../../harness/case.h"

bench::Library bench::library() { return {"under_mutex", BENCH_LIBRARY_VERSION}; }
