// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

use std::thread;

use crossbeam_channel::{bounded, select};
use harness::{BOTH, Case, ONE, Share};

use crate::threads::{in_threads, use_cpus};

pub const CASES: &[Case] = &[
    Case::new("Select/two_ready", ONE, two_ready),
    Case::new("Select/sync_contended", BOTH, sync_contended),
];

/// Of two channels one is ready; a select and a send.
fn two_ready(_workers: usize, n: i64) {
    let (to_a, a) = bounded(1);
    let (to_b, b) = bounded(1);
    to_a.send(0).unwrap();
    for _ in 0..n {
        select! {
            recv(a) -> _ => to_b.send(0).unwrap(),
            recv(b) -> _ => to_a.send(0).unwrap(),
        }
    }
}

/// As many receivers as workers and as many senders, each selecting over three channels.
fn sync_contended(workers: usize, n: i64) {
    use_cpus(workers);
    let (to_a, a) = bounded(0);
    let (to_b, b) = bounded(0);
    let (to_c, c) = bounded(0);
    let (done, over) = bounded::<()>(0);
    let share = Share::new(n);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    select! {
                        send(to_a, 0) -> _ => {}
                        send(to_b, 0) -> _ => {}
                        send(to_c, 0) -> _ => {}
                        recv(over) -> _ => break,
                    }
                }
            });
        }
        in_threads(workers, || {
            while let Some(count) = share.take() {
                for _ in 0..count {
                    select! {
                        recv(a) -> _ => {}
                        recv(b) -> _ => {}
                        recv(c) -> _ => {}
                    }
                }
            }
        });
        drop(done);
    });
}
