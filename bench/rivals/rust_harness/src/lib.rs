// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

//! The Rust side of bench/harness: the same command line, the same way of choosing how many
//! operations to do, the same sharing out.

pub mod maps;
mod program;
mod share;

pub use program::main;
pub use share::Share;

/// Does an operation n times with the given number of workers.
pub type Op = fn(workers: usize, n: i64);

/// An operation under the name that all languages share.
pub struct Case {
    name: &'static str,
    unit: Unit,
    workers: &'static [usize],
    op: Op,
    big: bool,
}

#[derive(Clone, Copy)]
enum Unit {
    Nanoseconds,
    Milliseconds,
}

impl Case {
    /// `workers`: the numbers of workers to try.
    pub const fn new(name: &'static str, workers: &'static [usize], op: Op) -> Self {
        Case { name, unit: Unit::Nanoseconds, workers, op, big: false }
    }

    /// Only on request: takes too long or too much.
    pub const fn big(mut self) -> Self {
        self.big = true;
        self
    }

    /// A case whose figure is in milliseconds.
    pub const fn in_ms(name: &'static str, workers: &'static [usize], op: Op) -> Self {
        Case { name, unit: Unit::Milliseconds, workers, op, big: false }
    }
}

/// What most cases try.
pub const ONE: &[usize] = &[1];
pub const BOTH: &[usize] = &[1, 2];
