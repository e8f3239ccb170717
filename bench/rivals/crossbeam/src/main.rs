// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

//! The operations of bench/*_bench.cpp on crossbeam's channels, line by line, between threads.

mod chan;
mod classics;
mod select;
mod threads;

fn main() {
    let cases = [chan::CASES, select::CASES, classics::CASES];
    harness::main("crossbeam", "crossbeam-channel", include_str!("../Cargo.lock"), &cases);
}
