//! `whinchat store export`: what is kept, as lines of JSON. `docs/export.md` describes them.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::PathBuf,
    sync::Arc,
};

use whinchat_broker::{Clock, ExportError, Store};
use whinchat_store::{DurableLogOptions, disk::DataDirectory};

use super::{Directory, advice, is_damage};
use crate::exit::Exit;

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    directory: Directory,
    /// Where to: a file that is not there yet; "-" is stdout.
    #[arg(value_name = "FILE", default_value = "-")]
    to: PathBuf,
}

pub(super) fn run(args: &Args) -> Exit {
    let path = &args.directory.path;
    let data = match DataDirectory::read(path) {
        Ok(data) => data,
        Err(error) => return Exit::Data.with_error(error),
    };
    let clock = Clock::system();
    let (bar, moves) = args.directory.progress("reading");
    let read = Store::new(Arc::new(data.disk()), DurableLogOptions::default())
        .on_progress(moves)
        .read(&clock);
    bar.finish_and_clear();
    let checkpoint = match read {
        Ok(checkpoint) => checkpoint,
        Err(error) if is_damage(&error) => {
            return Exit::Data.with_error(format_args!("{error}\n{}", advice(path)));
        }
        Err(error) => return Exit::Data.with_error(error),
    };
    let target: Box<dyn Write> = if args.to.as_os_str() == "-" {
        Box::new(io::stdout().lock())
    } else {
        match File::create_new(&args.to) {
            Ok(file) => Box::new(file),
            Err(error) => {
                return Exit::Runtime
                    .with_error(format_args!("cannot make {}: {error}", args.to.display()));
            }
        }
    };
    let mut target = BufWriter::new(target);
    let written = checkpoint
        .export(&clock, |line| {
            serde_json::to_writer(&mut target, &line)?;
            target.write_all(b"\n")
        })
        .and_then(|()| Ok(target.flush()?));
    match written {
        Ok(()) => Exit::Ok,
        // Whoever reads has seen enough.
        Err(ExportError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Ok,
        Err(error @ ExportError::Write(_)) => Exit::Runtime.with_error(error),
        Err(error) => Exit::Data.with_error(error),
    }
}
