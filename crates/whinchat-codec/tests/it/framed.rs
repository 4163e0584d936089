//! `framed::Codec`: the version, errors, and ends of streams.

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};
use whinchat_codec::framed::{Codec, CodecError};
use whinchat_codec::{Connect, DecodeLimits, Packet, PacketType, ProtocolVersion, Utf8String};

fn connect(version: ProtocolVersion) -> Packet {
    Packet::Connect(Connect::new(version, Utf8String::from_static("c")).into())
}

#[test]
fn the_version_is_learned_from_a_connect_that_is_read() {
    for version in ProtocolVersion::ALL {
        let mut bytes = BytesMut::new();
        connect(version).encode(version, &mut bytes).unwrap();
        let mut codec = Codec::default();
        assert_eq!(codec.decode(&mut bytes).unwrap(), Some(connect(version)));
        assert_eq!(codec.version(), Some(version));
    }
}

#[test]
fn the_version_is_learned_from_a_connect_that_is_written() {
    let mut codec = Codec::default();
    let mut out = BytesMut::new();
    codec
        .encode(connect(ProtocolVersion::V31), &mut out)
        .unwrap();
    assert_eq!(codec.version(), Some(ProtocolVersion::V31));
}

#[test]
fn without_a_version_any_other_packet_is_refused_by_type() {
    let mut codec = Codec::default();
    let read = codec.decode(&mut BytesMut::from(&b"\xC0\x00"[..]));
    assert!(matches!(
        read,
        Err(CodecError::VersionUnknown {
            packet: PacketType::PingReq
        })
    ));
    let written = codec.encode(&Packet::PingResp, &mut BytesMut::new());
    assert!(matches!(
        written,
        Err(CodecError::VersionUnknown {
            packet: PacketType::PingResp
        })
    ));
    codec.set_version(ProtocolVersion::V311);
    let read = codec.decode(&mut BytesMut::from(&b"\xC0\x00"[..]));
    assert!(matches!(read, Ok(Some(Packet::PingReq))));
}

#[test]
fn an_oversized_packet_is_refused_at_its_header() {
    let limits = DecodeLimits::default().with_packet_size(100);
    let mut codec = Codec::new(limits).with_version(ProtocolVersion::V5);
    let read = codec.decode(&mut BytesMut::from(&b"\x30\xFF\x01"[..]));
    let Err(CodecError::Decode(error)) = read else {
        panic!("not refused: {read:?}")
    };
    assert_eq!(error.reason().code(), 0x95);
    assert_eq!(
        error.to_string(),
        "PUBLISH: remaining length: packet of 258 bytes, the limit is 100"
    );
}

#[test]
fn a_stream_that_ends_inside_a_packet_is_an_error() {
    let mut codec = Codec::default().with_version(ProtocolVersion::V5);
    let read = codec.decode_eof(&mut BytesMut::from(&b"\x30\x05\x00"[..]));
    assert!(matches!(read, Err(CodecError::Io(_))));
    assert!(matches!(codec.decode_eof(&mut BytesMut::new()), Ok(None)));
}
