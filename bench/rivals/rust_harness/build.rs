// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

//! Tells the harness which compiler builds it.

use std::env;
use std::process::Command;

fn main() {
    let rustc = env::var("RUSTC").expect("cargo sets RUSTC");
    let answer = Command::new(rustc).arg("--version").output().expect("rustc --version");
    let version = String::from_utf8_lossy(&answer.stdout);
    println!("cargo::rustc-env=BENCH_COMPILER={}", version.trim());
    println!("cargo::rerun-if-changed=build.rs");
}
