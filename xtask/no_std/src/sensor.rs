//! A temperature sensor as firmware would run it: one loop, no task, no clock and no socket of its own.
//!
//! The board gives four functions ([`Board`]); the loop reads, hands packets to the engine, publishes readings at QoS 1,
//! and obeys `sensors/temperature/+/interval`. Whatever waits for an ack is kept in the session over a reconnect.

use alloc::vec;

use bytes::{Buf, BytesMut};
use whinchat_codec::{
    Connect, DecodeLimits, EncodeError, PacketId, ProtocolVersion, PublishProperties, PublishRef,
    QoS, Subscribe, SubscribeProperties, Subscription, SubscriptionOptions, Utf8String, decode,
};
use whinchat_session::{
    Connection, DeliveryOptions, DropReason, Effect, Event, Instant, Message, Output, PublishHead,
    SessionLimits, SessionState, Ticket, TopicAlias,
};
use whinchat_topic::{TopicFilter, TopicName};

const VERSION: ProtocolVersion = ProtocolVersion::V5;
const TOPIC: &str = "sensors/temperature/lab1";
const INTERVAL_FILTER: &str = "sensors/temperature/+/interval";

/// What the board must be able to do. `receive` fills the buffer and returns how much came, 0 for nothing and less
/// than 0 for a lost connection; `send` returns whether the connection still stands.
#[repr(C)]
pub struct Board {
    pub millis: extern "C" fn() -> u64,
    pub receive: extern "C" fn(*mut u8, usize) -> isize,
    pub send: extern "C" fn(*const u8, usize) -> bool,
    pub centidegrees: extern "C" fn() -> i32,
}

/// Serves one connection until it is lost or the broker breaks a rule; `session` goes on with the next one.
pub fn serve(board: &Board, session: &mut SessionState<Reading>) -> Result<(), Lost> {
    let limits = DecodeLimits::default().with_packet_size(1_024);
    let mut out = Outbox(BytesMut::new());
    let mut connect = Connect::new(VERSION, Utf8String::from_static("lab1"));
    connect.clean_start = false;
    connect.properties.set_session_expiry_interval(3_600);
    connect
        .properties
        .set_maximum_packet_size(1_024)
        .map_err(|_| Lost)?;
    let now = Instant::from_millis((board.millis)());
    let mut connection =
        Connection::client(now, &connect, &SessionLimits::default(), &mut out).map_err(|_| Lost)?;
    let mut unread = BytesMut::new();
    let mut chunk = vec![0; 256];
    let (mut interval_ms, mut next_reading) = (10_000, now);
    loop {
        let now = Instant::from_millis((board.millis)());
        let received = (board.receive)(chunk.as_mut_ptr(), chunk.len());
        unread.extend_from_slice(
            chunk
                .get(..usize::try_from(received).map_err(|_| Lost)?)
                .ok_or(Lost)?,
        );
        while let Some((packet, used)) = decode(&unread, VERSION, &limits).map_err(|_| Lost)? {
            match connection
                .handle(now, packet, session, &mut out)
                .map_err(|_| Lost)?
            {
                Event::ConnAck(connack) if connack.reason.is_error() => return Err(Lost),
                Event::ConnAck(_) => subscribe(&mut connection, now, session, &mut out)?,
                Event::Publish(message) => {
                    if let Some(new) = interval(message.topic.as_str(), message.publish.payload) {
                        interval_ms = new;
                        next_reading = now.saturating_add_millis(new);
                    }
                }
                Event::Disconnect(_) => return Err(Lost),
                _ => {}
            }
            unread.advance(used);
        }
        if connection
            .poll_timeout()
            .is_some_and(|deadline| deadline <= now)
        {
            connection
                .handle_timeout::<Reading, _>(now, &mut out)
                .map_err(|_| Lost)?;
        }
        if connection.is_connected() && next_reading <= now {
            next_reading = now.saturating_add_millis(interval_ms);
            let reading = Reading {
                centidegrees: (board.centidegrees)(),
            };
            connection.deliver(
                now,
                session,
                &reading,
                &DeliveryOptions::new(QoS::AtLeastOnce),
                None,
                &mut out,
            );
        }
        if !out.0.is_empty() && !(board.send)(out.0.as_ptr(), out.0.len()) {
            return Err(Lost);
        }
        out.0.clear();
    }
}

/// The connection is over; the board dials again.
pub struct Lost;

fn subscribe(
    connection: &mut Connection,
    now: Instant,
    session: &mut SessionState<Reading>,
    out: &mut Outbox,
) -> Result<(), Lost> {
    let filter = Utf8String::from_static(INTERVAL_FILTER);
    let mut subscribe = Subscribe {
        packet_id: PacketId::new(1).ok_or(Lost)?, // the engine puts a free one here
        properties: SubscribeProperties::default(),
        subscriptions: vec![Subscription {
            filter,
            options: SubscriptionOptions::new(QoS::AtMostOnce),
        }],
    };
    connection
        .subscribe(now, session, &mut subscribe, out)
        .map(drop)
        .map_err(|_| Lost)
}

/// The new interval in milliseconds, if that is what the message says.
fn interval(topic: &str, payload: &[u8]) -> Option<u64> {
    let filter = TopicFilter::new(INTERVAL_FILTER).ok()?;
    let name = TopicName::new(topic).ok()?;
    let seconds: u64 = core::str::from_utf8(payload).ok()?.parse().ok()?;
    filter.matches(name).then(|| seconds.saturating_mul(1_000))
}

/// A message of this sensor is one number: its text exists only while it is written.
#[derive(Clone)]
pub struct Reading {
    centidegrees: i32,
}

impl Reading {
    fn with_publish<T>(
        &self,
        head: &PublishHead<'_>,
        then: impl FnOnce(&PublishRef<'_>) -> Result<T, EncodeError>,
    ) -> Result<T, EncodeError> {
        let text = alloc::format!(
            "{}.{:02}",
            self.centidegrees / 100,
            (self.centidegrees % 100).unsigned_abs()
        );
        let (mut properties, mut topic) = (PublishProperties::default(), TOPIC);
        if let TopicAlias::Define(alias) | TopicAlias::Reuse(alias) = head.topic_alias {
            properties.set_topic_alias(alias)?;
        }
        if let TopicAlias::Reuse(_) = head.topic_alias {
            topic = "";
        }
        then(&PublishRef {
            guarantee: head.guarantee,
            retain: head.retain,
            topic,
            properties: properties.borrowed(),
            payload: text.as_bytes(),
        })
    }
}

impl Message for Reading {
    fn topic(&self) -> &str {
        TOPIC
    }

    fn encode_to(
        &self,
        version: ProtocolVersion,
        head: &PublishHead<'_>,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        self.with_publish(head, |publish| publish.encode(version, out))
    }

    fn encoded_len(
        &self,
        version: ProtocolVersion,
        head: &PublishHead<'_>,
    ) -> Result<usize, EncodeError> {
        self.with_publish(head, |publish| publish.encoded_len(version))
    }

    fn expires_at(&self) -> Option<Instant> {
        None
    }

    fn byte_size(&self) -> usize {
        size_of::<Self>()
    }
}

/// Bytes for the broker. Nothing survives a loss of power, so nothing waits for a store.
struct Outbox(BytesMut);

impl Output<Reading> for Outbox {
    fn buffer(&mut self) -> &mut BytesMut {
        &mut self.0
    }

    fn record(&mut self, _: Effect<'_, Reading>) -> Ticket {
        Ticket::NONE
    }

    fn dropped(&mut self, _: Reading, _: DropReason) {}
}
