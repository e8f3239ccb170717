// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use harness::{BOTH, Case, Share};

use crate::threads::{in_threads, use_cpus};

pub const CASES: &[Case] = &[
    Case::new("Chan/sync", BOTH, sync),
    Case::new("Chan/prodcons0", BOTH, prod_cons::<0>),
    Case::new("Chan/prodcons10", BOTH, prod_cons::<10>),
    Case::new("Chan/prodcons100", BOTH, prod_cons::<100>),
    Case::new("Chan/uncontended", BOTH, uncontended),
    Case::new("Chan/contended", BOTH, contended),
];

/// A round trip over two unbuffered channels.
fn sync(workers: usize, n: i64) {
    use_cpus(workers);
    let (there, at_echo) = bounded(0);
    let (echo, back) = bounded(0);
    thread::scope(|scope| {
        scope.spawn(move || {
            for v in at_echo {
                echo.send(v).unwrap();
            }
        });
        for i in 0..n {
            there.send(i).unwrap();
            back.recv().unwrap();
        }
        drop(there);
    });
}

/// `workers` producers send n values to as many consumers.
fn prod_cons<const CAPACITY: usize>(workers: usize, n: i64) {
    use_cpus(workers);
    let (to, from) = bounded(CAPACITY);
    let share = Share::new(n);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| while from.recv().is_ok() {});
        }
        in_threads(workers, || {
            while let Some(count) = share.take() {
                for i in 0..count {
                    to.send(i).unwrap();
                }
            }
        });
        drop(to);
    });
}

const BURST: i64 = 100;

/// Sends a hundred values and receives a hundred, in turn.
fn bursts(share: &Share, to: &Sender<i64>, from: &Receiver<i64>) {
    while let Some(count) = share.take() {
        let mut left = count;
        while left > 0 {
            let k = left.min(BURST);
            for i in 0..k {
                to.send(i).unwrap();
            }
            for _ in 0..k {
                from.recv().unwrap();
            }
            left -= BURST;
        }
    }
}

fn uncontended(workers: usize, n: i64) {
    let share = Share::new(n);
    in_threads(workers, || {
        let (to, from) = bounded(BURST as usize);
        bursts(&share, &to, &from);
    });
}

fn contended(workers: usize, n: i64) {
    let share = Share::new(n);
    let (to, from) = bounded(BURST as usize * workers);
    in_threads(workers, || bursts(&share, &to, &from));
}
