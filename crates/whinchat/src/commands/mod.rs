//! The subcommands: one file each.

mod bench;
mod config;
mod serve;

use clap::Subcommand;

use crate::exit::Exit;

/// What the program is to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Runs the broker.
    Serve(serve::Args),
    Bench(Box<bench::Args>),
    /// Checks a configuration, or prints the default one.
    Config(config::Args),
}

impl Command {
    pub(crate) fn run(self) -> Exit {
        match self {
            Self::Serve(args) => serve::run(args),
            Self::Bench(args) => bench::run(*args),
            Self::Config(args) => config::run(args),
        }
    }
}
