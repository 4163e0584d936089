//! Instruction counts of the hot paths, the same on every run of one machine.
//!
//! A bench target counts instructions if its source uses gungraun; the others measure time and are started by hand
//! with `cargo bench`, for a figure in seconds means nothing on a machine that does something else besides.

use std::fs;

use cargo_metadata::TargetKind;

use crate::process::{cargo, find_program, run as run_command};
use crate::{Outcome, setup, workspace};

/// Counts for every crate, or for one.
pub(super) fn run(only: Option<&str>) -> Outcome {
    let benches = instruction_benches()?;
    let chosen: Vec<_> = benches
        .iter()
        .filter(|(package, _)| only.is_none_or(|only| only == package))
        .collect();
    if let (Some(only), true) = (only, chosen.is_empty()) {
        return Err(format!("crate {only} has no instruction-count bench").into());
    }
    let runner = find_program("gungraun-runner", &[setup::cargo_bin()])
        .ok_or("gungraun-runner is missing: run `cargo xtask setup`")?;
    find_program("valgrind", &[]).ok_or("valgrind is missing: run `cargo xtask setup`")?;
    for (package, bench) in chosen {
        run_command(
            cargo([
                "bench",
                "--quiet",
                "--profile",
                workspace::CI_PROFILE,
                "--package",
                package,
                "--bench",
                bench,
            ])
            .env("GUNGRAUN_RUNNER", &runner),
        )?;
    }
    Ok(())
}

/// Package and bench target of everything that counts instructions.
fn instruction_benches() -> Result<Vec<(String, String)>, Box<dyn std::error::Error>> {
    let metadata = workspace::metadata()?;
    let mut found = Vec::new();
    for package in metadata.workspace_packages() {
        for target in package
            .targets
            .iter()
            .filter(|target| target.kind.contains(&TargetKind::Bench))
        {
            if fs::read_to_string(&target.src_path)?.contains("gungraun::") {
                found.push((package.name.to_string(), target.name.clone()));
            }
        }
    }
    Ok(found)
}
