//! Where `serve` keeps its data if nobody says where: never in the working directory, which is another one at the next start.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Nothing says where.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no place for the data: neither STATE_DIRECTORY nor XDG_STATE_HOME nor HOME is an absolute path. Say --data-dir DIR, or --ephemeral to keep everything in memory"
)]
pub(super) struct NoPlace;

/// The place for this process.
pub(super) fn usual_place() -> Result<PathBuf, NoPlace> {
    let is_root = rustix::process::geteuid().is_root();
    place(is_root, |name| env::var_os(name))
}

/// `$STATE_DIRECTORY` is what a service manager has made for us; of several folders it names the first is taken.
fn place(is_root: bool, variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, NoPlace> {
    let folder = |name| {
        let folders = variable(name)?;
        let first = env::split_paths(&folders).next()?;
        // The XDG Base Directory Specification ignores what is not absolute, and rightly.
        first.is_absolute().then_some(first)
    };
    if let Some(made) = folder("STATE_DIRECTORY") {
        return Ok(made);
    }
    if is_root {
        return Ok(PathBuf::from("/var/lib/whinchat"));
    }
    let state = folder("XDG_STATE_HOME")
        .or_else(|| Some(folder("HOME")?.join(Path::new(".local/state"))))
        .ok_or(NoPlace)?;
    Ok(state.join("whinchat"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(is_root: bool, variables: &[(&str, &str)], expected: Result<&str, NoPlace>) {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        assert_eq!(place(is_root, variable), expected.map(PathBuf::from));
    }

    #[test]
    fn what_a_service_manager_made_comes_first() {
        let all = [
            ("STATE_DIRECTORY", "/var/lib/mqtt:/var/lib/other"),
            ("XDG_STATE_HOME", "/state"),
            ("HOME", "/home/u"),
        ];
        check(false, &all, Ok("/var/lib/mqtt"));
        check(true, &all, Ok("/var/lib/mqtt"));
        check(true, &all[1..], Ok("/var/lib/whinchat"));
        check(false, &all[1..], Ok("/state/whinchat"));
        check(false, &all[2..], Ok("/home/u/.local/state/whinchat"));
    }

    #[test]
    fn never_the_working_directory() {
        check(false, &[], Err(NoPlace));
        let relative = [
            ("STATE_DIRECTORY", ""),
            ("XDG_STATE_HOME", "state"),
            ("HOME", "."),
        ];
        check(false, &relative, Err(NoPlace));
        check(true, &relative, Ok("/var/lib/whinchat"));
    }
}
