//! The bodies of the fuzz targets, compiled and run in the ordinary tests so that they do not rot.
//!
//! Each takes any bytes and panics when a promise is broken. [`seeds`] makes their first inputs from data that the tests
//! have anyway.

mod broker;
mod codec;
mod conformance;
mod seed;
mod session;
mod steps;
mod store;
mod topic;

pub use broker::{broker, config, endpoint, mosquitto_conf, replay, stored};
pub use codec::{
    decode_v5, decode_v31, decode_v311, downgrade, encode, framed, json, properties, roundtrip,
    split, utf8, varint,
};
pub use conformance::{notation, scene};
pub use seed::{Seed, seeds};
pub use session::{client, pair, server, snapshot};
pub use store::{record, recovery};
pub use topic::{filter_index, matching, name_index, shared_groups};

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is that of its file and its directories.
    pub name: &'static str,
    /// Its body.
    pub run: fn(&[u8]),
}

/// Names each target as its body.
macro_rules! targets {
    ($($name:ident)+) => {
        /// All fuzz targets.
        pub const TARGETS: &[Target] = &[$(Target { name: stringify!($name), run: $name }),+];
    };
}

targets! {
    broker client config decode_v31 decode_v311 decode_v5 downgrade encode endpoint filter_index framed json matching mosquitto_conf name_index notation pair properties record recovery replay roundtrip scene server shared_groups snapshot split stored utf8 varint
}
