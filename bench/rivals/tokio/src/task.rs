// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

use harness::{BOTH, Case};
use tokio::task::yield_now;

use crate::workers::{in_tasks, on_workers};

pub const CASES: &[Case] = &[
    Case::new("Go/spawn", BOTH, spawn),
    Case::new("Go/spawn_one", BOTH, spawn_one),
    Case::new("Go/yield", BOTH, yields),
];

const BATCH: i64 = 1000;

fn spawn(workers: usize, n: i64) {
    on_workers(workers, async move {
        let mut tasks = Vec::new();
        let mut left = n;
        while left > 0 {
            tasks.extend((0..left.min(BATCH)).map(|_| tokio::spawn(async {})));
            for task in tasks.drain(..) {
                task.await.unwrap();
            }
            left -= BATCH;
        }
    });
}

fn spawn_one(workers: usize, n: i64) {
    on_workers(workers, async move {
        for _ in 0..n {
            tokio::spawn(async {}).await.unwrap();
        }
    });
}

fn yields(workers: usize, n: i64) {
    on_workers(workers, async move {
        in_tasks(2, || async move {
            for _ in 0..n / 2 {
                yield_now().await;
            }
        })
        .await;
    });
}
