//! `cargo xtask features`: features only add, so each one must also work alone.
//!
//! Every crate is checked as it comes, with all features, and with each feature alone on top of nothing; the crates
//! that promise to work without `std` also with no feature at all.

use cargo_metadata::Package;

use crate::process::{cargo, run as run_command};
use crate::{Outcome, no_arguments, workspace};

pub(crate) const USAGE: &str = "
Usage: cargo xtask features

Runs `cargo check` on the library of each published crate with each of its features alone.
";

pub(crate) fn run(args: &[String]) -> Outcome {
    no_arguments(args)?;
    let metadata = workspace::metadata()?;
    for package in workspace::published(&metadata) {
        for selection in selections(package) {
            run_command(
                cargo(["check", "--quiet", "--package", package.name.as_str()]).args(&selection),
            )?;
        }
    }
    Ok(())
}

/// The feature flags to check one crate with. A crate without features is covered by every other build.
fn selections(package: &Package) -> Vec<Vec<String>> {
    if package.features.is_empty() {
        return Vec::new();
    }
    let alone = package
        .features
        .keys()
        .filter(|feature| *feature != "default")
        .map(|feature| {
            vec![
                "--no-default-features".to_owned(),
                "--features".to_owned(),
                feature.clone(),
            ]
        });
    let nothing = vec!["--no-default-features".to_owned()];
    std::iter::once(nothing)
        .chain(alone)
        .chain([vec!["--all-features".to_owned()]])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::selections;
    use crate::workspace;

    #[test]
    fn each_feature_of_the_codec_is_checked_alone() {
        let metadata = workspace::metadata().unwrap();
        let codec = metadata
            .packages
            .iter()
            .find(|package| package.name == "whinchat-codec")
            .unwrap();
        let selections: Vec<String> = selections(codec)
            .iter()
            .map(|flags| flags.join(" "))
            .collect();
        assert_eq!(selections.first().unwrap(), "--no-default-features");
        assert_eq!(selections.last().unwrap(), "--all-features");
        for feature in ["std", "serde", "arbitrary", "proptest", "tokio-util-07"] {
            assert!(
                selections.contains(&format!("--no-default-features --features {feature}")),
                "{feature} is not checked alone"
            );
        }
    }

    #[test]
    fn the_crates_that_promise_no_std_are_checked_without_features() {
        let metadata = workspace::metadata().unwrap();
        for name in workspace::NO_STD_CRATES {
            let package = metadata
                .packages
                .iter()
                .find(|package| package.name == name)
                .unwrap();
            assert!(
                selections(package).contains(&vec!["--no-default-features".to_owned()]),
                "{name}"
            );
        }
    }
}
