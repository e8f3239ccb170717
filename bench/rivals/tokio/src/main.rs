// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

//! The operations of bench/*_bench.cpp in tokio's tasks, line by line. tokio has no unbuffered
//! channels; where a value is awaited at the other side anyway, one with room for one stands for
//! them. Its channels have one receiver only, so what needs more is left out.

mod chan;
mod classics;
mod select;
mod sync;
mod task;
mod timer;
mod workers;

fn main() {
    let cases =
        [chan::CASES, classics::CASES, select::CASES, sync::CASES, task::CASES, timer::CASES];
    harness::main("tokio", "tokio", include_str!("../Cargo.lock"), &cases);
}
