//! `cargo xtask docs`: the API docs build without a warning, and what the READMEs tell a reader to type exists.
//!
//! Owns the check of written commands and links. Whether code in a README runs is a matter of doctests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::process::{cargo, run as run_command};
use crate::{CHORES, Outcome, no_arguments, workspace};

pub(crate) const USAGE: &str = "
Usage: cargo xtask docs

Builds the API docs with warnings as errors. In README.md, the crates' READMEs and docs/ it checks that each
`cargo xtask CHORE` exists, that each `-p CRATE` is a crate of the workspace, and that each relative link leads to a file.
";

pub(crate) fn run(args: &[String]) -> Outcome {
    no_arguments(args)?;
    check_pages()?;
    run_command(
        cargo(["doc", "--quiet", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"),
    )
}

fn check_pages() -> Outcome {
    let metadata = workspace::metadata()?;
    let crates: BTreeSet<String> = metadata
        .workspace_packages()
        .iter()
        .map(|package| package.name.to_string())
        .collect();
    let mut findings = Vec::new();
    for page in pages()? {
        let text =
            fs::read_to_string(&page).map_err(|error| format!("{}: {error}", page.display()))?;
        let folder = page.parent().expect("a file lies in a folder");
        let name = workspace::relative(&page);
        for (number, line) in text.lines().enumerate() {
            let complaints = unknown_names(line, &crates)
                .into_iter()
                .chain(dead_links(line, folder));
            findings
                .extend(complaints.map(|complaint| format!("{name}:{}: {complaint}", number + 1)));
        }
    }
    if findings.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "{} problems in the pages:\n{}",
            findings.len(),
            findings.join("\n")
        )
        .into())
    }
}

/// Every Markdown page that we wrote for readers.
fn pages() -> std::io::Result<Vec<PathBuf>> {
    let mut pages = Vec::new();
    let mut folders: Vec<PathBuf> = ["docs", "crates", "xtask", "fuzz", "interop"]
        .iter()
        .map(|folder| workspace::root().join(folder))
        .collect();
    pages.push(workspace::root().join("README.md"));
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry?.path();
            let hidden = path.file_name().is_some_and(|name| {
                matches!(
                    name.to_string_lossy().as_ref(),
                    "target" | "node_modules" | "corpus"
                )
            });
            if path.is_dir() && !hidden {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    Ok(pages)
}

/// Chores and crates that the line names in a command but that do not exist.
fn unknown_names(line: &str, crates: &BTreeSet<String>) -> Vec<String> {
    let mut complaints = Vec::new();
    for after in line.split("cargo xtask ").skip(1) {
        let chore: String = after
            .chars()
            .take_while(|c| c.is_ascii_lowercase() || *c == '-')
            .collect();
        if !chore.is_empty() && !CHORES.iter().any(|known| known.name == chore) {
            complaints.push(format!("`cargo xtask {chore}` is no chore"));
        }
    }
    if line.contains("cargo ") {
        for after in line.split(" -p ").skip(1) {
            let name: String = after
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '_')
                .collect();
            if name.starts_with("whinchat") && !crates.contains(&name) {
                complaints.push(format!("`-p {name}` is no crate of the workspace"));
            }
        }
    }
    complaints
}

/// Relative links of the line that lead to no file.
fn dead_links(line: &str, folder: &Path) -> Vec<String> {
    line.split("](")
        .skip(1)
        .filter_map(|after| after.split_once(')').map(|(link, _)| link))
        .filter(|link| {
            !link.contains("://") && !link.starts_with('#') && !link.starts_with("mailto:")
        })
        .map(|link| link.split('#').next().unwrap_or(link))
        .filter(|link| !folder.join(link).exists())
        .map(|link| format!("the link to {link} leads nowhere"))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{check_pages, dead_links, unknown_names};

    #[test]
    fn a_command_that_names_no_chore_or_crate_is_found() {
        let crates = BTreeSet::from(["whinchat-codec".to_owned()]);
        assert!(
            unknown_names("run `cargo xtask ci`, then `cargo xtask CHORE`", &crates).is_empty()
        );
        assert_eq!(
            unknown_names("`cargo xtask frobnicate`", &crates),
            ["`cargo xtask frobnicate` is no chore"]
        );
        assert!(unknown_names("cargo test -p whinchat-codec", &crates).is_empty());
        assert_eq!(
            unknown_names("cargo test -p whinchat-codex", &crates),
            ["`-p whinchat-codex` is no crate of the workspace"]
        );
        assert!(unknown_names("mosquitto_pub -p 1883", &crates).is_empty());
    }

    #[test]
    fn a_link_to_a_missing_file_is_found() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("there.md"), "").unwrap();
        let line = "[a](there.md#part) [b](https://mqtt.org) [c](#here) [d](gone.md)";
        assert_eq!(
            dead_links(line, folder.path()),
            ["the link to gone.md leads nowhere"]
        );
    }

    #[test]
    fn our_own_pages_name_only_what_exists() {
        check_pages().unwrap();
    }
}
