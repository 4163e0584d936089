//! The other end: a thread that acknowledges what it is sent, and sends messages once somebody subscribes.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use bytes::{Buf, Bytes, BytesMut};
use whinchat_codec::{
    ConnAck, ConnAckReason, DecodeLimits, Guarantee, Packet, PacketId, PacketRef, ProtocolVersion,
    PubAck, PubAckReason, Publish, QoS, SubAck, SubAckReason, Utf8String, decode,
};

use super::{Error, PAYLOAD, TOPIC, WINDOW};

const VERSION: ProtocolVersion = ProtocolVersion::V311;

/// Waits for one connection on a port of its own.
pub fn start(case: &str, count: u32) -> Result<u16, Error> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let qos = if case.ends_with("qos1") {
        QoS::AtLeastOnce
    } else {
        QoS::AtMostOnce
    };
    thread::spawn(move || {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        // It ends when the client has enough and goes.
        Peer::new(stream, qos, count).serve()
    });
    Ok(port)
}

struct Peer {
    stream: TcpStream,
    input: BytesMut,
    out: BytesMut,
    qos: QoS,
    /// Messages that are still to be sent, once somebody has subscribed.
    left: u32,
    is_subscribed: bool,
    unacknowledged: u16,
    next_id: u16,
}

impl Peer {
    fn new(stream: TcpStream, qos: QoS, count: u32) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            out: BytesMut::new(),
            qos,
            left: count,
            is_subscribed: false,
            unacknowledged: 0,
            next_id: 1,
        }
    }

    fn serve(mut self) -> std::io::Result<()> {
        let mut scratch = vec![0; 256 * 1024];
        loop {
            self.send()?;
            let read = self.stream.read(&mut scratch)?;
            if read == 0 {
                return Ok(());
            }
            self.input.extend_from_slice(&scratch[..read]);
            let mut used = 0;
            let input = std::mem::take(&mut self.input);
            while let Some((packet, len)) =
                decode(&input[used..], VERSION, &DecodeLimits::default())
                    .map_err(std::io::Error::other)?
            {
                self.answer(&packet)?;
                used += len;
            }
            self.input = input;
            self.input.advance(used);
        }
    }

    fn answer(&mut self, packet: &PacketRef<'_>) -> std::io::Result<()> {
        let answer = match packet {
            PacketRef::Connect(_) => Packet::ConnAck(ConnAck {
                session_present: false,
                reason: ConnAckReason::Success,
                properties: Default::default(),
            }),
            PacketRef::Publish(publish) => match publish.guarantee.packet_id() {
                Some(packet_id) => Packet::PubAck(PubAck {
                    packet_id,
                    reason: PubAckReason::Success,
                    properties: Default::default(),
                }),
                None => return Ok(()),
            },
            PacketRef::PubAck(_) => {
                self.unacknowledged -= 1;
                return Ok(());
            }
            PacketRef::Subscribe(subscribe) => {
                self.is_subscribed = true;
                Packet::SubAck(SubAck {
                    packet_id: subscribe.packet_id,
                    properties: Default::default(),
                    reasons: vec![SubAckReason::GrantedQoS1],
                })
            }
            PacketRef::PingReq => Packet::PingResp,
            _ => return Ok(()),
        };
        answer
            .encode(VERSION, &mut self.out)
            .map_err(std::io::Error::other)
    }

    /// Answers, and as many messages as may go.
    fn send(&mut self) -> std::io::Result<()> {
        while self.is_subscribed && self.left > 0 {
            let guarantee = match self.qos {
                QoS::AtMostOnce => Guarantee::AtMostOnce,
                QoS::AtLeastOnce | QoS::ExactlyOnce => {
                    if self.unacknowledged >= WINDOW {
                        break;
                    }
                    self.unacknowledged += 1;
                    self.next_id = self.next_id % 60_000 + 1;
                    let id = PacketId::new(self.next_id).unwrap_or(PacketId::MIN);
                    Guarantee::AtLeastOnce { id, dup: false }
                }
            };
            let publish = Publish {
                guarantee,
                retain: false,
                topic: Utf8String::from_static(TOPIC),
                properties: Default::default(),
                payload: Bytes::from_static(PAYLOAD),
            };
            publish
                .encode(VERSION, &mut self.out)
                .map_err(std::io::Error::other)?;
            self.left -= 1;
            if self.out.len() > 64 * 1024 {
                self.stream.write_all(&self.out)?;
                self.out.clear();
            }
        }
        self.stream.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }
}
