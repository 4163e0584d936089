//! Where things are: the root of the workspace, its packages, the folder for tools that only this project uses.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use cargo_metadata::{Metadata, MetadataCommand, Package};

/// The root of the workspace: the parent of this package's folder.
pub(crate) fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        // Cargo says at run time where it found the package: a shared target folder may hold a program built elsewhere.
        let package = std::env::var_os("CARGO_MANIFEST_DIR")
            .unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        PathBuf::from(package)
            .parent()
            .expect("xtask is a folder of the workspace")
            .to_owned()
    });
    &ROOT
}

/// Tools and environments of this project alone; git ignores it, and removing it undoes what `setup` put there.
pub(crate) fn tools() -> PathBuf {
    root().join(".tools")
}

/// The workspace as cargo sees it, without its dependencies' dependencies.
pub(crate) fn metadata() -> Result<Metadata, cargo_metadata::Error> {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
}

/// The packages that go to the registry.
pub(crate) fn published(metadata: &Metadata) -> impl Iterator<Item = &Package> {
    metadata.workspace_packages().into_iter().filter(|package| {
        package
            .publish
            .as_ref()
            .is_none_or(|registries| !registries.is_empty())
    })
}

/// The crates that must build without `std`.
pub(crate) const NO_STD_CRATES: [&str; 3] =
    ["whinchat-codec", "whinchat-topic", "whinchat-session"];

/// The cargo profile of programs that other checks start: release code without the slow link.
pub(crate) const CI_PROFILE: &str = "ci";

/// A path below the root, as it is written in messages.
pub(crate) fn relative(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .to_string_lossy()
        .into_owned()
}
