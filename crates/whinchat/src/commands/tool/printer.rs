//! Messages on standard output.

use std::io::{self, BufWriter, Stdout, Write};

use jiff::Zoned;
use whinchat_client::Message;

use super::format::{Format, Shown};
use super::{Failure, note};

#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// Prints topic and payload instead of the payload alone.
    #[arg(short, long)]
    verbose: bool,
    /// Prints what FORMAT says; docs/tools.md lists its sequences.
    #[arg(short = 'F', long, value_name = "FORMAT")]
    format: Option<String>,
    /// Prints a JSON object per message, as -F %j.
    #[arg(long, conflicts_with_all = ["format", "verbose"])]
    json: bool,
    /// JSON in several lines.
    #[arg(long)]
    pretty: bool,
    /// No line end after a message.
    #[arg(short = 'N', long)]
    no_newline: bool,
}

/// Prints messages as the options say.
pub(crate) struct Printer {
    format: Format,
    is_pretty: bool,
    with_newline: bool,
    is_quiet: bool,
    out: BufWriter<Stdout>,
}

impl OutputArgs {
    /// # Errors
    /// The format is none.
    pub(crate) fn printer(&self, is_quiet: bool) -> Result<Printer, Failure> {
        let format = match &self.format {
            Some(format) => Format::parse(format).map_err(Failure::Usage)?,
            None if self.json => Format::json(),
            None if self.verbose => Format::verbose(),
            None => Format::payload(),
        };
        Ok(Printer {
            format,
            is_pretty: self.pretty,
            with_newline: !self.no_newline,
            is_quiet,
            out: BufWriter::new(io::stdout()),
        })
    }
}

impl Printer {
    /// Says whether anybody still reads.
    ///
    /// # Errors
    /// Standard output refuses.
    pub(crate) fn print(&mut self, message: &Message) -> Result<Reader, Failure> {
        let shown = Shown::new(message, Zoned::now());
        reader(self.try_print(&shown))
    }

    /// As [`print`](Self::print), for what was printed and has not left yet.
    ///
    /// # Errors
    /// Standard output refuses.
    pub(crate) fn flush(&mut self) -> Result<Reader, Failure> {
        reader(self.out.flush())
    }

    fn try_print(&mut self, shown: &Shown<'_>) -> io::Result<()> {
        match self.format.write(shown, self.is_pretty, &mut self.out)? {
            Ok(()) if self.with_newline => self.out.write_all(b"\n"),
            Ok(()) => Ok(()),
            Err(_) if self.is_quiet => Ok(()),
            Err(_) => {
                note(format_args!(
                    "error: the payload on topic {:?} is no JSON",
                    shown.topic
                ));
                Ok(())
            }
        }
    }
}

/// Whoever reads our standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    Reads,
    /// As after `| head -1`: there is nothing left to do, and nothing went wrong.
    IsGone,
}

fn reader(result: io::Result<()>) -> Result<Reader, Failure> {
    match result {
        Ok(()) => Ok(Reader::Reads),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::IsGone),
        Err(error) => Err(Failure::Io {
            what: "standard output",
            error,
        }),
    }
}
