//! Records read back: what each one says, borrowed from the log.

use bytes::{BufMut, Bytes, BytesMut};
use whinchat_codec::{
    DecodeLimits, Packet, PacketId, ProtocolVersion, Publish, QoS, RetainHandling,
    SubscriptionOptions,
};
use whinchat_session::{SessionSnapshot, WallTime};
use whinchat_store::Record;
use whinchat_topic::Subscribed;

use super::{
    ABSENCE, ACKED, COMPLETED, DROPPED, MESSAGE, NUMBERS, PUBREC_RECEIVED, RECEIVED, RELEASED,
    RETAIN, ROUTE, SENT, SESSION, SESSION_END, STATE, SUBSCRIBED, UNSUBSCRIBED, VERSION, WILL,
    WILL_END,
    body::{BadBody, Body},
};
use crate::{core::wills::Will, hooks::Identity};

/// What one record says.
#[derive(Debug)]
pub(crate) enum Recorded<'a> {
    Message(RecordedMessage),
    Route {
        message: u64,
        receivers: Vec<RecordedReceiver<'a>>,
    },
    Session(RecordedSession<'a>),
    Absence {
        session: u64,
        absence: Absence,
    },
    SessionEnd {
        session: u64,
    },
    Subscribed {
        session: u64,
        subscription: RecordedSubscription<'a>,
    },
    Unsubscribed {
        session: u64,
        filter: &'a str,
    },
    Retain {
        message: u64,
        mark: u64,
        source: Option<(&'a str, Identity)>,
    },
    Will {
        session: u64,
        client_id: &'a str,
        identity: Identity,
        will: Will,
    },
    WillEnd {
        session: u64,
    },
    Dropped {
        session: u64,
        copy: MessageCopy,
    },
    Step {
        session: u64,
        step: Step,
    },
    State(Box<RecordedState<'a>>),
    Numbers {
        next_message: u64,
        next_session: u64,
        retained_mark: u64,
    },
}

/// A step of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Sent { id: PacketId, copy: MessageCopy },
    Answered { id: PacketId },
    PubRecReceived { id: PacketId },
    Received { id: PacketId },
    Released { id: PacketId },
}

/// One copy of a message, of those that a session may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MessageCopy {
    pub(crate) message: u64,
    /// It was picked for a group.
    pub(crate) is_shared: bool,
}

#[derive(Debug)]
pub(crate) struct RecordedMessage {
    pub(crate) id: u64,
    pub(crate) publisher: u64,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) expires_at: Option<WallTime>,
    /// Its topic, properties and payload.
    pub(crate) publish: Publish,
}

#[derive(Debug)]
pub(crate) struct RecordedReceiver<'a> {
    pub(crate) session: u64,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) subscription_ids: Vec<u32>,
    pub(crate) group: Option<&'a str>,
}

#[derive(Debug)]
pub(crate) struct RecordedSession<'a> {
    pub(crate) number: u64,
    pub(crate) expiry_interval: u32,
    pub(crate) is_anonymous_from_elsewhere: bool,
    pub(crate) client_id: &'a str,
    pub(crate) identity: Identity,
}

/// Until when a session goes on without a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Absence {
    pub(crate) ends_at: Option<WallTime>,
    pub(crate) will_at: Option<WallTime>,
}

#[derive(Debug)]
pub(crate) struct RecordedSubscription<'a> {
    pub(crate) filter: &'a str,
    pub(crate) options: SubscriptionOptions,
    pub(crate) id: Option<u32>,
}

/// Everything about one session.
#[derive(Debug)]
pub(crate) struct RecordedState<'a> {
    pub(crate) session: RecordedSession<'a>,
    pub(crate) absence: Option<Absence>,
    pub(crate) subscriptions: Vec<RecordedSubscription<'a>>,
    pub(crate) state: SessionSnapshot,
}

/// Why a record cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadRecord {
    #[error("a record of kind {kind}: {body}")]
    Body { kind: u8, body: BadBody },
    #[error("a record of kind {kind}, version {version}: written by a later release")]
    Unknown { kind: u8, version: u8 },
}

impl<'a> Recorded<'a> {
    /// What the record says; `None` for one of a kind that may be skipped and is not known.
    pub(crate) fn read(record: &Record<'a>) -> Result<Option<Self>, BadRecord> {
        let kind = record.kind.number();
        let known = [
            MESSAGE,
            ROUTE,
            SESSION,
            SESSION_END,
            SUBSCRIBED,
            UNSUBSCRIBED,
            RETAIN,
            SENT,
            ACKED,
            PUBREC_RECEIVED,
            COMPLETED,
            RECEIVED,
            RELEASED,
            WILL,
            WILL_END,
            DROPPED,
            ABSENCE,
            STATE,
            NUMBERS,
        ];
        if !known.contains(&record.kind) || record.version > VERSION {
            return if record.kind.must_understand() {
                Err(BadRecord::Unknown {
                    kind,
                    version: record.version,
                })
            } else {
                Ok(None)
            };
        }
        let read = Self::read_body(record).map_err(|body| BadRecord::Body { kind, body })?;
        Ok(Some(read))
    }

    fn read_body(record: &Record<'a>) -> Result<Self, BadBody> {
        let mut body = Body::new(record.body);
        let b = &mut body;
        // These three end with what is left.
        if record.kind == MESSAGE {
            return message(body).map(Self::Message);
        }
        if record.kind == STATE {
            return state(body).map(|state| Self::State(Box::new(state)));
        }
        let read = match record.kind {
            ROUTE => {
                let message = b.number("message")?;
                let mut receivers = Vec::new();
                while !b.is_empty() {
                    receivers.push(receiver(b)?);
                }
                Self::Route { message, receivers }
            }
            SESSION => Self::Session(session(b)?),
            ABSENCE => Self::Absence {
                session: b.number("session")?,
                absence: absence(b)?,
            },
            SESSION_END => Self::SessionEnd {
                session: b.number("session")?,
            },
            SUBSCRIBED => Self::Subscribed {
                session: b.number("session")?,
                subscription: subscription(b)?,
            },
            UNSUBSCRIBED => Self::Unsubscribed {
                session: b.number("session")?,
                filter: filter(b)?,
            },
            RETAIN => {
                let (message, mark) = (b.number("message")?, b.number("mark")?);
                let source = if b.is_empty() {
                    None
                } else {
                    Some((b.text("client id")?, identity(b)?))
                };
                Self::Retain {
                    message,
                    mark,
                    source,
                }
            }
            WILL => Self::Will {
                session: b.number("session")?,
                client_id: b.text("client id")?,
                identity: identity(b)?,
                will: will(b)?,
            },
            WILL_END => Self::WillEnd {
                session: b.number("session")?,
            },
            DROPPED => Self::Dropped {
                session: b.number("session")?,
                copy: copy(b)?,
            },
            NUMBERS => Self::Numbers {
                next_message: b.number("message")?,
                next_session: b.number("session")?,
                retained_mark: b.number("mark")?,
            },
            kind => {
                let session = b.number("session")?;
                let id = b.id()?;
                let step = match kind {
                    SENT => Step::Sent { id, copy: copy(b)? },
                    ACKED | COMPLETED => Step::Answered { id },
                    PUBREC_RECEIVED => Step::PubRecReceived { id },
                    RECEIVED => Step::Received { id },
                    RELEASED => Step::Released { id },
                    _ => return Err(BadBody("kind")),
                };
                Self::Step { session, step }
            }
        };
        body.end()?;
        Ok(read)
    }
}

fn qos(flags: u8) -> Result<QoS, BadBody> {
    QoS::try_from(flags & 0b11).map_err(|_| BadBody("QoS"))
}

fn wall(time: u64) -> Option<WallTime> {
    (time != 0).then(|| WallTime::from_millis(time))
}

fn message(mut body: Body<'_>) -> Result<RecordedMessage, BadBody> {
    let b = &mut body;
    let (id, publisher) = (b.number("message")?, b.number("publisher")?);
    let flags = b.byte("flags")?;
    let expires_at = wall(b.number("expiry")?);
    let (topic, properties) = (b.text("topic")?, b.bytes("properties")?);
    Ok(RecordedMessage {
        id,
        publisher,
        qos: qos(flags)?,
        retain: flags & 0b100 != 0,
        expires_at,
        publish: publish(topic, properties, body.rest())?,
    })
}

/// The parts of a message as the codec keeps them: checked once more, topic and payload in one allocation.
fn publish(topic: &str, properties: &[u8], payload: &[u8]) -> Result<Publish, BadBody> {
    const WHAT: BadBody = BadBody("message");
    let topic_length = u16::try_from(topic.len()).map_err(|_| WHAT)?;
    let mut section = Vec::new();
    put_variable_byte_integer(&mut section, properties.len());
    let remaining = 2 + topic.len() + section.len() + properties.len() + payload.len();
    let mut packet = Vec::new();
    packet.push(0x30);
    put_variable_byte_integer(&mut packet, remaining);
    let mut bytes = BytesMut::with_capacity(packet.len() + remaining);
    bytes.put_slice(&packet);
    bytes.put_u16(topic_length);
    bytes.put_slice(topic.as_bytes());
    bytes.put_slice(&section);
    bytes.put_slice(properties);
    bytes.put_slice(payload);
    let bytes: Bytes = bytes.freeze();
    match Packet::decode(&bytes, ProtocolVersion::V5, &DecodeLimits::default()) {
        Ok(Some((Packet::Publish(publish), _))) => Ok(publish),
        Ok(_) | Err(_) => Err(WHAT),
    }
}

fn put_variable_byte_integer(out: &mut Vec<u8>, value: usize) {
    super::body::put_number(out, value as u64);
}

fn receiver<'a>(b: &mut Body<'a>) -> Result<RecordedReceiver<'a>, BadBody> {
    let session = b.number("session")?;
    let flags = b.byte("flags")?;
    let mut subscription_ids = Vec::new();
    for _ in 0..b.number("subscription ids")? {
        subscription_ids.push(b.small("subscription id")?);
    }
    let group = if flags & 0b1000 != 0 {
        Some(b.text("group")?)
    } else {
        None
    };
    Ok(RecordedReceiver {
        session,
        qos: qos(flags)?,
        retain: flags & 0b100 != 0,
        subscription_ids,
        group,
    })
}

fn copy(b: &mut Body<'_>) -> Result<MessageCopy, BadBody> {
    Ok(MessageCopy {
        message: b.number("message")?,
        is_shared: b.byte("flags")? & 1 != 0,
    })
}

fn session<'a>(b: &mut Body<'a>) -> Result<RecordedSession<'a>, BadBody> {
    Ok(RecordedSession {
        number: b.number("session")?,
        expiry_interval: b.small("expiry interval")?,
        is_anonymous_from_elsewhere: b.byte("flags")? & 1 != 0,
        client_id: b.text("client id")?,
        identity: identity(b)?,
    })
}

fn absence(b: &mut Body<'_>) -> Result<Absence, BadBody> {
    Ok(Absence {
        ends_at: wall(b.number("end")?),
        will_at: wall(b.number("will")?),
    })
}

fn subscription<'a>(b: &mut Body<'a>) -> Result<RecordedSubscription<'a>, BadBody> {
    let bits = b.byte("options")?;
    let id = b.small("subscription id")?;
    let mut options = SubscriptionOptions::new(qos(bits)?);
    options.no_local = bits & 0b100 != 0;
    options.retain_as_published = bits & 0b1000 != 0;
    options.retain_handling = match bits >> 4 {
        0 => RetainHandling::SendAtSubscribe,
        1 => RetainHandling::SendIfNew,
        2 => RetainHandling::DoNotSend,
        _ => return Err(BadBody("options")),
    };
    Ok(RecordedSubscription {
        filter: filter(b)?,
        options,
        id: (id != 0).then_some(id),
    })
}

/// What stands in the table of a session goes into the index of all: it has to be a filter.
fn filter<'a>(b: &mut Body<'a>) -> Result<&'a str, BadBody> {
    const WHAT: BadBody = BadBody("filter");
    let text = b.text(WHAT.0)?;
    Subscribed::parse(text).map_err(|_| WHAT)?;
    Ok(text)
}

fn identity(b: &mut Body<'_>) -> Result<Identity, BadBody> {
    let is_anonymous = b.byte("identity")? & 1 != 0;
    let name = b.text("name")?;
    let mut identity = if is_anonymous {
        Identity::anonymous()
    } else {
        Identity::new(name)
    };
    for _ in 0..b.number("roles")? {
        identity = identity.with_role(b.text("role")?);
    }
    for _ in 0..b.number("attributes")? {
        identity = identity.with_attribute(b.text("attribute")?, b.text("attribute")?);
    }
    Ok(identity)
}

fn will(b: &mut Body<'_>) -> Result<Will, BadBody> {
    let flags = b.byte("flags")?;
    let delay_interval = b.small("delay")?;
    let expiry_interval = b.number("expiry")?.checked_sub(1);
    let (topic, properties) = (b.text("topic")?, b.bytes("properties")?);
    let publish = publish(topic, properties, b.bytes("payload")?)?;
    Ok(Will {
        topic: publish.topic,
        payload: publish.payload,
        qos: qos(flags)?,
        retain: flags & 0b100 != 0,
        properties: publish.properties,
        delay_interval,
        expiry_interval: expiry_interval
            .map(u32::try_from)
            .transpose()
            .map_err(|_| BadBody("expiry"))?,
    })
}

fn state(mut body: Body<'_>) -> Result<RecordedState<'_>, BadBody> {
    let b = &mut body;
    let session = session(b)?;
    let absence = if b.byte("flags")? & 1 != 0 {
        Some(absence(b)?)
    } else {
        None
    };
    let mut subscriptions = Vec::new();
    for _ in 0..b.number("subscriptions")? {
        subscriptions.push(subscription(b)?);
    }
    let state = SessionSnapshot::from_bytes(body.rest().to_vec());
    Ok(RecordedState {
        session,
        absence,
        subscriptions,
        state: state.map_err(|_| BadBody("state"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::records::body::put_text;

    #[test]
    fn a_filter_that_no_client_could_subscribe_to_is_refused() {
        for filter in ["a/#/b", "a+", "", "$share/group", "$share//a"] {
            for (kind, before) in [(UNSUBSCRIBED, &[7][..]), (SUBSCRIBED, &[7, 0, 0])] {
                let mut bytes = before.to_vec();
                put_text(&mut bytes, filter);
                let record = Record {
                    kind,
                    partition: 0,
                    version: VERSION,
                    body: &bytes,
                };
                let kind = record.kind.number();
                let body = BadBody("filter");
                assert_eq!(
                    Recorded::read(&record).err(),
                    Some(BadRecord::Body { kind, body }),
                    "{filter:?}"
                );
            }
        }
    }
}
