//! Words and the text in them: quotes, escapes and repetitions, both ways.

use super::NotationError;

/// The longest text that a word may stand for; a transcript never needs more.
const TEXT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Longer texts are shown by their beginning.
const SHOWN_BYTES_MAX: usize = 80;

/// The words of a line as they are written, quotes included.
pub(crate) fn split(line: &str) -> Result<Vec<String>, NotationError> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    let mut escaped = false;
    for character in line.chars() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '\'' => quoted = !quoted,
            _ => {}
        }
        if character.is_whitespace() && !quoted {
            if !word.is_empty() {
                words.push(core::mem::take(&mut word));
            }
        } else {
            word.push(character);
        }
    }
    if quoted {
        return Err(NotationError::new(&word, "has a quote that does not end"));
    }
    if !word.is_empty() {
        words.push(word);
    }
    Ok(words)
}

/// Where `find` stands outside of quotes, first or last.
pub(crate) fn find_unquoted(word: &str, find: char) -> Vec<usize> {
    let mut found = Vec::new();
    let mut quoted = false;
    let mut escaped = false;
    for (index, character) in word.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '\'' => quoted = !quoted,
            other if other == find && !quoted => found.push(index),
            _ => {}
        }
    }
    found
}

/// What a word stands for: `a/b`, `'two words'`, `'ab'*1000`, or several of them without a space.
pub(crate) fn text(word: &str) -> Result<Vec<u8>, NotationError> {
    let mut out = Vec::new();
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        if first != '\'' {
            let len = rest.find('\'').unwrap_or(rest.len());
            out.extend_from_slice(&rest.as_bytes()[..len]);
            rest = &rest[len..];
            continue;
        }
        let (piece, behind) = quoted(word, &rest[1..])?;
        rest = behind;
        let mut times = 1;
        if let Some(behind) = rest.strip_prefix('*') {
            let digits = behind
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(behind.len());
            times = behind[..digits]
                .parse()
                .map_err(|_| NotationError::new(word, "has a repetition without a number"))?;
            rest = &behind[digits..];
        }
        let bytes = piece.len().saturating_mul(times);
        if bytes > TEXT_BYTES_MAX - out.len().min(TEXT_BYTES_MAX) {
            return Err(NotationError::new(word, "is too long"));
        }
        for _ in 0..times {
            out.extend_from_slice(&piece);
        }
    }
    Ok(out)
}

/// Reads behind the opening quote: what stands in front of the closing one, and what behind it.
fn quoted<'a>(word: &str, inside: &'a str) -> Result<(Vec<u8>, &'a str), NotationError> {
    let error = |message| NotationError::new(word, message);
    let mut out = Vec::new();
    let mut characters = inside.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '\'' => return Ok((out, &inside[index + 1..])),
            '\\' => match characters.next().map(|(_, escape)| escape) {
                Some('n') => out.push(b'\n'),
                Some('r') => out.push(b'\r'),
                Some('t') => out.push(b'\t'),
                Some('0') => out.push(0),
                Some(same @ ('\'' | '\\')) => out.push(same as u8),
                Some('x') => {
                    let hex: String = characters.by_ref().take(2).map(|(_, c)| c).collect();
                    let byte = u8::from_str_radix(&hex, 16)
                        .map_err(|_| error("has a \\x without two hexadecimal digits"))?;
                    out.push(byte);
                }
                Some('u') => {
                    let hex: String = characters
                        .by_ref()
                        .map(|(_, c)| c)
                        .skip_while(|c| *c == '{')
                        .take_while(|c| *c != '}')
                        .collect();
                    let character = u32::from_str_radix(&hex, 16)
                        .ok()
                        .and_then(char::from_u32)
                        .ok_or_else(|| error("has a \\u{} that names no character"))?;
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => return Err(error("has an escape that does not exist")),
            },
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Err(error("has a quote that does not end"))
}

/// Text between quotes. Long text is shown by its beginning and its length.
pub(crate) fn quote(text: &[u8]) -> String {
    if text.len() > SHOWN_BYTES_MAX {
        if let Some(first) = text
            .first()
            .filter(|first| text.iter().all(|b| b == *first))
        {
            return format!("{}*{}", quote(&[*first]), text.len());
        }
        // A character has four bytes at most; what has none is cut anywhere.
        let half = SHOWN_BYTES_MAX / 2;
        let is_start = |cut: &usize| text[*cut] & 0b1100_0000 != 0b1000_0000;
        let cut = (half..half + 4).find(is_start).unwrap_or(half);
        return format!("{}...({} bytes)", quote(&text[..cut]), text.len());
    }
    let mut out = String::from("'");
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' => out.push_str("\\n"),
                '\0' => out.push_str("\\0"),
                '\'' => out.push_str("\\'"),
                '\\' => out.push_str("\\\\"),
                other if other.is_control() || ('\u{fdd0}'..='\u{feff}').contains(&other) => {
                    out.push_str(&format!("\\u{{{:x}}}", u32::from(other)));
                }
                other => out.push(other),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push('\'');
    out
}

/// Text as it is where that can be read back, else between quotes.
pub(crate) fn bare(text: &[u8]) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !b"'\\*".contains(byte);
    match str::from_utf8(text) {
        Ok(plain)
            if !text.is_empty()
                && plain != "-"
                && text.len() <= SHOWN_BYTES_MAX
                && text.iter().all(is_plain) =>
        {
            plain.to_owned()
        }
        _ => quote(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_keep_spaces_and_escapes() {
        assert_eq!(
            split(" a  'b c' d='e\\' f'").unwrap(),
            ["a", "'b c'", "d='e\\' f'"]
        );
        assert!(split("a 'b").is_err());
        assert_eq!(
            text("a'b\\n\\0\\u{feff}\\'\\x80'c").unwrap(),
            b"ab\n\0\xef\xbb\xbf'\x80c"
        );
        assert_eq!(text("'ab'*3'c'*2").unwrap(), b"abababcc");
        for wrong in [
            "'\\q'",
            "'\\xg0'",
            "'\\u{d800}'",
            "'a'*",
            "'a'*999999999",
            "'a",
        ] {
            assert!(text(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_quoted_reads_back() {
        for sample in [
            &b""[..],
            b"a b",
            b"it's",
            b"\0\n\\",
            b"\xff\xfe",
            "\u{feff}x\u{80}".as_bytes(),
        ] {
            assert_eq!(text(&quote(sample)).unwrap(), sample);
            assert_eq!(text(&bare(sample)).unwrap(), sample);
        }
        assert_eq!(quote(&[b'x'; 200]), "'x'*200");
        assert_eq!(
            quote(&[0x80, 0x81].repeat(50)).len(),
            162 + "...(100 bytes)".len()
        );
        assert_eq!(
            quote("\u{e4}b".repeat(50).as_bytes()).len(),
            42 + "...(150 bytes)".len() + 1
        );
    }
}
