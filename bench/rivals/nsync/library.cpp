// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include "../../harness/case.h"

// nsync's headers name no version; the build asks the packages.
bench::Library bench::library() { return {"nsync", BENCH_LIBRARY_VERSION}; }
