// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

use std::arch::asm;
use std::hint::black_box;
use std::sync::Arc;

use harness::{BOTH, Case, ONE, Share};
use tokio::sync::{Mutex, OnceCell, RwLock, Semaphore};

use crate::workers::{in_tasks, on_workers};

pub const CASES: &[Case] = &[
    Case::new("Mutex/uncontended", ONE, alone),
    Case::new("Mutex/contended", BOTH, contend::<1, false>),
    Case::new("Mutex/slack", BOTH, contend::<10, false>),
    Case::new("Mutex/work", BOTH, contend::<1, true>),
    Case::new("RWMutex/read", BOTH, read_write::<0>),
    Case::new("RWMutex/write", BOTH, read_write::<1>),
    Case::new("RWMutex/write1", BOTH, read_write::<100>),
    Case::new("RWMutex/write10", BOTH, read_write::<10>),
    Case::new("Once/done", ONE, once),
    Case::new("Semaphore/uncontended", ONE, semaphore),
];

fn alone(workers: usize, n: i64) {
    on_workers(workers, async move {
        let mutex = Mutex::new(());
        for _ in 0..n {
            drop(mutex.lock().await);
        }
    });
}

/// `bench::local_work`: 100 dependent steps of one cycle.
fn local_work(mut x: u64) -> u64 {
    for _ in 0..100 {
        x = x.rotate_left(1);
        // SAFETY: no instructions; the compiler may not know x afterwards.
        unsafe { asm!("/* {0} */", inout(reg) x, options(nomem, nostack, preserves_flags)) };
    }
    x
}

fn contend<const TASKS_PER_WORKER: usize, const WORK: bool>(workers: usize, n: i64) {
    on_workers(workers, async move {
        let common = Arc::new((Mutex::new(()), Share::new(n)));
        in_tasks(workers * TASKS_PER_WORKER, || {
            let common = common.clone();
            async move {
                let (mutex, share) = &*common;
                let mut x = 1;
                while let Some(count) = share.take() {
                    for _ in 0..count {
                        drop(mutex.lock().await);
                        if WORK {
                            x = local_work(x);
                        }
                    }
                }
                black_box(x);
            }
        })
        .await;
    });
}

/// `WRITE_EACH`: every so many times to write; 0: never.
fn read_write<const WRITE_EACH: i64>(workers: usize, n: i64) {
    on_workers(workers, async move {
        let common = Arc::new((RwLock::new(()), Share::new(n)));
        in_tasks(workers, || {
            let common = common.clone();
            async move {
                let (lock, share) = &*common;
                let mut turn = WRITE_EACH;
                while let Some(count) = share.take() {
                    for _ in 0..count {
                        turn -= 1;
                        if turn == 0 {
                            turn = WRITE_EACH;
                            drop(lock.write().await);
                        } else {
                            drop(lock.read().await);
                        }
                    }
                }
            }
        })
        .await;
    });
}

fn once(workers: usize, n: i64) {
    on_workers(workers, async move {
        let once = OnceCell::new();
        once.get_or_init(|| async {}).await;
        for _ in 0..n {
            once.get_or_init(|| async {}).await;
        }
    });
}

fn semaphore(workers: usize, n: i64) {
    on_workers(workers, async move {
        let semaphore = Semaphore::new(1);
        for _ in 0..n {
            drop(semaphore.acquire().await.unwrap());
        }
    });
}
