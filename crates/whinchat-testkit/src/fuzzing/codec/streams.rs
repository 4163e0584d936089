//! Streams of packets through the framed codec.

use arbitrary::Unstructured;
use bytes::BytesMut;
use tokio_util::codec::{Decoder as _, Encoder as _};
use whinchat_codec::framed::{Codec, CodecError};
use whinchat_codec::{DecodeLimits, Packet, ProtocolVersion};

use super::{as_written, limits, version};

/// Behind a byte that chooses version and limits: however a stream is cut into reads, the same packets and the same error come out.
///
/// The second byte says how many of the next bytes are lengths of reads.
pub fn split(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let (version, limits) = (version(*first), limits(*first));
    let Some((count, rest)) = rest.split_first() else {
        return;
    };
    let (lengths, stream) = rest.split_at(rest.len().min(usize::from(count % 32)));

    let (whole, pieces) = (
        read(version, limits, [stream]),
        read(version, limits, reads(lengths, stream)),
    );
    assert_eq!(pieces, whole, "the same stream read in pieces");
}

/// The stream in reads of these lengths, taken again and again; a length of 0 stands for 1.
fn reads<'a>(lengths: &'a [u8], mut stream: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut lengths = lengths.iter().cycle();
    std::iter::from_fn(move || {
        let length = lengths
            .next()
            .map_or(1, |length| usize::from(*length).max(1));
        let (read, rest) = stream.split_at(length.min(stream.len()));
        stream = rest;
        (!read.is_empty()).then_some(read)
    })
}

/// All packets of a stream that arrives in these reads, and the error that ends it.
fn read<'a>(
    version: ProtocolVersion,
    limits: DecodeLimits,
    reads: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Packet>, Option<String>) {
    let mut codec = Codec::new(limits).with_version(version);
    let mut buffer = BytesMut::new();
    let mut packets = Vec::new();
    for read in reads {
        buffer.extend_from_slice(read);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => break,
                Err(error) => return (packets, Some(error.to_string())),
            }
        }
    }
    (packets, None)
}

/// Packets of any version, a CONNECT among them changing it, written by one codec and read by another in reads of random
/// lengths: the same packets and the same version, and an end inside a packet is noticed.
pub fn framed(data: &[u8]) {
    let mut source = Unstructured::new(data);
    let _ = framed_from(&mut source);
}

fn framed_from(source: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let mut writer = Codec::default();
    let mut stream = BytesMut::new();
    let mut written = Vec::new();
    for _ in 0..source.int_in_range(1..=6)? {
        let version = version(source.arbitrary()?);
        let packet = Packet::arbitrary_for(version, source)?;
        let (before, known) = (stream.len(), writer.version());
        match writer.encode(&packet, &mut stream) {
            Ok(()) => {
                let is_connect = matches!(&packet, Packet::Connect(_));
                assert!(
                    is_connect || known.is_some(),
                    "{packet:?} without a version"
                );
                let version = writer.version().expect("it has written");
                written.push(as_written(packet, version));
            }
            Err(CodecError::VersionUnknown { packet }) => {
                assert_eq!(known, None, "{packet} in a known version");
                assert_eq!(stream.len(), before);
            }
            // A packet of another version than the stream's.
            Err(CodecError::Encode(_)) => assert_eq!(stream.len(), before, "{packet:?}"),
            Err(error) => panic!("{error}"),
        }
    }
    let lengths = source.bytes(source.len().min(32))?;
    let mut reader = Codec::default();
    let mut buffer = BytesMut::new();
    let mut read = Vec::new();
    for piece in reads(lengths, &stream) {
        buffer.extend_from_slice(piece);
        while let Some(packet) = reader.decode(&mut buffer).expect("it was written") {
            read.push(packet);
        }
    }
    assert_eq!(read, written);
    assert_eq!(reader.version(), writer.version());
    assert!(matches!(reader.decode_eof(&mut buffer), Ok(None)));

    let mut cut = BytesMut::from(&stream[..stream.len().saturating_sub(1)]);
    let mut reader = Codec::default();
    let mut count = 0;
    let end = loop {
        match reader.decode_eof(&mut cut) {
            Ok(Some(_)) => count += 1,
            end => break end,
        }
    };
    assert_eq!(count, written.len().saturating_sub(1));
    assert_eq!(end.is_err(), !written.is_empty(), "the last packet is cut");
    Ok(())
}
