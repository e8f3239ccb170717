// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use harness::{BOTH, Case, Share};
use tokio::task::unconstrained;
use tokio::time::sleep;

use crate::workers::{in_tasks, on_workers};

/// Without Timer/after: tokio's timers fire by the millisecond.
pub const CASES: &[Case] = &[Case::new("Timer/create_stop", BOTH, create_stop)];

const HOUR: Duration = Duration::from_secs(3600);

/// A Sleep becomes a timer when it is first polled, and is stopped when it is dropped.
async fn start_and_stop() {
    let mut timer = pin!(sleep(HOUR));
    poll_fn(|context| {
        assert!(timer.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
}

fn create_stop(workers: usize, n: i64) {
    on_workers(workers, async move {
        let share = Arc::new(Share::new(n));
        in_tasks(workers, || {
            let share = share.clone();
            // A task that has used up its turn would start no more timers.
            unconstrained(async move {
                while let Some(count) = share.take() {
                    for _ in 0..count {
                        start_and_stop().await;
                    }
                }
            })
        })
        .await;
    });
}
