//! `whinchat bench`: loads a broker and measures what that costs it.
//!
//! The load generator stands on the codec and on sockets, not on the client library, so that it needs less than any
//! broker: few threads, frames encoded once, batches in and out, no allocation per message. Every message carries
//! publisher, sequence number and time, so that losses, duplicates and reordering are counted one by one.
//!
//! Read first: [`load`] (what a run is), [`coordinator`] (how it goes), [`connection`] (what one connection does).
//!
//! ```text
//! coordinator --starts--> thread: runtime --has many--> connection: wire + publisher or subscriber
//!      reads gauges <--------------------- delivered ------------------------'
//! ```

mod args;
mod clock;
mod compare;
mod connection;
mod coordinator;
mod failure;
mod gauge;
mod handshake;
mod ledger;
mod load;
mod meter;
mod pacer;
mod peer;
mod process;
mod processors;
mod progress;
mod publisher;
mod report;
mod retained;
mod stamp;
mod subscriber;
mod thread;
mod wire;

pub(crate) use args::Args;

use crate::exit::{Exit, print};
use progress::Progress;
use report::Report;

pub(crate) fn run(args: Args) -> Exit {
    match args.into_task() {
        Ok(args::Task::Measure { name, load, output }) => {
            let progress = Progress::new(output.is_quiet);
            progress.name(name.to_owned());
            let outcome = coordinator::run(load.clone(), &progress);
            progress.clear();
            let report = outcome.map(|outcome| Report::new(name, &load, &outcome));
            tell(report.map(|report| {
                let text = output.choose(|| report.to_json(), || report.to_text());
                (text, report.is_clean())
            }))
        }
        Ok(args::Task::Retained {
            load,
            messages,
            output,
        }) => {
            let progress = Progress::new(output.is_quiet);
            let report = retained::run(&load, messages, &progress);
            progress.clear();
            tell(report.map(|report| {
                let text = output.choose(|| report.to_json(), || report.to_text());
                (text, report.is_clean())
            }))
        }
        Ok(args::Task::Compare(comparison)) => compare::run(comparison),
        Err(message) => Exit::Usage.with_error(message),
    }
}

/// Prints a report, and says whether every message arrived once and in order.
fn tell(report: Result<(String, bool), failure::Failure>) -> Exit {
    match report {
        Ok((text, is_clean)) => {
            let verdict = if is_clean { Exit::Ok } else { Exit::Runtime };
            worst(print(&text), verdict)
        }
        Err(failure) => Exit::Runtime.with_error(failure),
    }
}

/// What did not get out is worse than what it said.
fn worst(printed: Exit, verdict: Exit) -> Exit {
    if printed == Exit::Ok {
        verdict
    } else {
        printed
    }
}
