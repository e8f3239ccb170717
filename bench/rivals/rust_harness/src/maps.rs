// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

//! bench/map_cases.h in Rust, line by line.

use std::any::Any;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread;

use crate::{BOTH, Case, Op, Share};

/// What is measured.
pub trait Map: Default + Sync + Send + 'static {
    type Key: Key;
    fn load(&self, key: &Self::Key) -> bool;
    fn store(&self, key: Self::Key, value: i64);
    fn remove(&self, key: &Self::Key);
}

pub trait Key: Clone + Sync + Send + 'static {
    fn of(number: i64) -> Self;
}

impl Key for i64 {
    fn of(number: i64) -> i64 {
        number
    }
}

impl Key for String {
    fn of(number: i64) -> String {
        format!("user:{number:020}")
    }
}

const SEQ: u8 = 0;
const INT: u8 = 1;
const STR: u8 = 2;
const ZIPF: u8 = 3;

fn scatter(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58476D1CE4E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D049BB133111EB);
    x ^ (x >> 31)
}

/// The keys of a case: the same in every language.
struct Keys<K, const KIND: u8> {
    texts: Vec<K>,
    drawn: Vec<i64>,
}

impl<K: Key, const KIND: u8> Keys<K, KIND> {
    fn new(count: i64) -> Self {
        let texts = if KIND == STR { (0..count).map(Self::made).collect() } else { Vec::new() };
        let drawn = if KIND == ZIPF { draw(count) } else { Vec::new() };
        Keys { texts, drawn }
    }

    fn made(i: i64) -> K {
        K::of(if KIND == SEQ { i } else { (scatter(i as u64) >> 1) as i64 })
    }

    fn with<R>(&self, i: i64, f: impl FnOnce(&K) -> R) -> R {
        if KIND == STR { f(&self.texts[i as usize]) } else { f(&Self::made(i)) }
    }

    /// Which key is asked for, by a random number.
    fn choose(&self, random: u64, count: i64) -> i64 {
        if KIND == ZIPF {
            self.drawn[(random >> 48) as usize]
        } else {
            ((random >> 32) * count as u64 >> 32) as i64
        }
    }
}

fn draw(count: i64) -> Vec<i64> {
    let mut sum = 0.0;
    let upto: Vec<f64> = (1..=count)
        .map(|i| {
            sum += 1.0 / i as f64;
            sum
        })
        .collect();
    (0..1u64 << 16)
        .map(|i| {
            let at = (scatter(i) >> 11) as f64 / (1u64 << 53) as f64 * sum;
            (upto.partition_point(|x| *x <= at) as i64).min(count - 1)
        })
        .collect()
}

fn in_threads(count: usize, body: impl Fn() + Sync) {
    thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(&body);
        }
    });
}

/// What a case keeps from run to run: a process has one case.
fn kept<T: Any + Sync + Send>(make: impl FnOnce() -> T) -> &'static T {
    static KEPT: OnceLock<Box<dyn Any + Sync + Send>> = OnceLock::new();
    KEPT.get_or_init(|| Box::new(make())).downcast_ref().expect("one case in a process")
}

fn grow<M: Map, const KIND: u8, const COUNT: i64>(workers: usize, n: i64) {
    let keys = kept(|| Keys::<M::Key, KIND>::new(COUNT));
    let mut left = n;
    while left > 0 {
        let map = M::default();
        let share = Share::new(left.min(COUNT));
        let next = AtomicI64::new(0);
        in_threads(workers, || {
            while let Some(take) = share.take() {
                let first = next.fetch_add(take, Ordering::Relaxed);
                for i in first..first + take {
                    keys.with(i, |key| map.store(key.clone(), i));
                }
            }
        });
        left -= COUNT;
    }
}

fn mix<M: Map, const KIND: u8, const COUNT: i64, const READS: u64, const REMOVE: bool>(
    workers: usize,
    n: i64,
) {
    let count = if REMOVE { 2 * COUNT } else { COUNT };
    let (keys, map) = kept(|| {
        let keys = Keys::<M::Key, KIND>::new(count);
        let map = M::default();
        for i in (0..count).step_by(if REMOVE { 2 } else { 1 }) {
            keys.with(i, |key| map.store(key.clone(), i));
        }
        (keys, map)
    });
    let share = Share::new(n);
    let found = AtomicI64::new(0);
    let seeds = AtomicU64::new(0);
    in_threads(workers, || {
        let mut x = scatter(seeds.fetch_add(1, Ordering::Relaxed) + 1) | 1;
        let (mut mine, mut turn) = (0, false);
        while let Some(take) = share.take() {
            for i in 0..take {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                let at = keys.choose(x.wrapping_mul(0x9E3779B97F4A7C15), count);
                keys.with(at, |key| {
                    if (x & 0xFFFF) * 100 >> 16 < READS {
                        mine += i64::from(map.load(key));
                        return;
                    }
                    turn = !turn;
                    if REMOVE && turn { map.remove(key) } else { map.store(key.clone(), i) }
                });
            }
        }
        found.fetch_add(mine, Ordering::Relaxed);
    });
}

const SMALL: i64 = 1000;
const MIDDLE: i64 = 1_000_000;
const LARGE: i64 = 10_000_000;

const fn case(name: &'static str, op: Op) -> Case {
    Case::new(name, BOTH, op)
}

/// The cases of bench::MapMatrix.
pub const fn cases<I: Map<Key = i64>, S: Map<Key = String>>() -> [Case; 21] {
    [
        case("Map/grow_seq_1k", grow::<I, SEQ, SMALL>),
        case("Map/grow_int_1k", grow::<I, INT, SMALL>),
        case("Map/grow_seq_1M", grow::<I, SEQ, MIDDLE>),
        case("Map/grow_int_1M", grow::<I, INT, MIDDLE>),
        case("Map/grow_str_1k", grow::<S, STR, SMALL>),
        case("Map/mix_seq_1k_95", mix::<I, SEQ, SMALL, 95, false>),
        case("Map/mix_int_1k_100", mix::<I, INT, SMALL, 100, false>),
        case("Map/mix_int_1k_95", mix::<I, INT, SMALL, 95, false>),
        case("Map/mix_int_1k_50", mix::<I, INT, SMALL, 50, false>),
        case("Map/mix_int_1k_0", mix::<I, INT, SMALL, 0, false>),
        case("Map/mix_zipf_1k_95", mix::<I, ZIPF, SMALL, 95, false>),
        case("Map/mix_zipf_1k_50", mix::<I, ZIPF, SMALL, 50, false>),
        case("Map/mix_str_1k_95", mix::<S, STR, SMALL, 95, false>),
        case("Map/mix_str_1k_50", mix::<S, STR, SMALL, 50, false>),
        case("Map/erase_int_1k_95", mix::<I, INT, SMALL, 95, true>),
        case("Map/erase_int_1k_50", mix::<I, INT, SMALL, 50, true>),
        case("Map/erase_int_1k_0", mix::<I, INT, SMALL, 0, true>),
        case("Map/grow_int_10M", grow::<I, INT, LARGE>).big(),
        case("Map/mix_int_10M_95", mix::<I, INT, LARGE, 95, false>).big(),
        case("Map/mix_int_10M_50", mix::<I, INT, LARGE, 50, false>).big(),
        case("Map/erase_int_10M_50", mix::<I, INT, LARGE, 50, true>).big(),
    ]
}
