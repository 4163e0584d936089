//! Each codec behind one face. What a library asks for, such as a buffer that it may take apart, is made before the clock
//! runs. What a library has read is looked at where it put it ([`look`]), for to move it can take as long as to read it.

use std::fmt::Debug;
use std::hint::black_box;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use mqtt_protocol_core::mqtt::packet::{GenericPacketTrait, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::MqttError;
use tokio_util::codec::{Decoder, Encoder};
use whinchat_codec::{DecodeLimits, PacketRef, ProtocolVersion, decode, framed};

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
            {
                let limits = DecodeLimits::default();
                let mut framed = framed::Codec::new(limits).with_version(sample.version);
                move |input| framed.decode(input)
            },
            {
                let version = sample.version;
                move |packet: &Option<whinchat_codec::Packet>, out| {
                    let packet = packet.as_ref().expect("a whole packet");
                    packet.encode(version, out).expect("it was read");
                }
            },
        )),
    ];
    if sample.version == ProtocolVersion::V5 {
        all.push(Box::new(Owned::new(
            "mqttbytes",
            sample,
            |input| mqttbytes::v5::read(input, usize::MAX),
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
            |input| rumqttc::v5::mqttbytes::v5::Packet::read(input, None),
            |packet, out| {
                packet.write(out, None).expect("it was read");
            },
        )));
        let mut decoder = rmqtt_codec::v5::Codec::new(0, 0);
        let mut encoder = rmqtt_codec::v5::Codec::new(0, 0);
        all.push(Box::new(Owned::new(
            "rmqtt-codec",
            sample,
            move |input| decoder.decode(input),
            move |packet, out| {
                let (packet, _) = packet.as_ref().expect("a whole packet");
                // Its encoder takes the packet away.
                encoder.encode(packet.clone(), out).expect("it was read");
            },
        )));
    } else {
        all.push(Box::new(Owned::new(
            "mqttbytes",
            sample,
            |input| mqttbytes::v4::read(input, usize::MAX),
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
            |input| rumqttc::mqttbytes::v4::Packet::read(input, usize::MAX),
            |packet, out| {
                packet.write(out, usize::MAX).expect("it was read");
            },
        )));
        let mut decoder = rmqtt_codec::v3::Codec::new(0);
        let mut encoder = rmqtt_codec::v3::Codec::new(0);
        all.push(Box::new(Owned::new(
            "rmqtt-codec",
            sample,
            move |input| decoder.decode(input),
            move |packet, out| {
                let (packet, _) = packet.as_ref().expect("a whole packet");
                encoder.encode(packet.clone(), out).expect("it was read");
            },
        )));
        all.push(Box::new(Mqttrs::new(sample)));
    }
    all.push(protocol_core(sample));
    all
}

/// It reads what is behind the fixed header, a PUBLISH out of memory that it shares, and writes into memory of its own.
fn protocol_core(sample: &Sample) -> Box<dyn Codec> {
    let flags = sample.one()[0] & 0x0F;
    match (sample.version, sample.one()[0] >> 4) {
        (ProtocolVersion::V5, 1) => protocol_core_as(sample, v5_0::Connect::parse),
        (ProtocolVersion::V5, 3) => protocol_core_as(sample, move |body| {
            v5_0::Publish::parse(flags, Arc::from(body))
        }),
        (_, 3) => protocol_core_as(sample, move |body| {
            v3_1_1::Publish::parse(flags, Arc::from(body))
        }),
        (_, 4) => protocol_core_as(sample, v3_1_1::Puback::parse),
        (_, other) => panic!("packets of type {other} are not in this bench"),
    }
}

fn protocol_core_as<P: GenericPacketTrait + 'static>(
    sample: &Sample,
    parse: impl Fn(&[u8]) -> Result<(P, usize), MqttError> + 'static,
) -> Box<dyn Codec> {
    let len = sample.one().len();
    let length_bytes = sample.one()[1..]
        .iter()
        .take_while(|byte| **byte >= 0x80)
        .count()
        + 1;
    Box::new(Owned::new(
        "mqtt-protocol-core",
        sample,
        move |input| {
            let read = parse(&input[1 + length_bytes..len]);
            input.advance(len);
            read
        },
        |(packet, _), out| out.extend_from_slice(&packet.to_continuous_buffer()),
    ))
}

/// Uses what was read without moving it.
#[inline(always)]
fn look<P, E: Debug>(read: &Result<P, E>) {
    match read {
        Ok(packet) => {
            black_box(packet);
        }
        Err(error) => panic!("not a valid packet: {error:?}"),
    }
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
        // Not `decode(..)?`: that moves the packet.
        while let Ok(Some((packet, used))) = &decode(rest, self.version, &limits) {
            black_box(packet);
            rest = &rest[*used..];
        }
        assert!(rest.is_empty(), "all packets are valid");
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

/// A codec that takes packets out of a buffer and owns what it has read.
struct Owned<P, D, W> {
    name: &'static str,
    input: BytesMut,
    out: BytesMut,
    packet: P,
    decode: D,
    encode: W,
}

impl<P, D, W, E> Owned<P, D, W>
where
    D: FnMut(&mut BytesMut) -> Result<P, E>,
    W: FnMut(&P, &mut BytesMut),
    E: Debug,
{
    fn new(name: &'static str, sample: &Sample, mut decode: D, encode: W) -> Self {
        let packet = decode(&mut BytesMut::from(sample.one())).expect("a valid packet");
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

impl<P, D, W, E> Codec for Owned<P, D, W>
where
    D: FnMut(&mut BytesMut) -> Result<P, E>,
    W: FnMut(&P, &mut BytesMut),
    E: Debug,
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
            look(&(self.decode)(&mut self.input));
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
            look(&mqttrs::decode_slice(bytes));
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
