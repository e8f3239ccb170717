// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
//
// The version of the library: the one place that says it. CMake reads it from here.
#pragma once

#define HAMGAM_VERSION_MAJOR 0
#define HAMGAM_VERSION_MINOR 1
#define HAMGAM_VERSION_PATCH 0
