// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

//! bench/rivals/threads.h in Rust.

use std::mem;
use std::thread;

/// Runs `body` in that many threads at once and waits for them.
pub fn in_threads(count: usize, body: impl Fn() + Sync) {
    thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(&body);
        }
    });
}

/// Lets this thread, and those it starts, use the first `count` CPUs it may use now.
pub fn use_cpus(count: usize) {
    let size = mem::size_of::<libc::cpu_set_t>();
    // SAFETY: cpu_set_t is plain bits, the calls are given its size, CPU_SETSIZE bounds the index.
    unsafe {
        let mut allowed: libc::cpu_set_t = mem::zeroed();
        if libc::sched_getaffinity(0, size, &raw mut allowed) != 0 {
            return;
        }
        let mut chosen: libc::cpu_set_t = mem::zeroed();
        let cpus = 0..libc::CPU_SETSIZE as usize;
        for cpu in cpus.filter(|cpu| libc::CPU_ISSET(*cpu, &allowed)).take(count) {
            libc::CPU_SET(cpu, &mut chosen);
        }
        libc::sched_setaffinity(0, size, &raw const chosen);
    }
}
