//! Every statement of MQTT as transcripts that can be played against any broker or client.

mod play;
mod report;
mod statement;

pub use play::{Failure, Options, Played, Setup, Target, Verdict};
pub use report::{Count, Judged, Report, Row, Run, STATES, State, Subject};
pub use statement::{Actor, Statement, chapters, statement, statements};
pub use whinchat_codec::ProtocolVersion;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
