// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include <oneapi/tbb/version.h>

#include "../../harness/case.h"

bench::Library bench::library() { return {"tbb", TBB_runtime_version()}; }
