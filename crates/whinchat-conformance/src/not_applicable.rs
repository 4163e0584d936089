//! Statements that no scene shows, each with the reason: `statements/not-applicable.toml`.

use std::{collections::HashMap, sync::LazyLock};

use serde::Deserialize;
use whinchat_codec::ProtocolVersion;

use crate::notation::version;
use crate::statement::Statement;

#[derive(Deserialize)]
struct List {
    not_applicable: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    version: String,
    ids: Vec<String>,
    why: String,
}

/// Why no scene shows the statement, if there is a reason.
pub(crate) fn not_applicable(statement: &Statement) -> Option<&'static str> {
    static REASONS: LazyLock<HashMap<(ProtocolVersion, String), String>> = LazyLock::new(|| {
        let list: List = toml::from_str(include_str!("../statements/not-applicable.toml"))
            .expect("the list is read by a test of this crate");
        let each = list.not_applicable.into_iter().flat_map(|entry| {
            let version = version(&entry.version);
            let ids = entry.ids.into_iter();
            ids.filter_map(move |id| Some(((version?, id), entry.why.clone())))
        });
        each.collect()
    });
    REASONS
        .get(&(statement.version, statement.id.clone()))
        .map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement;

    #[test]
    fn the_reasons_are_found() {
        let of = |version, id| not_applicable(statement(version, id).unwrap());
        let why = of(ProtocolVersion::V5, "MQTT-6.0.0-1");
        assert!(why.is_some_and(|why| why.contains("WebSocket")), "{why:?}");
        assert_eq!(of(ProtocolVersion::V5, "MQTT-3.3.1-3"), None);
    }
}
