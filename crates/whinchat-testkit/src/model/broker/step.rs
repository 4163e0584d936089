//! What can happen to a broker and its clients, each in one short line.

use std::fmt;

use proptest::prelude::*;
use whinchat_codec::{QoS, RetainHandling, SubscriptionOptions};

/// Topics that are published to.
pub(super) const TOPICS: [&str; 5] = ["a/b", "a/c", "b", "long/enough/for/an/alias", "s/1"];

/// Filters that are subscribed to, those of groups behind the plain ones.
pub(super) const FILTERS: [&str; 9] = [
    "a/b",
    "a/#",
    "+/b",
    "#",
    "long/+/for/#",
    "s/1",
    "a/+",
    "$share/g1/s/#",
    "$share/g2/a/+",
];

/// How many of the filters are plain.
pub(super) const PLAIN: usize = 7;

/// The QoS that every member of a group asks for, so that it does not matter who is picked.
pub(super) fn group_qos(filter: u8) -> QoS {
    if usize::from(filter) == PLAIN {
        QoS::AtLeastOnce
    } else {
        QoS::ExactlyOnce
    }
}

/// The Subscription Identifier of a filter, if it has one.
pub(super) fn id_of(filter: u8) -> u32 {
    u32::from(filter) + 1
}

/// What is to be published when a connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WillWords {
    pub(super) topic: u8,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) delay: u8,
}

/// What a CONNECT says.
#[derive(Clone, Copy, Debug)]
pub struct ConnectWords {
    pub(super) is_clean: bool,
    /// Session Expiry Interval; 3.x keeps its session if it is not 0.
    pub(super) expiry: u32,
    pub(super) receive_maximum: u16,
    pub(super) topic_alias_maximum: u16,
    pub(super) keeps_alive: bool,
    pub(super) will: Option<WillWords>,
}

/// What a PUBLISH says.
#[derive(Clone, Copy, Debug)]
pub struct PublishWords {
    pub(super) qos: QoS,
    pub(super) topic: u8,
    pub(super) retain: bool,
    pub(super) is_empty: bool,
    pub(super) uses_alias: bool,
    pub(super) expiry: Option<u8>,
}

/// An answer to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StrayAnswer {
    /// PUBACK.
    PubAck,
    /// PUBREC.
    PubRec,
    /// PUBCOMP.
    PubComp,
}

/// One step. Those that make no sense when their turn comes do nothing.
#[derive(Clone)]
pub enum Step {
    /// On a new connection; a client that has one takes its own session over.
    Connect(u8, ConnectWords),
    /// One message.
    Publish(u8, PublishWords),
    /// One filter.
    Subscribe {
        /// Who.
        client: u8,
        /// Which filter.
        filter: u8,
        /// How.
        options: SubscriptionOptions,
        /// With the identifier of this filter.
        has_id: bool,
    },
    /// One filter.
    Unsubscribe(u8, u8),
    /// The client answers one of the PUBLISH and PUBREL packets that await it.
    Answer {
        /// Who.
        client: u8,
        /// Which, counted from the oldest.
        which: u8,
        /// With 0x80 and above.
        refuses: bool,
    },
    /// It answers them all.
    AnswerAll(u8),
    /// It goes on with one of its own QoS 2 messages.
    Release(u8, u8),
    /// It acknowledges what it may not have got.
    Stray(u8, StrayAnswer, u16),
    /// It reads so many bytes of what has come, or all, and closes its connection.
    Cut(u8, Option<u8>),
    /// It sends so many bytes of a PUBLISH, and closes its connection.
    CutWithin(u8, u8),
    /// It reads no more, or reads on.
    Deaf(u8, bool),
    /// It says goodbye.
    Disconnect {
        /// Who.
        client: u8,
        /// With 0x04: the Will is to be published.
        with_will: bool,
        /// Session Expiry Interval.
        expiry: Option<u32>,
    },
    /// Time passes.
    Wait(u16),
    /// The log goes on by so many steps, or commits all.
    Commit(Option<u8>),
    /// The broker ends and begins again with what it had exported, with so many shards.
    Restart(u8),
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Connect,
    Publish,
    Subscribe,
    Unsubscribe,
    Answer,
    AnswerAll,
    Refuse,
    Release,
    Stray,
    Cut,
    CutWithin,
    Deaf,
    Disconnect,
    Wait,
    Commit,
    Restart,
}

/// How often each kind of step comes, in 200.
const WEIGHTS: [(u8, Kind); 16] = [
    (54, Kind::Publish),
    (2, Kind::Stray),
    (24, Kind::Answer),
    (14, Kind::AnswerAll),
    (4, Kind::Refuse),
    (14, Kind::Release),
    (22, Kind::Subscribe),
    (6, Kind::Unsubscribe),
    (10, Kind::Connect),
    (10, Kind::Cut),
    (3, Kind::CutWithin),
    (4, Kind::Deaf),
    (4, Kind::Disconnect),
    (8, Kind::Wait),
    (18, Kind::Commit),
    (3, Kind::Restart),
];

impl Step {
    /// A step for one of `clients`; `connected` says which of them have a connection, bit by bit.
    pub(super) fn any(clients: u8, connected: u16) -> BoxedStrategy<Self> {
        (0_u8..200, 0..clients, any::<[u8; 4]>())
            .prop_map(move |(luck, client, random)| {
                if connected & 1 << client == 0 && luck < 150 {
                    return Self::of(Kind::Connect, client, random);
                }
                let mut left = luck;
                for (weight, kind) in WEIGHTS {
                    if left < weight {
                        return Self::of(kind, client, random);
                    }
                    left -= weight;
                }
                Self::Wait(1)
            })
            .boxed()
    }

    fn of(kind: Kind, client: u8, [a, b, c, d]: [u8; 4]) -> Self {
        let qos = |random: u8| {
            [QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::AtMostOnce][usize::from(random % 8 / 3)]
        };
        match kind {
            Kind::Connect => Self::Connect(
                client,
                ConnectWords {
                    is_clean: a % 8 == 7,
                    expiry: [u32::MAX, 300, 30, 5, 0, u32::MAX][usize::from(b % 6)],
                    receive_maximum: [u16::MAX, 1, 2, 3][usize::from(c % 4)],
                    topic_alias_maximum: u16::from(a / 8 % 3),
                    keeps_alive: a / 64 == 3,
                    will: (d >= 128).then(|| WillWords {
                        topic: d % 5,
                        qos: qos(d / 5),
                        retain: c >= 192,
                        delay: [0, 0, 3, 20, 200][usize::from(b / 8 % 5)],
                    }),
                },
            ),
            Kind::Publish => Self::Publish(
                client,
                PublishWords {
                    qos: qos(a),
                    topic: b % 5,
                    retain: c % 4 == 3,
                    is_empty: c >= 232,
                    uses_alias: c / 4 % 2 == 1,
                    expiry: (d >= 192).then_some([2, 10, 60, 1][usize::from(d % 4)]),
                },
            ),
            Kind::Subscribe => {
                let filter = a % 12 % 9;
                let mut options = SubscriptionOptions::new(qos(b));
                if usize::from(filter) < PLAIN {
                    options.no_local = c % 8 == 7;
                    options.retain_as_published = c / 8 % 2 == 1;
                    options.retain_handling = [
                        RetainHandling::SendAtSubscribe,
                        RetainHandling::SendIfNew,
                        RetainHandling::DoNotSend,
                        RetainHandling::SendAtSubscribe,
                    ][usize::from(c / 16 % 4)];
                } else {
                    options.qos = group_qos(filter);
                }
                Self::Subscribe {
                    client,
                    filter,
                    options,
                    has_id: d % 2 == 1,
                }
            }
            Kind::Unsubscribe => Self::Unsubscribe(client, a % 9),
            Kind::Answer | Kind::Refuse => Self::Answer {
                client,
                which: a % 4,
                refuses: kind == Kind::Refuse,
            },
            Kind::AnswerAll => Self::AnswerAll(client),
            Kind::Release => Self::Release(client, a % 3),
            Kind::Stray => {
                use StrayAnswer::{PubAck, PubComp, PubRec};
                let answer = [PubAck, PubRec, PubComp][usize::from(a % 3)];
                Self::Stray(client, answer, u16::from(b % 12) + 1)
            }
            Kind::Cut => Self::Cut(client, (a >= 64).then_some(b % 60)),
            Kind::CutWithin => Self::CutWithin(client, a % 16),
            Kind::Deaf => Self::Deaf(client, a < 96),
            Kind::Disconnect => Self::Disconnect {
                client,
                with_will: a % 4 == 3,
                expiry: (b >= 192).then_some([0, 10, u32::MAX, 100][usize::from(b % 4)]),
            },
            Kind::Wait => Self::Wait([1, 2, 4, 12, 35, 250][usize::from(a % 6)]),
            Kind::Commit => Self::Commit((a < 128).then_some(1 + b % 8)),
            Kind::Restart => Self::Restart(1 + a % 3),
        }
    }
}

impl fmt::Display for WillWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topic = TOPICS[usize::from(self.topic)];
        write!(f, "will={topic} will-qos={}", self.qos as u8)?;
        if self.retain {
            f.write_str(" will-retain")?;
        }
        if self.delay > 0 {
            write!(f, " will-delay={}", self.delay)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(client, words) => {
                write!(f, "c{client} CONNECT expiry={}", words.expiry)?;
                if words.is_clean {
                    f.write_str(" clean")?;
                }
                if words.receive_maximum < u16::MAX {
                    write!(f, " rm={}", words.receive_maximum)?;
                }
                if words.topic_alias_maximum > 0 {
                    write!(f, " tam={}", words.topic_alias_maximum)?;
                }
                if words.keeps_alive {
                    f.write_str(" keep=31")?;
                }
                words.will.map_or(Ok(()), |will| write!(f, " {will}"))
            }
            Self::Publish(client, words) => {
                let topic = TOPICS[usize::from(words.topic)];
                write!(f, "c{client} PUBLISH q{} {topic}", words.qos as u8)?;
                if words.retain {
                    f.write_str(" retain")?;
                }
                if words.is_empty {
                    f.write_str(" ''")?;
                }
                if words.uses_alias {
                    f.write_str(" by alias")?;
                }
                words
                    .expiry
                    .map_or(Ok(()), |seconds| write!(f, " expiry={seconds}"))
            }
            Self::Subscribe {
                client,
                filter,
                options,
                has_id,
            } => {
                let text = FILTERS[usize::from(*filter)];
                write!(f, "c{client} SUBSCRIBE {text}:{}", options.qos as u8)?;
                if options.no_local {
                    f.write_str(",nl")?;
                }
                if options.retain_as_published {
                    f.write_str(",rap")?;
                }
                if options.retain_handling != RetainHandling::SendAtSubscribe {
                    write!(f, ",rh{}", options.retain_handling as u8)?;
                }
                if *has_id {
                    write!(f, " sub={}", id_of(*filter))?;
                }
                Ok(())
            }
            Self::Unsubscribe(client, filter) => {
                write!(f, "c{client} UNSUBSCRIBE {}", FILTERS[usize::from(*filter)])
            }
            Self::Answer {
                client,
                which,
                refuses,
            } => {
                let verb = if *refuses { "refuses" } else { "answers" };
                write!(f, "c{client} {verb} #{which} of what awaits it")
            }
            Self::AnswerAll(client) => write!(f, "c{client} answers all"),
            Self::Stray(client, answer, id) => {
                let answer = format!("{answer:?}").to_uppercase();
                write!(f, "c{client} {answer} id{id}, whether it was sent or not")
            }
            Self::Release(client, which) => write!(f, "c{client} PUBREL of its #{which}"),
            Self::Cut(client, None) => write!(f, "c{client} closes its connection"),
            Self::Cut(client, Some(bytes)) => {
                write!(f, "c{client} reads {bytes} bytes and closes its connection")
            }
            Self::CutWithin(client, bytes) => {
                write!(
                    f,
                    "c{client} sends {bytes} bytes of a PUBLISH and closes its connection"
                )
            }
            Self::Deaf(client, true) => write!(f, "c{client} reads no more"),
            Self::Deaf(client, false) => write!(f, "c{client} reads on"),
            Self::Disconnect {
                client,
                with_will,
                expiry,
            } => {
                let reason = if *with_will { "04" } else { "00" };
                write!(f, "c{client} DISCONNECT {reason}")?;
                expiry.map_or(Ok(()), |seconds| write!(f, " expiry={seconds}"))
            }
            Self::Wait(seconds) => write!(f, "{seconds} s pass"),
            Self::Commit(None) => f.write_str("the log commits all"),
            Self::Commit(Some(steps)) => write!(f, "the log goes on by {steps} steps"),
            Self::Restart(shards) => write!(f, "the broker restarts with {shards} shards"),
        }
    }
}
