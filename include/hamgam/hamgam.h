// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// All of Hamgam.

#include "hamgam/atomic.h"         // IWYU pragma: export
#include "hamgam/barrier.h"        // IWYU pragma: export
#include "hamgam/chan.h"           // IWYU pragma: export
#include "hamgam/cond.h"           // IWYU pragma: export
#include "hamgam/context.h"        // IWYU pragma: export
#include "hamgam/errgroup.h"       // IWYU pragma: export
#include "hamgam/file.h"           // IWYU pragma: export
#include "hamgam/go.h"             // IWYU pragma: export
#include "hamgam/guarded.h"        // IWYU pragma: export
#include "hamgam/map.h"            // IWYU pragma: export
#include "hamgam/mutex.h"          // IWYU pragma: export
#include "hamgam/net.h"            // IWYU pragma: export
#include "hamgam/observe.h"        // IWYU pragma: export
#include "hamgam/once.h"           // IWYU pragma: export
#include "hamgam/panic.h"          // IWYU pragma: export
#include "hamgam/pool.h"           // IWYU pragma: export
#include "hamgam/rate.h"           // IWYU pragma: export
#include "hamgam/resource_pool.h"  // IWYU pragma: export
#include "hamgam/rwmutex.h"        // IWYU pragma: export
#include "hamgam/select.h"         // IWYU pragma: export
#include "hamgam/semaphore.h"      // IWYU pragma: export
#include "hamgam/signals.h"        // IWYU pragma: export
#include "hamgam/singleflight.h"   // IWYU pragma: export
#include "hamgam/spawn.h"          // IWYU pragma: export
#include "hamgam/time.h"           // IWYU pragma: export
#include "hamgam/version.h"        // IWYU pragma: export
#include "hamgam/waitgroup.h"      // IWYU pragma: export
