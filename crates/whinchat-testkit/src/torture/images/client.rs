//! A client without a socket: what it remembers, what has arrived and what is to be written. A copy of it is the same client in another course of events.
//!
//! It answers when it is told to, so that a crash meets each exchange at each of its steps. What happened comes out as [`Event`]s.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bytes::{Buf, Bytes, BytesMut};
use whinchat_codec::{
    Connect, DecodeLimits, Disconnect, DisconnectReason, Guarantee, Packet, PacketId, PacketRef,
    ProtocolVersion, PubAck, PubComp, PubRec, PubRel, Publish, PublishRef, QoS, Will, decode,
};

use crate::torture::packets::{self, text};

/// What a client has seen.
#[derive(Debug)]
pub(super) enum Event {
    Connected {
        session_present: bool,
        /// There was a session, as far as the client knows.
        had_session: bool,
    },
    /// A PUBLISH leaves, for the first time or once more.
    Sent(u64),
    /// PUBACK or PUBREC: the broker is responsible for it.
    Accepted(u64),
    /// PUBACK or PUBCOMP: nothing more will be said of it.
    Finished(u64),
    /// The session it belonged to is gone: whether it was taken is not known.
    Abandoned(u64),
    Delivered(Delivery),
    /// SUBACK or UNSUBACK.
    Answered,
    /// The broker has ended the connection.
    Closed,
    /// A packet id that PUBREC had vouched for is not known.
    Forgotten(u64),
    Nonsense(String),
}

/// A message that came and is not the repetition of one that this client holds.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) qos: QoS,
    pub(super) dup: bool,
    /// Seconds that it has left.
    pub(super) expiry: Option<u32>,
}

/// A message to be published.
#[derive(Clone, Debug)]
pub(super) struct Outbound {
    pub(super) number: u64,
    pub(super) topic: Arc<str>,
    pub(super) payload: Bytes,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    /// Seconds; not in 3.1.1.
    pub(super) expiry: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Published,
    /// PUBREC has come.
    Received,
    Released,
}

#[derive(Clone)]
struct Outgoing {
    id: PacketId,
    message: Outbound,
    stage: Stage,
    /// How often PUBREL has left.
    releases: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Away,
    /// Waits for CONNACK.
    Connecting,
    Connected,
}

/// How to connect.
#[derive(Default)]
pub(super) struct Terms {
    pub(super) is_clean: bool,
    /// Seconds, unless it is clean; for ever in 3.1.1.
    pub(super) expiry: u32,
    pub(super) will: Option<Will>,
}

#[derive(Clone)]
pub(super) struct Client {
    pub(super) name: &'static str,
    pub(super) version: ProtocolVersion,
    phase: Phase,
    is_clean: bool,
    /// The CONNECT before had no answer: the broker may see it after this one, and take it for the newer connection.
    pub(super) was_hasty: bool,
    /// The last id of a SUBSCRIBE or UNSUBSCRIBE; messages have lower ones.
    last_request: u16,
    outgoing: VecDeque<Outgoing>,
    /// QoS 2 messages whose PUBREL has not come, by packet id.
    held: BTreeMap<u16, Bytes>,
    /// Whether the broker has said that there is a session.
    has_session: bool,
    /// Answers that it owes.
    due: VecDeque<Packet>,
    /// What has arrived and was not looked at.
    unread: BytesMut,
    /// Does not look at what arrives.
    pub(super) is_deaf: bool,
    /// What is to be written.
    pub(super) outbox: BytesMut,
}

impl Client {
    pub(super) fn new(name: &'static str, version: ProtocolVersion) -> Self {
        Self {
            name,
            version,
            phase: Phase::Away,
            is_clean: true,
            was_hasty: false,
            last_request: 999,
            outgoing: VecDeque::new(),
            held: BTreeMap::new(),
            has_session: false,
            due: VecDeque::new(),
            unread: BytesMut::new(),
            is_deaf: false,
            outbox: BytesMut::new(),
        }
    }

    pub(super) fn is_away(&self) -> bool {
        self.phase == Phase::Away
    }

    pub(super) fn is_connected(&self) -> bool {
        self.phase == Phase::Connected
    }

    /// How many messages are not answered to the end.
    pub(super) fn in_flight(&self) -> usize {
        self.outgoing.len()
    }

    /// The connection is gone, and what had not been looked at with it.
    pub(super) fn lose(&mut self) {
        if self.phase != Phase::Away {
            self.was_hasty = self.phase == Phase::Connecting;
        }
        self.phase = Phase::Away;
        self.is_deaf = false;
        self.due.clear();
        self.unread.clear();
        self.outbox.clear();
    }

    pub(super) fn connect(&mut self, terms: Terms) {
        self.lose();
        self.phase = Phase::Connecting;
        self.is_clean = terms.is_clean;
        let mut connect = Connect::new(self.version, text(self.name));
        connect.clean_start = terms.is_clean;
        // Whether it arrives or not: a session is not owed any more.
        self.has_session &= !terms.is_clean;
        connect.keep_alive = 0;
        connect.will = terms.will;
        if self.version.is_v5() {
            let expiry = if terms.is_clean { 0 } else { terms.expiry };
            connect.properties.set_session_expiry_interval(expiry);
            let set = connect.properties.set_receive_maximum(4);
            set.expect("not 0");
        }
        self.send(&Packet::Connect(connect.into()));
    }

    pub(super) fn disconnect(&mut self) {
        self.send(&Packet::Disconnect(Disconnect::new(
            DisconnectReason::NormalDisconnection,
        )));
    }

    pub(super) fn subscribe(&mut self, filters: &[&str], qos: QoS) {
        let packet_id = self.request_id();
        self.send(&packets::subscribe(packet_id, filters, qos));
    }

    pub(super) fn unsubscribe(&mut self, filter: &str) {
        let packet_id = self.request_id();
        self.send(&packets::unsubscribe(packet_id, filter));
    }

    /// Publishes; it is sent again after each connection until it is answered.
    pub(super) fn publish(&mut self, message: Outbound, events: &mut Vec<Event>) {
        let id = self.free_id();
        self.send_publish(&message, id, false, events);
        self.outgoing.push_back(Outgoing {
            id,
            message,
            stage: Stage::Published,
            releases: 0,
        });
    }

    fn send_publish(
        &mut self,
        message: &Outbound,
        id: PacketId,
        dup: bool,
        events: &mut Vec<Event>,
    ) {
        events.push(Event::Sent(message.number));
        let mut publish = Publish {
            guarantee: Guarantee::new(message.qos, id, dup),
            retain: message.retain,
            topic: text(&message.topic),
            properties: Default::default(),
            payload: message.payload.clone(),
        };
        if let Some(seconds) = message.expiry {
            publish.properties.set_message_expiry_interval(seconds);
        }
        self.send(&Packet::Publish(publish));
    }

    fn request_id(&mut self) -> PacketId {
        self.last_request += 1;
        PacketId::new(self.last_request).expect("not 0")
    }

    fn free_id(&self) -> PacketId {
        // The lowest, so that each is soon used again.
        (1..)
            .filter_map(PacketId::new)
            .find(|id| self.outgoing.iter().all(|outgoing| outgoing.id != *id))
            .expect("few are in use")
    }

    fn send(&mut self, packet: &Packet) {
        packet
            .encode(self.version, &mut self.outbox)
            .expect("a packet of this version");
    }

    /// Sends the answers that it owes, at most so many.
    pub(super) fn answer(&mut self, most: usize) {
        for _ in 0..most {
            let Some(packet) = self.due.pop_front() else {
                return;
            };
            if let Packet::PubRel(pubrel) = &packet {
                for out in &mut self.outgoing {
                    if out.id == pubrel.packet_id {
                        out.stage = Stage::Released;
                        out.releases += 1;
                    }
                }
            }
            self.send(&packet);
        }
    }

    /// Bytes have arrived.
    pub(super) fn arrive(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// Looks at what has arrived, unless it is deaf.
    pub(super) fn look(&mut self, events: &mut Vec<Event>) {
        if self.is_deaf {
            return;
        }
        let mut bytes = self.unread.split().freeze();
        while !bytes.is_empty() {
            match decode(&bytes, self.version, &DecodeLimits::default()) {
                Ok(Some((packet, len))) => {
                    self.take(&packet, events);
                    bytes.advance(len);
                }
                Ok(None) => break,
                Err(error) => {
                    events.push(Event::Nonsense(error.to_string()));
                    return;
                }
            }
        }
        self.unread = BytesMut::from(&bytes[..]);
    }

    fn take(&mut self, packet: &PacketRef<'_>, events: &mut Vec<Event>) {
        match packet {
            PacketRef::ConnAck(connack) if !connack.reason.is_error() => {
                self.connected(connack.session_present, events);
            }
            PacketRef::Publish(publish) => self.message(publish, events),
            PacketRef::PubAck(ack) if !ack.reason.is_error() => {
                self.answered(ack.packet_id, events);
            }
            PacketRef::PubRec(ack) if !ack.reason.is_error() => {
                let found = self.outgoing.iter_mut().find(|out| out.id == ack.packet_id);
                match found {
                    Some(outgoing) => {
                        if outgoing.stage == Stage::Published {
                            outgoing.stage = Stage::Received;
                            events.push(Event::Accepted(outgoing.message.number));
                        }
                        self.due
                            .push_back(Packet::PubRel(PubRel::success(ack.packet_id)));
                    }
                    None => events.push(Event::Nonsense(format!("{ack:?} answers nothing"))),
                }
            }
            PacketRef::PubRel(ack) => {
                self.held.remove(&ack.packet_id.get());
                self.due
                    .push_back(Packet::PubComp(PubComp::success(ack.packet_id)));
            }
            PacketRef::PubComp(ack) => {
                let found = self.outgoing.iter().find(|out| out.id == ack.packet_id);
                if let Some(outgoing) = found
                    && ack.reason.is_error()
                    && outgoing.releases == 1
                {
                    events.push(Event::Forgotten(outgoing.message.number));
                }
                self.answered(ack.packet_id, events);
            }
            PacketRef::SubAck(suback) if suback.reasons.iter().all(|reason| !reason.is_error()) => {
                events.push(Event::Answered);
            }
            PacketRef::UnsubAck(unsuback)
                if unsuback.reasons.iter().all(|reason| !reason.is_error()) =>
            {
                events.push(Event::Answered);
            }
            PacketRef::ConnAck(_)
            | PacketRef::PubAck(_)
            | PacketRef::PubRec(_)
            | PacketRef::SubAck(_)
            | PacketRef::UnsubAck(_)
            | PacketRef::Connect(_)
            | PacketRef::Subscribe(_)
            | PacketRef::Unsubscribe(_)
            | PacketRef::PingReq
            | PacketRef::PingResp
            | PacketRef::Disconnect(_)
            | PacketRef::Auth(_) => events.push(Event::Nonsense(format!("{packet:?}"))),
        }
    }
}

impl Client {
    fn connected(&mut self, session_present: bool, events: &mut Vec<Event>) {
        self.phase = Phase::Connected;
        if !session_present {
            self.held.clear();
            let gone = self.outgoing.drain(..);
            events.extend(gone.map(|outgoing| Event::Abandoned(outgoing.message.number)));
        }
        events.push(Event::Connected {
            session_present,
            had_session: self.has_session,
        });
        self.has_session = !self.is_clean;
        let mut outgoing = std::mem::take(&mut self.outgoing);
        for out in &mut outgoing {
            if out.stage == Stage::Published {
                self.send_publish(&out.message, out.id, true, events);
            } else {
                out.stage = Stage::Released;
                out.releases += 1;
                self.send(&Packet::PubRel(PubRel::success(out.id)));
            }
        }
        self.outgoing = outgoing;
    }

    fn answered(&mut self, id: PacketId, events: &mut Vec<Event>) {
        let Some(position) = self.outgoing.iter().position(|out| out.id == id) else {
            events.push(Event::Nonsense(format!("an answer to nothing: {id}")));
            return;
        };
        if let Some(outgoing) = self.outgoing.remove(position) {
            let number = outgoing.message.number;
            if outgoing.stage == Stage::Published {
                events.push(Event::Accepted(number));
            }
            events.push(Event::Finished(number));
        }
    }

    fn message(&mut self, publish: &PublishRef<'_>, events: &mut Vec<Event>) {
        let payload = Bytes::copy_from_slice(publish.payload);
        match publish.guarantee {
            Guarantee::AtMostOnce => {}
            Guarantee::AtLeastOnce { id, .. } => {
                self.due.push_back(Packet::PubAck(PubAck::success(id)));
            }
            Guarantee::ExactlyOnce { id, dup } => {
                self.due.push_back(Packet::PubRec(PubRec::success(id)));
                if let Some(held) = self.held.insert(id.get(), payload.clone()) {
                    if held != payload || !dup {
                        let what = "is in use and came with another message or without DUP";
                        events.push(Event::Nonsense(format!("packet id {id} {what}")));
                    }
                    return;
                }
            }
        }
        events.push(Event::Delivered(Delivery {
            topic: publish.topic.to_owned(),
            payload,
            qos: publish.guarantee.qos(),
            dup: publish.guarantee.dup(),
            expiry: publish.properties.message_expiry_interval(),
        }));
    }
}
