//! MQTT topic names, filters and shared filters, and the two indexes that match them, no_std.

#![no_std]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

#[cfg(feature = "arbitrary")]
mod arbitrary_impls;
mod arena;
mod error;
mod filter;
mod filter_index;
mod groups;
mod levels;
mod matches;
mod name;
mod name_index;
#[cfg(feature = "serde")]
mod serde_impls;
mod shared;
#[cfg(feature = "proptest")]
pub mod strategy;
mod subscribers;
mod text;
mod text_hasher;

pub use error::{TOPIC_BYTES_MAX, TopicError, TopicErrorKind, TopicPart};
pub use filter::{TopicFilter, TopicFilterBuf};
pub use filter_index::{FilterId, FilterIndex, Generation};
pub use groups::{GroupId, SharedGroups};
pub use name::{TopicName, TopicNameBuf};
pub use name_index::{Cursor, NameIndex};
pub use shared::{SharedFilter, SharedFilterBuf, Subscribed};
