//! The subcommands: one file each.

mod bench;
mod config;
mod conformance;
mod progress;
mod publish;
mod quantity;
mod rr;
mod serve;
mod store;
mod sub;
mod table;
mod tool;

use clap::Subcommand;

use crate::exit::Exit;

/// What the program is to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Runs the broker.
    Serve(serve::Args),
    #[command(name = "pub")]
    Publish(Box<publish::Args>),
    Sub(Box<sub::Args>),
    Rr(Box<rr::Args>),
    Bench(Box<bench::Args>),
    Conformance(Box<conformance::Args>),
    /// Checks a configuration, or prints the default one.
    Config(config::Args),
    /// Looks after the data directory of a broker.
    Store(store::Args),
}

impl Command {
    pub(crate) fn run(self) -> Exit {
        match self {
            Self::Serve(args) => serve::run(args),
            Self::Publish(args) => publish::run(*args),
            Self::Sub(args) => sub::run(*args),
            Self::Rr(args) => rr::run(*args),
            Self::Bench(args) => bench::run(*args),
            Self::Conformance(args) => conformance::run(*args),
            Self::Config(args) => config::run(args),
            Self::Store(args) => store::run(args),
        }
    }
}
