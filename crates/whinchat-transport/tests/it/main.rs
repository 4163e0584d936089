//! Streams and listeners as a client and a broker use them.

#![expect(clippy::unwrap_used, reason = "a failed test says where")]

mod dialling;
mod listening;
mod streams;
mod unix_sockets;
