//! What can happen to two engines, each in one short line.

use std::fmt;

use proptest::prelude::*;
use whinchat_codec::QoS;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

/// One step. Those that make no sense when their turn comes do nothing.
#[derive(Clone)]
pub enum Step {
    /// An application publishes.
    Publish {
        /// Who.
        side: SideName,
        /// QoS.
        qos: QoS,
        /// Which of a few topics.
        topic: u8,
        /// Seconds until it expires.
        expiry: Option<u8>,
    },
    /// So many bytes that the one has sent arrive at the other.
    Carry(SideName, u16),
    /// All of them arrive.
    CarryAll(SideName),
    /// An application decides on one of the messages that wait for it.
    Decide {
        /// Who.
        side: SideName,
        /// Which, counted from the oldest.
        which: u8,
        /// 0x80 and above.
        refuses: bool,
    },
    /// So many of the records that wait become durable.
    Commit(SideName, u8),
    /// The connection breaks; what is under way is lost.
    Cut,
    /// A new connection on the sessions that are there.
    Connect {
        /// The client's Receive Maximum.
        receive_maximum: u16,
        /// The client's Topic Alias Maximum.
        topic_alias_maximum: u16,
        /// The server has lost the session meanwhile.
        is_forgotten: bool,
        /// Clean Start.
        is_clean: bool,
    },
    /// One end ends and starts again with what it had exported.
    Restart(SideName),
    /// Time passes.
    Wait(u16),
    /// The transport takes no more, or takes more again.
    Full(SideName, bool),
    /// Everything arrives, is decided and committed.
    Settle,
}

/// A side in the words of a step.
#[derive(Clone, Copy, Debug)]
pub struct SideName(pub(super) Side);

impl fmt::Display for SideName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Side::Client => "client",
            Side::Server => "server",
        })
    }
}

/// How often each kind of step comes; the last one with a connection only.
const WEIGHTS: [(u8, Kind); 13] = [
    (18, Kind::Publish),
    (14, Kind::Carry),
    (14, Kind::CarryAll),
    (16, Kind::Decide),
    (3, Kind::Refuse),
    (12, Kind::Commit),
    (4, Kind::Cut),
    (3, Kind::Connect),
    (3, Kind::Restart),
    (4, Kind::Wait),
    (2, Kind::Full),
    (1, Kind::Forget),
    (6, Kind::Settle),
];

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Publish,
    Carry,
    CarryAll,
    Decide,
    Refuse,
    Commit,
    Cut,
    Connect,
    Restart,
    Wait,
    Full,
    Forget,
    Settle,
}

impl Step {
    pub(super) fn any(is_connected: bool) -> BoxedStrategy<Self> {
        (0_u8..100, any::<bool>(), any::<u8>(), any::<u8>())
            .prop_map(move |(luck, is_server, a, b)| {
                let side = SideName(if is_server {
                    Side::Server
                } else {
                    Side::Client
                });
                if !is_connected && luck < 40 {
                    return Self::of(Kind::Connect, side, a, b);
                }
                let mut left = luck;
                for (weight, kind) in WEIGHTS {
                    if left < weight {
                        return Self::of(kind, side, a, b);
                    }
                    left -= weight;
                }
                Self::Settle
            })
            .boxed()
    }

    fn of(kind: Kind, side: SideName, a: u8, b: u8) -> Self {
        match kind {
            Kind::Publish => Self::Publish {
                side,
                qos: [QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::AtMostOnce][usize::from(a % 8 / 3)],
                topic: b % 3,
                expiry: (b >= 192).then_some(1 + b % 20),
            },
            Kind::Carry => Self::Carry(side, u16::from(a % 40)),
            Kind::CarryAll => Self::CarryAll(side),
            Kind::Decide | Kind::Refuse => Self::Decide {
                side,
                which: a % 4,
                refuses: kind == Kind::Refuse,
            },
            Kind::Commit => Self::Commit(side, 1 + a % 8),
            Kind::Cut => Self::Cut,
            Kind::Connect | Kind::Forget => Self::Connect {
                receive_maximum: [u16::MAX, 1, 2, 3, 5][usize::from(a % 5)],
                topic_alias_maximum: [0, 1, 2][usize::from(b % 3)],
                is_forgotten: kind == Kind::Forget || b >= 250,
                is_clean: b % 16 == 15,
            },
            Kind::Restart => Self::Restart(side),
            Kind::Wait => Self::Wait([1, 2, 7, 15, 200][usize::from(a % 5)]),
            Kind::Full => Self::Full(side, a < 128),
            Kind::Settle => Self::Settle,
        }
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publish {
                side,
                qos,
                topic,
                expiry,
            } => {
                let topic = super::end::TOPICS[usize::from(*topic)];
                write!(f, "{side} publishes q{} {topic}", *qos as u8)?;
                expiry.map_or(Ok(()), |seconds| write!(f, " expiry={seconds}"))
            }
            Self::Carry(side, bytes) => write!(f, "{bytes} bytes of the {side} arrive"),
            Self::CarryAll(side) => write!(f, "all bytes of the {side} arrive"),
            Self::Decide {
                side,
                which,
                refuses,
            } => {
                let verb = if *refuses { "refuses" } else { "takes" };
                write!(f, "{side} {verb} message #{which} of those that wait")
            }
            Self::Commit(side, records) => write!(f, "{records} records of the {side} commit"),
            Self::Cut => f.write_str("the connection is cut"),
            Self::Connect {
                receive_maximum,
                topic_alias_maximum,
                is_forgotten,
                is_clean,
            } => {
                write!(f, "CONNECT rm={receive_maximum} tam={topic_alias_maximum}")?;
                if *is_clean {
                    f.write_str(" clean")?;
                }
                if *is_forgotten {
                    f.write_str(", and the server has lost the session")?;
                }
                Ok(())
            }
            Self::Restart(side) => write!(f, "the {side} restarts"),
            Self::Wait(seconds) => write!(f, "{seconds} s pass"),
            Self::Full(side, true) => write!(f, "the transport of the {side} takes no more"),
            Self::Full(side, false) => write!(f, "the transport of the {side} takes more"),
            Self::Settle => f.write_str("all arrives, is decided and committed"),
        }
    }
}
