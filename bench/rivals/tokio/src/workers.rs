// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

use std::future::Future;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

/// Runs `body` as a task with that many workers; always the same number in one process.
pub fn on_workers<F>(workers: usize, body: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(workers).enable_all().build().expect("tokio's runtime")
    });
    // block_on alone would run it on this thread, which is no worker.
    runtime.block_on(runtime.spawn(body)).unwrap();
}

/// Runs what `body` makes in that many tasks at once and waits for them.
pub async fn in_tasks<F>(count: usize, body: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let tasks: Vec<_> = (0..count).map(|_| tokio::spawn(body())).collect();
    for task in tasks {
        task.await.unwrap();
    }
}
