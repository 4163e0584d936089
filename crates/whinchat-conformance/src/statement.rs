//! The numbered statements of the specifications, in our words, and the differences of MQTT 3.1.
//!
//! Owns the lists of `statements/`; which transcripts show a statement is written in the transcripts.

use std::sync::LazyLock;

use serde::Deserialize;
use whinchat_codec::ProtocolVersion;

/// One statement that an implementation has to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statement {
    /// As the specification numbers it, `MQTT-3.3.2-2`; `M31-7` for a difference of MQTT 3.1, which
    /// numbers nothing.
    pub id: String,
    /// The version whose statement it is. The two documents number differently.
    pub version: ProtocolVersion,
    /// Number and title of the section that it stands in; in 3.1 the topic.
    pub section: String,
    /// Who has to comply.
    pub actor: Actor,
    /// What has to hold, paraphrased.
    pub requirement: String,
    /// What the other end does when it does not hold.
    pub violation: Option<String>,
    /// Slips of the specification's text, gaps and context; in 3.1 the rule of 3.1.1 that differs.
    pub note: Option<String>,
}

/// Who has to comply with a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Actor {
    /// The client.
    Client,
    /// The server.
    Server,
    /// Both, in what they do.
    Both,
    /// Both, in what they write and read: the wire form.
    Codec,
}

impl Statement {
    /// Number and title of the chapter that the section belongs to: `3.3 PUBLISH`.
    pub fn chapter(&self) -> &'static str {
        if self.version == ProtocolVersion::V31 {
            return DIFFERENCES;
        }
        let number = self.section.split(' ').next().unwrap_or_default();
        let mut parts = number.split('.');
        let wanted = match (parts.next(), parts.next()) {
            (Some(first), Some(second)) => format!("{first}.{second} "),
            _ => format!("{number} "),
        };
        chapters(self.version)
            .iter()
            .find(|chapter| chapter.starts_with(&wanted))
            .copied()
            .unwrap_or("other")
    }
}

const DIFFERENCES: &str = "Differences of MQTT 3.1";

/// The chapters of a version that have statements, in order.
pub fn chapters(version: ProtocolVersion) -> &'static [&'static str] {
    match version {
        ProtocolVersion::V31 => &[DIFFERENCES],
        ProtocolVersion::V311 => CHAPTERS_V311,
        ProtocolVersion::V5 => CHAPTERS_V5,
    }
}

const CHAPTERS_V311: &[&str] = &[
    "1.5 Data representations",
    "2.2 Fixed header",
    "2.3 Variable header",
    "3.1 CONNECT",
    "3.2 CONNACK",
    "3.3 PUBLISH",
    "3.6 PUBREL",
    "3.8 SUBSCRIBE",
    "3.9 SUBACK",
    "3.10 UNSUBSCRIBE",
    "3.12 PINGREQ",
    "3.14 DISCONNECT",
    "4.1 Storing state",
    "4.3 Quality of Service levels",
    "4.4 Message delivery retry",
    "4.5 Message receipt",
    "4.6 Message ordering",
    "4.7 Topic names and filters",
    "4.8 Handling errors",
    "6 WebSocket",
    "7 Conformance",
    "7.1 Conformance targets",
];

const CHAPTERS_V5: &[&str] = &[
    "1.5 Data representation",
    "2.1 Structure of a packet",
    "2.2 Variable header",
    "3.1 CONNECT",
    "3.2 CONNACK",
    "3.3 PUBLISH",
    "3.4 PUBACK",
    "3.5 PUBREC",
    "3.6 PUBREL",
    "3.7 PUBCOMP",
    "3.8 SUBSCRIBE",
    "3.9 SUBACK",
    "3.10 UNSUBSCRIBE",
    "3.11 UNSUBACK",
    "3.12 PINGREQ",
    "3.14 DISCONNECT",
    "3.15 AUTH",
    "4.1 Session state",
    "4.2 Network connections",
    "4.3 Quality of Service levels",
    "4.4 Message delivery retry",
    "4.5 Message receipt",
    "4.6 Message ordering",
    "4.7 Topic names and filters",
    "4.8 Subscriptions",
    "4.9 Flow control",
    "4.12 Enhanced authentication",
    "4.13 Handling errors",
    "6 WebSocket",
];

/// All statements of a version, in the order of its list.
///
/// ```
/// use whinchat_conformance::{ProtocolVersion, statements};
///
/// let first = &statements(ProtocolVersion::V5)[0];
/// assert_eq!((first.id.as_str(), first.chapter()), ("MQTT-1.5.4-1", "1.5 Data representation"));
/// ```
pub fn statements(version: ProtocolVersion) -> &'static [Statement] {
    static V31: LazyLock<Vec<Statement>> = LazyLock::new(|| {
        let list: Differences = read(include_str!("../statements/mqtt-3.1.toml"));
        list.difference
            .into_iter()
            .map(Difference::into_statement)
            .collect()
    });
    static V311: LazyLock<Vec<Statement>> = LazyLock::new(|| {
        numbered(
            ProtocolVersion::V311,
            include_str!("../statements/mqtt-3.1.1.toml"),
        )
    });
    static V5: LazyLock<Vec<Statement>> = LazyLock::new(|| {
        numbered(
            ProtocolVersion::V5,
            include_str!("../statements/mqtt-5.0.toml"),
        )
    });
    match version {
        ProtocolVersion::V31 => &V31,
        ProtocolVersion::V311 => &V311,
        ProtocolVersion::V5 => &V5,
    }
}

/// The statement of a version with this id.
pub fn statement(version: ProtocolVersion, id: &str) -> Option<&'static Statement> {
    statements(version)
        .iter()
        .find(|statement| statement.id == id)
}

fn read<T: serde::de::DeserializeOwned>(list: &str) -> T {
    toml::from_str(list).expect("the lists of this crate are read by its tests")
}

fn numbered(version: ProtocolVersion, list: &str) -> Vec<Statement> {
    let list: Numbered = read(list);
    list.statement
        .into_iter()
        .map(|row| Statement {
            id: row.id,
            version,
            section: row.section,
            actor: row.actor,
            requirement: row.requirement,
            violation: row.violation,
            note: row.note,
        })
        .collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Numbered {
    statement: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    section: String,
    actor: Actor,
    requirement: String,
    violation: Option<String>,
    note: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Differences {
    difference: Vec<Difference>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    id: String,
    topic: String,
    actor: Actor,
    mqtt_3_1: String,
    mqtt_3_1_1: String,
    #[serde(rename = "implementation")]
    _implementation: Option<String>,
}

impl Difference {
    fn into_statement(self) -> Statement {
        Statement {
            id: self.id,
            version: ProtocolVersion::V31,
            section: self.topic,
            actor: self.actor,
            requirement: self.mqtt_3_1,
            violation: None,
            note: Some(self.mqtt_3_1_1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_statement_is_listed_once_and_belongs_to_a_chapter() {
        for (version, count) in ProtocolVersion::ALL.into_iter().zip([59, 141, 251]) {
            let all = statements(version);
            assert_eq!(all.len(), count, "{version}");
            for (index, one) in all.iter().enumerate() {
                assert!(
                    chapters(version).contains(&one.chapter()),
                    "{} stands in {:?}",
                    one.id,
                    one.section
                );
                assert!(
                    all[..index].iter().all(|other| other.id != one.id),
                    "{}",
                    one.id
                );
            }
            for chapter in chapters(version) {
                assert!(all.iter().any(|one| one.chapter() == *chapter), "{chapter}");
            }
        }
    }
}
