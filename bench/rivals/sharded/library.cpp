// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include "../../harness/case.h"

bench::Library bench::library() { return {"sharded", BENCH_LIBRARY_VERSION}; }
