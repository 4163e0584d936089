//! Each connection takes a file descriptor: asks for as many as the system lets the process have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit on file descriptors to the hard one.
pub(super) fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    match setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    ) {
        Ok(()) => {
            tracing::debug!(from = ?current, to = ?maximum, "raised the limit on file descriptors")
        }
        Err(error) => {
            tracing::warn!(%error, current = ?current, hard = ?maximum, "the limit on file descriptors could not be raised");
        }
    }
}
