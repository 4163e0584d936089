//! Statement ids of the specifications in comments, tests, test data and pages: each must exist.
//!
//! `MQTT-3.3.2-2` and the name of a test `mqtt_3_3_2_2_...` point into MQTT 3.1.1 or 5.0, whose numbers differ;
//! a `v311` or `v5` in front of the id, or in the path of the file, says which. `M31-7` is a difference of MQTT 3.1.
//! The lists are in `crates/whinchat-conformance/statements/`.
//!
//! Our own ids are checked too: rows `T-12` and `L-3` of `docs/known-failures.md`, invariants `A-1` and `I-3` of
//! `docs/architecture.md`.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::Path;

use super::Finding;

/// Which ids exist.
pub(super) struct Known {
    v31: BTreeSet<String>,
    v311: BTreeSet<String>,
    v5: BTreeSet<String>,
    ours: BTreeSet<String>,
}

impl Known {
    /// Reads the lists of the workspace at `root`.
    pub(super) fn load(root: &Path) -> Result<Self, Box<dyn Error>> {
        let read = |name: &str,
                    ids: fn(&str) -> BTreeSet<String>|
         -> Result<BTreeSet<String>, Box<dyn Error>> {
            let path = root.join(name);
            let text = fs::read_to_string(&path)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            let ids = ids(&text);
            if ids.is_empty() {
                Err(format!("{}: no ids", path.display()).into())
            } else {
                Ok(ids)
            }
        };
        let mut ours = read("docs/known-failures.md", defined_here)?;
        ours.append(&mut read("docs/architecture.md", defined_here)?);
        Ok(Self {
            v31: read("crates/whinchat-conformance/statements/mqtt-3.1.toml", ids)?,
            v311: read(
                "crates/whinchat-conformance/statements/mqtt-3.1.1.toml",
                ids,
            )?,
            v5: read("crates/whinchat-conformance/statements/mqtt-5.0.toml", ids)?,
            ours,
        })
    }

    fn has(&self, id: &str, version: Option<Version>) -> bool {
        match version {
            _ if id.starts_with("M31-") => self.v31.contains(id),
            Some(Version::V311) => self.v311.contains(id),
            Some(Version::V5) => self.v5.contains(id),
            None => self.v311.contains(id) || self.v5.contains(id),
        }
    }
}

/// The values of the lines `id = "..."`.
fn ids(list: &str) -> BTreeSet<String> {
    list.lines()
        .filter_map(|line| Some(line.strip_prefix("id = \"")?.strip_suffix('"')?.to_owned()))
        .collect()
}

/// The ids that a page defines: first cells of tables, and bold openings of list items.
fn defined_here(page: &str) -> BTreeSet<String> {
    let opening = |line: &str| {
        let rest = line
            .strip_prefix("| ")
            .or_else(|| line.strip_prefix("- **"))?;
        our_ids(rest)
            .into_iter()
            .next()
            .filter(|id| rest.starts_with(id.as_str()))
    };
    page.lines().filter_map(opening).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V311,
    V5,
}

pub(super) fn check(file: &str, text: &str, known: &Known) -> Vec<Finding> {
    if file.starts_with("xtask/src/tidy/") {
        return Vec::new();
    }
    let of_file = if file.contains("/v5/") {
        Some(Version::V5)
    } else if file.contains("/v311/") {
        Some(Version::V311)
    } else {
        None
    };
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for (id, before) in mentioned(line) {
            let version = named_version(before).or(of_file);
            if !known.has(&id, version) {
                let place = version.map_or("", |version| {
                    if version == Version::V5 {
                        " in MQTT 5.0"
                    } else {
                        " in MQTT 3.1.1"
                    }
                });
                findings.push(Finding::new(
                    file,
                    number + 1,
                    format!("there is no statement {id}{place}"),
                ));
            }
        }
        for id in our_ids(line)
            .into_iter()
            .filter(|id| !known.ours.contains(id))
        {
            findings.push(Finding::new(
                file,
                number + 1,
                format!("no page defines {id}"),
            ));
        }
    }
    findings
}

/// The ids of the line, each with the text before it.
fn mentioned(line: &str) -> Vec<(String, &str)> {
    let mut found = Vec::new();
    for (start, _) in line.match_indices("MQTT-") {
        let number: String = line[start + 5..]
            .chars()
            .take_while(|c| c.is_ascii_digit() || matches!(c, '.' | '-'))
            .collect();
        let number = number.trim_end_matches(['.', '-']);
        if is_statement_number(number) {
            found.push((format!("MQTT-{number}"), &line[..start]));
        }
    }
    for (start, _) in line.match_indices("M31-") {
        let number: String = line[start + 4..]
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        if !number.is_empty() {
            found.push((format!("M31-{number}"), &line[..start]));
        }
    }
    if let Some(name) = line
        .trim_start()
        .strip_prefix("fn mqtt_")
        .or_else(|| line.trim_start().strip_prefix("async fn mqtt_"))
    {
        let numbers: Vec<&str> = name
            .split('_')
            .take_while(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit()))
            .take(4)
            .collect();
        if let [chapter, section, part, number] = numbers.as_slice() {
            found.push((format!("MQTT-{chapter}.{section}.{part}-{number}"), ""));
        }
    }
    found
}

/// The ids of ours in the line: one of four letters, a dash, and up to three digits, standing alone.
fn our_ids(line: &str) -> Vec<String> {
    let word = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    line.split(|c: char| !word(c))
        .filter(|text| {
            let mut parts = text.splitn(2, '-');
            let letter = parts
                .next()
                .is_some_and(|letter| matches!(letter, "T" | "L" | "A" | "I"));
            letter
                && parts.next().is_some_and(|digits| {
                    (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
                })
        })
        .map(str::to_owned)
        .collect()
}

/// `3.3.2-2`: three numbers of a section, one of the statement.
fn is_statement_number(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    text.split_once('-').is_some_and(|(section, statement)| {
        section.split('.').count() == 3 && section.split('.').all(is_number) && is_number(statement)
    })
}

/// The version named last before the id.
fn named_version(before: &str) -> Option<Version> {
    match (before.rfind("v311"), before.rfind("v5")) {
        (None, None) => None,
        (v311, v5) if v5 > v311 => Some(Version::V5),
        _ => Some(Version::V311),
    }
}

#[cfg(test)]
mod tests {
    use super::{Known, check, defined_here, ids, mentioned};

    fn known() -> Known {
        Known {
            v31: ids("id = \"M31-1\""),
            v311: ids("id = \"MQTT-1.5.3-1\"\nid = \"MQTT-3.1.0-1\""),
            v5: ids("id = \"MQTT-1.5.4-1\"\nid = \"MQTT-3.1.0-1\""),
            ours: defined_here("| T-01 | a bomb |\n- **A-1** Nothing."),
        }
    }

    #[track_caller]
    fn rules(file: &str, line: &str) -> Vec<String> {
        check(file, line, &known())
            .into_iter()
            .map(|finding| finding.rule)
            .collect()
    }

    #[test]
    fn an_id_that_no_version_has_is_found() {
        assert_eq!(
            rules("a.rs", "// v5 [MQTT-9.9.9-9]"),
            ["there is no statement MQTT-9.9.9-9 in MQTT 5.0"]
        );
        assert_eq!(
            rules("a.rs", "// [MQTT-9.9.9-9]."),
            ["there is no statement MQTT-9.9.9-9"]
        );
        assert_eq!(rules("a.rs", "// M31-9"), ["there is no statement M31-9"]);
        assert!(rules("a.rs", "// [MQTT-1.5.3-1], [MQTT-1.5.4-1], M31-1").is_empty());
    }

    #[test]
    fn the_version_in_front_or_in_the_path_decides() {
        assert!(rules("a.rs", "// v311 [MQTT-1.5.3-1], v5 [MQTT-1.5.4-1]").is_empty());
        assert_eq!(rules("a.rs", "// v5 [MQTT-1.5.3-1]").len(), 1);
        assert_eq!(rules("testdata/v5/a.txt", "MQTT-1.5.3-1").len(), 1);
        assert!(rules("testdata/v5/a.txt", "v311 MQTT-1.5.3-1").is_empty());
        assert!(rules("testdata/v311/a.txt", "MQTT-1.5.3-1").is_empty());
    }

    #[test]
    fn names_of_tests_are_ids_too() {
        assert_eq!(
            mentioned("    fn mqtt_4_3_3_10_a_repeat_is_acked() {"),
            [("MQTT-4.3.3-10".to_owned(), "")]
        );
        assert!(mentioned("fn mqtt_version_is_kept() {").is_empty());
        assert_eq!(rules("a.rs", "fn mqtt_9_9_9_9_nothing() {").len(), 1);
    }

    #[test]
    fn what_only_looks_alike_is_left_alone() {
        assert!(mentioned("MQTT-3 and MQTT-SN and MQTT-3.1.1").is_empty());
    }

    #[test]
    fn our_own_ids_are_defined_on_a_page() {
        assert!(rules("a.rs", "// T-01, A-1: guarded here").is_empty());
        assert_eq!(
            rules("a.rs", "// T-02 and I-9"),
            ["no page defines T-02", "no page defines I-9"]
        );
        assert!(rules("a.rs", "BA-1001 UTF-8 T-shirt A-1-2 L-x").is_empty());
    }

    #[test]
    fn the_lists_of_the_project_are_read() {
        let known = Known::load(&crate::workspace::root()).unwrap();
        assert!(
            known.has("MQTT-3.1.0-1", None)
                && known.has("M31-1", None)
                && !known.has("MQTT-0.0.0-0", None)
        );
    }
}
