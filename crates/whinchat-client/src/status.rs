//! Whether the client is connected, and to what.

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::watch;
use whinchat_codec::{ConnAckProperties, ProtocolVersion};

use crate::error::{CloseReason, ConnectError, DisconnectError};

/// What the connection is doing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Status {
    /// Dialling, or waiting for CONNACK.
    Connecting,
    /// Connected.
    Connected(Arc<ConnectionInfo>),
    /// Not connected; the next attempt follows after the wait.
    Waiting {
        /// Why there is no connection.
        because: Interruption,
        /// How long until the next attempt, counted from the change to this status.
        retry_after: Duration,
    },
    /// The client is at its end.
    Closed(CloseReason),
}

impl Status {
    /// Whether the client is connected.
    pub fn is_connected(&self) -> bool {
        matches!(self, Self::Connected(_))
    }
}

/// Why there is no connection for a while.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Interruption {
    /// An attempt to connect failed.
    #[error("{0}")]
    NotConnected(ConnectError),
    /// The connection ended.
    #[error("{0}")]
    Disconnected(DisconnectError),
}

/// What the broker said in CONNACK.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// The version that is spoken.
    pub version: ProtocolVersion,
    /// The client id, chosen by us or by the broker.
    pub client_id: String,
    /// Whether the broker resumed a session.
    pub session_present: bool,
    /// Everything else that the broker said; empty before 5.0.
    pub properties: ConnAckProperties,
}

impl fmt::Debug for ConnectionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionInfo")
            .field("version", &self.version)
            .field("client_id", &self.client_id)
            .field("session_present", &self.session_present)
            .finish_non_exhaustive()
    }
}

/// Follows the [`Status`] of a client. A status that lasted shorter than it took to ask for it may be passed over; the last one
/// never is.
#[derive(Clone, Debug)]
pub struct StatusWatch {
    receiver: watch::Receiver<Status>,
    at_the_end: bool,
}

impl StatusWatch {
    pub(crate) fn new(receiver: watch::Receiver<Status>) -> Self {
        Self {
            receiver,
            at_the_end: false,
        }
    }

    /// The status of this moment.
    pub fn current(&self) -> Status {
        self.receiver.borrow().clone()
    }

    /// Waits for another status than the one given last; `None` after [`Status::Closed`] was given. Cancel-safe.
    pub async fn changed(&mut self) -> Option<Status> {
        if self.at_the_end {
            return None;
        }
        self.receiver.changed().await.ok()?;
        let status = self.receiver.borrow_and_update().clone();
        self.at_the_end = matches!(status, Status::Closed(_));
        Some(status)
    }

    /// Waits until the client is at its end, and says why. Cancel-safe.
    pub async fn closed(&mut self) -> CloseReason {
        match self
            .receiver
            .wait_for(|status| matches!(status, Status::Closed(_)))
            .await
            .as_deref()
        {
            Ok(Status::Closed(reason)) => reason.clone(),
            Ok(Status::Connecting | Status::Connected(_) | Status::Waiting { .. }) | Err(_) => {
                CloseReason::RuntimeEnded
            }
        }
    }

    /// Waits until the client is connected. Cancel-safe.
    ///
    /// # Errors
    /// The client came to its end.
    pub async fn connected(&mut self) -> Result<Arc<ConnectionInfo>, CloseReason> {
        loop {
            match &*self.receiver.borrow_and_update() {
                Status::Connected(info) => return Ok(Arc::clone(info)),
                Status::Closed(reason) => return Err(reason.clone()),
                Status::Connecting | Status::Waiting { .. } => {}
            }
            if self.receiver.changed().await.is_err() {
                return Err(CloseReason::RuntimeEnded);
            }
        }
    }
}
