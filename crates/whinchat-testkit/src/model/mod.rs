//! Models: plain lists of what is still owed, to whom and in what order, against the engine and the
//! broker.
//!
//! A model is written from the specification and knows nothing of how the code under test works. Its
//! steps are drawn at random, printed in the words of MQTT when they fail, and shrunk.
//!
//! - [`broker`]: a stepped broker with 2 to 8 plain clients.
//! - [`engine`]: two engines, and what each owes the other.
//! - `ledger`: the list itself, for one direction of one session.
//! - [`run`]: so many steps from a seed.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a model names what it looks at; all else is none of its business"
)]

pub mod broker;
pub mod engine;
mod ledger;
pub mod run;
