//! What counts as a test of a statement, and which statements each one names.
//!
//! Rust tests (their name, the comments above them and inside of them), the scenes of the conformance crate and of
//! the session engine, and the codec's vectors. Comments of the code under test are none.

use super::{Lists, Version, numbers, of_name, ours};

/// Where a test is written, which decides how it is counted and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A scene that is played against brokers.
    BrokerScene,
    /// A scene that is played against clients.
    ClientScene,
    /// A scene of the session engine.
    EngineScene,
    Rust,
    /// Bytes and what they decode to.
    Vector,
}

impl Kind {
    /// Of the file below the root; none if tests are not kept there.
    fn of_file(file: &str) -> Option<Self> {
        let in_folder = |folder: &str| file.starts_with(folder) && file.ends_with(".txt");
        if file.ends_with(".rs") && file.starts_with("crates/") {
            Some(Self::Rust)
        } else if in_folder("crates/whinchat-conformance/transcripts/broker/") {
            Some(Self::BrokerScene)
        } else if in_folder("crates/whinchat-conformance/transcripts/client/") {
            Some(Self::ClientScene)
        } else if in_folder("crates/whinchat-session/testdata/") {
            Some(Self::EngineScene)
        } else if in_folder("crates/whinchat-codec/testdata/v") {
            Some(Self::Vector)
        } else {
            None
        }
    }
}

/// One test and the ids that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Test {
    pub(crate) kind: Kind,
    pub(crate) file: String,
    /// A sentence, or the name of a function.
    pub(crate) title: String,
    pub(crate) claims: Vec<Claim>,
}

/// "This test shows that statement."
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) line: usize,
    pub(crate) id: String,
    /// The version that stands by it or that the test is of.
    pub(crate) named: Option<Version>,
}

/// The tests of a file; an error has the line.
pub(crate) fn tests_of(
    file: &str,
    text: &str,
    lists: &Lists,
) -> Result<Vec<Test>, (usize, String)> {
    let Some(kind) = Kind::of_file(file) else {
        return Ok(Vec::new());
    };
    let tests = match kind {
        Kind::Rust => rust_tests(file, text),
        Kind::BrokerScene | Kind::ClientScene => scenes(kind, file, text)?,
        Kind::EngineScene | Kind::Vector => titled(kind, file, text)?,
    };
    for claim in tests.iter().flat_map(|test| &test.claims) {
        lists
            .version_of(&claim.id, claim.named)
            .map_err(|error| (claim.line, error))?;
    }
    Ok(tests)
}

/// Functions with a `test` attribute. The source is formatted, so a block ends where its indentation says so.
fn rust_tests(file: &str, text: &str) -> Vec<Test> {
    let lines: Vec<&str> = text.lines().collect();
    let mut tests = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let attribute = line.trim_start();
        if attribute != "#[test]" && !attribute.starts_with("#[tokio::test") {
            continue;
        }
        let indent = &line[..line.len() - attribute.len()];
        let is_head = |line: &&str| {
            let line = line.trim_start();
            line.starts_with("//") || line.starts_with("#[")
        };
        let above = lines[..at].iter().rev().take_while(|line| is_head(line));
        let start = at - above.count();
        let end = lines[at..]
            .iter()
            .position(|line| {
                line.strip_prefix(indent)
                    .is_some_and(|rest| rest.starts_with('}'))
            })
            .map_or(lines.len(), |length| at + length);
        let Some((fn_at, name)) = lines[at..end].iter().enumerate().find_map(|(below, line)| {
            let name = line
                .trim_start()
                .trim_start_matches("async ")
                .strip_prefix("fn ")?;
            Some((
                at + below,
                name.split(|c: char| !c.is_alphanumeric() && c != '_')
                    .next()?,
            ))
        }) else {
            continue;
        };
        let of_place = module_version(&lines[..at], indent.len()).or(Version::of_path(file));
        let from_name = of_name(name);
        let of_test = from_name
            .as_ref()
            .and_then(|(named, _)| *named)
            .or(of_place);
        let mut claims: Vec<Claim> = from_name
            .map(|(named, id)| Claim {
                line: fn_at + 1,
                id,
                named: named.or(of_place),
            })
            .into_iter()
            .collect();
        for (number, line) in (start + 1..).zip(&lines[start..end]) {
            if let Some((_, comment)) = line.split_once("//") {
                claims.extend(mentions(number, comment, of_test));
            }
        }
        tests.push(Test {
            kind: Kind::Rust,
            file: file.to_owned(),
            title: name.to_owned(),
            claims,
        });
    }
    tests
}

/// The version of the innermost open `mod v5 {` around a line that is indented so far.
fn module_version(above: &[&str], mut indent: usize) -> Option<Version> {
    for line in above.iter().rev() {
        let text = line.trim_start();
        let here = line.len() - text.len();
        if here < indent
            && let Some(name) = text.strip_prefix("mod ")
        {
            indent = here;
            if let Some(version) = name.split(' ').next().and_then(Version::from_word) {
                return Some(version);
            }
        }
    }
    None
}

/// The ids in a comment; the version named last before an id is its own.
fn mentions(line: usize, comment: &str, of_test: Option<Version>) -> Vec<Claim> {
    let numbered = numbers(comment).into_iter().map(|(start, id)| Claim {
        line,
        id,
        named: Version::named_last(&comment[..start]).or(of_test),
    });
    let rows = ours(comment)
        .into_iter()
        .filter(|id| id.starts_with("T-"))
        .map(|id| Claim {
            line,
            id,
            named: None,
        });
    numbered.chain(rows).collect()
}

/// `scene TITLE`, then a line for each version with the ids that it shows.
fn scenes(kind: Kind, file: &str, text: &str) -> Result<Vec<Test>, (usize, String)> {
    let mut scenes: Vec<Test> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(title) = line.strip_prefix("scene ") {
            scenes.push(Test {
                kind,
                file: file.to_owned(),
                title: title.trim().to_owned(),
                claims: Vec::new(),
            });
        } else if let Some((version, ids)) = version_line(line) {
            let scene = scenes
                .last_mut()
                .ok_or((number, "a version line before the first scene".to_owned()))?;
            scene.claims.extend(listed(number, version, ids)?);
        }
    }
    Ok(scenes)
}

/// `v5 ID ID  title`: the version, its ids, and behind two spaces what it is about.
fn titled(kind: Kind, file: &str, text: &str) -> Result<Vec<Test>, (usize, String)> {
    let mut tests = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if let Some((version, rest)) = version_line(line) {
            let (ids, title) = rest.split_once("  ").unwrap_or(("", rest));
            tests.push(Test {
                kind,
                file: file.to_owned(),
                title: title.trim().to_owned(),
                claims: listed(number, version, ids)?,
            });
        }
    }
    Ok(tests)
}

fn version_line(line: &str) -> Option<(Version, &str)> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    Some((Version::from_word(word)?, rest))
}

/// The ids of a version line. Every word is one, so that a misspelt one does not go unseen.
fn listed(line: usize, version: Version, ids: &str) -> Result<Vec<Claim>, (usize, String)> {
    ids.split_whitespace()
        .map(|word| {
            let is_row = word.starts_with("T-") && ours(word) == [word];
            let is_number = matches!(numbers(word).as_slice(), [(0, id)] if id == word);
            let is_of_version = match word.split('-').next() {
                Some("M31") => version == Version::V31,
                Some("E5") => version == Version::V5,
                Some("MQTT") => version != Version::V31,
                _ => true,
            };
            if !is_row && !is_number {
                Err((line, format!("`{word}` is no id")))
            } else if is_of_version {
                Ok(Claim {
                    line,
                    id: word.to_owned(),
                    named: Some(version),
                })
            } else {
                Err((line, format!("{word} is none of {version}")))
            }
        })
        .collect()
}

#[cfg(test)]
mod unit {
    use super::super::unit::few;
    use super::{Claim, tests_of};

    #[track_caller]
    fn claims(file: &str, text: &str) -> Vec<String> {
        tests_of(file, text, &few())
            .unwrap()
            .iter()
            .flat_map(|test| {
                let show = |claim: &Claim| {
                    let version = claim.named.map_or("", |version| version.word());
                    format!("{}:{} {version} {}", test.title, claim.line, claim.id)
                };
                test.claims.iter().map(show).collect::<Vec<_>>()
            })
            .collect()
    }

    #[track_caller]
    fn refused(file: &str, text: &str) -> (usize, String) {
        tests_of(file, text, &few()).unwrap_err()
    }

    #[test]
    fn a_rust_test_claims_with_its_name_and_its_comments() {
        let text = "\
// v5 [MQTT-1.5.4-1]: not a test
fn checks() {}

/// T-01, and v311 [MQTT-3.1.0-1]
#[test]
fn v5_mqtt_3_1_0_1_it_is_first() {
    work(); // [MQTT-1.5.4-1]
}

// v5 [MQTT-1.5.4-1]: not a test either
";
        assert_eq!(
            claims("crates/a/tests/it/b.rs", text),
            [
                "v5_mqtt_3_1_0_1_it_is_first:6 v5 MQTT-3.1.0-1",
                "v5_mqtt_3_1_0_1_it_is_first:4 v311 MQTT-3.1.0-1",
                "v5_mqtt_3_1_0_1_it_is_first:4  T-01",
                "v5_mqtt_3_1_0_1_it_is_first:7 v5 MQTT-1.5.4-1",
            ]
        );
    }

    #[test]
    fn the_module_around_a_test_names_the_version() {
        let text = "\
mod v31 {
}

mod v5 {
    use super::*;

    mod inner {
        #[tokio::test(start_paused = true)]
        async fn mqtt_3_1_0_1_it_is_first() {}
    }
}
";
        assert_eq!(
            claims("crates/a/src/b.rs", text),
            ["mqtt_3_1_0_1_it_is_first:9 v5 MQTT-3.1.0-1"]
        );
    }

    #[test]
    fn a_number_that_two_documents_have_needs_a_version() {
        let text = "#[test]\nfn mqtt_3_1_0_1_first() {}\n";
        assert_eq!(
            refused("crates/a/src/b.rs", text),
            (
                2,
                "MQTT-3.1.0-1 is two statements: say v311 or v5 in front of it".to_owned()
            )
        );
        let text = "#[test]\nfn mqtt_1_5_3_1_utf8() {}\n";
        assert_eq!(claims("crates/a/src/b.rs", text).len(), 1);
    }

    #[test]
    fn a_scene_claims_once_for_each_version() {
        let text = "\
scene the first packet
v5    MQTT-3.1.0-1 E5-1 T-01
v311  MQTT-3.1.0-1
v31   M31-1
A> CONNECT clean  A< CONNACK 00
";
        let file = "crates/whinchat-conformance/transcripts/broker/connect.txt";
        assert_eq!(
            claims(file, text),
            [
                "the first packet:2 v5 MQTT-3.1.0-1",
                "the first packet:2 v5 E5-1",
                "the first packet:2 v5 T-01",
                "the first packet:3 v311 MQTT-3.1.0-1",
                "the first packet:4 v31 M31-1",
            ]
        );
    }

    #[test]
    fn an_id_of_another_version_or_none_is_refused_with_its_line() {
        let file = "crates/whinchat-conformance/transcripts/client/connect.txt";
        for (line, complaint) in [
            ("v31 MQTT-3.1.0-1", "MQTT-3.1.0-1 is none of MQTT 3.1"),
            (
                "v5 MQTT-1.5.3-1",
                "there is no statement MQTT-1.5.3-1 in MQTT 5.0",
            ),
            ("v311 E5-1", "E5-1 is none of MQTT 3.1.1"),
            ("v5 E5-9", "there is no statement E5-9 in MQTT 5.0"),
            ("v5 M31-1", "M31-1 is none of MQTT 5.0"),
            ("v5 MQTT-3.1.0", "`MQTT-3.1.0` is no id"),
            ("v5 T-02", "no page defines T-02"),
        ] {
            assert_eq!(
                refused(file, &format!("scene a\n{line}\n")),
                (2, complaint.to_owned())
            );
        }
    }

    #[test]
    fn a_vector_has_its_title_behind_two_spaces() {
        let text = "# v5 MQTT-9.9.9-9\nv5 MQTT-1.5.4-1 E5-1  a bad string\nbytes 30\n\nv5 plain\n";
        let file = "crates/whinchat-codec/testdata/v5/publish.txt";
        assert_eq!(
            claims(file, text),
            ["a bad string:2 v5 MQTT-1.5.4-1", "a bad string:2 v5 E5-1"]
        );
        assert!(
            claims(
                "crates/whinchat-codec/testdata/README.md",
                "v5 MQTT-1.5.4-1"
            )
            .is_empty()
        );
    }
}
