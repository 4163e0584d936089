//! `whinchat store`: the data directory without a broker.

mod backup;
mod export;
mod import;
mod inspect;
mod repair;
mod verify;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use whinchat_store::{OpenError, Replayed};

use crate::{commands::progress, exit::Exit};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Reads the whole data directory and says what is in it, or what is wrong with it. Changes nothing.
    ///
    /// Ends with 0 if it is whole, with 3 if it is damaged, in use, or of a later release.
    Verify(Directory),
    /// Makes a damaged data directory usable again, and says what is lost. Copies it first.
    ///
    /// The copy is DIR.backup-DATE-TIME. Ends with 0 if the directory is whole now, with 3 if it cannot be used, with 1 if the copy cannot be made. A
    /// directory that is whole is left alone.
    Repair(Directory),
    /// Lists the sessions, retained messages and Wills that a broker would start with. Shows no payload, and changes nothing.
    ///
    /// Ends with 0, or with 3 if the directory is damaged, in use, or of a later release.
    Inspect {
        #[command(flatten)]
        directory: Directory,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Copies the data directory FROM, which a broker may be using, to the new directory TO.
    ///
    /// All that was acknowledged when it began is in the copy. Ends with 0 if the copy is whole, with 3 if FROM is damaged or cannot be used or TO is not
    /// empty, with 1 if the copy cannot be written.
    Backup(backup::Args),
    /// Copies a backup FROM to the new data directory TO, which no broker may be using.
    ///
    /// Ends as `backup` does.
    Restore(backup::Args),
    /// Writes all that is kept as JSON lines: sessions, messages with their payloads, Wills. Changes nothing.
    ///
    /// Ends with 0, with 3 if the directory is damaged, in use, or of a later release, with 1 if the lines cannot be written.
    Export(export::Args),
    /// Makes a new data directory of what `export` has written.
    ///
    /// Ends with 0, with 2 if a line is wrong, with 3 if the directory is in use or not empty, with 1 if it cannot be written. Unless it ends with 0 the
    /// directory is left empty.
    Import(import::Args),
}

#[derive(clap::Args)]
struct Directory {
    /// The data directory.
    #[arg(value_name = "DIR")]
    path: PathBuf,
    /// No progress bar.
    #[arg(long)]
    quiet: bool,
}

pub(crate) fn run(args: Args) -> Exit {
    match args.action {
        Action::Verify(directory) => verify::run(&directory),
        Action::Repair(directory) => repair::run(&directory),
        Action::Backup(args) => backup::run(&args, true),
        Action::Restore(args) => backup::run(&args, false),
        Action::Export(args) => export::run(&args),
        Action::Import(args) => import::run(&args),
        Action::Inspect { directory, json } => inspect::run(&directory, json),
    }
}

impl Directory {
    /// A bar for the bytes that were done, and how to move it.
    fn progress(&self, doing: &'static str) -> (indicatif::ProgressBar, impl Fn(u64, u64) + use<>) {
        moves(progress::bar(self.quiet, TEMPLATE).with_message(doing))
    }
}

pub(super) const TEMPLATE: &str =
    "{msg} {wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}";

/// A bar, and what moves it.
pub(super) fn moves(
    bar: indicatif::ProgressBar,
) -> (indicatif::ProgressBar, impl Fn(u64, u64) + use<>) {
    let moved = bar.clone();
    let moves = move |done, all| {
        moved.set_length(all);
        moved.set_position(done);
    };
    (bar, moves)
}

/// Reads the whole log as a broker would.
fn read_whole(
    directory: &Directory,
    disk: whinchat_store::disk::Directory,
) -> Result<whinchat_store::Verified, OpenError> {
    let (bar, moves) = directory.progress("reading");
    let read = whinchat_store::verify(std::sync::Arc::new(disk), |group: Replayed<'_>| {
        let (done, all) = group.progress;
        moves(done, all);
        Ok(whinchat_broker::check_group(group.records)?)
    });
    bar.finish_and_clear();
    read
}

/// Whether a repair can do something about it.
pub(super) fn is_damage(error: &OpenError) -> bool {
    match error {
        OpenError::Damaged { .. } => true,
        OpenError::Replay { error, .. } => !error
            .downcast_ref::<whinchat_broker::UnreadableGroup>()
            .is_some_and(whinchat_broker::UnreadableGroup::is_newer),
        OpenError::Io { .. } | OpenError::Newer { .. } | OpenError::Foreign { .. } | _ => false,
    }
}

/// What to do about a damaged directory.
pub(super) fn advice(path: &Path) -> String {
    format!(
        "`whinchat store repair {}` copies it first and keeps all the rest",
        path.display()
    )
}
