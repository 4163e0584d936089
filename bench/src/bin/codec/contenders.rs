//! Each codec behind one face. What a library asks for, such as a buffer that it may take apart, is made before the clock
//! runs.

use std::hint::black_box;

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};
use whinchat_codec::{DecodeLimits, PacketRef, ProtocolVersion, decode};

use super::packets::Sample;

pub trait Codec {
    fn name(&self) -> &'static str;
    /// Before the clock runs.
    fn prepare(&mut self, sample: &Sample);
    /// Reads all packets of the sample.
    fn decode_all(&mut self, sample: &Sample);
    /// Writes one of them so often.
    fn encode_all(&mut self, count: usize);
    /// What was written is what was read.
    fn check(&self, sample: &Sample);
}

/// Those that know the version.
pub fn codecs(sample: &Sample) -> Vec<Box<dyn Codec>> {
    let mut all: Vec<Box<dyn Codec>> = vec![
        Box::new(Borrowed::new(sample)),
        Box::new(Owned::new(
            "whinchat, owned",
            sample,
            ours_owned(sample.version),
            |packet, out| {
                let (version, packet): &(ProtocolVersion, whinchat_codec::Packet) = packet;
                packet.encode(*version, out).expect("it was read");
            },
        )),
    ];
    if sample.version == ProtocolVersion::V5 {
        all.push(Box::new(Owned::new(
            "mqttbytes",
            sample,
            |input| mqttbytes::v5::read(input, usize::MAX).expect("a valid packet"),
            |packet, out| {
                match packet {
                    mqttbytes::v5::Packet::Publish(publish) => publish.write(out),
                    mqttbytes::v5::Packet::Connect(connect) => connect.write(out),
                    other => panic!("{other:?} is no packet of this bench"),
                }
                .expect("it was read");
            },
        )));
        all.push(Box::new(Owned::new(
            "rumqttc",
            sample,
            |input| rumqttc::v5::mqttbytes::v5::Packet::read(input, None).expect("a valid packet"),
            |packet, out| {
                packet.write(out, None).expect("it was read");
            },
        )));
        let mut decoder = rmqtt_codec::v5::Codec::new(0, 0);
        let mut encoder = rmqtt_codec::v5::Codec::new(0, 0);
        all.push(Box::new(Owned::new(
            "rmqtt-codec",
            sample,
            move |input| {
                let read = decoder.decode(input).expect("a valid packet");
                read.expect("a whole packet").0
            },
            move |packet, out| {
                // Its encoder takes the packet away.
                encoder.encode(packet.clone(), out).expect("it was read");
            },
        )));
    } else {
        all.push(Box::new(Owned::new(
            "mqttbytes",
            sample,
            |input| mqttbytes::v4::read(input, usize::MAX).expect("a valid packet"),
            |packet, out| {
                match packet {
                    mqttbytes::v4::Packet::Publish(publish) => publish.write(out),
                    mqttbytes::v4::Packet::PubAck(puback) => puback.write(out),
                    other => panic!("{other:?} is no packet of this bench"),
                }
                .expect("it was read");
            },
        )));
        all.push(Box::new(Owned::new(
            "rumqttc",
            sample,
            |input| {
                rumqttc::mqttbytes::v4::Packet::read(input, usize::MAX).expect("a valid packet")
            },
            |packet, out| {
                packet.write(out, usize::MAX).expect("it was read");
            },
        )));
        let mut decoder = rmqtt_codec::v3::Codec::new(0);
        let mut encoder = rmqtt_codec::v3::Codec::new(0);
        all.push(Box::new(Owned::new(
            "rmqtt-codec",
            sample,
            move |input| {
                let read = decoder.decode(input).expect("a valid packet");
                read.expect("a whole packet").0
            },
            move |packet, out| {
                encoder.encode(packet.clone(), out).expect("it was read");
            },
        )));
        all.push(Box::new(Mqttrs::new(sample)));
    }
    all
}

/// Ours, looked at where it lies.
struct Borrowed {
    one: Vec<u8>,
    version: ProtocolVersion,
    out: BytesMut,
}

impl Borrowed {
    fn new(sample: &Sample) -> Self {
        Self {
            one: sample.one().to_vec(),
            version: sample.version,
            out: BytesMut::with_capacity(sample.bytes.len()),
        }
    }
}

impl Codec for Borrowed {
    fn name(&self) -> &'static str {
        "whinchat"
    }

    fn prepare(&mut self, _: &Sample) {
        self.out.clear();
    }

    fn decode_all(&mut self, sample: &Sample) {
        let limits = DecodeLimits::default();
        let mut rest = &sample.bytes[..];
        while let Some((packet, used)) =
            decode(rest, self.version, &limits).expect("a valid packet")
        {
            black_box(&packet);
            rest = &rest[used..];
        }
    }

    fn encode_all(&mut self, count: usize) {
        let read = decode(&self.one, self.version, &DecodeLimits::default());
        let (packet, _): (PacketRef<'_>, usize) =
            read.expect("a valid packet").expect("a whole packet");
        for _ in 0..count {
            black_box(&packet)
                .encode(self.version, &mut self.out)
                .expect("it was read");
        }
    }

    fn check(&self, sample: &Sample) {
        assert!(
            self.out == sample.bytes,
            "{} writes other bytes",
            self.name()
        );
    }
}

fn ours_owned(
    version: ProtocolVersion,
) -> impl FnMut(&mut BytesMut) -> (ProtocolVersion, whinchat_codec::Packet) {
    let mut framed =
        whinchat_codec::framed::Codec::new(DecodeLimits::default()).with_version(version);
    move |input| {
        let read = framed.decode(input).expect("a valid packet");
        (version, read.expect("a whole packet"))
    }
}

/// A codec that takes packets out of a buffer and owns what it has read.
struct Owned<P, D, E> {
    name: &'static str,
    input: BytesMut,
    out: BytesMut,
    packet: P,
    decode: D,
    encode: E,
}

impl<P, D, E> Owned<P, D, E>
where
    D: FnMut(&mut BytesMut) -> P,
    E: FnMut(&P, &mut BytesMut),
{
    fn new(name: &'static str, sample: &Sample, mut decode: D, encode: E) -> Self {
        let packet = decode(&mut BytesMut::from(sample.one()));
        Self {
            name,
            input: BytesMut::new(),
            out: BytesMut::with_capacity(sample.bytes.len()),
            packet,
            decode,
            encode,
        }
    }
}

impl<P, D, E> Codec for Owned<P, D, E>
where
    D: FnMut(&mut BytesMut) -> P,
    E: FnMut(&P, &mut BytesMut),
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn prepare(&mut self, sample: &Sample) {
        self.input = BytesMut::from(&sample.bytes[..]);
        self.out.clear();
    }

    fn decode_all(&mut self, _: &Sample) {
        while !self.input.is_empty() {
            black_box(&(self.decode)(&mut self.input));
        }
    }

    fn encode_all(&mut self, count: usize) {
        for _ in 0..count {
            (self.encode)(black_box(&self.packet), &mut self.out);
        }
    }

    /// The order of properties is free: other bytes are right if they are as many and ours reads them.
    fn check(&self, sample: &Sample) {
        if self.out != sample.bytes {
            assert_eq!(self.out.len(), sample.bytes.len(), "{}", self.name);
            let read = decode(&self.out, sample.version, &DecodeLimits::default());
            let (_, len) = read.expect("a valid packet").expect("a whole packet");
            assert_eq!(len, sample.one().len(), "{}", self.name);
        }
    }
}

/// Borrows, as ours does, but does not say how long a packet was.
struct Mqttrs {
    one: Vec<u8>,
    out: Vec<u8>,
    written: usize,
}

impl Mqttrs {
    fn new(sample: &Sample) -> Self {
        Self {
            one: sample.one().to_vec(),
            out: vec![0; sample.bytes.len()],
            written: 0,
        }
    }
}

impl Codec for Mqttrs {
    fn name(&self) -> &'static str {
        "mqttrs"
    }

    fn prepare(&mut self, _: &Sample) {
        self.written = 0;
    }

    fn decode_all(&mut self, sample: &Sample) {
        for bytes in sample.bytes.chunks_exact(self.one.len()) {
            let packet = mqttrs::decode_slice(bytes).expect("a valid packet");
            black_box(&packet);
        }
    }

    fn encode_all(&mut self, count: usize) {
        let packet = mqttrs::decode_slice(&self.one).expect("a valid packet");
        let packet = packet.expect("a whole packet");
        for _ in 0..count {
            let room = &mut self.out[self.written..];
            self.written += mqttrs::encode_slice(black_box(&packet), room).expect("it was read");
        }
    }

    fn check(&self, sample: &Sample) {
        assert!(self.out == sample.bytes, "mqttrs writes other bytes");
    }
}
