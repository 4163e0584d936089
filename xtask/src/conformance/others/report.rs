//! What `whinchat conformance --json` said of one broker or client, of all its listeners together.

use std::collections::BTreeMap;
use std::error::Error;

use serde_json::Value;

/// Newest first, as the page has them.
pub(super) const VERSIONS: [&str; 3] = ["5.0", "3.1.1", "3.1"];

/// Statements by version and chapter, in the order of their lists.
#[derive(Default)]
pub(super) struct Report {
    statements: Vec<Statement>,
    places: BTreeMap<(String, String), usize>,
    /// Failures of scenes by version and name.
    failures: BTreeMap<(String, String), Failure>,
}

#[derive(Clone)]
pub(super) struct Statement {
    pub(super) version: String,
    pub(super) id: String,
    pub(super) chapter: String,
    pub(super) state: State,
    scenes: Vec<String>,
}

/// The worst is last, as in the report of the program.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    NotTested,
    NotOffered,
    Passed,
    Failed,
}

#[derive(Clone)]
pub(super) struct Failure {
    /// Without version and statement ids.
    pub(super) title: String,
    pub(super) expected: String,
    pub(super) received: String,
}

/// How many statements of a chapter are in each state.
#[derive(Default, Clone, Copy)]
pub(super) struct Count {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) other: usize,
}

impl Report {
    /// Adds a run: a statement that was not tested there is known from another.
    pub(super) fn add(&mut self, json: &str) -> Result<(), Box<dyn Error>> {
        let report: Value = serde_json::from_str(json)?;
        for row in rows(&report, "statements")? {
            let statement = Statement {
                version: text(row, "version")?,
                id: text(row, "id")?,
                chapter: text(row, "chapter")?,
                state: State::named(&text(row, "state")?)?,
                scenes: rows(row, "scenes")?
                    .iter()
                    .filter_map(|name| name.as_str().map(str::to_owned))
                    .collect(),
            };
            let key = (statement.version.clone(), statement.id.clone());
            match self.places.get(&key) {
                Some(place) if self.statements[*place].state < statement.state => {
                    self.statements[*place] = statement;
                }
                Some(_) => {}
                None => {
                    self.places.insert(key, self.statements.len());
                    self.statements.push(statement);
                }
            }
        }
        for row in rows(&report, "scenes")? {
            let Some(failure) = row.get("failure") else {
                continue;
            };
            let (version, name) = (text(row, "version")?, text(row, "name")?);
            let failure = Failure {
                title: title(&name),
                expected: text(failure, "expected")?,
                received: text(failure, "received")?,
            };
            self.failures.insert((version, name), failure);
        }
        Ok(())
    }

    pub(super) fn of<'a>(&'a self, version: &'a str) -> impl Iterator<Item = &'a Statement> {
        self.statements
            .iter()
            .filter(move |statement| statement.version == version)
    }

    pub(super) fn count(&self, version: &str, chapter: Option<&str>) -> Count {
        let mut count = Count::default();
        for statement in self.of(version) {
            if chapter.is_some_and(|chapter| chapter != statement.chapter) {
                continue;
            }
            match statement.state {
                State::Passed => count.passed += 1,
                State::Failed => count.failed += 1,
                State::NotOffered | State::NotTested => count.other += 1,
            }
        }
        count
    }

    /// The first scene of a statement that failed.
    pub(super) fn failure(&self, statement: &Statement) -> Option<&Failure> {
        statement.scenes.iter().find_map(|scene| {
            self.failures
                .get(&(statement.version.clone(), scene.clone()))
        })
    }
}

impl State {
    fn named(name: &str) -> Result<Self, String> {
        match name {
            "passed" => Ok(Self::Passed),
            "failed" => Ok(Self::Failed),
            "not_offered" => Ok(Self::NotOffered),
            "not_tested" => Ok(Self::NotTested),
            other => Err(format!("no state is called `{other}`")),
        }
    }
}

/// `v5 MQTT-3.3.1-2 T-07 a title` without what stands in front of the title.
fn title(name: &str) -> String {
    let is_id = |word: &&str| {
        word.split_once('-').is_some_and(|(list, number)| {
            (matches!(list, "MQTT" | "T") || list.starts_with(['E', 'M']))
                && number.starts_with(|c: char| c.is_ascii_digit())
        })
    };
    name.split(' ')
        .skip(1)
        .skip_while(is_id)
        .collect::<Vec<_>>()
        .join(" ")
}

fn rows<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>, String> {
    value
        .get(key)
        .and_then(Value::as_array)
        .ok_or_else(|| format!("the report has no {key}"))
}

fn text(value: &Value, key: &str) -> Result<String, String> {
    let found = value.get(key).and_then(Value::as_str);
    found
        .map(str::to_owned)
        .ok_or_else(|| format!("a row of the report has no {key}"))
}

#[cfg(test)]
mod tests {
    use super::{Report, State, title};

    #[test]
    fn what_one_listener_does_not_have_is_known_from_the_other() {
        let run = |state: &str, scene: &str| {
            format!(
                r#"{{"statements":[{{"version":"5.0","id":"MQTT-3.3.1-2","chapter":"3.3 PUBLISH","state":"{state}",
                    "scenes":["v5 MQTT-3.3.1-2 a"]}}],"scenes":[{scene}]}}"#
            )
        };
        let mut report = Report::default();
        report.add(&run("not_tested", "")).unwrap();
        let scene = r#"{"version":"5.0","name":"v5 MQTT-3.3.1-2 a","failure":{"expected":"x","received":"y"}}"#;
        report.add(&run("failed", scene)).unwrap();
        let statement = report.of("5.0").next().unwrap();
        assert!(statement.state == State::Failed);
        let failure = report.failure(statement).unwrap();
        assert_eq!(
            (failure.title.as_str(), failure.received.as_str()),
            ("a", "y")
        );
        assert_eq!(report.count("5.0", Some("3.3 PUBLISH")).failed, 1);
        assert_eq!(report.count("5.0", Some("3.4 PUBACK")).failed, 0);
    }

    #[test]
    fn a_title_stands_behind_the_ids() {
        assert_eq!(
            title("v5 MQTT-3.3.1-2 E5-7 T-68 W-9: the end"),
            "W-9: the end"
        );
        assert_eq!(title("v31 M31-7 a client"), "a client");
    }
}
