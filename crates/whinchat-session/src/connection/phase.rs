//! How far a connection has come.
//!
//! ```text
//!  server   ExpectConnect ─CONNECT─▶ ExpectDecision ─accept────────────▶ Connected ─┐
//!                                      │  ▲      │                          ▲       │
//!                             send_auth│  │AUTH  └─refuse──────┐            │       │
//!                                      ▼  │                    │            │       │ DISCONNECT
//!                                    ExpectAuth                │            │       │ either way,
//!                                                              ▼            │       │ violation,
//!  client   ExpectConnAck ─CONNACK 0x80..──────────────────▶ Closed ◀───────┼───────┘ transport
//!              ▲  │    └──CONNACK 0x00─────────────────────────────────────┘           closed
//!              └──┘ AUTH
//! ```

/// What the connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Server: nothing has arrived.
    ExpectConnect,
    /// Server: the application decides on the CONNECT or on the AUTH behind it.
    ExpectDecision,
    /// Server: the client has to answer our AUTH.
    ExpectAuth,
    /// Client: CONNECT has been sent.
    ExpectConnAck,
    /// CONNACK with 0x00 has been sent or received.
    Connected,
    /// Nothing is sent any more, and what still arrives is ignored.
    Closed,
}

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It sends CONNECT.
    Client,
    /// It answers CONNECT.
    Server,
}
