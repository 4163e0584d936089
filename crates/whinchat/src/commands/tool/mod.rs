//! What `pub`, `sub` and `rr` have in common: how to reach a broker, properties, payloads, output and exit codes.
//!
//! The letters are those of Mosquitto's tools wherever the meaning is the same, so `-h` is the host and `-V` the protocol
//! version; help and the program's version have long names only.

mod connect;
mod failure;
mod format;
mod json;
mod login;
mod payload;
mod printer;
mod property;

pub(crate) use connect::{ConnectArgs, version};
pub(crate) use failure::Failure;
pub(crate) use login::LoginArgs;
pub(crate) use payload::{Payload, PayloadArgs};
pub(crate) use printer::{OutputArgs, Printer, Reader};
pub(crate) use property::{PropertyArgs, Stage};

use std::future::Future;
use std::io;

use clap::ValueEnum;
use tokio::signal::unix::{Signal, SignalKind, signal};
use whinchat_client::{Client, CloseReason, QoS, Status};

use crate::exit::Exit;

/// Quality of Service as a digit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum QosArg {
    #[default]
    #[value(name = "0", help = "at most once")]
    Zero,
    #[value(name = "1", help = "at least once")]
    One,
    #[value(name = "2", help = "exactly once")]
    Two,
}

impl From<QosArg> for QoS {
    fn from(qos: QosArg) -> Self {
        match qos {
            QosArg::Zero => Self::AtMostOnce,
            QosArg::One => Self::AtLeastOnce,
            QosArg::Two => Self::ExactlyOnce,
        }
    }
}

/// Runs a tool's work to its end.
///
/// The client has a thread of its own: output that blocks does not keep it from answering the broker.
pub(crate) fn run(is_quiet: bool, work: impl Future<Output = Result<(), Failure>>) -> Exit {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(work);
            // Standard input may block a thread for ever.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(Failure::Io {
            what: "the runtime",
            error,
        }),
    };
    match result {
        Ok(()) => Exit::Ok,
        Err(failure) => failure.report(is_quiet),
    }
}

/// INT and TERM, which end a tool in order from the moment this exists.
pub(crate) struct Interruption {
    int: Signal,
    term: Signal,
}

impl Interruption {
    /// # Errors
    /// The operating system refuses.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::Io {
                what: "signals",
                error,
            })
        };
        Ok(Self {
            int: listen(SignalKind::interrupt())?,
            term: listen(SignalKind::terminate())?,
        })
    }

    pub(crate) async fn come(&mut self) {
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
        }
    }
}

/// Why nothing more comes from a client that is at its end.
pub(crate) fn ended(client: &Client) -> Failure {
    Failure::Closed(if let Status::Closed(reason) = client.status() {
        reason
    } else {
        CloseReason::ByApplication
    })
}

/// A line for people on stderr.
pub(crate) fn note(text: impl std::fmt::Display) {
    use io::Write as _;
    // With stderr gone there is nobody left to tell.
    let _ = writeln!(io::stderr(), "{text}");
}
