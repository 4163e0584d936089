//! The statements of the specifications and the rows of our own pages, read from where they are kept.
//!
//! [`tidy`](crate::tidy) asks whether an id exists, [`conformance`](crate::conformance) asks what each one says.
//! The specifications' lists are in `crates/whinchat-conformance/statements/`, the errors of MQTT 5.0 (`E5-7`) in
//! `crates/whinchat-codec/testdata/spec/packets.toml`, the rows `T-12` in `docs/known-failures.md`.
//! [`tests`] finds what names them.

pub(crate) mod tests;

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::fs;
use std::path::Path;

/// Whose numbers an id is one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    V31,
    V311,
    V5,
}

impl Version {
    pub(crate) const ALL: [Self; 3] = [Self::V5, Self::V311, Self::V31];

    /// `v5`, as it stands in front of ids.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        match word {
            "v31" => Some(Self::V31),
            "v311" => Some(Self::V311),
            "v5" => Some(Self::V5),
            _ => None,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::V31 => "v31",
            Self::V311 => "v311",
            Self::V5 => "v5",
        }
    }

    /// The version whose folder the file lies in: `testdata/v5/connect.txt`.
    pub(crate) fn of_path(file: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|version| file.contains(&format!("/{}/", version.word())))
    }

    /// The version that is named last in the text.
    pub(crate) fn named_last(text: &str) -> Option<Self> {
        let (start, _) = text.match_indices('v').rfind(|(start, _)| {
            let digits = text[start + 1..]
                .split(|c: char| !c.is_ascii_digit())
                .next();
            matches!(digits, Some("31" | "311" | "5"))
        })?;
        let digits = text[start + 1..]
            .split(|c: char| !c.is_ascii_digit())
            .next()?;
        Self::from_word(&format!("v{digits}"))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V31 => "MQTT 3.1",
            Self::V311 => "MQTT 3.1.1",
            Self::V5 => "MQTT 5.0",
        })
    }
}

/// One statement, difference, error or row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) id: String,
    /// Number and title; the heading of a row. Differences and errors have none.
    pub(crate) chapter: Option<String>,
    pub(crate) text: String,
}

/// Everything that a test may name.
pub(crate) struct Lists {
    pub(crate) v31: Vec<Statement>,
    pub(crate) v311: Vec<Statement>,
    pub(crate) v5: Vec<Statement>,
    /// What MQTT 5.0 gives a reason code for, `E5-n`.
    pub(crate) errors: Vec<Statement>,
    /// `T-n`, in the order of the page.
    pub(crate) rows: Vec<Statement>,
    /// All ids that our pages define: rows, limits `L-n`, invariants `A-n` and `I-n`.
    others: BTreeSet<String>,
}

impl Lists {
    /// Reads the lists of the workspace at `root`.
    pub(crate) fn load(root: &Path) -> Result<Self, Box<dyn Error>> {
        let list = |file: &str, name: &str, text: &str| {
            let path = root.join("crates").join(file);
            listed(&read(&path)?, name, text)
                .map_err(|error| format!("{}: {error}", path.display()))
        };
        let statements = |file| {
            list(
                &format!("whinchat-conformance/statements/{file}"),
                "statement",
                "requirement",
            )
        };
        let failures = read(&root.join("docs/known-failures.md"))?;
        let architecture = read(&root.join("docs/architecture.md"))?;
        Ok(Self {
            v31: list(
                "whinchat-conformance/statements/mqtt-3.1.toml",
                "difference",
                "mqtt_3_1",
            )?,
            v311: statements("mqtt-3.1.1.toml")?,
            v5: statements("mqtt-5.0.toml")?,
            errors: list(
                "whinchat-codec/testdata/spec/packets.toml",
                "v5.error",
                "condition",
            )?,
            rows: rows(&failures),
            others: defined(&failures)
                .into_iter()
                .chain(defined(&architecture))
                .collect(),
        })
    }

    /// The ids of the specification itself.
    pub(crate) fn of(&self, version: Version) -> &[Statement] {
        match version {
            Version::V31 => &self.v31,
            Version::V311 => &self.v311,
            Version::V5 => &self.v5,
        }
    }

    /// Whether the version has this id; without a version, whether any has. Rows, limits and invariants are everybody's.
    pub(crate) fn has(&self, id: &str, version: Option<Version>) -> bool {
        let listed = |list: &[Statement]| list.iter().any(|statement| statement.id == id);
        if id.starts_with("MQTT-") || id.starts_with("M31-") {
            match version {
                Some(version) => listed(self.of(version)),
                None => Version::ALL.iter().any(|version| listed(self.of(*version))),
            }
        } else if id.starts_with("E5-") {
            matches!(version, None | Some(Version::V5)) && listed(&self.errors)
        } else {
            self.others.contains(id)
        }
    }

    /// Of which version a mention is, if there is such a statement at all; none for what is everybody's.
    /// `named` is the version that stands by the id, if any does.
    ///
    /// The documents number differently: an id that both of them have says nothing without its version.
    pub(crate) fn version_of(
        &self,
        id: &str,
        named: Option<Version>,
    ) -> Result<Option<Version>, String> {
        let own = match id.split('-').next() {
            Some("M31") => Some(Version::V31),
            Some("E5") => Some(Version::V5),
            Some("MQTT") => None,
            _ if self.has(id, None) => return Ok(None),
            _ => return Err(format!("no page defines {id}")),
        };
        if let Some(version) = own.or(named) {
            return if self.has(id, Some(version)) {
                Ok(Some(version))
            } else {
                Err(format!("there is no statement {id} in {version}"))
            };
        }
        match (
            self.has(id, Some(Version::V311)),
            self.has(id, Some(Version::V5)),
        ) {
            (true, true) => Err(format!(
                "{id} is two statements: say v311 or v5 in front of it"
            )),
            (true, false) => Ok(Some(Version::V311)),
            (false, true) => Ok(Some(Version::V5)),
            (false, false) => Err(format!("there is no statement {id}")),
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The entries of a list in TOML: the table at the dotted `name`, its `id`, and the field that says what is asked. Its
/// `section` belongs to one of the list's `chapters`, if it has any.
fn listed(list: &str, name: &str, text: &str) -> Result<Vec<Statement>, String> {
    let whole: toml::Table = list.parse().map_err(|error| format!("{error}"))?;
    let chapters = whole
        .get("chapters")
        .and_then(toml::Value::as_array)
        .cloned();
    let mut value = toml::Value::Table(whole);
    for part in name.split('.') {
        value = value
            .get(part)
            .cloned()
            .ok_or_else(|| format!("there is no [[{name}]]"))?;
    }
    let field = |entry: &toml::Value, key: &str| {
        let text = entry
            .get(key)
            .and_then(toml::Value::as_str)
            .map(str::to_owned);
        text.ok_or_else(|| format!("an entry of [[{name}]] has no {key}"))
    };
    let entries = value.as_array().filter(|entries| !entries.is_empty());
    entries
        .ok_or_else(|| format!("there is no [[{name}]]"))?
        .iter()
        .map(|entry| {
            let id = field(entry, "id")?;
            let chapter = match &chapters {
                Some(chapters) => {
                    let section = field(entry, "section")?;
                    let mut titles = chapters.iter().filter_map(toml::Value::as_str);
                    let title = titles.find(|title| is_in_chapter(&section, title));
                    Some(
                        title
                            .ok_or_else(|| format!("{id} is in no chapter"))?
                            .to_owned(),
                    )
                }
                None => None,
            };
            Ok(Statement {
                id,
                chapter,
                text: field(entry, text)?,
            })
        })
        .collect()
}

/// Whether `3.1.2.5 Will Flag` is in `3.1 CONNECT`.
fn is_in_chapter(section: &str, chapter: &str) -> bool {
    let number = |title: &str| title.split(' ').next().unwrap_or_default().to_owned();
    let two: Vec<String> = number(section)
        .split('.')
        .take(2)
        .map(str::to_owned)
        .collect();
    two.join(".") == number(chapter)
}

/// The rows `| T-12 | input | what is right |` of the page, each with the heading above it.
fn rows(page: &str) -> Vec<Statement> {
    let mut heading = "";
    let mut rows = Vec::new();
    for line in page.lines() {
        if let Some(text) = line.strip_prefix("## ") {
            heading = text;
        }
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        if let [id, input, right, ..] = cells.as_slice()
            && line.starts_with("| T-")
            && !rows.iter().any(|row: &Statement| row.id == *id)
        {
            rows.push(Statement {
                id: (*id).to_owned(),
                chapter: Some(heading.to_owned()),
                text: format!("{input}: {right}"),
            });
        }
    }
    rows
}

/// The ids that a page defines: first cells of tables, and bold openings of list items.
fn defined(page: &str) -> BTreeSet<String> {
    let opening = |line: &str| {
        let rest = line
            .strip_prefix("| ")
            .or_else(|| line.strip_prefix("- **"))?;
        ours(rest)
            .into_iter()
            .next()
            .filter(|id| rest.starts_with(id.as_str()))
    };
    page.lines().filter_map(opening).collect()
}

/// The ids of ours in the text: one of four letters, a dash, and up to three digits, standing alone.
pub(crate) fn ours(text: &str) -> Vec<String> {
    let word = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    text.split(|c: char| !word(c))
        .filter(|text| {
            let (letter, digits) = text.split_once('-').unwrap_or_default();
            matches!(letter, "T" | "L" | "A" | "I")
                && (1..=3).contains(&digits.len())
                && digits.bytes().all(|b| b.is_ascii_digit())
        })
        .map(str::to_owned)
        .collect()
}

/// The specifications' ids in the text, each with where it begins.
pub(crate) fn numbers(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (start, _) in text.match_indices("MQTT-") {
        let number: String = text[start + 5..]
            .chars()
            .take_while(|c| c.is_ascii_digit() || matches!(c, '.' | '-'))
            .collect();
        let number = number.trim_end_matches(['.', '-']);
        if is_number(number) {
            found.push((start, format!("MQTT-{number}")));
        }
    }
    for list in ["M31-", "E5-"] {
        for (start, _) in text.match_indices(list) {
            let number: String = text[start + list.len()..]
                .chars()
                .take_while(char::is_ascii_digit)
                .collect();
            let stands_alone = !text[..start].ends_with(|c: char| c.is_alphanumeric() || c == '-');
            if !number.is_empty() && stands_alone {
                found.push((start, format!("{list}{number}")));
            }
        }
    }
    found
}

/// `3.3.2-2`: three numbers of a section, one of the statement.
fn is_number(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    text.split_once('-').is_some_and(|(section, statement)| {
        section.split('.').count() == 3 && section.split('.').all(is_number) && is_number(statement)
    })
}

/// The statement that a test is named after: `v5_mqtt_3_3_2_2_...`, `m31_7_...`, and the version if it is named too.
pub(crate) fn of_name(name: &str) -> Option<(Option<Version>, String)> {
    let mut rest = name;
    let mut version = None;
    if let Some((word, after)) = name.split_once('_')
        && let Some(named) = Version::from_word(word)
    {
        version = Some(named);
        rest = after;
    }
    let numbers = |text: &str, count: usize| {
        let numbers: Vec<String> = text
            .split('_')
            .take_while(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit()))
            .take(count)
            .map(str::to_owned)
            .collect();
        (numbers.len() == count).then_some(numbers)
    };
    if let Some(text) = rest.strip_prefix("mqtt_") {
        let numbers = numbers(text, 4)?;
        let (section, number) = numbers.split_at(3);
        Some((version, format!("MQTT-{}-{}", section.join("."), number[0])))
    } else {
        let number = numbers(rest.strip_prefix("m31_")?, 1)?;
        Some((Some(Version::V31), format!("M31-{}", number[0])))
    }
}

#[cfg(test)]
pub(crate) mod unit {
    use super::{Lists, Statement, Version, defined, listed, numbers, of_name, ours, rows};

    fn list(ids: &[&str]) -> Vec<Statement> {
        ids.iter()
            .map(|id| Statement {
                id: (*id).to_owned(),
                chapter: None,
                text: "It holds.".to_owned(),
            })
            .collect()
    }

    /// A few statements of each list.
    pub(crate) fn few() -> Lists {
        Lists {
            v31: list(&["M31-1"]),
            v311: list(&["MQTT-1.5.3-1", "MQTT-3.1.0-1"]),
            v5: list(&["MQTT-1.5.4-1", "MQTT-3.1.0-1"]),
            errors: list(&["E5-1"]),
            rows: list(&["T-01"]),
            others: defined("| T-01 | a bomb |\n- **A-1** Nothing."),
        }
    }

    #[test]
    fn an_id_belongs_to_its_version() {
        let few = few();
        assert!(few.has("MQTT-1.5.3-1", None) && few.has("MQTT-1.5.3-1", Some(Version::V311)));
        assert!(!few.has("MQTT-1.5.3-1", Some(Version::V5)));
        assert!(few.has("M31-1", Some(Version::V31)) && !few.has("M31-1", Some(Version::V5)));
        assert!(few.has("E5-1", Some(Version::V5)) && !few.has("E5-1", Some(Version::V311)));
        assert!(few.has("T-01", Some(Version::V31)) && !few.has("T-02", None));
    }

    #[test]
    fn the_last_version_named_counts() {
        assert_eq!(
            Version::named_last("// v311 [MQTT-1.5.3-1], v5 ["),
            Some(Version::V5)
        );
        assert_eq!(Version::named_last("v31 M31-2, "), Some(Version::V31));
        assert_eq!(Version::named_last("v311 "), Some(Version::V311));
        assert_eq!(Version::named_last("over 5 levels, v50"), None);
    }

    #[test]
    fn a_name_of_a_test_begins_with_its_statement() {
        let id = |text: &str| text.to_owned();
        assert_eq!(
            of_name("mqtt_4_3_3_10_a_repeat"),
            Some((None, id("MQTT-4.3.3-10")))
        );
        assert_eq!(
            of_name("v5_mqtt_4_3_3_10_2_repeats"),
            Some((Some(Version::V5), id("MQTT-4.3.3-10")))
        );
        assert_eq!(
            of_name("m31_7_no_session_present"),
            Some((Some(Version::V31), id("M31-7")))
        );
        assert_eq!(of_name("v5_mqtt_4_7_in_general"), None);
        assert_eq!(of_name("a_repeat_of_mqtt_4_3_3_10"), None);
    }

    #[test]
    fn what_only_looks_like_an_id_is_left_alone() {
        assert!(numbers("MQTT-3 and MQTT-SN and MQTT-3.1.1, E5- and FE5-7").is_empty());
        assert!(ours("BA-1001 UTF-8 T-shirt A-1-2 L-x").is_empty());
    }

    #[test]
    fn a_list_is_read_with_its_chapters() {
        let list = "chapters = [\"3.1 CONNECT\", \"3.10 UNSUBSCRIBE\", \"6 WebSocket\"]\n\
            [[statement]]\nid = \"A\"\nsection = \"3.10.4 Actions\"\nrequirement = \"odd\"\n\
            [[statement]]\nid = \"B\"\nsection = \"6 Using\"\nrequirement = \"even\"";
        let found = listed(list, "statement", "requirement").unwrap();
        assert_eq!(found[0].chapter.as_deref(), Some("3.10 UNSUBSCRIBE"));
        assert_eq!(found[1].chapter.as_deref(), Some("6 WebSocket"));
        assert_eq!(found[1].text, "even");
        let strange = list.replace("6 Using", "7 Using");
        assert_eq!(
            listed(&strange, "statement", "requirement").unwrap_err(),
            "B is in no chapter"
        );
        let error = "[[v5.error]]\nid = \"E5-1\"\ncondition = \"odd\"";
        assert_eq!(
            listed(error, "v5.error", "condition").unwrap()[0].chapter,
            None
        );
        assert!(listed("[x]", "statement", "requirement").is_err());
    }

    #[test]
    fn rows_have_the_heading_above_them() {
        let page = "## Framing\n| id | input |\n| --- | --- |\n| T-01 | a bomb | close | X |\n";
        assert_eq!(
            rows(page),
            [Statement {
                id: "T-01".to_owned(),
                chapter: Some("Framing".to_owned()),
                text: "a bomb: close".to_owned()
            }]
        );
    }

    #[test]
    fn the_lists_of_the_project_are_read() {
        let lists = Lists::load(crate::workspace::root()).unwrap();
        let sizes = [&lists.v5, &lists.v311, &lists.v31, &lists.errors].map(|list| list.len());
        assert_eq!(sizes, [251, 141, 59, 47]);
        assert!(lists.has("T-81", None) && lists.has("L-3", None) && lists.has("I-9", None));
    }
}
