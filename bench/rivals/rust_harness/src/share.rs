// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

use std::sync::atomic::{AtomicI64, Ordering};

/// Hands out n operations in grains, as bench::Share does.
pub struct Share {
    left: Apart<AtomicI64>,
    grain: Apart<i64>,
}

#[repr(align(128))]
struct Apart<T>(T);

impl Share {
    pub fn new(n: i64) -> Self {
        Share { left: Apart(AtomicI64::new(n)), grain: Apart((n / 512).clamp(1, 2048)) }
    }

    /// How many operations to do now; None: no more.
    pub fn take(&self) -> Option<i64> {
        // relaxed: only the number itself counts
        if self.left.0.load(Ordering::Relaxed) <= 0 {
            return None;
        }
        let before = self.left.0.fetch_sub(self.grain.0, Ordering::Relaxed);
        (before > 0).then(|| before.min(self.grain.0))
    }
}
