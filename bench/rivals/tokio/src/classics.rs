// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

use std::future::Future;
use std::mem;

use harness::{BOTH, Case};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::workers::on_workers;

pub const CASES: &[Case] =
    &[Case::in_ms("Skynet", BOTH, skynet), Case::new("ThreadRing", BOTH, thread_ring)];

const LEAVES: i64 = 1_000_000;
const RING_SIZE: i64 = 503;

/// Sends the sum of `size` leaves, the first of which is `number`: ten parts, each a task that
/// does the same.
#[expect(clippy::manual_async_fn, reason = "it spawns itself, so Send has to be said")]
fn add_up(to: Sender<i64>, number: i64, size: i64) -> impl Future<Output = ()> + Send {
    async move {
        if size == 1 {
            to.send(number).await.unwrap();
            return;
        }
        let (part, mut parts) = channel(1);
        for i in 0..10 {
            tokio::spawn(add_up(part.clone(), number + i * (size / 10), size / 10));
        }
        let mut sum = 0;
        for _ in 0..10 {
            sum += parts.recv().await.unwrap();
        }
        to.send(sum).await.unwrap();
    }
}

/// Hands on the number of passes left; -1 tells all to go home.
async fn pass(mut from: Receiver<i64>, to: Sender<i64>, done: Sender<()>) {
    while let Some(left) = from.recv().await {
        if left < 0 {
            if left > -RING_SIZE {
                to.send(left - 1).await.unwrap();
            }
            break;
        }
        to.send(left - 1).await.unwrap();
    }
    done.send(()).await.unwrap();
}

/// A million leaves.
fn skynet(workers: usize, n: i64) {
    on_workers(workers, async move {
        for _ in 0..n {
            let (to, mut from) = channel(1);
            tokio::spawn(add_up(to, 0, LEAVES));
            assert_eq!(from.recv().await, Some(LEAVES / 2 * (LEAVES - 1)));
        }
    });
}

/// One pass of a token round 503 tasks.
fn thread_ring(workers: usize, n: i64) {
    on_workers(workers, async move {
        let (first, mut from) = channel(1);
        let (done, mut ended) = channel(1);
        for _ in 1..RING_SIZE {
            let (to, next) = channel(1);
            tokio::spawn(pass(mem::replace(&mut from, next), to, done.clone()));
        }
        tokio::spawn(pass(from, first.clone(), done));
        first.send(n).await.unwrap();
        for _ in 0..RING_SIZE {
            ended.recv().await.unwrap();
        }
    });
}
