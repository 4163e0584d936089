//! Crates whose types must not show in public signatures, so that their next major version is no one's business.
//!
//! A cheap reading of the text: a `pub` item up to its body, with the names that the file imported from those
//! crates. A type that is renamed on its way out escapes it; a reviewer must see that.

use super::Finding;
use super::source::holds_word;

const HIDDEN: &[&str] = &["nom", "rustls", "toml", "tracing_subscriber"];

pub(super) fn check(file: &str, text: &str) -> Vec<Finding> {
    // Only libraries have a public face.
    if !file.starts_with("crates/") || !file.contains("/src/") || file.ends_with("/main.rs") {
        return Vec::new();
    }
    let text = &text[..text.find("#[cfg(test)]").unwrap_or(text.len())];
    let imported: Vec<(&str, String)> = HIDDEN
        .iter()
        .flat_map(|name| {
            imports(text, name)
                .into_iter()
                .map(move |item| (*name, item))
        })
        .collect();
    let mut findings = Vec::new();
    for (line, signature) in public_signatures(text) {
        let direct = HIDDEN.iter().find(|name| {
            signature.contains(&format!("{name}::")) || signature == format!("pub use {name}")
        });
        let by_import = imported
            .iter()
            .find(|(_, item)| holds_word(&signature, item))
            .map(|(name, _)| name);
        if let Some(name) = direct.or(by_import) {
            findings.push(Finding::new(
                file,
                line,
                format!("{name} shows in a public signature"),
            ));
        }
    }
    findings
}

/// The names that `use` statements bring in from one crate.
fn imports(text: &str, name: &str) -> Vec<String> {
    let opening = format!("use {name}::");
    let mut items = Vec::new();
    for (start, _) in text.match_indices(&opening) {
        let rest = &text[start + opening.len()..];
        let tree = &rest[..rest.find(';').unwrap_or(rest.len())];
        // The last word of each path is the name in use, be it an alias or not.
        items.extend(tree.split(['{', '}', ',']).filter_map(|path| {
            let item = path.trim().rsplit([' ', ':']).next()?;
            item.starts_with(char::is_uppercase)
                .then(|| item.to_owned())
        }));
    }
    items
}

/// Line and text of each item that begins with a plain `pub`, up to its body or its end, comments left out.
fn public_signatures(text: &str) -> Vec<(usize, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (number, _) in lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.trim_start().starts_with("pub "))
    {
        let mut signature = String::new();
        for line in &lines[number..] {
            let code = line.split("//").next().unwrap_or_default();
            let end = code.find(['{', ';', '=']);
            signature.push_str(code[..end.unwrap_or(code.len())].trim());
            // A field ends with its comma, a function's parameter list does not.
            if end.is_some() || (code.trim_end().ends_with(',') && !signature.contains('(')) {
                break;
            }
            signature.push(' ');
        }
        found.push((number + 1, signature.trim().to_owned()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{check, imports, public_signatures};

    const FILE: &str = "crates/whinchat-codec/src/reader.rs";

    #[test]
    fn a_hidden_crate_in_a_public_signature_is_found() {
        assert_eq!(
            check(
                FILE,
                "pub fn name(input: &[u8]) -> nom::IResult<&[u8], u8> {\n"
            )
            .len(),
            1
        );
        assert_eq!(check(FILE, "use nom::{IResult, error::ErrorKind};\n\npub fn name(\n    input: &[u8],\n) -> IResult<&[u8], u8> {\n")[0].line, 3);
        assert_eq!(
            check(
                FILE,
                "pub struct Config {\n    pub table: toml::Table,\n}\n"
            )[0]
            .line,
            2
        );
        assert_eq!(check(FILE, "pub use nom;\n").len(), 1);
    }

    #[test]
    fn what_only_we_see_may_use_it() {
        for text in [
            "pub(crate) fn name() -> nom::IResult<(), ()> {\n",
            "fn name() -> nom::IResult<(), ()> {\n",
            "pub fn name() {\n    nom::take(3);\n}\n",
        ] {
            assert_eq!(check(FILE, text), [], "{text}");
        }
        assert_eq!(
            check(
                "crates/whinchat/src/main.rs",
                "pub fn f() -> toml::Table {\n"
            ),
            []
        );
        assert_eq!(
            check(
                FILE,
                "#[cfg(test)]\nmod tests {\n    pub fn f() -> nom::X {}\n}\n"
            ),
            []
        );
    }

    #[test]
    fn imported_names_are_those_in_use() {
        assert_eq!(
            imports(
                "use nom::{IResult, error::ErrorKind as Kind, bytes::complete::take};",
                "nom"
            ),
            ["IResult", "Kind"]
        );
        assert_eq!(imports("use nom::Err;", "nom"), ["Err"]);
    }

    #[test]
    fn a_signature_goes_on_to_its_body() {
        let signatures = public_signatures(
            "pub fn f(\n    a: u8, // nom::X\n) -> u16\nwhere\n    A: B,\n{\n    nom::x()\n}\n",
        );
        assert_eq!(
            signatures,
            [(1, "pub fn f( a: u8, ) -> u16 where A: B,".to_owned())]
        );
    }
}
