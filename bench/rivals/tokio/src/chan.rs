// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

use std::sync::Arc;

use harness::{BOTH, Case, ONE, Share};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::workers::{in_tasks, on_workers};

pub const CASES: &[Case] = &[
    Case::new("Chan/sync", BOTH, sync),
    Case::new("Chan/prodcons10", ONE, prod_cons::<10>),
    Case::new("Chan/prodcons100", ONE, prod_cons::<100>),
    Case::new("Chan/uncontended", BOTH, uncontended),
];

/// A round trip over two channels.
fn sync(workers: usize, n: i64) {
    on_workers(workers, async move {
        let (there, mut at_echo) = channel(1);
        let (echo, mut back) = channel(1);
        let echo = tokio::spawn(async move {
            while let Some(v) = at_echo.recv().await {
                echo.send(v).await.unwrap();
            }
        });
        for i in 0..n {
            there.send(i).await.unwrap();
            back.recv().await.unwrap();
        }
        drop(there);
        echo.await.unwrap();
    });
}

/// One producer sends n values to one consumer.
fn prod_cons<const CAPACITY: usize>(workers: usize, n: i64) {
    on_workers(workers, async move {
        let (to, mut from) = channel(CAPACITY);
        let share = Arc::new(Share::new(n));
        let consumer = tokio::spawn(async move { while from.recv().await.is_some() {} });
        in_tasks(1, || {
            let (share, to) = (share.clone(), to.clone());
            async move {
                while let Some(count) = share.take() {
                    for i in 0..count {
                        to.send(i).await.unwrap();
                    }
                }
            }
        })
        .await;
        drop(to);
        consumer.await.unwrap();
    });
}

const BURST: i64 = 100;

/// Sends a hundred values and receives a hundred, in turn.
async fn bursts(share: &Share, to: Sender<i64>, mut from: Receiver<i64>) {
    while let Some(count) = share.take() {
        let mut left = count;
        while left > 0 {
            let k = left.min(BURST);
            for i in 0..k {
                to.send(i).await.unwrap();
            }
            for _ in 0..k {
                from.recv().await.unwrap();
            }
            left -= BURST;
        }
    }
}

fn uncontended(workers: usize, n: i64) {
    on_workers(workers, async move {
        let share = Arc::new(Share::new(n));
        in_tasks(workers, || {
            let share = share.clone();
            async move {
                let (to, from) = channel(BURST as usize);
                bursts(&share, to, from).await;
            }
        })
        .await;
    });
}
