//! Bytes to packets, and the way back.

use bytes::BytesMut;
use whinchat_codec::{Packet, PacketRef, ProtocolVersion, SubAckReason};

use super::{check_error, check_lists, limits, version};

/// A stream that begins in 3.1: see [`decode`].
pub fn decode_v31(data: &[u8]) {
    decode(ProtocolVersion::V31, data);
}

/// A stream that begins in 3.1.1: see [`decode`].
pub fn decode_v311(data: &[u8]) {
    decode(ProtocolVersion::V311, data);
}

/// A stream that begins in 5.0: see [`decode`].
pub fn decode_v5(data: &[u8]) {
    decode(ProtocolVersion::V5, data);
}

/// A stream of packets, behind a byte that chooses limits: each is read whole, uses no more than is there, and is the
/// same when read again.
fn decode(mut version: ProtocolVersion, data: &[u8]) {
    let Some((first, mut stream)) = data.split_first() else {
        return;
    };
    let limits = limits(*first);
    while let Ok(Some((packet, used))) =
        whinchat_codec::decode(stream, version, &limits).map_err(check_error)
    {
        assert!(
            (1..=stream.len()).contains(&used),
            "{used} of {} bytes",
            stream.len()
        );
        let whole = whinchat_codec::decode(&stream[..used], version, &limits);
        assert_eq!(
            whole,
            Ok(Some((packet, used))),
            "what follows changes a packet"
        );
        let cut = whinchat_codec::decode(&stream[..used - 1], version, &limits);
        assert_eq!(
            cut,
            Ok(None),
            "a packet without its last byte is incomplete"
        );
        check_lists(&packet);
        if let PacketRef::Connect(connect) = packet {
            version = connect.version;
        }
        stream = &stream[used..];
    }
}

/// A packet, behind a byte that chooses version and limits: it is written in a form that is no longer, has the announced length, and decodes to the same packet.
pub fn roundtrip(data: &[u8]) {
    let Some((first, bytes)) = data.split_first() else {
        return;
    };
    let (version, limits) = (version(*first), limits(*first));
    let Ok(Some((packet, used))) = whinchat_codec::decode(bytes, version, &limits) else {
        return;
    };
    let version = if let PacketRef::Connect(connect) = packet {
        connect.version
    } else {
        version
    };
    // 3.1 reads a failed subscription, which some servers send, and never writes one. // v31 M31-47
    if let (ProtocolVersion::V31, PacketRef::SubAck(mut suback)) = (version, packet)
        && suback.reasons.any(SubAckReason::is_error)
    {
        return;
    }
    let mut written = BytesMut::new();
    packet
        .encode(version, &mut written)
        .expect("what was decoded can be encoded");
    assert_eq!(packet.encoded_len(version), Ok(written.len()));
    assert!(
        written.len() <= used,
        "written in {} bytes, came in {used}",
        written.len()
    );
    let written = written.freeze();

    let again = whinchat_codec::decode(&written, version, &limits);
    assert_eq!(
        again,
        Ok(Some((packet, written.len()))),
        "another packet than before"
    );

    let (owned, _) = Packet::decode(&written, version, &limits)
        .expect("as the borrowed packet")
        .expect("as the borrowed packet");
    assert_eq!(owned.as_packet_ref(), packet, "the owned packet is another");
    let mut twice = BytesMut::new();
    owned
        .encode(version, &mut twice)
        .expect("as the borrowed packet");
    assert_eq!(twice, written, "the second writing differs from the first");
}
