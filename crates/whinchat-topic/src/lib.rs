//! MQTT topic names, filters and shared filters, and the two indexes that match them.
//!
//! Three words: a message is published to a topic **name**, a client subscribes with a topic
//! **filter**, and a **match** is what brings the two together. All rules are those of MQTT 5.0
//! section 4.7 (the same in 3.1.1) and, for shared subscriptions, 4.8.2. There is no I/O, no clock
//! and no other crate of the project in here.
//!
//! ```
//! use whinchat_topic::{FilterIndex, NameIndex, Subscribed, TopicFilter, TopicName};
//!
//! // What a peer sent becomes a name or a filter once; from then on the type says that it is one.
//! let name = TopicName::new("sensors/temperature/lab1")?;
//! let filter = TopicFilter::new("sensors/+/lab1")?;
//! assert!(filter.matches(name));
//! assert_eq!(TopicFilter::new("sensors/+lab").unwrap_err().reason_code(), 0x8F);
//!
//! // Many filters, one name: who gets this message?
//! let mut subscriptions = FilterIndex::new();
//! subscriptions.insert(filter, "client 7", 1);
//! subscriptions.insert(TopicFilter::new("#")?, "client 9", 0);
//! let mut receivers = Vec::new();
//! subscriptions.for_each_match(name, |&client, &qos| receivers.push((client, qos)));
//! receivers.sort_unstable();
//! assert_eq!(receivers, [("client 7", 1), ("client 9", 0)]);
//!
//! // Many names, one filter: which retained messages does this subscriber get?
//! let mut retained = NameIndex::new();
//! retained.insert(name, "22.5");
//! retained.for_each_match(filter, |name, payload| {
//!     assert_eq!((name.as_str(), *payload), ("sensors/temperature/lab1", "22.5"));
//! });
//!
//! // What stands in SUBSCRIBE may be a filter that a group shares.
//! let Subscribed::Shared(shared) = Subscribed::parse("$share/workers/jobs/#")? else { panic!() };
//! assert_eq!((shared.group(), shared.filter().as_str()), ("workers", "jobs/#"));
//! # Ok::<(), whinchat_topic::TopicError>(())
//! ```
//!
//! # Limits
//!
//! A name or filter has 1 to [`TOPIC_BYTES_MAX`] bytes. How many levels it may have, and how many
//! filters and names an index may hold, is the caller's to say
//! ([`TopicName::check_levels`], [`FilterIndex::len`], [`FilterIndex::node_count`],
//! [`FilterIndex::memory_bytes`]). No operation recurses, so that depth costs no stack, and none
//! panics whatever text a peer sends.
//!
//! # Features
//!
//! - `std` (default): hashes are seeded by the operating system. Without it the crate is `no_std`
//!   with `alloc`, and seeds come from addresses.
//! - `serde`: names and filters as strings, checked when read.
//! - `arbitrary`, `proptest`: names and filters for fuzz targets and property tests of your own.
//!
//! # Reading order
//!
//! `name`, `filter`, `shared`, `error`; `matches`, the definition that all else is tested against;
//! `filter_index`, `groups`, `name_index`.

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

mod arena;
mod filter_index;
mod groups;
mod name_index;
mod subscribers;
mod text_hasher;

#[cfg(feature = "arbitrary")]
mod arbitrary_impls;
#[cfg(feature = "serde")]
mod serde_impls;
#[cfg(feature = "proptest")]
pub mod strategy;

pub use error::{TOPIC_BYTES_MAX, TopicError, TopicErrorKind, TopicPart};
pub use filter::{TopicFilter, TopicFilterBuf};
pub use filter_index::{FilterId, FilterIndex, Generation};
pub use groups::{GroupId, SharedGroups};
pub use name::{TopicName, TopicNameBuf};
pub use name_index::{Cursor, NameIndex};
pub use shared::{SharedFilter, SharedFilterBuf, Subscribed};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
