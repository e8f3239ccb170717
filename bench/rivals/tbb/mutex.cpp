// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include <oneapi/tbb/mutex.h>

#include "../lock_cases.h"

namespace {

const bench::MutexCases<tbb::mutex> cases;

}  // namespace
