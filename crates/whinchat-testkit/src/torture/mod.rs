//! Torture: proof that what a broker acknowledges is on its disk.
//!
//! Each method treats a broker badly and keeps a book of what it has acknowledged: [`kills`] ends its process without warning.
//! [`images`] has no process: its broker takes its turns on a disk in memory, and starts on everything that a loss of power may leave there.
//! [`cuts`] takes away what was not synced, by means of a real file system.
//! [`full`] leaves it no room.
//! [`faults`] lets its system calls fail.
//! [`trace`] treats it well and looks at its system calls.
//! A method gives a [`Row`]: what was done how often, and what was found. Any broker that a command line starts can be tortured: see [`Recipe`].

mod client;
mod cuts;
mod faults;
mod finding;
mod full;
mod images;
mod kills;
mod ledger;
mod mount;
pub(crate) mod packets;
pub(crate) mod process;
mod report;
mod retained;
mod trace;
mod world;

pub use cuts::cuts;
pub use faults::faults;
pub use finding::{Findings, Kind};
pub use full::full;
pub use images::{Found, images};
pub use kills::kills;
pub use process::{Process, Recipe};
pub use report::{Progress, Row, table};
pub use trace::trace;
