//! What the broker decides: who is connected, what they get, what is kept.
//!
//! Each file adds its part to [`Shard`](crate::shard::Shard), which owns the state; what all shards
//! share is in `commons`. Nothing here touches a socket.

pub(crate) mod attach;
pub(crate) mod authentication;
pub(crate) mod census;
pub(crate) mod checkpoint;
pub(crate) mod connect;
pub(crate) mod deliver;
pub(crate) mod end;
pub(crate) mod export;
pub(crate) mod full_sessions;
pub(crate) mod full_store;
pub(crate) mod groups;
pub(crate) mod import;
pub(crate) mod kept;
pub(crate) mod keys;
pub(crate) mod limits_met;
pub(crate) mod mail;
pub(crate) mod memory;
pub(crate) mod message;
pub(crate) mod moving;
pub(crate) mod packets;
pub(crate) mod publish;
pub(crate) mod records;
pub(crate) mod replay;
pub(crate) mod retained;
pub(crate) mod retained_scan;
pub(crate) mod routing;
pub(crate) mod sessions;
pub(crate) mod spill;
pub(crate) mod subscribe;
pub(crate) mod system_topics;
pub(crate) mod tables;
pub(crate) mod wills;
