//! `interop/skips.toml`: cases that cannot pass on one broker, each with the reason.

use std::error::Error;
use std::fs;
use std::path::Path;

/// One case that is not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Skip {
    pub(super) broker: String,
    pub(super) case: String,
    pub(super) reason: String,
}

pub(super) fn load(path: &Path) -> Result<Vec<Skip>, Box<dyn Error>> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    parse(&text).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn parse(text: &str) -> Result<Vec<Skip>, Box<dyn Error>> {
    let table: toml::Table = text.parse()?;
    let Some(entries) = table.get("skip") else {
        return Ok(Vec::new());
    };
    entries
        .as_array()
        .ok_or("`skip` must be a list: [[skip]]")?
        .iter()
        .map(skip)
        .collect()
}

fn skip(entry: &toml::Value) -> Result<Skip, Box<dyn Error>> {
    let field = |name: &str| {
        let value = entry
            .get(name)
            .and_then(toml::Value::as_str)
            .filter(|value| !value.is_empty());
        value
            .map(str::to_owned)
            .ok_or(format!("a [[skip]] needs a `{name}`: {entry}"))
    };
    Ok(Skip {
        broker: field("broker")?,
        case: field("case")?,
        reason: field("reason")?,
    })
}

#[cfg(test)]
mod tests {
    use super::{Skip, load, parse};

    #[test]
    fn a_skip_names_broker_case_and_reason() {
        let skips =
            parse("[[skip]]\nbroker = \"mosquitto\"\ncase = \"paho/v5/x\"\nreason = \"because\"\n")
                .unwrap();
        assert_eq!(
            skips,
            [Skip {
                broker: "mosquitto".into(),
                case: "paho/v5/x".into(),
                reason: "because".into()
            }]
        );
        let error = parse("[[skip]]\nbroker = \"mosquitto\"\ncase = \"paho/v5/x\"\n")
            .unwrap_err()
            .to_string();
        assert!(error.contains("needs a `reason`"), "{error}");
        assert_eq!(parse("").unwrap(), []);
    }

    #[test]
    fn the_file_of_the_project_is_sound() {
        load(&crate::workspace::root().join("interop/skips.toml")).unwrap();
    }
}
