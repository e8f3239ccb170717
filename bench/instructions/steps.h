// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// What ops and count agree on.
inline constexpr int kSteps = 7;       // figures are the medians of so many steps
inline constexpr int kOpsPerStep = 8;  // between two traps
