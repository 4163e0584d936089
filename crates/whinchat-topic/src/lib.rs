//! MQTT topic names, filters and shared filters, and the two indexes that match them, no_std.

#![no_std]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod error;
mod filter;
mod levels;
mod matches;
mod name;
mod shared;
mod text;

pub use error::{TOPIC_BYTES_MAX, TopicError, TopicErrorKind, TopicPart};
pub use filter::{TopicFilter, TopicFilterBuf};
pub use name::{TopicName, TopicNameBuf};
pub use shared::{SharedFilter, SharedFilterBuf, Subscribed};
