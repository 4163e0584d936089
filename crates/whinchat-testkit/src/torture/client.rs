//! One client whose every step the checker knows: a socket that never blocks, and a session that outlives it.
//!
//! It keeps what a client must keep on its own disk: which PUBLISH and PUBREL are not answered, and which QoS 2 messages it holds. It judges
//! nothing: what happened comes out as [`Event`]s. [`World`](super::world::World) says when it connects and what it sends.

use std::{
    collections::{HashMap, VecDeque},
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use whinchat_codec::{
    Connect, DecodeLimits, Disconnect, DisconnectReason, Guarantee, Packet, PacketId, PacketRef,
    ProtocolVersion, PubAck, PubComp, PubRec, PubRel, Publish, PublishRef, QoS, Will, decode,
};

use super::packets::{self, text};

/// What a client has seen.
#[derive(Debug)]
pub(super) enum Event {
    Connected {
        session_present: bool,
    },
    /// Session Present is 0, and there was a session.
    SessionLost,
    /// A PUBLISH leaves, for the first time or once more.
    Sent(u64),
    /// PUBACK or PUBREC: the broker is responsible for it.
    Accepted(u64),
    /// PUBACK or PUBCOMP: nothing more will be said of it.
    Finished(u64),
    /// The same, but the broker has said no.
    Declined(u64),
    /// The session it belonged to is gone: whether it was taken is not known.
    Abandoned(u64),
    Delivered(Delivery),
    Subscribed,
    Unsubscribed,
    Pong,
    /// The connection is gone.
    Ended,
    Nonsense(String),
}

/// A message that came and is not the repetition of one that this client holds.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) qos: QoS,
    pub(super) dup: bool,
}

pub(super) struct Client {
    pub(super) name: String,
    pub(super) version: ProtocolVersion,
    wire: Option<Wire>,
    next_id: u16,
    outgoing: VecDeque<Outgoing>,
    /// QoS 2 messages whose PUBREL has not come, by packet id.
    held: HashMap<u16, Vec<u8>>,
    /// Whether the broker has said that there is a session.
    pub(super) has_session: bool,
}

struct Wire {
    stream: TcpStream,
    inbox: BytesMut,
    outbox: BytesMut,
    is_connected: bool,
    is_clean: bool,
}

struct Outgoing {
    id: PacketId,
    message: Option<Outbound>,
    number: u64,
}

/// A message to be published.
#[derive(Clone, Debug)]
pub(super) struct Outbound {
    pub(super) number: u64,
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) qos: QoS,
    pub(super) retain: bool,
}

impl Client {
    pub(super) fn new(name: String, version: ProtocolVersion) -> Self {
        Self {
            name,
            version,
            wire: None,
            next_id: 0,
            outgoing: VecDeque::new(),
            held: HashMap::new(),
            has_session: false,
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.wire.as_ref().is_some_and(|wire| wire.is_connected)
    }

    pub(super) fn is_away(&self) -> bool {
        self.wire.is_none()
    }

    /// How many messages are not answered to the end.
    pub(super) fn in_flight(&self) -> usize {
        self.outgoing.len()
    }

    /// The socket, and whether something waits to be written.
    pub(super) fn socket(&self) -> Option<(&TcpStream, bool)> {
        let wire = self.wire.as_ref()?;
        Some((&wire.stream, !wire.outbox.is_empty()))
    }

    /// Dials and sends CONNECT. A clean session ends with its connection; another never ends.
    pub(super) fn connect(
        &mut self,
        port: u16,
        is_clean: bool,
        will: Option<Will>,
    ) -> io::Result<()> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        self.wire = Some(Wire {
            stream,
            inbox: BytesMut::new(),
            outbox: BytesMut::new(),
            is_connected: false,
            is_clean,
        });
        let mut connect = Connect::new(self.version, text(&self.name));
        connect.clean_start = is_clean;
        // Whether it arrives or not: a session is not owed any more.
        self.has_session &= !is_clean;
        connect.keep_alive = 0;
        connect.will = will;
        if self.version.is_v5() && !is_clean {
            connect.properties.set_session_expiry_interval(u32::MAX);
        }
        self.send(&Packet::Connect(connect.into()));
        Ok(())
    }

    /// Closes the socket without a word.
    pub(super) fn cut(&mut self) {
        self.wire = None;
    }

    pub(super) fn disconnect(&mut self) {
        self.send(&Packet::Disconnect(Disconnect::new(
            DisconnectReason::NormalDisconnection,
        )));
        self.flush(&mut Vec::new());
        self.wire = None;
    }

    pub(super) fn subscribe(&mut self, filters: &[String], qos: QoS) {
        let packet_id = self.free_id();
        self.send(&packets::subscribe(packet_id, filters, qos));
    }

    pub(super) fn unsubscribe(&mut self, filter: &str) {
        let packet_id = self.free_id();
        self.send(&packets::unsubscribe(packet_id, filter));
    }

    pub(super) fn ping(&mut self) {
        self.send(&Packet::PingReq);
    }

    /// Publishes; what has QoS 1 or 2 is sent again after each connection until it is answered.
    pub(super) fn publish(&mut self, message: Outbound, events: &mut Vec<Event>) {
        let number = message.number;
        let id = self.free_id();
        self.send_publish(&message, id, false, events);
        if message.qos != QoS::AtMostOnce {
            self.outgoing.push_back(Outgoing {
                id,
                message: Some(message),
                number,
            });
        }
    }

    fn send_publish(
        &mut self,
        message: &Outbound,
        id: PacketId,
        dup: bool,
        events: &mut Vec<Event>,
    ) {
        events.push(Event::Sent(message.number));
        self.send(&Packet::Publish(Publish {
            guarantee: Guarantee::new(message.qos, id, dup),
            retain: message.retain,
            topic: text(&message.topic),
            properties: Default::default(),
            payload: message.payload.clone(),
        }));
    }

    fn free_id(&mut self) -> PacketId {
        loop {
            self.next_id = self.next_id.wrapping_add(1);
            let Some(id) = PacketId::new(self.next_id) else {
                continue;
            };
            if self.outgoing.iter().all(|outgoing| outgoing.id != id) {
                return id;
            }
        }
    }

    fn send(&mut self, packet: &Packet) {
        let version = self.version;
        if let Some(wire) = &mut self.wire {
            packet
                .encode(version, &mut wire.outbox)
                .expect("a packet of this version");
        }
    }

    /// Writes what the socket takes.
    pub(super) fn flush(&mut self, events: &mut Vec<Event>) {
        let Some(wire) = &mut self.wire else { return };
        while !wire.outbox.is_empty() {
            match wire.stream.write(&wire.outbox) {
                Ok(written) => wire.outbox.advance(written),
                Err(error) if is_busy(&error) => return,
                // What the broker has said before is still to be read.
                Err(_) => {
                    wire.outbox.clear();
                    self.read(events);
                    return;
                }
            }
        }
    }

    /// Reads what is there and answers it.
    pub(super) fn read(&mut self, events: &mut Vec<Event>) {
        let mut piece = [0; 64 << 10];
        loop {
            let Some(wire) = &mut self.wire else { return };
            match wire.stream.read(&mut piece) {
                Ok(count @ 1..) => {
                    wire.inbox.extend_from_slice(&piece[..count]);
                    self.take_packets(events);
                }
                Err(error) if is_busy(&error) => return,
                Ok(0) | Err(_) => {
                    self.wire = None;
                    events.push(Event::Ended);
                }
            }
        }
    }

    fn take_packets(&mut self, events: &mut Vec<Event>) {
        let mut answers = Vec::new();
        while let Some(wire) = &mut self.wire {
            let inbox = wire.inbox.split().freeze();
            match decode(&inbox, self.version, &DecodeLimits::default()) {
                Ok(Some((packet, len))) => {
                    wire.inbox = BytesMut::from(&inbox[len..]);
                    self.take(&packet, &mut answers, events);
                }
                Ok(None) => {
                    wire.inbox = BytesMut::from(&inbox[..]);
                    break;
                }
                Err(error) => {
                    events.push(Event::Nonsense(error.to_string()));
                    self.wire = None;
                }
            }
        }
        for answer in answers {
            self.send(&answer);
        }
    }

    fn take(&mut self, packet: &PacketRef<'_>, answers: &mut Vec<Packet>, events: &mut Vec<Event>) {
        match packet {
            PacketRef::ConnAck(connack) if connack.reason.is_error() => {
                events.push(Event::Nonsense(format!("CONNECT refused: {connack:?}")));
                self.wire = None;
            }
            PacketRef::ConnAck(connack) => self.connected(connack.session_present, events),
            PacketRef::Publish(publish) => self.message(publish, answers, events),
            PacketRef::PubAck(ack) => {
                self.answered(ack.packet_id, ack.reason.is_error(), events);
            }
            PacketRef::PubRec(ack) if ack.reason.is_error() => {
                self.answered(ack.packet_id, true, events);
            }
            PacketRef::PubRec(ack) => {
                let found = self.outgoing.iter_mut().find(|out| out.id == ack.packet_id);
                match found {
                    Some(outgoing) => {
                        if outgoing.message.take().is_some() {
                            events.push(Event::Accepted(outgoing.number));
                        }
                        answers.push(Packet::PubRel(PubRel::success(ack.packet_id)));
                    }
                    None => events.push(Event::Nonsense(format!("{ack:?} answers nothing"))),
                }
            }
            PacketRef::PubRel(ack) => {
                self.held.remove(&ack.packet_id.get());
                answers.push(Packet::PubComp(PubComp::success(ack.packet_id)));
            }
            PacketRef::PubComp(ack) => self.answered(ack.packet_id, false, events),
            PacketRef::SubAck(suback) => {
                let refused = suback.reasons.iter().any(|reason| reason.is_error());
                events.push(if refused {
                    Event::Nonsense(format!("{suback:?}"))
                } else {
                    Event::Subscribed
                });
            }
            PacketRef::UnsubAck(_) => events.push(Event::Unsubscribed),
            PacketRef::PingResp => events.push(Event::Pong),
            PacketRef::Disconnect(_) => {}
            PacketRef::Connect(_)
            | PacketRef::Subscribe(_)
            | PacketRef::Unsubscribe(_)
            | PacketRef::PingReq
            | PacketRef::Auth(_) => events.push(Event::Nonsense(format!("{packet:?}"))),
        }
    }

    fn connected(&mut self, session_present: bool, events: &mut Vec<Event>) {
        let Some(wire) = &mut self.wire else { return };
        wire.is_connected = true;
        let is_kept = !wire.is_clean;
        if !session_present {
            if is_kept && self.has_session {
                events.push(Event::SessionLost);
            }
            self.held.clear();
            let gone = self.outgoing.drain(..);
            events.extend(gone.map(|outgoing| Event::Abandoned(outgoing.number)));
        }
        events.push(Event::Connected { session_present });
        self.has_session = is_kept;
        let again: Vec<_> = self
            .outgoing
            .iter()
            .map(|out| (out.id, out.message.clone()))
            .collect();
        for (id, message) in again {
            match message {
                Some(message) => self.send_publish(&message, id, true, events),
                None => self.send(&Packet::PubRel(PubRel::success(id))),
            }
        }
    }

    fn answered(&mut self, id: PacketId, is_error: bool, events: &mut Vec<Event>) {
        let Some(position) = self.outgoing.iter().position(|out| out.id == id) else {
            events.push(Event::Nonsense(format!("an answer to nothing: {id}")));
            return;
        };
        let Some(outgoing) = self.outgoing.remove(position) else {
            return;
        };
        let number = outgoing.number;
        if is_error {
            events.push(Event::Declined(number));
            return;
        }
        if outgoing.message.is_some() {
            events.push(Event::Accepted(number));
        }
        events.push(Event::Finished(number));
    }

    fn message(
        &mut self,
        publish: &PublishRef<'_>,
        answers: &mut Vec<Packet>,
        events: &mut Vec<Event>,
    ) {
        match publish.guarantee {
            Guarantee::AtMostOnce => {}
            Guarantee::AtLeastOnce { id, .. } => answers.push(Packet::PubAck(PubAck::success(id))),
            Guarantee::ExactlyOnce { id, dup } => {
                answers.push(Packet::PubRec(PubRec::success(id)));
                if let Some(held) = self.held.insert(id.get(), publish.payload.to_vec()) {
                    if held != publish.payload || !dup {
                        let id = id.get();
                        events.push(Event::Nonsense(format!(
                            "packet id {id} is in use and came with another message or without DUP"
                        )));
                    }
                    return;
                }
            }
        }
        events.push(Event::Delivered(Delivery {
            topic: publish.topic.to_owned(),
            payload: publish.payload.to_vec(),
            qos: publish.guarantee.qos(),
            dup: publish.guarantee.dup(),
        }));
    }
}

/// Waits at most `wait` (below a second) for bytes, or for room for them; gives the places of these clients.
pub(super) fn ready<'a>(clients: impl Iterator<Item = &'a Client>, wait: Duration) -> Vec<usize> {
    let mut places = Vec::new();
    let mut polled = Vec::new();
    for (place, client) in clients.enumerate() {
        if let Some((socket, wants_to_write)) = client.socket() {
            let mut flags = PollFlags::IN;
            flags.set(PollFlags::OUT, wants_to_write);
            polled.push(PollFd::new(socket, flags));
            places.push(place);
        }
    }
    let timeout = Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(wait.subsec_nanos()),
    };
    match poll(&mut polled, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => panic!("poll failed: {error}"),
    }
    let places = places.iter().zip(&polled);
    places
        .filter(|(_, fd)| !fd.revents().is_empty())
        .map(|(place, _)| *place)
        .collect()
}

fn is_busy(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
