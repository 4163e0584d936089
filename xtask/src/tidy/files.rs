//! Which files are looked at, and what each crate's folder must hold.

use std::fs;
use std::io;
use std::path::Path;

use cargo_metadata::Metadata;

use crate::workspace;

use super::Finding;

/// Folders that hold nothing of ours, or nothing but what a tool made.
const SKIPPED: &[&str] = &[
    "target",
    ".git",
    ".tools",
    "node_modules",
    "corpus",
    "artifacts",
    "coverage",
    "__pycache__",
    "proptest-regressions",
];

/// Path below the root and text of every source, test data and documentation file.
pub(crate) fn texts(root: &Path) -> io::Result<Vec<(String, String)>> {
    let mut texts = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if [".rs", ".txt", ".md"]
                .iter()
                .any(|extension| name.ends_with(extension))
            {
                let text = fs::read_to_string(&path).map_err(|error| {
                    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
                })?;
                let below = path
                    .strip_prefix(root)
                    .unwrap_or(&path)
                    .to_string_lossy()
                    .into_owned();
                texts.push((below, text));
            }
        }
    }
    texts.sort();
    Ok(texts)
}

/// May have unsafe code, so it lists its lints itself (docs/decisions/0015-memory-given-back.md).
const UNSAFE_CRATE: &str = "whinchat-heap";

/// A crate has a README and takes the lints that all share.
pub(super) fn check_crates(metadata: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in metadata.workspace_packages() {
        let manifest = workspace::relative(package.manifest_path.as_std_path());
        let folder = package
            .manifest_path
            .parent()
            .expect("a manifest lies in a folder");
        if !folder.join("README.md").is_file() {
            findings.push(Finding::new(&manifest, 0, "the crate has no README.md"));
        }
        let text = fs::read_to_string(&package.manifest_path).unwrap_or_default();
        if !text.contains("[lints]\nworkspace = true") && package.name != UNSAFE_CRATE {
            findings.push(Finding::new(
                &manifest,
                0,
                "the crate does not take the workspace's lints",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::texts;

    #[test]
    fn sources_test_data_and_pages_are_read_and_what_tools_made_is_not() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["src", "target/debug", "testdata/v5"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        for file in [
            "src/lib.rs",
            "target/debug/made.rs",
            "testdata/v5/a.txt",
            "README.md",
            "src/data.bin",
        ] {
            fs::write(root.path().join(file), "x").unwrap();
        }
        let names: Vec<String> = texts(root.path())
            .unwrap()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["README.md", "src/lib.rs", "testdata/v5/a.txt"]);
    }
}
