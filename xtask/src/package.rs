//! `cargo xtask package`: what would be published holds everything that a build from the registry needs.

use std::{env, fs, path::PathBuf};

use cargo_metadata::Metadata;

use crate::process::{cargo, run as run_command};
use crate::{Outcome, no_arguments, workspace};

pub(crate) const USAGE: &str = "
Usage: cargo xtask package

Packages every published crate into target/package and builds it from there, against the other packages instead of
the folders beside it; what they depend on is not compiled again if a build of the workspace has done so. Works in a dirty tree, so that it can be run before a commit.
";

pub(crate) fn run(args: &[String]) -> Outcome {
    no_arguments(args)?;
    let metadata = workspace::metadata()?;
    let names: Vec<&str> = workspace::published(&metadata)
        .map(|package| package.name.as_str())
        .collect();
    forget_unpacked(&metadata)?;
    let mut command = cargo(["package", "--quiet", "--allow-dirty", "--target-dir"]);
    // A package has no profile of its own: with the folder and the debug information of the workspace's builds their
    // dependencies serve it too.
    command
        .arg(&metadata.target_directory)
        .env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only");
    for name in &names {
        command.args(["--package", name]);
    }
    run_command(&mut command)?;
    println!("packaged: {}", names.join(", "));
    Ok(())
}

/// Removes what an earlier run left unpacked in cargo's folder: cargo takes it for the same package as long as the version is the same.
fn forget_unpacked(metadata: &Metadata) -> Outcome {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let Some(sources) = home.map(|home| home.join("registry/src")) else {
        return Ok(());
    };
    let Ok(registries) = fs::read_dir(sources) else {
        return Ok(()); // nothing was ever unpacked
    };
    for registry in registries {
        let registry = registry?;
        // The name of a registry in a folder has no host in front of its hash.
        if !registry.file_name().to_string_lossy().starts_with('-') {
            continue;
        }
        for package in workspace::published(metadata) {
            let unpacked = registry
                .path()
                .join(format!("{}-{}", package.name, package.version));
            if unpacked.exists() {
                fs::remove_dir_all(unpacked)?;
            }
        }
    }
    Ok(())
}
