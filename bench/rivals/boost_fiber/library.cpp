// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include <boost/version.hpp>

#include "../../harness/case.h"

bench::Library bench::library() { return {"boost_fiber", BOOST_LIB_VERSION}; }
