//! Every golden vector of the codec, sent to a running broker before and after CONNECT.

use std::{fs, path::Path};

use whinchat_broker::{
    Broker, BrokerHandle,
    config::{ByteSize, Config},
};
use whinchat_codec::{ConnAckReason, Packet, ProtocolVersion};

use super::{Answer, Raw, Witnesses, encoded};
use crate::peer::{V5, V31, V311, connect};

/// One case of the codec's files; what it decodes to is the codec's business.
struct Vector {
    name: String,
    version: ProtocolVersion,
    bytes: Vec<u8>,
    expected: Expected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// A packet, or the beginning of one.
    Readable,
    /// Refused with this reason code.
    Error(u8),
    /// Refused without a word.
    Close,
}

/// All vectors that hold with the limits of [`broker`].
fn vectors() -> Vec<Vector> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../whinchat-codec/testdata");
    let mut vectors = Vec::new();
    for (directory, version) in [("v31", V31), ("v311", V311), ("v5", V5)] {
        let mut files: Vec<_> = fs::read_dir(root.join(directory))
            .expect("the codec has vectors for this version")
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            let file = file.file_name().unwrap().to_string_lossy().into_owned();
            for block in text.split("\n\n") {
                let name = format!("{directory}/{file}");
                vectors.extend(read(name, version, block));
            }
        }
    }
    vectors
}

/// `None` for comments and for vectors with limits that the broker under test does not have.
fn read(file: String, version: ProtocolVersion, block: &str) -> Option<Vector> {
    let mut lines = block.lines().filter(|line| !line.starts_with('#'));
    let name = format!("{file}: {}", lines.next()?);
    let mut bytes = Vec::new();
    let mut expected = Expected::Readable;
    for line in lines {
        let (keyword, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (keyword, rest.trim()) {
            ("limits", "user_properties=64" | "topic_levels=200") => {}
            ("limits", "packet_size=65536") if name.contains("256 MiB") => {}
            ("limits", _) => return None,
            ("bytes", text) => bytes = hex(text),
            ("error", "close") => expected = Expected::Close,
            ("error", code) => {
                let digits = code.strip_prefix("0x").expect("a reason code in hex");
                expected = Expected::Error(u8::from_str_radix(digits, 16).unwrap());
            }
            _ => {}
        }
    }
    Some(Vector {
        name,
        version,
        bytes,
        expected,
    })
}

fn hex(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for token in text.split_whitespace() {
        let (digits, times) = token.split_once('*').unwrap_or((token, "1"));
        let piece: Vec<u8> = (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
            .collect();
        bytes.extend(piece.repeat(times.parse().unwrap()));
    }
    bytes
}

/// A broker whose limits are no tighter than the codec's own, but for those that vectors name.
fn broker() -> BrokerHandle {
    let mut config = Config::embedded();
    let limits = &mut config.limits;
    limits.packet_size_before_connect = ByteSize::mib(16);
    limits.packet_size = ByteSize::mib(16);
    limits.properties_size = ByteSize::new(268_435_460);
    limits.client_id_size = ByteSize::new(65_535);
    limits.user_name_size = ByteSize::new(65_535);
    limits.password_size = ByteSize::new(65_535);
    limits.will_size = ByteSize::new(65_535);
    Broker::builder().config(config).threads(2).start().unwrap()
}

impl Vector {
    fn is_connect(&self) -> bool {
        self.bytes.first().is_some_and(|first| first >> 4 == 1)
    }

    /// True if the sender has shown that it speaks 5.0 before it went wrong.
    fn shows_v5(&self) -> bool {
        let Some((0x10, rest)) = self.bytes.split_first() else {
            return false;
        };
        let length = rest.iter().take(4).position(|byte| byte & 0x80 == 0);
        length.is_some_and(|last| rest[last + 1..].starts_with(&[0, 4, b'M', b'Q', b'T', b'T', 5]))
    }

    /// What the broker has to say to it as the first thing on a connection.
    fn check_before_connect(&self, answer: &Answer) -> Result<(), String> {
        let told = match &answer.0[..] {
            [] => None,
            [Packet::ConnAck(connack)] => Some(connack.reason),
            other => return Err(format!("answered with {other:?}")),
        };
        match (self.expected, told) {
            // T-18
            (_, None) if !self.is_connect() => Ok(()),
            (Expected::Error(code), Some(told)) if code == told.code() => Ok(()),
            (Expected::Error(0x84), Some(ConnAckReason::UnsupportedProtocolVersion)) => Ok(()),
            (Expected::Error(_) | Expected::Close, None) if !self.shows_v5() => Ok(()),
            (expected, told) => Err(format!("answered with {told:?} instead of {expected:?}")),
        }
    }

    /// What the broker has to say to it from a client that is connected.
    fn check_after_connect(&self, answer: &Answer) -> Result<(), String> {
        let told = match &answer.0[..] {
            [Packet::ConnAck(_)] => None,
            [Packet::ConnAck(_), Packet::Disconnect(disconnect)] => Some(disconnect.reason.code()),
            other => return Err(format!("answered with {other:?}")),
        };
        match (self.expected, told) {
            (_, None) if self.version != V5 => Ok(()),
            (Expected::Error(code), Some(told)) if code == told => Ok(()),
            // Some codes of CONNACK are none of DISCONNECT; and a CONNECT is wrong here in any form.
            (_, Some(0x81 | 0x82)) if self.is_connect() => Ok(()),
            (expected, told) => Err(format!(
                "answered with {told:#04x?} instead of {expected:?}"
            )),
        }
    }
}

/// T-01, T-02, T-04, T-08, T-09, T-10, T-11, T-12, T-13, T-16, T-18, T-35, T-44.
#[tokio::test]
async fn every_invalid_vector_ends_its_connection_with_its_code_and_hurts_nobody() {
    let broker = broker();
    let mut witnesses = Witnesses::of(&broker).await;
    let vectors = vectors();
    let invalid: Vec<&Vector> = vectors
        .iter()
        .filter(|vector| vector.expected != Expected::Readable)
        .collect();
    assert!(invalid.len() > 1_000, "{} vectors", invalid.len());
    let mut failures = Vec::new();
    for (number, vector) in invalid.iter().enumerate() {
        let mut peer = Raw::silent(&broker, vector.version);
        peer.send(&vector.bytes).await;
        let before = match peer.until_closed().await {
            Ok(answer) => vector.check_before_connect(&answer),
            Err(packets) => Err(format!("still open after {packets:?}")),
        };
        let mut peer = Raw::silent(&broker, vector.version);
        let hello = Packet::Connect(Box::new(connect(vector.version, "offender")));
        peer.send(&encoded(vector.version, [hello])).await;
        peer.send(&vector.bytes).await;
        let after = match peer.until_closed().await {
            Ok(answer) => vector.check_after_connect(&answer),
            Err(packets) => Err(format!("still open after {packets:?}")),
        };
        for (when, outcome) in [("before", before), ("after", after)] {
            if let Err(reason) = outcome {
                failures.push(format!("{}\n    {when} CONNECT: {reason}", vector.name));
            }
        }
        if number % 100 == 0 {
            witnesses.notice_nothing().await;
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} vectors:\n{}",
        failures.len(),
        invalid.len(),
        failures.join("\n")
    );
    witnesses.are_alone_again().await;
}

/// Among them all packets that only a server sends.
#[tokio::test]
async fn every_valid_vector_out_of_place_hurts_nobody() {
    let broker = broker();
    let mut witnesses = Witnesses::of(&broker).await;
    let vectors = vectors();
    let readable = vectors
        .iter()
        .filter(|vector| vector.expected == Expected::Readable);
    for (number, vector) in readable.enumerate() {
        let hello = Packet::Connect(Box::new(connect(vector.version, "offender")));
        for lead in [vec![], encoded(vector.version, [hello])] {
            let mut peer = Raw::silent(&broker, vector.version);
            peer.send(&lead).await;
            peer.send(&vector.bytes).await;
            drop(peer);
        }
        if number % 100 == 0 {
            witnesses.notice_nothing().await;
        }
    }
    // Wills may have been published, retained messages set; nobody is subscribed to them.
    witnesses.are_alone_again().await;
}

/// T-08: the 256 first bytes in every version, before and after CONNECT, each with an empty body.
#[tokio::test]
async fn every_first_byte_is_taken_or_ends_its_connection() {
    let broker = broker();
    let mut witnesses = Witnesses::of(&broker).await;
    for version in [V31, V311, V5] {
        for first in 0..=u8::MAX {
            let mut peer = Raw::silent(&broker, version);
            peer.send(&[first, 0]).await;
            let answer = peer.until_closed().await;
            assert_eq!(answer, Ok(Answer(vec![])), "{version} {first:#04x}");

            let mut peer = Raw::silent(&broker, version);
            let hello = Packet::Connect(Box::new(connect(version, "offender")));
            peer.send(&encoded(version, [hello])).await;
            peer.send(&[first, 0]).await;
            // 3.1 gives the flags of a PINGREQ no meaning.
            if first == 0xC0 || (version == V31 && first >> 4 == 0xC) {
                continue;
            }
            let packets = match peer.until_closed().await {
                Ok(Answer(packets)) => packets,
                Err(packets) => panic!("{version} {first:#04x}: still open after {packets:?}"),
            };
            match &packets[1..] {
                [] => assert!(version != V5 || first == 0xE0, "{first:#04x}"),
                [Packet::Disconnect(disconnect)] if version == V5 => {
                    let code = disconnect.reason.code();
                    assert!(matches!(code, 0x81 | 0x82), "{first:#04x}: {code:#04x}");
                }
                other => panic!("{version} {first:#04x}: {other:?}"),
            }
        }
        witnesses.notice_nothing().await;
    }
    witnesses.are_alone_again().await;
}
