//! A plain client: a list of what it got and has to answer, and of what it sent and waits for.

use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};
use whinchat_codec::{
    Connect, DecodeLimits, Guarantee, Packet, PacketId, ProtocolVersion, PubAck, PubAckReason,
    PubComp, PubRec, PubRecReason, PubRel, Publish, QoS, Utf8String, Will, decode,
};
use whinchat_transport::Stream;

use super::step::{ConnectWords, PublishWords, TOPICS};

/// Packets that a client leaves unanswered at most; the broker's Receive Maximum is one more.
const UNANSWERED_MAX: usize = 3;

/// A packet of the broker that awaits an answer.
#[derive(Clone, Copy, Debug)]
struct Incoming {
    id: PacketId,
    answer: Due,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    PubAck,
    PubRec,
    /// PUBREC has been sent, PUBREL has not come.
    Nothing,
    PubComp,
}

/// A message of its own that has not had its last answer.
#[derive(Clone, Debug)]
struct Outgoing {
    id: PacketId,
    number: u32,
    words: PublishWords,
    stage: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Published,
    /// PUBREC has come.
    Received,
    Released,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Idle,
    /// Waits for CONNACK.
    Connecting,
    Connected,
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) client_id: String,
    pub(super) version: ProtocolVersion,
    pub(super) phase: Phase,
    stream: Option<Stream>,
    /// What came and was not looked at by the client, though by the model.
    unread: BytesMut,
    is_deaf: bool,
    incoming: Vec<Incoming>,
    outgoing: Vec<Outgoing>,
    /// SUBSCRIBE and UNSUBSCRIBE without their answers.
    requests: Vec<PacketId>,
    last_id: u16,
    topic_alias_maximum: u16,
    /// Topics that have their alias on this connection.
    aliased: Vec<u8>,
    is_clean: bool,
}

impl Client {
    pub(super) fn new(number: usize, version: ProtocolVersion) -> Self {
        Self {
            client_id: format!("c{number}"),
            version,
            phase: Phase::Idle,
            stream: None,
            unread: BytesMut::new(),
            is_deaf: false,
            incoming: Vec::new(),
            outgoing: Vec::new(),
            requests: Vec::new(),
            last_id: 0,
            topic_alias_maximum: 0,
            aliased: Vec::new(),
            is_clean: false,
        }
    }

    /// Gives up the connection it has; the stream of it.
    pub(super) fn take_stream(&mut self) -> Option<Stream> {
        self.phase = Phase::Idle;
        self.unread.clear();
        self.is_deaf = false;
        self.incoming.clear();
        self.requests.clear();
        self.aliased.clear();
        self.stream.take()
    }

    pub(super) fn connect(&mut self, stream: Stream, words: &ConnectWords, will: u32) -> Connect {
        self.take_stream();
        self.stream = Some(stream);
        self.phase = Phase::Connecting;
        let mut connect = Connect::new(self.version, text(&self.client_id));
        let is_v5 = self.version.is_v5();
        connect.clean_start = words.is_clean || (!is_v5 && words.expiry == 0);
        connect.keep_alive = if words.keeps_alive { 31 } else { 0 };
        self.is_clean = connect.clean_start;
        if is_v5 {
            let properties = &mut connect.properties;
            properties.set_session_expiry_interval(words.expiry);
            if words.receive_maximum < u16::MAX {
                let set = properties.set_receive_maximum(words.receive_maximum);
                set.expect("not 0");
            }
            properties.set_topic_alias_maximum(words.topic_alias_maximum);
        }
        connect.will = words.will.map(|words| {
            let mut will = Will {
                topic: text(TOPICS[usize::from(words.topic)]),
                payload: Bytes::from(will.to_string()),
                qos: words.qos,
                retain: words.retain,
                properties: Default::default(),
            };
            if is_v5 && words.delay > 0 {
                will.properties.set_will_delay_interval(words.delay.into());
            }
            will
        });
        connect
    }

    /// Whether it may send one more packet that will be answered.
    pub(super) fn has_room(&self) -> bool {
        self.phase == Phase::Connected && self.outgoing.len() + self.requests.len() < UNANSWERED_MAX
    }

    fn next_id(&mut self) -> PacketId {
        loop {
            self.last_id = self.last_id % 9 + 1;
            let id = PacketId::new(self.last_id).expect("not 0");
            let is_used =
                self.outgoing.iter().any(|open| open.id == id) || self.requests.contains(&id);
            if !is_used {
                return id;
            }
        }
    }

    /// The id of a SUBSCRIBE or UNSUBSCRIBE.
    pub(super) fn request(&mut self) -> PacketId {
        let id = self.next_id();
        self.requests.push(id);
        id
    }

    /// A PUBLISH that is new.
    pub(super) fn publish(&mut self, number: u32, words: PublishWords) -> Publish {
        let id = self.next_id();
        if words.qos > QoS::AtMostOnce {
            self.outgoing.push(Outgoing {
                id,
                number,
                words,
                stage: Progress::Published,
            });
        }
        self.packet(number, words, Guarantee::new(words.qos, id, false))
    }

    fn packet(&mut self, number: u32, words: PublishWords, guarantee: Guarantee) -> Publish {
        let payload = if words.is_empty {
            Bytes::new()
        } else {
            Bytes::from(number.to_string())
        };
        let mut publish = Publish {
            guarantee,
            retain: words.retain,
            topic: text(TOPICS[usize::from(words.topic)]),
            properties: Default::default(),
            payload,
        };
        if !self.version.is_v5() {
            return publish;
        }
        if let Some(seconds) = words.expiry {
            publish
                .properties
                .set_message_expiry_interval(seconds.into());
        }
        let alias = u16::from(words.topic) + 1;
        if words.uses_alias && alias <= self.topic_alias_maximum {
            publish.properties.set_topic_alias(alias).expect("not 0");
            if self.aliased.contains(&words.topic) {
                publish.topic = Utf8String::new();
            } else {
                self.aliased.push(words.topic);
            }
        }
        publish
    }

    /// The answer to one of the packets that await it.
    pub(super) fn answer(&mut self, which: usize, refuses: bool) -> Option<Packet> {
        let is_due = |open: &&usize| self.incoming[**open].answer != Due::Nothing;
        let places: Vec<usize> = (0..self.incoming.len()).collect();
        let place = *places.iter().filter(is_due).nth(which)?;
        let id = self.incoming[place].id;
        let refuses = refuses && self.version.is_v5();
        Some(match self.incoming[place].answer {
            Due::PubAck => {
                self.incoming.remove(place);
                let mut puback = PubAck::success(id);
                if refuses {
                    puback.reason = PubAckReason::QuotaExceeded;
                }
                Packet::PubAck(puback)
            }
            Due::PubRec => {
                let mut pubrec = PubRec::success(id);
                if refuses {
                    pubrec.reason = PubRecReason::QuotaExceeded;
                    self.incoming.remove(place);
                } else {
                    self.incoming[place].answer = Due::Nothing;
                }
                Packet::PubRec(pubrec)
            }
            Due::Nothing | Due::PubComp => {
                self.incoming.remove(place);
                Packet::PubComp(PubComp::success(id))
            }
        })
    }

    /// The PUBREL of one of its own messages that have their PUBREC.
    pub(super) fn release(&mut self, which: usize) -> Option<Packet> {
        if self.phase != Phase::Connected {
            return None;
        }
        let received = |open: &&mut Outgoing| open.stage == Progress::Received;
        let open = self.outgoing.iter_mut().filter(received).nth(which)?;
        open.stage = Progress::Released;
        Some(Packet::PubRel(PubRel::success(open.id)))
    }

    /// Everything it has to send again on a new connection, in order. // v5 [MQTT-4.4.0-1]
    fn resent(&mut self) -> Vec<Packet> {
        let again = std::mem::take(&mut self.outgoing);
        let packets = again
            .iter()
            .map(|open| {
                if open.stage == Progress::Published {
                    let guarantee = Guarantee::new(open.words.qos, open.id, true);
                    Packet::Publish(self.packet(open.number, open.words, guarantee))
                } else {
                    Packet::PubRel(PubRel::success(open.id))
                }
            })
            .collect();
        self.outgoing = again;
        for open in &mut self.outgoing {
            if open.stage == Progress::Received {
                open.stage = Progress::Released;
            }
        }
        packets
    }

    /// Whether it waits for nothing and owes nothing, as long as it is there.
    pub(super) fn is_idle(&self) -> bool {
        self.phase == Phase::Idle
            || (self.outgoing.is_empty() && self.requests.is_empty() && self.incoming.is_empty())
    }

    pub(super) fn set_deaf(&mut self, is_deaf: bool) {
        self.is_deaf = is_deaf;
    }

    /// Writes to the broker.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        let stream = self.stream.as_mut().expect("it is connected");
        let mut cx = Context::from_waker(Waker::noop());
        match stream.poll_write(&mut cx, bytes) {
            Poll::Ready(Ok(count)) => assert_eq!(count, bytes.len(), "the broker reads"),
            // It has ended the connection, which is seen with the next read.
            Poll::Ready(Err(_)) => {}
            Poll::Pending => panic!("the broker reads"),
        }
    }

    /// Takes what has come off the stream; true if that was the end.
    pub(super) fn read(&mut self) -> (Bytes, bool) {
        let Some(stream) = self.stream.as_mut() else {
            return (Bytes::new(), false);
        };
        let (bytes, is_over) = read_all(stream);
        self.unread.extend_from_slice(&bytes);
        (bytes, is_over)
    }

    /// Looks at all that has come, unless it is deaf, or at so many bytes of it; what it sends again
    /// because of that.
    pub(super) fn listen(&mut self, bytes: Option<usize>) -> Vec<Packet> {
        if self.is_deaf && bytes.is_none() {
            return Vec::new();
        }
        let len = bytes.unwrap_or(usize::MAX).min(self.unread.len());
        let mut heard = self.unread.split_to(len).freeze();
        let mut sends = Vec::new();
        while let Ok(Some((packet, len))) = decode(&heard, self.version, &DecodeLimits::default()) {
            let packet = packet.to_owned();
            heard.advance(len);
            self.hear(&packet, &mut sends);
        }
        sends
    }

    fn hear(&mut self, packet: &Packet, sends: &mut Vec<Packet>) {
        match packet {
            Packet::ConnAck(connack) => {
                self.phase = Phase::Connected;
                let properties = &connack.properties;
                self.topic_alias_maximum = properties.topic_alias_maximum().unwrap_or(0);
                // 3.1 does not say whether the session was there.
                let is_kept = connack.session_present
                    || (self.version == ProtocolVersion::V31 && !self.is_clean);
                if is_kept {
                    sends.extend(self.resent());
                } else {
                    self.outgoing.clear();
                }
            }
            Packet::Publish(publish) => {
                let answer = match publish.guarantee {
                    Guarantee::AtMostOnce => return,
                    Guarantee::AtLeastOnce { .. } => Due::PubAck,
                    Guarantee::ExactlyOnce { .. } => Due::PubRec,
                };
                let id = publish.guarantee.packet_id().expect("QoS 1 and 2 have one");
                self.incoming.push(Incoming { id, answer });
            }
            Packet::PubRel(pubrel) => {
                let id = pubrel.packet_id;
                // One that answers a PUBREC to nothing ends no other exchange.
                self.incoming
                    .retain(|open| open.id != id || open.answer == Due::PubAck);
                let answer = Due::PubComp;
                self.incoming.push(Incoming { id, answer });
            }
            Packet::PubAck(puback) => self.done(puback.packet_id),
            Packet::PubRec(pubrec) => {
                let id = pubrec.packet_id;
                if pubrec.reason.is_error() {
                    self.done(id);
                } else if let Some(open) = self.outgoing.iter_mut().find(|open| open.id == id)
                    && open.stage == Progress::Published
                {
                    open.stage = Progress::Received;
                }
            }
            Packet::PubComp(pubcomp) => self.done(pubcomp.packet_id),
            Packet::SubAck(suback) => self.requests.retain(|id| *id != suback.packet_id),
            Packet::UnsubAck(unsuback) => self.requests.retain(|id| *id != unsuback.packet_id),
            _ => {}
        }
    }

    fn done(&mut self, id: PacketId) {
        self.outgoing.retain(|open| open.id != id);
    }
}

/// Takes everything off a stream; true if that was the end.
pub(super) fn read_all(stream: &mut Stream) -> (Bytes, bool) {
    let mut cx = Context::from_waker(Waker::noop());
    let mut bytes = BytesMut::new();
    let mut piece = [0; 4096];
    loop {
        match stream.poll_read(&mut cx, &mut piece) {
            Poll::Ready(Ok(0) | Err(_)) => return (bytes.freeze(), true),
            Poll::Ready(Ok(count)) => bytes.extend_from_slice(&piece[..count]),
            Poll::Pending => return (bytes.freeze(), false),
        }
    }
}

fn text(text: &str) -> Utf8String {
    Utf8String::try_from(text).expect("a text of the model")
}
