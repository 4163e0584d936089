//! Keeps a log line one line: what a client chose may hold line breaks, terminal commands and
//! marks that turn the direction of text, and must not forge or hide a line with them.

use std::{
    borrow::Cow,
    io::{self, Write},
};

/// A writer whose every `write_all` is one log line.
pub(super) struct OneLine<W>(W);

impl<W> OneLine<W> {
    pub(super) fn new(inner: W) -> Self {
        Self(inner)
    }
}

impl<W: Write> Write for OneLine<W> {
    /// Takes all of `line`: the formatter hands over a whole event at a time.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        self.0.write_all(escape(&text).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Replaces every control and direction character but the line break at the end.
fn escape(line: &str) -> Cow<'_, str> {
    let (text, end) = line
        .strip_suffix('\n')
        .map_or((line, ""), |text| (text, "\n"));
    if !text.contains(is_harmful) {
        return Cow::Borrowed(line);
    }
    let mut escaped = String::with_capacity(line.len() + 16);
    for character in text.chars() {
        if is_harmful(character) {
            escaped.extend(character.escape_unicode());
        } else {
            escaped.push(character);
        }
    }
    escaped.push_str(end);
    Cow::Owned(escaped)
}

fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_break_in_a_value_forges_no_line() {
        let mut out = Vec::new();
        OneLine::new(&mut out)
            .write_all(b"INFO client=a\nERROR forged\r\x1b[2J\n")
            .unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "INFO client=a\\u{a}ERROR forged\\u{d}\\u{1b}[2J\n"
        );
    }

    #[test]
    fn turned_text_is_shown_as_what_it_is() {
        assert_eq!(escape("a\u{202E}b\u{2028}c\n"), "a\\u{202e}b\\u{2028}c\n");
    }

    #[test]
    fn other_text_stays_as_it_is() {
        assert!(matches!(
            escape("INFO \"käse\" 温度\n"),
            Cow::Borrowed("INFO \"käse\" 温度\n")
        ));
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        let mut out = Vec::new();
        OneLine::new(&mut out).write_all(b"a\xFFb\n").unwrap();
        assert_eq!(out, "a\u{FFFD}b\n".as_bytes());
    }
}
