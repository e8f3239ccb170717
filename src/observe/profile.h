// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <string>

#include "hamgam/observe.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// As observe::write_profile. Throws std::bad_alloc.
std::string profile_text(observe::Profile profile, observe::ProfileFormat format);

}  // namespace hamgam::inline HAMGAM_ABI::detail
