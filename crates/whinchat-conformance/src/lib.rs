//! Every statement of MQTT as transcripts that can be played against any broker or client.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a transcript names what it expects; all else is a mismatch, whatever there will be"
)]

mod needs;
pub mod notation;
mod play;
mod report;
mod scene;
mod statement;
mod step;
mod transcripts;

pub use needs::Need;
pub use play::{
    Failure, Offers, Options, Play, Played, RunError, Setup, Target, Verdict, play, plays, run,
};
pub use report::{Count, Judged, Report, Row, Run, STATES, State, Subject};
pub use scene::{Scene, SceneError, broker_scenes, client_scenes};
pub use statement::{Actor, Statement, chapters, statement, statements};
pub use whinchat_codec::ProtocolVersion;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
