//! Where a payload comes from: the command line, a file, standard input, or nowhere.

use std::fs;
use std::io::{self, Read as _};
use std::path::PathBuf;

use bytes::Bytes;

use super::Failure;

#[derive(clap::Args, Clone, Debug)]
#[group(multiple = false, id = "payload")]
#[command(next_help_heading = "Payload")]
pub(crate) struct PayloadArgs {
    /// Payload of one message.
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true)]
    message: Option<String>,
    /// File that is the payload of one message.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// An empty payload.
    #[arg(short, long)]
    null_message: bool,
    /// Standard input as the payload of one message.
    #[arg(short, long)]
    stdin_file: bool,
}

/// What is published.
#[derive(Clone, Debug)]
pub(crate) struct Payload(Bytes);

impl Payload {
    pub(crate) fn bytes(&self) -> Bytes {
        self.0.clone()
    }
}

impl PayloadArgs {
    /// The payload, read as a whole; `None` if none of the options was given.
    ///
    /// # Errors
    /// The file or standard input cannot be read, or has more bytes than a message may have.
    pub(crate) fn read(&self) -> Result<Option<Payload>, Failure> {
        let bytes = if let Some(text) = &self.message {
            text.clone().into_bytes()
        } else if let Some(file) = &self.file {
            fs::read(file)
                .map_err(|error| Failure::Usage(format!("-f {}: {error}", file.display())))?
        } else if self.stdin_file {
            let mut bytes = Vec::new();
            io::stdin()
                .read_to_end(&mut bytes)
                .map_err(|error| Failure::Io {
                    what: "standard input",
                    error,
                })?;
            bytes
        } else if self.null_message {
            Vec::new()
        } else {
            return Ok(None);
        };
        Ok(Some(Payload(bytes.into())))
    }
}
