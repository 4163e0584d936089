//! Statements that need no test, and rows that have none yet: each with its reason.
//!
//! `crates/whinchat-conformance/statements/not-applicable.toml` has the statements; the sections "Not tested yet" and
//! "Not guarded yet" of `docs/known-failures.md` have the rows.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;

use super::State;
use crate::statements::{Lists, Version};

const FILE: &str = "crates/whinchat-conformance/statements/not-applicable.toml";
const PAGE: &str = "docs/known-failures.md";

type Id = (Option<Version>, String);

#[derive(Debug, Default)]
pub(super) struct Exceptions {
    not_applicable: BTreeMap<Id, String>,
    /// What no test of the row shows, and why.
    untested: BTreeMap<String, String>,
    /// Rows of parts that are not there yet.
    later: BTreeMap<String, String>,
}

impl Exceptions {
    pub(super) fn load(root: &Path, lists: &Lists) -> Result<Self, Box<dyn Error>> {
        let read = |name: &str| {
            fs::read_to_string(root.join(name)).map_err(|error| format!("{name}: {error}"))
        };
        let page = read(PAGE)?;
        let mut untested = BTreeMap::new();
        for cells in table(&page, "Not tested yet") {
            let [id, what, why, ..] = cells.as_slice() else {
                return Err(format!("{PAGE}: a row of \"Not tested yet\" has no reason").into());
            };
            untested.insert(id.clone(), format!("{what}, which takes {why}"));
        }
        let later = table(&page, "Not guarded yet")
            .into_iter()
            .filter_map(|cells| cells.into_iter().next())
            .map(|id| (id, "of a part that is not there yet".to_owned()))
            .collect();
        let not_applicable =
            not_applicable(&read(FILE)?, lists).map_err(|error| format!("{FILE}: {error}"))?;
        Ok(Self {
            not_applicable,
            untested,
            later,
        })
    }

    /// The state of a statement; an error says that a reason stands where a test is.
    pub(super) fn state(&self, id: &Id, is_tested: bool) -> Result<State, String> {
        let of_row = |rows: &BTreeMap<String, String>| {
            let is_row = id.0.is_none();
            rows.get(&id.1).filter(|_| is_row).cloned()
        };
        match (self.not_applicable.get(id), is_tested) {
            (Some(_), true) => Err(format!("{FILE}: {} has a test", id.1)),
            (Some(why), false) => Ok(State::NotApplicable(why.clone())),
            (None, true) => Ok(of_row(&self.untested).map_or(State::Shown, State::ShownInPart)),
            (None, false) => Ok(of_row(&self.later)
                .or_else(|| of_row(&self.untested))
                .map_or(State::Gap, State::Later)),
        }
    }
}

/// The cells of the rows below a heading, from those on that begin with an id.
fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    page.lines()
        .skip_while(|line| line.strip_prefix("## ") != Some(heading))
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter(|line| line.starts_with("| T-"))
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().to_owned()).collect()
        })
        .collect()
}

/// `[[not_applicable]]` with `version`, `ids` and `why`: a reason may hold for several.
fn not_applicable(text: &str, lists: &Lists) -> Result<BTreeMap<Id, String>, String> {
    let whole: toml::Table = text.parse().map_err(|error| format!("{error}"))?;
    let entries = whole.get("not_applicable").and_then(toml::Value::as_array);
    let mut found = BTreeMap::new();
    for entry in entries.into_iter().flatten() {
        let text = |key: &str| entry.get(key).and_then(toml::Value::as_str);
        let why = text("why").ok_or("an entry without `why`")?;
        let version = text("version").and_then(Version::from_word);
        let version = version.ok_or_else(|| format!("no version: {why}"))?;
        let ids = entry.get("ids").and_then(toml::Value::as_array);
        let ids = ids.ok_or_else(|| format!("no ids: {why}"))?;
        for id in ids.iter().filter_map(toml::Value::as_str) {
            lists.version_of(id, Some(version))?;
            if found
                .insert((Some(version), id.to_owned()), why.to_owned())
                .is_some()
            {
                return Err(format!("{id} stands there twice"));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::{Exceptions, State, not_applicable, table};
    use crate::statements::{Version, unit::few};

    #[test]
    fn a_reason_names_statements_that_exist_once() {
        let entry = |ids: &str| {
            format!("[[not_applicable]]\nversion = \"v5\"\nids = [{ids}]\nwhy = \"no part\"\n")
        };
        let one = not_applicable(&entry("\"MQTT-1.5.4-1\", \"E5-1\""), &few()).unwrap();
        assert_eq!(one.len(), 2);
        assert_eq!(
            not_applicable(&entry("\"MQTT-1.5.3-1\""), &few()).unwrap_err(),
            "there is no statement MQTT-1.5.3-1 in MQTT 5.0"
        );
        let twice = entry("\"MQTT-1.5.4-1\"").repeat(2);
        assert_eq!(
            not_applicable(&twice, &few()).unwrap_err(),
            "MQTT-1.5.4-1 stands there twice"
        );
        assert!(not_applicable("[[not_applicable]]\nwhy = \"x\"", &few()).is_err());
    }

    #[test]
    fn a_reason_for_what_has_a_test_is_refused() {
        let id = (Some(Version::V5), "MQTT-1.5.4-1".to_owned());
        let exceptions = Exceptions {
            not_applicable: [(id.clone(), "no part".to_owned())].into(),
            ..Exceptions::default()
        };
        assert_eq!(
            exceptions.state(&id, false),
            Ok(State::NotApplicable("no part".to_owned()))
        );
        assert!(exceptions.state(&id, true).is_err());
        let other = (Some(Version::V311), id.1);
        assert_eq!(exceptions.state(&other, true), Ok(State::Shown));
        assert_eq!(exceptions.state(&other, false), Ok(State::Gap));
    }

    #[test]
    fn rows_of_a_section_end_with_it() {
        let page = "## A\n| T-01 | x |\n## B\n| id | y |\n| T-02 | y | z |\n## C\n| T-03 | y |\n";
        assert_eq!(table(page, "B"), [["T-02", "y", "z"]]);
    }
}
