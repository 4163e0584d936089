//! `whinchat store backup` and `restore`: the same copy, there and back.

use std::path::PathBuf;

use whinchat_store::{BackupError, backup, disk::DataDirectory};

use super::{advice, is_damage, moves};
use crate::{
    commands::progress,
    exit::{Exit, print},
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// What is copied.
    #[arg(value_name = "FROM")]
    from: PathBuf,
    /// Where to: a directory that is not there yet, or empty.
    #[arg(value_name = "TO")]
    to: PathBuf,
    /// No progress bar.
    #[arg(long)]
    quiet: bool,
}

/// `watch`: a broker may hold what is copied.
pub(super) fn run(args: &Args, watch: bool) -> Exit {
    let from = if watch {
        DataDirectory::watch(&args.from)
    } else {
        DataDirectory::read(&args.from)
    };
    let (from, to) = match from.and_then(|from| Ok((from, DataDirectory::open(&args.to)?))) {
        Ok(both) => both,
        Err(error) => return Exit::Data.with_error(error),
    };
    let (bar, moves) = moves(progress::bar(args.quiet, super::TEMPLATE).with_message("copying"));
    let copied = backup(&from.disk(), &to.disk(), moves);
    bar.finish_and_clear();
    match copied {
        Ok(copied) => print(&format!(
            "copied: groups up to {} in {} segments ({} bytes of files)\n",
            copied.last, copied.segments, copied.bytes
        )),
        Err(BackupError::Log(error)) if is_damage(&error) => {
            Exit::Data.with_error(format_args!("{error}\n{}", advice(&args.from)))
        }
        Err(error @ (BackupError::Log(_) | BackupError::NotEmpty(_))) => {
            Exit::Data.with_error(error)
        }
        Err(error) => Exit::Runtime.with_error(error),
    }
}
