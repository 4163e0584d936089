//! The golden vectors under `testdata/`, both ways.
//!
//! Read first: `testdata/README.md`, which has the format.
#![expect(
    clippy::unwrap_used,
    reason = "a vector that cannot be read fails its test"
)]

mod build;
mod properties;
mod show;
mod text;
pub(crate) mod vector;

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use whinchat_codec::{DecodeError, Packet, PacketRef, PacketType, ProtocolVersion, decode};

use self::build::build;
use self::show::show;
use self::vector::{Outcome, Vector};

/// Runs a check over all vectors and reports every one that fails, not only the first.
#[track_caller]
fn check(mut check: impl FnMut(&Vector) -> Result<(), String>) {
    let vectors = vector::all();
    let failures: Vec<_> = vectors
        .iter()
        .filter_map(|vector| Some(format!("{}: {}", vector.name(), check(vector).err()?)))
        .collect();
    assert!(
        failures.is_empty(),
        "{} of {} vectors failed:\n{}",
        failures.len(),
        vectors.len(),
        failures.join("\n")
    );
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    let mut message = format!("{what}: found {found:?}, expected {expected:?}");
    message.truncate(message.floor_char_boundary(600));
    Err(message)
}

fn decoded(vector: &Vector) -> Result<(PacketRef<'_>, usize), String> {
    match decode(&vector.bytes, vector.version, &vector.limits) {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err("incomplete".to_owned()),
        Err(error) => Err(format!("refused: {error}")),
    }
}

#[test]
fn there_are_vectors_for_every_packet_in_every_version() {
    let mut counts: BTreeMap<_, (usize, usize)> = BTreeMap::new();
    let vectors = vector::all();
    for vector in &vectors {
        let number = vector.bytes.first().map_or(0, |first| first >> 4);
        let Some(packet) = PacketType::from_number(number) else {
            continue;
        };
        let (valid, invalid) = counts.entry((vector.version, packet.name())).or_default();
        match vector.outcome {
            Outcome::Value { .. } => *valid += 1,
            Outcome::Error(_) | Outcome::Close => *invalid += 1,
            Outcome::Incomplete => {}
        }
    }
    for version in ProtocolVersion::ALL {
        for packet in PacketType::ALL {
            let (valid, invalid) = counts
                .get(&(version, packet.name()))
                .copied()
                .unwrap_or_default();
            let exists = version.is_v5() || packet != PacketType::Auth;
            assert!(!exists || valid > 0, "no valid {packet} in {version}");
            assert!(invalid > 0, "no invalid {packet} in {version}");
        }
    }
    println!("{} golden vectors", vectors.len());
}

// `cargo xtask vectors` looks for these names.
#[test]
fn what_differs_names_a_decoder_that_is_asked() {
    check(|vector| {
        for reason in &vector.differs {
            let (decoder, _) = reason.split_once(": ").ok_or("no reason")?;
            if !["mqtt-packet", "tshark"].contains(&decoder) {
                return Err(format!("nobody asks {decoder}"));
            }
        }
        Ok(())
    });
}

#[test]
fn every_valid_vector_decodes_to_its_value() {
    check(|vector| {
        let Outcome::Value { text, .. } = &vector.outcome else {
            return Ok(());
        };
        let (packet, used) = decoded(vector)?;
        equal("value", show(&packet), text.clone())?;
        equal("bytes used", used, vector.bytes.len())
    });
}

#[test]
fn an_owned_packet_has_the_value_of_the_borrowed_one() {
    check(|vector| {
        let Outcome::Value { text, .. } = &vector.outcome else {
            return Ok(());
        };
        let parent = Bytes::copy_from_slice(&vector.bytes);
        let found = Packet::decode(&parent, vector.version, &vector.limits);
        let (packet, used) = found
            .map_err(|error| error.to_string())?
            .ok_or("incomplete")?;
        equal("value", show(&packet.as_packet_ref()), text.clone())?;
        equal("bytes used", used, vector.bytes.len())?;
        equal("packet built from the value", build(text), packet)
    });
}

#[test]
fn every_valid_vector_is_encoded_as_it_should_be() {
    check(|vector| {
        let Outcome::Value {
            text,
            writable,
            encodes,
            builds,
        } = &vector.outcome
        else {
            return Ok(());
        };
        let (packet, _) = decoded(vector)?;
        let owned = packet.to_owned();
        let built = build(text);
        for (what, packet, expected) in [
            ("borrowed packet", packet, encodes),
            ("owned packet", owned.as_packet_ref(), encodes),
            ("built packet", built.as_packet_ref(), builds),
        ] {
            let mut out = BytesMut::from(&b"before"[..]);
            let written = packet.encode(vector.version, &mut out);
            if !writable {
                equal(
                    "encoded length",
                    packet.encoded_len(vector.version).is_ok(),
                    false,
                )?;
                equal(what, (written.is_ok(), &out[..]), (false, &b"before"[..]))?;
                continue;
            }
            written.map_err(|error| format!("{what}: {error}"))?;
            equal(what, &out[b"before".len()..], expected)?;
            equal(
                "encoded length",
                packet.encoded_len(vector.version),
                Ok(expected.len()),
            )?;
        }
        Ok(())
    });
}

#[test]
fn every_invalid_vector_is_refused_with_its_reason_code_and_statement() {
    check(|vector| {
        let expected = match vector.outcome {
            Outcome::Error(code) => Some(code),
            Outcome::Close => None,
            Outcome::Value { .. } | Outcome::Incomplete => return Ok(()),
        };
        let error = match decode(&vector.bytes, vector.version, &vector.limits) {
            Err(error) => error,
            Ok(Some((packet, _))) => return Err(format!("accepted as {}", show(&packet))),
            Ok(None) => return Err("incomplete".to_owned()),
        };
        check_packet(vector, &error)?;
        let code = if error.packet() == Some(PacketType::Connect) {
            error.connack_reason().code()
        } else {
            error.reason().code()
        };
        equal(
            &format!("code of \"{error}\""),
            code,
            expected.unwrap_or(code),
        )?;
        match error.statement(vector.version) {
            Some(statement) if !vector.ids.iter().any(|id| id == statement) => Err(format!(
                "\"{error}\" names {statement}, the vector {:?}",
                vector.ids
            )),
            _ => Ok(()),
        }
    });
}

/// The error names the packet that the first byte names, or none.
fn check_packet(vector: &Vector, error: &DecodeError) -> Result<(), String> {
    let first = vector.bytes.first().map_or(0, |first| first >> 4);
    match error.packet() {
        Some(packet) => equal(
            "packet of the error",
            Some(packet),
            PacketType::from_number(first),
        ),
        None => Ok(()),
    }
}

#[test]
fn every_incomplete_vector_asks_for_more() {
    check(|vector| match vector.outcome {
        Outcome::Incomplete => {
            let found = decode(&vector.bytes, vector.version, &vector.limits);
            equal("decoded", found.map(|found| found.is_some()), Ok(false))
        }
        Outcome::Value { .. } | Outcome::Error(_) | Outcome::Close => Ok(()),
    });
}

/// Of a long packet the first and last lengths, of a short one every length.
fn cuts(bytes: &[u8]) -> impl Iterator<Item = usize> {
    const ENDS: usize = 300;
    (0..bytes.len()).filter(|at| *at < ENDS || *at + ENDS > bytes.len())
}

// T-05
#[test]
fn a_packet_cut_anywhere_is_incomplete() {
    check(|vector| {
        for cut in cuts(&vector.bytes) {
            let found = decode(&vector.bytes[..cut], vector.version, &vector.limits);
            let found = found.map(|found| found.map(|(packet, _)| show(&packet)));
            match (&vector.outcome, found) {
                (_, Ok(None)) => {}
                // A header can be refused before its body is there.
                (Outcome::Error(_) | Outcome::Close, Err(_)) => {}
                (_, found) => return Err(format!("cut at {cut}: {found:?}")),
            }
        }
        Ok(())
    });
}

#[test]
fn what_follows_a_packet_does_not_touch_it() {
    check(|vector| {
        let Outcome::Value { text, .. } = &vector.outcome else {
            return Ok(());
        };
        let stream = [&vector.bytes[..], &[0xff, 0x00, 0xc0]].concat();
        let found = decode(&stream, vector.version, &vector.limits);
        let (packet, used) = found
            .map_err(|error| error.to_string())?
            .ok_or("incomplete")?;
        equal("value", show(&packet), text.clone())?;
        equal("bytes used", used, vector.bytes.len())
    });
}

// T-06
#[cfg(feature = "tokio-util-07")]
#[test]
fn a_framed_codec_fed_byte_by_byte_gives_the_same_packet_or_error() {
    use tokio_util::codec::Decoder;
    use whinchat_codec::framed::Codec;

    check(|vector| {
        let mut codec = Codec::new(vector.limits).with_version(vector.version);
        let mut buffer = BytesMut::new();
        let mut found = Ok(None);
        let mut fed = 0;
        for cut in cuts(&vector.bytes).chain([vector.bytes.len()]) {
            buffer.extend_from_slice(&vector.bytes[fed..cut]);
            fed = cut;
            found = codec.decode(&mut buffer);
            if !matches!(found, Ok(None)) {
                break;
            }
        }
        match (&vector.outcome, found) {
            (Outcome::Value { text, .. }, Ok(Some(packet))) => {
                equal("value", show(&packet.as_packet_ref()), text.clone())?;
                equal("bytes fed", fed, vector.bytes.len())?;
                equal("bytes left", buffer.len(), 0)
            }
            (Outcome::Incomplete, Ok(None)) => Ok(()),
            (Outcome::Error(_) | Outcome::Close, Err(_)) => Ok(()),
            (_, Ok(packet)) => {
                let packet = packet.map(|packet| show(&packet.as_packet_ref()));
                Err(format!("found {packet:?}"))
            }
            (_, Err(error)) => Err(format!("refused: {error}")),
        }
    });
}
