//! Fuzz bodies of the notation of transcripts.

use whinchat_codec::{DecodeLimits, Packet, ProtocolVersion};
use whinchat_conformance::Scene;
use whinchat_conformance::notation::{Ids, Names, Reading, Speaker, Template, format};

/// A text is a file of scenes or is refused at a line of it; scenes have a name in each of their versions.
pub fn scene(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Scene::parse_file("f", text) {
        Ok(scenes) => {
            for play in whinchat_conformance::plays(&scenes) {
                assert!(!play.scene.name(play.version).is_empty());
            }
        }
        Err(error) => {
            let said = error.to_string();
            let line = said
                .strip_prefix("f:")
                .and_then(|rest| rest.split_once(':'));
            let line = line.and_then(|(line, _)| line.parse().ok());
            let lines = text.lines().count();
            assert!(
                line.is_some_and(|line| (1..=lines).contains(&line)),
                "{said:?} of {lines}"
            );
        }
    }
}

/// A line is a packet or is refused. Bytes that it stands for, where they are a packet, are what is written; a packet, from
/// a line or from bytes, is written in words that stand for it.
pub fn notation(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && !is_long(text)
        && let Ok(template) = Template::parse(text)
    {
        for version in ProtocolVersion::ALL {
            check_template(&template, version);
        }
    }
    if let Some((first, bytes)) = data.split_first() {
        let version = ProtocolVersion::ALL[usize::from(first % 3)];
        let bytes = bytes::Bytes::copy_from_slice(bytes);
        if let Ok(Some((packet, _))) = Packet::decode(&bytes, version, &DecodeLimits::default()) {
            check_packet(&packet, version);
        }
    }
}

/// Repetitions of ten thousand and more are a matter of memory, which whoever writes a transcript has.
fn is_long(text: &str) -> bool {
    text.split("'*").skip(1).any(|behind| {
        let digits = behind.bytes().take_while(u8::is_ascii_digit);
        digits.count() > 4
    })
}

fn check_template(template: &Template, version: ProtocolVersion) {
    let names = Names::plain();
    let speaker = Speaker {
        names: &names,
        version,
        client_id: "c",
        assigned: None,
        ids: &Ids::default(),
        user_name: None,
        password: None,
    };
    let Ok(bytes) = template.encode(&speaker) else {
        return;
    };
    let version = template.connect_version().unwrap_or(version);
    if let Ok(Some((packet, len))) = Packet::decode(&bytes, version, &DecodeLimits::default())
        && len == bytes.len()
    {
        check_packet(&packet, version);
    }
}

fn check_packet(packet: &Packet, version: ProtocolVersion) {
    let version = if let Packet::Connect(connect) = packet {
        connect.version
    } else {
        version
    };
    // 3.1 has no such code; some servers send it. // v31 M31-47
    if let (Packet::SubAck(suback), ProtocolVersion::V31) = (packet, version)
        && suback.reasons.iter().any(|reason| reason.is_error())
    {
        return;
    }
    // Such a client id has no words: `^` says that the scene's prefix is left out.
    if let Packet::Connect(connect) = packet
        && (connect.client_id.starts_with('^') || &*connect.client_id == "$assigned")
    {
        return;
    }
    let names = Names::plain();
    let words = format(packet, version, &names);
    // Long texts are cut when they are shown.
    if words.contains("...(") {
        return;
    }
    let template = Template::parse(&words);
    let template = template.unwrap_or_else(|error| panic!("{words}: {error}"));
    assert_eq!(template.packet_type(), packet.packet_type(), "{words}");
    let reading = Reading {
        names: &names,
        version,
        strict: true,
        exact: true,
        partial: false,
    };
    let matched = template.matches(packet, &reading);
    assert!(matched.is_ok(), "{words}: {matched:?}");
}
