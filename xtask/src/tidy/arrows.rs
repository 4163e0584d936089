//! Who may depend on whom. docs/architecture.md draws these arrows; a new one is a decision, not an edit here.
//!
//! ```text
//!  whinchat-topic   whinchat-codec       leaves; unaware of each other
//!         \      /
//!       whinchat-session                 no I/O, no clock
//!         /      \
//!  whinchat-client  whinchat-broker      over whinchat-transport; the broker also over whinchat-store
//!         \      /
//!         whinchat                       the program; also over whinchat-conformance, which knows only the codec, and whinchat-heap
//! ```

use cargo_metadata::{DependencyKind, Metadata};

use crate::workspace;

use super::Finding;

/// What each crate may use of this workspace, outside its tests.
const ARROWS: &[(&str, &[&str])] = &[
    ("whinchat-topic", &[]),
    ("whinchat-codec", &[]),
    ("whinchat-session", &["whinchat-codec", "whinchat-topic"]),
    ("whinchat-transport", &[]),
    ("whinchat-store", &[]),
    ("whinchat-heap", &[]),
    (
        "whinchat-client",
        &[
            "whinchat-codec",
            "whinchat-session",
            "whinchat-topic",
            "whinchat-transport",
        ],
    ),
    (
        "whinchat-broker",
        &[
            "whinchat-codec",
            "whinchat-session",
            "whinchat-store",
            "whinchat-topic",
            "whinchat-transport",
        ],
    ),
    ("whinchat-conformance", &["whinchat-codec"]),
    (
        "whinchat",
        &[
            "whinchat-broker",
            "whinchat-client",
            "whinchat-codec",
            "whinchat-conformance",
            "whinchat-heap",
            "whinchat-session",
            "whinchat-store",
            "whinchat-topic",
            "whinchat-transport",
        ],
    ),
    (
        "whinchat-testkit",
        &[
            "whinchat-broker",
            "whinchat-client",
            "whinchat-codec",
            "whinchat-conformance",
            "whinchat-session",
            "whinchat-store",
            "whinchat-topic",
            "whinchat-transport",
        ],
    ),
    ("xtask", &[]),
];

/// All that the crates without `std` may bring along when no feature is asked for. `ref-cast` makes the borrowed
/// topic types out of `str` in code that the crate itself may not write: it would be unsafe.
const NO_STD_DEPENDENCIES: &[&str] = &[
    "bytes",
    "hashbrown",
    "nom",
    "ref-cast",
    "simdutf8",
    "whinchat-codec",
    "whinchat-topic",
];

pub(super) fn check(metadata: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        let manifest = workspace::relative(package.manifest_path.as_std_path());
        let uses = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind == DependencyKind::Normal);
        for dependency in uses {
            let complaint = if dependency.path.is_some() {
                forbidden_arrow(name, &dependency.name)
            } else {
                forbidden_without_std(name, &dependency.name, dependency.optional)
            };
            findings.extend(complaint.map(|complaint| Finding::new(&manifest, 0, complaint)));
        }
    }
    findings
}

/// Why one crate of the workspace may not use another, if so.
fn forbidden_arrow(from: &str, to: &str) -> Option<String> {
    match ARROWS.iter().find(|(name, _)| *name == from) {
        None => Some(format!(
            "{from} has no arrows yet: add them to xtask/src/tidy/arrows.rs and docs/architecture.md"
        )),
        Some((_, allowed)) if allowed.contains(&to) => None,
        Some(_) => Some(format!("{from} may not depend on {to}")),
    }
}

/// Why a crate that builds without `std` may not always bring a dependency along, if so.
fn forbidden_without_std(from: &str, to: &str, optional: bool) -> Option<String> {
    let forbidden =
        workspace::NO_STD_CRATES.contains(&from) && !optional && !NO_STD_DEPENDENCIES.contains(&to);
    forbidden.then(|| format!("{from} builds without std: {to} must be optional, behind a feature"))
}

#[cfg(test)]
mod tests {
    use super::{ARROWS, check, forbidden_arrow, forbidden_without_std};
    use crate::workspace;

    #[test]
    fn the_workspace_follows_its_arrows_and_every_crate_has_some() {
        let metadata = workspace::metadata().unwrap();
        assert_eq!(check(&metadata), []);
        for package in metadata.workspace_packages() {
            assert!(
                ARROWS
                    .iter()
                    .any(|(name, _)| *name == package.name.as_str()),
                "{} has no arrows",
                package.name
            );
        }
    }

    #[test]
    fn an_arrow_that_is_not_drawn_is_found() {
        assert_eq!(forbidden_arrow("whinchat-session", "whinchat-codec"), None);
        assert_eq!(
            forbidden_arrow("whinchat-codec", "whinchat-topic").as_deref(),
            Some("whinchat-codec may not depend on whinchat-topic")
        );
        assert_eq!(
            forbidden_arrow("whinchat-client", "whinchat-broker").as_deref(),
            Some("whinchat-client may not depend on whinchat-broker")
        );
        assert!(
            forbidden_arrow("whinchat-new", "whinchat-codec")
                .unwrap()
                .contains("no arrows yet")
        );
    }

    #[test]
    fn arrows_lead_downwards_only() {
        for (from, to) in ARROWS
            .iter()
            .flat_map(|(from, to)| to.iter().map(move |to| (from, to)))
        {
            assert!(
                forbidden_arrow(to, from).is_some(),
                "{from} and {to} depend on each other"
            );
        }
    }

    #[test]
    fn a_crate_without_std_brings_only_what_has_none_either() {
        assert_eq!(
            forbidden_without_std("whinchat-codec", "bytes", false),
            None
        );
        assert_eq!(forbidden_without_std("whinchat-codec", "serde", true), None);
        assert!(forbidden_without_std("whinchat-codec", "serde", false).is_some());
        assert_eq!(
            forbidden_without_std("whinchat-broker", "serde", false),
            None
        );
    }
}
