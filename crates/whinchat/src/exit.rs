//! With which code the program ends: part of its face, so each has one meaning.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All was done.
    Ok,
    /// It could not be done now: an address in use, no connection, an error of the operating system.
    Runtime,
    /// It was asked for wrongly: the command line, or the configuration.
    Usage,
    /// The data directory is in use, damaged, or not one that may be used.
    Data,
    /// The disk failed: nothing is acknowledged any more.
    Disk,
    /// The broker refused the connection, with this CONNACK code: as Mosquitto's tools end.
    Refused(u8),
    /// The time given with `-W` passed: 27, as with Mosquitto's tools.
    TimedOut,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Ok => 0,
            Exit::Runtime => 1,
            Exit::Usage => 2,
            Exit::Data => 3,
            Exit::Disk => 4,
            Exit::Refused(code) => code,
            Exit::TimedOut => 27,
        })
    }
}

impl Exit {
    /// Says what went wrong, on stderr, and gives back `self`.
    pub(crate) fn with_error(self, error: impl std::fmt::Display) -> Self {
        // With stderr gone there is nobody left to tell.
        let _ = writeln!(io::stderr(), "error: {error}");
        self
    }
}

/// Writes to stdout; a reader that has gone away (`| head`) is no failure.
pub(crate) fn print(text: &str) -> Exit {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => Exit::Ok,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Ok,
        Err(error) => Exit::Runtime.with_error(format_args!("cannot write to stdout: {error}")),
    }
}
