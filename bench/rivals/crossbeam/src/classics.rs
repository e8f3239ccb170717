// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use harness::{BOTH, Case};

use crate::threads::use_cpus;

pub const CASES: &[Case] = &[Case::new("ThreadRing", BOTH, thread_ring)];

const RING_SIZE: i64 = 503;

/// Hands on the number of passes left; -1 tells all to go home.
fn pass(from: &Receiver<i64>, to: &Sender<i64>, done: &Sender<()>) {
    for left in from {
        if left < 0 {
            if left > -RING_SIZE {
                to.send(left - 1).unwrap();
            }
            break;
        }
        to.send(left - 1).unwrap();
    }
    done.send(()).unwrap();
}

/// One pass of a token round 503 threads.
fn thread_ring(workers: usize, n: i64) {
    use_cpus(workers);
    let (first, mut from) = bounded(0);
    let (done, ended) = bounded(0);
    thread::scope(|scope| {
        for _ in 1..RING_SIZE {
            let (to, next) = bounded(0);
            let (from, done) = (std::mem::replace(&mut from, next), &done);
            scope.spawn(move || pass(&from, &to, done));
        }
        scope.spawn(|| pass(&from, &first, &done));
        first.send(n).unwrap();
        for _ in 0..RING_SIZE {
            ended.recv().unwrap();
        }
    });
}
