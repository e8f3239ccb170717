// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

//! The cases of maps on papaya, between threads.

use harness::maps::{Key, Map, cases};
use papaya::HashMap;
use std::hash::Hash;

struct Papaya<K: Eq + Hash>(HashMap<K, i64>);

impl<K: Key + Eq + Hash> Default for Papaya<K> {
    fn default() -> Self {
        Papaya(HashMap::new())
    }
}

impl<K: Key + Eq + Hash> Map for Papaya<K> {
    type Key = K;
    fn load(&self, key: &K) -> bool {
        self.0.pin().get(key).is_some()
    }
    fn store(&self, key: K, value: i64) {
        self.0.pin().insert(key, value);
    }
    fn remove(&self, key: &K) {
        self.0.pin().remove(key);
    }
}

fn main() {
    const CASES: [harness::Case; 21] = cases::<Papaya<i64>, Papaya<String>>();
    harness::main("papaya", "papaya", include_str!("../Cargo.lock"), &[&CASES]);
}
