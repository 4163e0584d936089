//! Starting other programs: always from the root of the workspace, with an error that names the command.
//!
//! Owns how a command is shown and what its failure says. Who starts what is the business of each chore.

use std::error::Error;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};

use crate::Outcome;
use crate::workspace;

/// A program that did not start or did not end well.
#[derive(Debug)]
pub(crate) struct CommandFailed {
    command: String,
    why: String,
}

impl fmt::Display for CommandFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.command, self.why)
    }
}

impl Error for CommandFailed {}

/// The cargo that runs this program, started at the root of the workspace.
pub(crate) fn cargo<I, S>(args: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    command(program, args)
}

/// Any other program, started at the root of the workspace.
pub(crate) fn command<I, S>(program: impl AsRef<OsStr>, args: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = Command::new(program);
    command.args(args).current_dir(workspace::root());
    command
}

/// Shows the command and runs it with our output; an unsuccessful end is an error.
pub(crate) fn run(command: &mut Command) -> Outcome {
    eprintln!("$ {}", shown(command));
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(command, &ending(status)).into()),
        Err(error) => Err(failed(command, &format!("did not start: {error}")).into()),
    }
}

/// Runs the command silently and gives its standard output; on failure the error carries what it wrote to stderr.
pub(crate) fn read(command: &mut Command) -> Result<String, CommandFailed> {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .output()
        .map_err(|error| failed(command, &format!("did not start: {error}")))?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&stderr);
    Err(failed(
        command,
        &format!("{}: {}", ending(status), said.trim()),
    ))
}

/// Where a program is found: in the folders given first, then on `PATH`, then in the system's own folders, which
/// are not on the `PATH` of every user (Debian's mosquitto lies in `/usr/sbin`).
pub(crate) fn find_program(name: &str, first: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    first
        .iter()
        .cloned()
        .chain(std::env::split_paths(&path))
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|program| is_executable(program))
}

fn is_executable(program: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    program
        .metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// The command as a person would type it, with its working folder left out.
pub(crate) fn shown(command: &Command) -> String {
    let quoted = |word: &OsStr| {
        let word = word.to_string_lossy();
        if word.is_empty() || word.contains([' ', '\'', '"', '$', '*', '#', '&', ';', '|']) {
            format!("'{}'", word.replace('\'', r"'\''"))
        } else {
            word.into_owned()
        }
    };
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program());
    let variables = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={}", name.to_string_lossy(), quoted(value?))));
    variables
        .chain([quoted(program)])
        .chain(command.get_args().map(quoted))
        .collect::<Vec<_>>()
        .join(" ")
}

fn failed(command: &Command, why: &str) -> CommandFailed {
    CommandFailed {
        command: shown(command),
        why: why.to_owned(),
    }
}

fn ending(status: ExitStatus) -> String {
    status.code().map_or_else(
        || "was ended by a signal".to_owned(),
        |code| format!("ended with code {code}"),
    )
}

#[cfg(test)]
mod tests {
    use super::{command, find_program, read, run, shown};

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let mut it = command("/usr/bin/env", ["a b", "plain", "it's"]);
        it.env("LEVEL", "1");
        assert_eq!(shown(&it), r"LEVEL=1 env 'a b' plain 'it'\''s'");
    }

    #[test]
    fn a_failure_names_the_command_and_how_it_ended() {
        let error = run(&mut command("false", [] as [&str; 0])).unwrap_err();
        assert_eq!(error.to_string(), "`false` ended with code 1");
        let error = run(&mut command("no-such-program-anywhere", ["-x"])).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("`no-such-program-anywhere -x` did not start"),
            "{error}"
        );
    }

    #[test]
    fn what_a_failed_program_wrote_is_in_the_error() {
        let error = read(&mut command("ls", ["/no/such/folder"])).unwrap_err();
        assert!(error.to_string().contains("/no/such/folder"), "{error}");
        assert_eq!(read(&mut command("echo", ["hello"])).unwrap(), "hello\n");
    }

    #[test]
    fn programs_are_found_in_the_folders_given_first() {
        let folder = tempfile::tempdir().unwrap();
        assert!(find_program("only-here", &[folder.path().to_owned()]).is_none());
        let program = folder.path().join("only-here");
        std::fs::write(&program, "").unwrap();
        assert!(
            find_program("only-here", &[folder.path().to_owned()]).is_none(),
            "a file that cannot be run is not a program"
        );
        std::os::unix::fs::symlink("/bin/true", folder.path().join("runs")).unwrap();
        assert_eq!(
            find_program("runs", &[folder.path().to_owned()]),
            Some(folder.path().join("runs"))
        );
    }
}
