//! Why a tool ends without success, and with which exit code.

use std::io;

use whinchat_client::{
    CloseReason, ConnAckReason, ConnectError, ProtocolVersion, PublishError, SubscribeError,
    UnsubscribeError, Version,
};

use crate::exit::Exit;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error("{error}")]
    Connect {
        error: Box<ConnectError>,
        version: Version,
    },
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    #[error(transparent)]
    Unsubscribe(#[from] UnsubscribeError),
    #[error("connection lost: {0}")]
    Closed(CloseReason),
    #[error("{what}: {error}")]
    Io {
        what: &'static str,
        error: io::Error,
    },
    /// Something else could not be done; says what.
    #[error("{0}")]
    Runtime(String),
    #[error("{count} messages were not published")]
    Unsent { count: usize },
    #[error("interrupted")]
    Interrupted,
    /// `-W`; nothing is said.
    #[error("timed out")]
    TimedOut,
}

impl Failure {
    /// Says what went wrong, unless it must not, and gives the exit code. Wrong usage is always told.
    pub(crate) fn report(self, is_quiet: bool) -> Exit {
        let exit = match &self {
            Self::Usage(_) => Exit::Usage,
            Self::Connect { error, version } => connect_exit(error, *version),
            Self::Publish(PublishError::InvalidTopic(_) | PublishError::InvalidText(_))
            | Self::Subscribe(SubscribeError::InvalidFilter(_) | SubscribeError::InvalidText(_))
            | Self::Unsubscribe(
                UnsubscribeError::InvalidFilter(_) | UnsubscribeError::InvalidText(_),
            ) => Exit::Usage,
            Self::Publish(_)
            | Self::Subscribe(_)
            | Self::Unsubscribe(_)
            | Self::Closed(_)
            | Self::Io { .. }
            | Self::Runtime(_)
            | Self::Unsent { .. }
            | Self::Interrupted => Exit::Runtime,
            Self::TimedOut => return Exit::TimedOut,
        };
        if is_quiet && exit != Exit::Usage {
            return exit;
        }
        exit.with_error(self)
    }
}

fn connect_exit(error: &ConnectError, version: Version) -> Exit {
    if let ConnectError::Refused(refusal) = error {
        return Exit::Refused(connack_code(refusal.reason, version));
    }
    if matches!(error, ConnectError::Options(_)) {
        Exit::Usage
    } else {
        Exit::Runtime
    }
}

/// The number in CONNACK: 3.x has five of its own. (MQTT 3.1.1 table 3.1)
fn connack_code(reason: ConnAckReason, version: Version) -> u8 {
    let code = u8::from(reason);
    let is_v3 = matches!(
        version,
        Version::Only(ProtocolVersion::V31 | ProtocolVersion::V311)
    );
    match code {
        0x84 if is_v3 => 1,
        0x85 if is_v3 => 2,
        0x88 if is_v3 => 3,
        0x86 if is_v3 => 4,
        0x87 if is_v3 => 5,
        code => code,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_ends_with_the_code_of_its_version() {
        let v311 = Version::Only(ProtocolVersion::V311);
        assert_eq!(connack_code(ConnAckReason::NotAuthorized, v311), 5);
        assert_eq!(
            connack_code(ConnAckReason::NotAuthorized, Version::default()),
            135
        );
    }
}
