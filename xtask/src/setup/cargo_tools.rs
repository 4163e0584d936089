//! Cargo's subcommands: built once into `.tools/cargo`, in debug, for they spend their time waiting for others.

use std::fs;

use crate::Outcome;
use crate::process::{cargo, command, find_program, read, run};
use crate::workspace;

use super::cargo_bin;

const CARGO_FUZZ: &str = "0.13.2";

pub(super) fn install_missing() -> Outcome {
    // cargo-fuzz only calls cargo with the right flags: any version that is at hand does.
    if find_program("cargo-fuzz", &[cargo_bin()]).is_none() {
        install("cargo-fuzz", CARGO_FUZZ)?;
    }
    // The runner and the library talk over a format of their own and must be of one version.
    let gungraun = locked_version(
        &fs::read_to_string(workspace::root().join("Cargo.lock"))?,
        "gungraun",
    )
    .ok_or("Cargo.lock has no package gungraun")?;
    if gungraun_runner_version().is_none_or(|installed| installed != gungraun) {
        install("gungraun-runner", &gungraun)?;
    }
    Ok(())
}

fn install(name: &str, version: &str) -> Outcome {
    let root = workspace::tools().join("cargo");
    run(cargo([
        "install",
        "--locked",
        "--debug",
        "--quiet",
        "--force",
        name,
        "--version",
        version,
        "--root",
    ])
    .arg(root))
}

fn gungraun_runner_version() -> Option<String> {
    let program = find_program("gungraun-runner", &[cargo_bin()])?;
    let said = read(&mut command(program, ["--version"])).ok()?;
    Some(said.split_whitespace().last()?.to_owned())
}

/// The version of a package in the text of a `Cargo.lock`.
fn locked_version(lock: &str, package: &str) -> Option<String> {
    let mut lines = lock
        .lines()
        .skip_while(|line| *line != format!("name = \"{package}\""));
    lines.next()?;
    Some(
        lines
            .next()?
            .strip_prefix("version = \"")?
            .strip_suffix('"')?
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::locked_version;

    #[test]
    fn the_version_is_read_from_the_lock_file() {
        let lock = "[[package]]\nname = \"gungraun\"\nversion = \"0.20.0\"\n\n[[package]]\nname = \"gungraun-macros\"\nversion = \"0.9.1\"\n";
        assert_eq!(locked_version(lock, "gungraun").as_deref(), Some("0.20.0"));
        assert_eq!(
            locked_version(lock, "gungraun-macros").as_deref(),
            Some("0.9.1")
        );
        assert_eq!(locked_version(lock, "gung"), None);
    }
}
