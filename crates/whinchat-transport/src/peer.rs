//! Who is at the other end of a stream.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// The other end of a [`Stream`](crate::Stream), as far as the transport knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Peer {
    /// A TCP connection from or to this address.
    Tcp(SocketAddr),
    /// A process on this machine, over a Unix socket.
    Unix,
    /// The same process, over [`Stream::pair`](crate::Stream::pair).
    Memory,
}

impl Peer {
    /// The IP address, where there is one. An IPv4 address mapped into IPv6 is given as IPv4.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(address) => Some(address.ip().to_canonical()),
            Self::Unix | Self::Memory => None,
        }
    }

    /// Whether the bytes never leave this machine: loopback, a Unix socket, or memory.
    pub fn is_local(&self) -> bool {
        self.ip().is_none_or(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
            Self::Memory => f.write_str("memory"),
        }
    }
}
