// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

//! The cases of maps on dashmap, between threads.

use dashmap::DashMap;
use harness::maps::{Key, Map, cases};
use std::hash::Hash;

struct Dash<K: Eq + Hash>(DashMap<K, i64>);

impl<K: Key + Eq + Hash> Default for Dash<K> {
    fn default() -> Self {
        Dash(DashMap::new())
    }
}

impl<K: Key + Eq + Hash> Map for Dash<K> {
    type Key = K;
    fn load(&self, key: &K) -> bool {
        self.0.get(key).is_some()
    }
    fn store(&self, key: K, value: i64) {
        self.0.insert(key, value);
    }
    fn remove(&self, key: &K) {
        self.0.remove(key);
    }
}

fn main() {
    const CASES: [harness::Case; 21] = cases::<Dash<i64>, Dash<String>>();
    harness::main("dashmap", "dashmap", include_str!("../Cargo.lock"), &[&CASES]);
}
