//! `cargo xtask no-std`: proof that codec, topic and session need no operating system.
//!
//! A crate that says `#![no_std]` can still pull in `std` through a dependency. Only a final artifact tells: the
//! package `xtask/no_std` is a `staticlib` with its own panic handler and allocator, which collide with those of
//! `std` as soon as any crate below brings it in.

use crate::process::{cargo, run as run_command};
use crate::{Outcome, no_arguments, workspace};

pub(crate) const USAGE: &str = "
Usage: cargo xtask no-std

Builds xtask/no_std, a static library over codec, topic and session without std, for this machine.
";

pub(crate) fn run(args: &[String]) -> Outcome {
    no_arguments(args)?;
    let target = workspace::metadata()?.target_directory.join("no-std");
    run_command(
        cargo([
            "build",
            "--quiet",
            "--release",
            "--manifest-path",
            "xtask/no_std/Cargo.toml",
            "--target-dir",
            target.as_str(),
        ])
        .env("CARGO_INCREMENTAL", "0"),
    )
}
