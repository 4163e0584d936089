//! Every statement of MQTT as transcripts that can be played against any broker or client.
//!
//! A [`Statement`] is a sentence of a specification, in our words. A [`Scene`] shows one or more of them: it says
//! what clients send and what must come back, in the notation of this crate's README. [`run`] plays scenes against
//! a [`Target`], which has to do no more than to open byte streams, and says what came of each: a [`Verdict`].
//! [`Report`] counts them by statement.
//!
//! ```no_run
//! use std::io;
//! use tokio::net::TcpStream;
//! use whinchat_conformance::{Options, Target, Verdict, broker_scenes, plays, run};
//!
//! struct Broker(&'static str);
//!
//! impl Target for Broker {
//!     type Stream = TcpStream;
//!
//!     async fn connect(&self) -> io::Result<TcpStream> {
//!         TcpStream::connect(self.0).await
//!     }
//! }
//!
//! # async fn judge() -> Result<(), whinchat_conformance::RunError> {
//! let broker = Broker("localhost:1883");
//! let mut plays = plays(broker_scenes());
//! plays.retain(|play| play.scene.title.contains("QoS 2"));
//! let played = run(&plays, &broker, &Options::default(), |_| {}).await?;
//! for one in played {
//!     if let Verdict::Failed(failure) = one.verdict {
//!         println!("{}\n{failure}", one.name); // what was said, expected and received
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # The contract
//!
//! - Whatever the other side sends, or does not, a scene ends with a verdict: each step waits for
//!   [`Options::patience`] at most, and what is held of what came has a bound.
//! - A run begins with a CONNECT in each version, which tells what the broker offers. What it need not offer and
//!   does not is [not offered](Verdict::NotOffered); what needs another set-up is [not tested](Verdict::NotTested).
//! - Topics and client ids have a prefix of the run and of the scene, so that scenes do not meet, nor two runs
//!   whose [`Options::seed`] differs. Sessions and retained messages are taken away when a scene has ended.
//! - A run stays on its task and needs a runtime of tokio with timers.
//! - A login of [`Options`] is in no report.
//!
//! # Layout
//!
//! | what | where |
//! | --- | --- |
//! | the lists of statements | `statements/`, read by [`statements`] |
//! | the scenes | `transcripts/`, read by [`broker_scenes`] and [`client_scenes`] |
//! | packets as text, both ways | [`notation`] |
//! | scenes, needs and steps as text | [`Scene`], [`Need`] |
//! | the player | [`run`], [`play()`], [`Offers`] |
//! | what a run says of each statement | [`Report`] |
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a transcript names what it expects; all else is a mismatch, whatever there will be"
)]

mod client;
mod needs;
mod not_applicable;
pub mod notation;
mod play;
mod report;
mod scene;
mod statement;
mod step;
mod transcripts;

pub use client::{Client, ClientError, Clients, run_clients};
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
