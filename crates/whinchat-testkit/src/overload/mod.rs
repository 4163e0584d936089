//! Overload: clients that take more than their share, beside clients that behave and whose messages are timed.
//!
//! A [`Scene`] starts a broker with a bound on its memory, lets a hundred pairs exchange messages at a slow rate, alone and then beside an [`Attack`],
//! and holds what came of it against what a broker owes under load: those who behave are served in time and lose nothing (I-9), the process
//! stays within its bound and alive, and what is not delivered is counted by reason.

mod attack;
mod gauge;
mod scene;

pub use attack::Attack;
pub use scene::{Outcome, Scene, table};
