//! `cargo xtask package`: what would be published holds everything that a build from the registry needs.

use crate::process::{cargo, run as run_command};
use crate::{Outcome, no_arguments, workspace};

pub(crate) const USAGE: &str = "
Usage: cargo xtask package

Packages every published crate into target/package and builds it from there, against the other packages instead of
the folders beside it. Works in a dirty tree, so that it can be run before a commit.
";

pub(crate) fn run(args: &[String]) -> Outcome {
    no_arguments(args)?;
    let metadata = workspace::metadata()?;
    let names: Vec<&str> = workspace::published(&metadata)
        .map(|package| package.name.as_str())
        .collect();
    let mut command = cargo(["package", "--quiet", "--allow-dirty"]);
    for name in &names {
        command.args(["--package", name]);
    }
    run_command(&mut command)?;
    println!("packaged: {}", names.join(", "));
    Ok(())
}
