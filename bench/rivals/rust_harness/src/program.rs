// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

//! The command line that bench/harness/program.h describes.

use std::env;
use std::process::exit;
use std::str::FromStr;
use std::time::Instant;

use crate::{Case, Op, Unit};

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Unit::Nanoseconds => "ns",
            Unit::Milliseconds => "ms",
        }
    }

    fn of_ns(self, ns: f64) -> f64 {
        match self {
            Unit::Nanoseconds => ns,
            Unit::Milliseconds => ns / 1e6,
        }
    }
}

/// Answers --version, --list and --run for the cases of a library. `lock` is the text of the
/// program's Cargo.lock, which knows the version of `package`.
pub fn main(library: &str, package: &str, lock: &str, cases: &[&[Case]]) {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("--version") => println!(
            r#"{{"library": "{library}", "version": "{}", "compiler": "{}", "build": "{}"}}"#,
            locked_version(package, lock),
            env!("BENCH_COMPILER"),
            if cfg!(debug_assertions) { "Debug" } else { "Release" },
        ),
        Some("--list") => cases.iter().copied().flatten().for_each(list),
        Some("--run") if args.len() > 1 => {
            match cases.iter().copied().flatten().find(|case| case.name == args[1]) {
                Some(case) => run(case, &args[2..]),
                None => quit(&format!("no case named {}", args[1])),
            }
        }
        _ => quit("usage: --version | --list | --run NAME --workers N"),
    }
}

fn quit(why: &str) -> ! {
    eprintln!("{why}");
    exit(2)
}

/// In a Cargo.lock the line after a package's name is its version.
fn locked_version<'a>(package: &str, lock: &'a str) -> &'a str {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name).skip(1);
    lines.next().and_then(|line| line.split('"').nth(1)).unwrap_or("?")
}

fn list(case: &Case) {
    println!(
        r#"{{"name": "{}", "workers": {:?}, "unit": "{}", "big": {}}}"#,
        case.name,
        case.workers,
        case.unit.name(),
        case.big
    );
}

fn run(case: &Case, flags: &[String]) {
    let workers = flag(flags, "--workers", 1);
    let min_time = flag(flags, "--min-time", 0.2);
    for _ in 0..flag(flags, "--reps", 1) {
        let value = case.unit.of_ns(ns_per_op(case.op, workers, min_time));
        println!(
            r#"{{"name": "{}", "workers": {workers}, "unit": "{}", "value": {}}}"#,
            case.name,
            case.unit.name(),
            six_digits(value)
        );
    }
}

fn flag<T: FromStr>(flags: &[String], name: &str, usual: T) -> T {
    match flags.iter().position(|flag| flag == name) {
        None => usual,
        Some(at) => match flags.get(at + 1).and_then(|value| value.parse().ok()) {
            Some(value) => value,
            None => quit(&format!("{name} wants a number")),
        },
    }
}

/// Google Benchmark's rule: grow n until the run lasts long enough.
fn ns_per_op(op: Op, workers: usize, min_time: f64) -> f64 {
    const MOST: i64 = 1_000_000_000;
    let mut n = 1;
    loop {
        let start = Instant::now();
        op(workers, n);
        let seconds = start.elapsed().as_secs_f64();
        if seconds >= min_time || n >= MOST {
            return seconds * 1e9 / n as f64;
        }
        let mut factor = min_time * 1.4 / seconds.max(1e-9);
        if seconds / min_time <= 0.1 {
            factor = factor.min(10.0);
        }
        n = ((factor * n as f64) as i64).max(n + 1).min(MOST);
    }
}

/// As %.6g, but never with an exponent.
fn six_digits(value: f64) -> String {
    let decimals = (5.0 - value.abs().max(1e-6).log10().floor()).max(0.0) as usize;
    format!("{value:.decimals$}")
}
