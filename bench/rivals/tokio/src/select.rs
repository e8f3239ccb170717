// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

use std::sync::Arc;

use harness::{BOTH, Case, ONE, Share};
use tokio::select;
use tokio::sync::mpsc::channel;
use tokio::sync::watch;

use crate::workers::{in_tasks, on_workers};

pub const CASES: &[Case] = &[
    Case::new("Select/two_ready", ONE, two_ready),
    Case::new("Select/shared_done", BOTH, shared_done),
];

/// Of two channels one is ready; a select and a send.
fn two_ready(workers: usize, n: i64) {
    on_workers(workers, async move {
        let (to_a, mut a) = channel(1);
        let (to_b, mut b) = channel(1);
        to_a.send(0).await.unwrap();
        for _ in 0..n {
            select! {
                _ = a.recv() => to_b.send(0).await.unwrap(),
                _ = b.recv() => to_a.send(0).await.unwrap(),
            }
        }
    });
}

/// Values from a sender to a receiver of its own, a thousand such pairs for each worker; all
/// receivers select on a watch channel as well, which says that all is over.
fn shared_done(workers: usize, n: i64) {
    on_workers(workers, async move {
        const PAIRS: usize = 1000;
        let (done, over) = watch::channel(());
        let (running, mut all_ended) = channel::<()>(1);
        let share = Arc::new(Share::new(n));
        in_tasks(PAIRS * workers, || {
            let (share, mut over, running) = (share.clone(), over.clone(), running.clone());
            async move {
                let (to, mut from) = channel(1);
                tokio::spawn(async move {
                    let _running = running;
                    loop {
                        select! {
                            Some(_) = from.recv() => {}
                            _ = over.changed() => break,
                        }
                    }
                });
                while let Some(count) = share.take() {
                    for _ in 0..count {
                        to.send(0).await.unwrap();
                    }
                }
            }
        })
        .await;
        drop(done);
        drop(running);
        assert!(all_ended.recv().await.is_none());
    });
}
