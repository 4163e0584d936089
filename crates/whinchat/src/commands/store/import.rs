//! `whinchat store import`: a new data directory, of the lines that `export` wrote.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::PathBuf,
    sync::Arc,
};

use whinchat_broker::{Clock, ExportLine, Import, ImportError, Imported};
use whinchat_store::{
    DurableLogOptions,
    disk::{DataDirectory, Disk},
};

use crate::{
    commands::progress,
    exit::{Exit, print},
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// What `export` has written; "-" is stdin.
    #[arg(value_name = "FILE")]
    from: PathBuf,
    /// The data directory: one that is not there yet, or empty.
    #[arg(value_name = "DIR")]
    to: PathBuf,
    /// No progress bar.
    #[arg(long)]
    quiet: bool,
}

/// Why it failed, and in which line.
enum Failure {
    Read(io::Error),
    Syntax(usize, serde_json::Error),
    Line(usize, ImportError),
    Whole(ImportError),
}

pub(super) fn run(args: &Args) -> Exit {
    let (source, bytes): (Box<dyn BufRead>, _) = if args.from.as_os_str() == "-" {
        (Box::new(io::stdin().lock()), 0)
    } else {
        match File::open(&args.from).and_then(|file| Ok((file.metadata()?.len(), file))) {
            Ok((bytes, file)) => (Box::new(BufReader::new(file)), bytes),
            Err(error) => {
                return Exit::Runtime
                    .with_error(format_args!("cannot read {}: {error}", args.from.display()));
            }
        }
    };
    let directory = match DataDirectory::open(&args.to) {
        Ok(directory) => directory,
        Err(error) => return Exit::Data.with_error(error),
    };
    let disk: Arc<dyn Disk> = Arc::new(directory.disk());
    let options = DurableLogOptions::default();
    let begun = match Import::new(Arc::clone(&disk), options, &Clock::system()) {
        Ok(begun) => begun,
        Err(error) => {
            return Exit::Data.with_error(format_args!("{}: {error}", args.to.display()));
        }
    };
    let bar = progress::bar(args.quiet || bytes == 0, super::TEMPLATE).with_message("importing");
    let (bar, moves) = super::moves(bar);
    let imported = import(begun, source, |done| moves(done, bytes));
    bar.finish_and_clear();
    let name = args.from.display();
    let failure = match imported {
        Ok(imported) => {
            return print(&format!(
                "imported: {} sessions, {} messages ({} retained), {} Wills\n",
                imported.sessions, imported.messages, imported.retained, imported.wills
            ));
        }
        Err(failure) => failure,
    };
    empty(&*disk);
    match failure {
        Failure::Read(error) => {
            Exit::Runtime.with_error(format_args!("cannot read {name}: {error}"))
        }
        Failure::Syntax(line, error) => {
            Exit::Usage.with_error(format_args!("{name}:{line}: {error}"))
        }
        Failure::Line(_, error @ (ImportError::Full | ImportError::Log(_)))
        | Failure::Whole(error @ (ImportError::Full | ImportError::Log(_))) => {
            Exit::Runtime.with_error(error)
        }
        Failure::Line(line, error) => {
            Exit::Usage.with_error(format_args!("{name}:{line}: {error}"))
        }
        Failure::Whole(error) => Exit::Usage.with_error(format_args!("{name}: {error}")),
    }
}

fn import(
    mut import: Import,
    source: impl BufRead,
    moves: impl Fn(u64),
) -> Result<Imported, Failure> {
    let mut done = 0;
    for (number, line) in source.split(b'\n').enumerate() {
        let line = line.map_err(Failure::Read)?;
        done += line.len() as u64 + 1;
        if !line.trim_ascii().is_empty() {
            let number = number + 1;
            let line: ExportLine =
                serde_json::from_slice(&line).map_err(|error| Failure::Syntax(number, error))?;
            import
                .line(line)
                .map_err(|error| Failure::Line(number, error))?;
        }
        moves(done);
    }
    import.finish().map_err(Failure::Whole)
}

/// Nothing of an import that failed is left.
fn empty(disk: &dyn Disk) {
    for name in disk.list().unwrap_or_default() {
        // One that cannot be removed keeps a second import out, which says so.
        let _ = disk.remove(&name);
    }
}
