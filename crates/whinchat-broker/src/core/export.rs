//! What a log keeps, as lines that people and other programs can read and write.
//!
//! ```text
//!  Checkpoint ──► header, sessions, messages, Wills ──► lines ──► [import] ──► records of a new log
//! ```
//!
//! A message stands in one line, however many sessions wait for it: they name it by its number. `docs/export.md` describes the lines; what is written there
//! is a contract, and a change of it is a new format number.

use std::{collections::BTreeMap, io};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use whinchat_codec::{
    PacketId, PubRecReason, PublishProperties, QoS, RetainHandling, SubscriptionOptions,
};
use whinchat_session::{
    AwaitedPart, InFlightPart, Instant, QueuedPart, SessionSnapshot, SnapshotError, SnapshotParts,
};

use super::{
    checkpoint::{Checkpoint, SessionCheckpoint},
    message::Message,
    records::read_delivery,
    retained::Source,
    sessions::Counted,
    wills::Will,
};
use crate::{Clock, hooks::Identity};

/// The format that this release writes.
pub(super) const FORMAT: u32 = 1;

/// One line of an export.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ExportLine {
    /// The first line.
    Export(ExportHeader),
    /// A session that outlives its connection.
    Session(Box<ExportedSession>),
    /// A message that sessions wait for, or that is retained.
    Message(Box<ExportedMessage>),
    /// The Will of a client whose session ended with its connection; published at the next start.
    Will(Box<ExportedOrphan>),
}

/// What the lines are.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportHeader {
    format: u32,
    /// The release that wrote it.
    whinchat: String,
    /// Numbers below these were used.
    #[serde(default, skip_serializing_if = "is_default")]
    next_message: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    next_session: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) next_mark: u64,
}

/// A session with all that it is owed.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedSession {
    pub(super) number: u64,
    pub(super) client_id: String,
    pub(super) identity: ExportedIdentity,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) anonymous_from_elsewhere: bool,
    /// Seconds; 4294967295 is for ever.
    pub(super) expiry_interval: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) was_connected: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) ends_at_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) will_at_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) will: Option<ExportedWill>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) subscriptions: Vec<ExportedSubscription>,
    #[serde(default, skip_serializing_if = "is_default")]
    last_packet_id: u16,
    #[serde(default, skip_serializing_if = "is_default")]
    in_flight: Vec<ExportedInFlight>,
    #[serde(default, skip_serializing_if = "is_default")]
    queue: Vec<ExportedQueued>,
    #[serde(default, skip_serializing_if = "is_default")]
    held_ids: Vec<u16>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportedSubscription {
    pub(super) filter: String,
    qos: u8,
    #[serde(default, skip_serializing_if = "is_default")]
    no_local: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    retain_as_published: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    retain_handling: u8,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) id: Option<u32>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExportedInFlight {
    packet_id: u16,
    awaits: Awaited,
    /// The reason of the PUBREC that has come.
    #[serde(default, skip_serializing_if = "is_default")]
    pubrec: Option<u8>,
    #[serde(default, skip_serializing_if = "is_default")]
    message: Option<u64>,
    #[serde(default, skip_serializing_if = "is_default")]
    group: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    retain: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    subscription_ids: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Awaited {
    #[serde(rename = "puback")]
    Ack,
    #[serde(rename = "pubrec")]
    Rec,
    #[serde(rename = "pubcomp")]
    Comp,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExportedQueued {
    message: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    group: Option<String>,
    qos: u8,
    #[serde(default, skip_serializing_if = "is_default")]
    retain: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    subscription_ids: Vec<u32>,
    #[serde(default, skip_serializing_if = "is_default")]
    may_have_left: bool,
}

/// A message.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedMessage {
    pub(super) id: u64,
    /// The number of the session that published it.
    pub(super) publisher: u64,
    pub(super) topic: String,
    qos: u8,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) retain: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) expires_at_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) properties: PublishProperties,
    pub(super) payload: Payload,
    /// It is the retained message of its topic.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) retained: bool,
    /// Who published that, where rights are asked about.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) source: Option<ExportedSource>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportedSource {
    client_id: String,
    identity: ExportedIdentity,
}

/// A Will without a session.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedOrphan {
    pub(super) session: u64,
    pub(super) client_id: String,
    pub(super) identity: ExportedIdentity,
    pub(super) will: ExportedWill,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportedWill {
    topic: String,
    qos: u8,
    #[serde(default, skip_serializing_if = "is_default")]
    retain: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    delay_interval: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    expiry_interval: Option<u32>,
    #[serde(default, skip_serializing_if = "is_default")]
    properties: PublishProperties,
    payload: Payload,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportedIdentity {
    name: String,
    #[serde(default, skip_serializing_if = "is_default")]
    anonymous: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    roles: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    attributes: BTreeMap<String, String>,
}

/// Text where it is text, so that people can read and change it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Payload {
    Text(String),
    Base64(String),
}

/// A value that no record can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} cannot be {value}")]
pub struct BadField {
    pub(super) field: &'static str,
    pub(super) value: String,
}

impl BadField {
    pub(super) fn new(field: &'static str, value: impl ToString) -> Self {
        Self {
            field,
            value: value.to_string(),
        }
    }
}

/// Why an export was not written to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// A message cannot be read back from the log.
    #[error("message {0} cannot be read back from the log")]
    Message(u64),
    /// The state of a session cannot be read.
    #[error("the session of {client_id:?} cannot be read: {error}")]
    Session {
        /// Whose it is.
        client_id: String,
        /// What is wrong.
        error: SnapshotError,
    },
    /// The lines cannot be written.
    #[error("cannot write the export: {0}")]
    Write(#[from] io::Error),
}

impl Checkpoint {
    /// Hands out one line after the other: the header, sessions by client id, messages by number, Wills by client id. `clock` is the one under which the
    /// checkpoint was read. Messages that are only in the log are read one by one.
    ///
    /// # Errors
    /// [`ExportError`], also what `write` answers.
    pub fn export(
        &self,
        clock: &Clock,
        mut write: impl FnMut(ExportLine) -> io::Result<()>,
    ) -> Result<(), ExportError> {
        write(ExportLine::Export(ExportHeader {
            format: FORMAT,
            whinchat: env!("CARGO_PKG_VERSION").to_owned(),
            next_message: self.next_message,
            next_session: self.next_session,
            next_mark: self.retained_mark,
        }))?;
        let mut needed: BTreeMap<u64, Option<_>> = BTreeMap::new();
        let mut sessions: Vec<&SessionCheckpoint> = self.sessions.iter().collect();
        sessions.sort_by(|a, b| a.client_id.cmp(&b.client_id));
        for session in sessions {
            let exported = ExportedSession::of(session, clock);
            let exported = exported.map_err(|error| ExportError::Session {
                client_id: session.client_id.to_string(),
                error,
            })?;
            needed.extend(exported.messages().map(|id| (id, None)));
            write(ExportLine::Session(Box::new(exported)))?;
        }
        for (message, source) in &self.retained {
            needed.insert(message.id, Some((message, source)));
        }
        for (id, retained) in needed {
            let queued = || self.messages.get(&id)?.message();
            let message = match retained {
                Some((message, _)) => (*message).clone(),
                None => queued().ok_or(ExportError::Message(id))?,
            };
            let mut line = ExportedMessage::of(&message, clock);
            line.retained = retained.is_some();
            line.source = retained
                .and_then(|(_, source)| source.as_deref())
                .map(ExportedSource::of);
            write(ExportLine::Message(Box::new(line)))?;
        }
        let mut orphans: Vec<_> = self.orphans.iter().collect();
        orphans.sort_by(|a, b| a.client_id.cmp(&b.client_id));
        for orphan in orphans {
            write(ExportLine::Will(Box::new(ExportedOrphan {
                session: orphan.session,
                client_id: orphan.client_id.to_string(),
                identity: ExportedIdentity::of(&orphan.identity),
                will: ExportedWill::of(&orphan.will),
            })))?;
        }
        Ok(())
    }
}

impl ExportHeader {
    pub(super) fn format(&self) -> u32 {
        self.format
    }

    /// The first message number and the first session number that were not used.
    pub(super) fn numbers(&self) -> (u64, u64) {
        (self.next_message, self.next_session)
    }
}

impl ExportedSession {
    fn of(session: &SessionCheckpoint, clock: &Clock) -> Result<Self, SnapshotError> {
        let parts = session.state.parts()?;
        let mut subscriptions: Vec<_> = session
            .subscriptions
            .iter()
            .map(|(filter, grant, options)| ExportedSubscription {
                filter: filter.to_string(),
                qos: options.qos.into(),
                no_local: options.no_local,
                retain_as_published: options.retain_as_published,
                retain_handling: options.retain_handling as u8,
                id: grant.subscription_id(),
            })
            .collect();
        subscriptions.sort_by(|a, b| a.filter.cmp(&b.filter));
        let wall = |at: Option<Instant>| at.map(|at| clock.wall(at).as_millis());
        let in_flight = parts.in_flight.iter().map(ExportedInFlight::of);
        let queue = parts.queue.iter().map(ExportedQueued::of);
        Ok(Self {
            number: session.number,
            client_id: session.client_id.to_string(),
            identity: ExportedIdentity::of(&session.identity),
            anonymous_from_elsewhere: session.counted == Counted::DurableAnonymous,
            expiry_interval: session.expiry_interval,
            was_connected: session.was_connected,
            ends_at_ms: wall(session.ends_at),
            will_at_ms: wall(session.will_at),
            will: session.will.as_deref().map(ExportedWill::of),
            subscriptions,
            last_packet_id: parts.last_packet_id,
            in_flight: in_flight.collect::<Result<_, _>>()?,
            queue: queue.collect::<Result<_, _>>()?,
            held_ids: parts.held_ids.iter().map(|id| id.get()).collect(),
        })
    }

    /// The messages that it is still to get.
    pub(super) fn messages(&self) -> impl Iterator<Item = u64> {
        let in_flight = self.in_flight.iter().filter_map(|part| part.message);
        in_flight.chain(self.queue.iter().map(|part| part.message))
    }

    /// What its client is owed, as the log has it.
    pub(super) fn state(&self) -> Result<SessionSnapshot, BadField> {
        let parts = SnapshotParts {
            last_packet_id: self.last_packet_id,
            in_flight: self
                .in_flight
                .iter()
                .map(ExportedInFlight::part)
                .collect::<Result<_, _>>()?,
            queue: self
                .queue
                .iter()
                .map(ExportedQueued::part)
                .collect::<Result<_, _>>()?,
            held_ids: self
                .held_ids
                .iter()
                .map(|id| packet_id(*id))
                .collect::<Result<_, _>>()?,
        };
        Ok(SessionSnapshot::from(&parts))
    }
}

impl ExportedSubscription {
    pub(super) fn options(&self) -> Result<SubscriptionOptions, BadField> {
        let mut options = SubscriptionOptions::new(qos(self.qos)?);
        options.no_local = self.no_local;
        options.retain_as_published = self.retain_as_published;
        options.retain_handling = match self.retain_handling {
            0 => RetainHandling::SendAtSubscribe,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            other => return Err(BadField::new("retain_handling", other)),
        };
        Ok(options)
    }
}

impl ExportedInFlight {
    fn of(part: &InFlightPart) -> Result<Self, SnapshotError> {
        let message = part.message.as_deref().map(delivery).transpose()?;
        let (message, group) = message.unzip();
        let (awaits, pubrec) = match part.awaits {
            AwaitedPart::PubAck => (Awaited::Ack, None),
            AwaitedPart::PubRec => (Awaited::Rec, None),
            AwaitedPart::PubComp(reason) => (Awaited::Comp, Some(reason.code())),
        };
        Ok(Self {
            packet_id: part.packet_id.get(),
            awaits,
            pubrec,
            message,
            group: group.flatten(),
            retain: part.retain,
            subscription_ids: part.subscription_ids.clone(),
        })
    }

    fn part(&self) -> Result<InFlightPart, BadField> {
        let code = self.pubrec.unwrap_or(PubRecReason::Success.code());
        let reason = PubRecReason::from_code(code).ok_or(BadField::new("pubrec", code))?;
        Ok(InFlightPart {
            packet_id: packet_id(self.packet_id)?,
            awaits: match self.awaits {
                Awaited::Ack => AwaitedPart::PubAck,
                Awaited::Rec => AwaitedPart::PubRec,
                Awaited::Comp => AwaitedPart::PubComp(reason),
            },
            message: self.message.map(|id| handle(id, self.group.as_deref())),
            retain: self.retain,
            subscription_ids: self.subscription_ids.clone(),
        })
    }
}

impl ExportedQueued {
    fn of(part: &QueuedPart) -> Result<Self, SnapshotError> {
        let (message, group) = delivery(&part.message)?;
        Ok(Self {
            message,
            group,
            qos: part.qos.into(),
            retain: part.retain,
            subscription_ids: part.subscription_ids.clone(),
            may_have_left: part.may_have_left,
        })
    }

    fn part(&self) -> Result<QueuedPart, BadField> {
        Ok(QueuedPart {
            message: handle(self.message, self.group.as_deref()),
            qos: qos(self.qos)?,
            retain: self.retain,
            subscription_ids: self.subscription_ids.clone(),
            may_have_left: self.may_have_left,
        })
    }
}

impl ExportedMessage {
    fn of(message: &Message, clock: &Clock) -> Self {
        Self {
            id: message.id,
            publisher: message.publisher,
            topic: message.topic.to_string(),
            qos: message.qos.into(),
            retain: message.retain,
            expires_at_ms: message.expires_at.map(|at| clock.wall(at).as_millis()),
            properties: message.properties.clone(),
            payload: Payload::of(&message.payload),
            retained: false,
            source: None,
        }
    }

    pub(super) fn qos(&self) -> Result<QoS, BadField> {
        qos(self.qos)
    }
}

impl ExportedSource {
    fn of(source: &Source) -> Self {
        Self {
            client_id: source.client_id().to_owned(),
            identity: ExportedIdentity::of(source.identity()),
        }
    }

    pub(super) fn source(&self) -> std::sync::Arc<Source> {
        Source::new(&self.identity.identity(), &self.client_id)
    }
}

impl ExportedWill {
    fn of(will: &Will) -> Self {
        Self {
            topic: will.topic.to_string(),
            qos: will.qos.into(),
            retain: will.retain,
            delay_interval: will.delay_interval,
            expiry_interval: will.expiry_interval,
            properties: will.properties.clone(),
            payload: Payload::of(&will.payload),
        }
    }

    pub(super) fn will(&self) -> Result<Will, BadField> {
        let topic = self.topic.as_str();
        Ok(Will {
            topic: topic
                .try_into()
                .map_err(|_| BadField::new("topic", format_args!("{topic:?}")))?,
            payload: self.payload.bytes()?,
            qos: qos(self.qos)?,
            retain: self.retain,
            properties: self.properties.clone(),
            delay_interval: self.delay_interval,
            expiry_interval: self.expiry_interval,
        })
    }
}

impl ExportedIdentity {
    fn of(identity: &Identity) -> Self {
        Self {
            name: identity.name().to_owned(),
            anonymous: identity.is_anonymous(),
            roles: identity.roles().to_vec(),
            attributes: identity.attributes().clone(),
        }
    }

    pub(super) fn identity(&self) -> Identity {
        let identity = if self.anonymous {
            Identity::anonymous()
        } else {
            Identity::new(&self.name)
        };
        let identity = self.roles.iter().fold(identity, Identity::with_role);
        let attributes = self.attributes.iter();
        attributes.fold(identity, |identity, (key, value)| {
            identity.with_attribute(key, value)
        })
    }
}

impl Payload {
    fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(STANDARD.encode(bytes)),
        }
    }

    pub(super) fn bytes(&self) -> Result<Bytes, BadField> {
        match self {
            Self::Text(text) => Ok(Bytes::copy_from_slice(text.as_bytes())),
            Self::Base64(text) => match STANDARD.decode(text) {
                Ok(bytes) => Ok(bytes.into()),
                Err(error) => Err(BadField::new("base64", format_args!("{text:?} ({error})"))),
            },
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn qos(number: u8) -> Result<QoS, BadField> {
    QoS::try_from(number).map_err(|_| BadField::new("qos", number))
}

fn packet_id(number: u16) -> Result<PacketId, BadField> {
    PacketId::new(number).ok_or(BadField::new("packet_id", number))
}

fn delivery(bytes: &[u8]) -> Result<(u64, Option<String>), SnapshotError> {
    let (message, group) = read_delivery(bytes).ok_or(SnapshotError::Message)?;
    Ok((message, group.map(str::to_owned)))
}

fn handle(message: u64, group: Option<&str>) -> Vec<u8> {
    let mut bytes = message.to_le_bytes().to_vec();
    bytes.extend_from_slice(group.unwrap_or_default().as_bytes());
    bytes
}
