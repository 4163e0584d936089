//! Byte streams for MQTT: dial and listen on TCP and Unix sockets, and in memory.
//!
//! - [`Url`] and [`Endpoint`] say where: `mqtt://host:1883`, `192.0.2.1:1883`, `unix:/run/whinchat.sock`.
//! - [`dial`] gives a [`Stream`] to such a place, [`Listener`] gives those that others opened.
//! - A [`Stream`] belongs to the tokio runtime it was made on. [`Stream::detach`] and [`DetachedStream::attach`] carry it to
//!   another one, for programs with one single-threaded runtime per core.
//! - [`Stream::pair`] is a connection inside the process: bounded, byte-exact, usable across threads and runtimes.
//!
//! What this crate leaves to others: packets, log-ins, and how many connections are too many.
//!
//! ```
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use whinchat_transport::{dial, DialOptions, ListenOptions, Listener};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let mut listener = Listener::bind(&"127.0.0.1:0".parse()?, &ListenOptions::default())?;
//! let mut ours = dial(listener.endpoint(), &DialOptions::default()).await?;
//! let (mut theirs, _peer) = listener.accept().await?;
//!
//! ours.write_all(b"hello").await?;
//! let mut read = [0; 5];
//! theirs.read_exact(&mut read).await?;
//! assert_eq!(&read, b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod dial;
mod endpoint;
mod listener;
mod memory;
mod peer;
mod socket_file;
mod stream;

pub use dial::{DialError, DialOptions, dial};
pub use endpoint::{Endpoint, EndpointError, Url};
pub use listener::{DetachedListener, ListenError, ListenOptions, Listener};
pub use memory::{Cutter, MemoryStream};
pub use peer::Peer;
pub use stream::{DetachedStream, Stream};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
