//! Pages of the operators' manual that are made from the code are the stored ones.

use std::{fs, path::Path};

use whinchat_broker::config::Page;

#[test]
fn the_pages_for_operators_are_up_to_date() {
    for page in Page::ALL {
        compare(
            &page.text(),
            &format!("../../docs/broker/{}.md", page.name()),
        );
    }
}

/// Compares with a stored file. With `WHINCHAT_UPDATE=1` in the environment the file is written instead.
#[track_caller]
pub(crate) fn compare(made: &str, stored: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(stored);
    if std::env::var_os("WHINCHAT_UPDATE").is_some() {
        fs::write(&path, made).unwrap();
    }
    let text = fs::read_to_string(&path).unwrap_or_default();
    let line = (1..)
        .zip(made.lines().zip(text.lines()))
        .find(|(_, (made, text))| made != text);
    assert!(
        made == text,
        "{stored} is not what the code gives now, from {line:?} on. Read the difference; if it is meant, \
         WHINCHAT_UPDATE=1 cargo test -p whinchat-broker writes it"
    );
}
