// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include <mutex>

#include "../lock_cases.h"

namespace {

const bench::MutexCases<std::mutex> cases;

}  // namespace
