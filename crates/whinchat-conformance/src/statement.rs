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
        let chapters = chapters(self.version);
        if let [only] = chapters {
            return only;
        }
        let number = self.section.split(' ').next().unwrap_or_default();
        let mut parts = number.split('.');
        let wanted = match (parts.next(), parts.next()) {
            (Some(first), Some(second)) => format!("{first}.{second} "),
            _ => format!("{number} "),
        };
        chapters
            .iter()
            .find(|chapter| chapter.starts_with(&wanted))
            .map_or("other", String::as_str)
    }
}

/// The chapters of a version that have statements, in order.
pub fn chapters(version: ProtocolVersion) -> &'static [String] {
    &list(version).chapters
}

/// All statements of a version, in the order of its list.
///
/// ```
/// use whinchat_conformance::{ProtocolVersion, statements};
///
/// let first = &statements(ProtocolVersion::V5)[0];
/// assert_eq!((first.id.as_str(), first.chapter()), ("MQTT-1.5.4-1", "1.5 Data representation"));
/// ```
pub fn statements(version: ProtocolVersion) -> &'static [Statement] {
    &list(version).statements
}

/// The statement of a version with this id.
pub fn statement(version: ProtocolVersion, id: &str) -> Option<&'static Statement> {
    statements(version)
        .iter()
        .find(|statement| statement.id == id)
}

/// What a file of `statements/` says.
struct List {
    chapters: Vec<String>,
    statements: Vec<Statement>,
}

fn list(version: ProtocolVersion) -> &'static List {
    static V31: LazyLock<List> = LazyLock::new(|| {
        let list: Differences = read(include_str!("../statements/mqtt-3.1.toml"));
        let rows = list.difference.into_iter();
        List {
            chapters: vec!["Differences of MQTT 3.1".to_owned()],
            statements: rows.map(Difference::into_statement).collect(),
        }
    });
    static V311: LazyLock<List> = LazyLock::new(|| {
        numbered(
            ProtocolVersion::V311,
            include_str!("../statements/mqtt-3.1.1.toml"),
        )
    });
    static V5: LazyLock<List> = LazyLock::new(|| {
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

fn read<T: serde::de::DeserializeOwned>(list: &str) -> T {
    toml::from_str(list).expect("the lists of this crate are read by its tests")
}

fn numbered(version: ProtocolVersion, list: &str) -> List {
    let list: Numbered = read(list);
    let statements = list.statement.into_iter().map(|row| Statement {
        id: row.id,
        version,
        section: row.section,
        actor: row.actor,
        requirement: row.requirement,
        violation: row.violation,
        note: row.note,
    });
    List {
        chapters: list.chapters,
        statements: statements.collect(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Numbered {
    chapters: Vec<String>,
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
                    chapters(version)
                        .iter()
                        .any(|chapter| chapter == one.chapter()),
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
                assert!(all.iter().any(|one| one.chapter() == chapter), "{chapter}");
            }
        }
    }
}
