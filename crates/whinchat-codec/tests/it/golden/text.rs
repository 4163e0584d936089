//! Words, strings and bytes of the notation in which a vector's value is written.

use std::fmt::Write as _;

/// Strings of one character that are longer than this are written as a repetition.
const RUN_MIN: usize = 17;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// Letters, digits and underscores.
    Word(String),
    /// `'...'`, also with `*3` behind it.
    Text(String),
    /// `x'...'`, also with `*3` behind it.
    Bytes(Vec<u8>),
    /// One of `{}[]()=:`.
    Mark(char),
}

pub(super) fn quote(text: &str) -> String {
    match run(text.chars()) {
        Some((character, count)) => format!("'{}'*{count}", escape(&character.to_string())),
        None => format!("'{}'", escape(text)),
    }
}

pub(super) fn quote_bytes(bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes)
        && bytes.iter().all(|byte| (b' '..=b'~').contains(byte))
    {
        return quote(text);
    }
    match run(bytes.iter()) {
        Some((byte, count)) => format!("x'{byte:02x}'*{count}"),
        None => {
            let digits = bytes.iter().fold(String::new(), |mut digits, byte| {
                write!(digits, "{byte:02x}").unwrap();
                digits
            });
            format!("x'{digits}'")
        }
    }
}

fn run<T: PartialEq>(mut items: impl Iterator<Item = T>) -> Option<(T, usize)> {
    let first = items.next()?;
    let mut count = 1;
    for item in items {
        if item != first {
            return None;
        }
        count += 1;
    }
    (count >= RUN_MIN).then_some((first, count))
}

fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '\'' | '\\' => escaped.extend(['\\', character]),
            ' '..='~' => escaped.push(character),
            _ => write!(escaped, "\\u{{{:x}}}", u32::from(character)).unwrap(),
        }
    }
    escaped
}

pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first == ' ' {
            rest = &rest[1..];
        } else if first == '\'' {
            let (literal, count, behind) = literal(&rest[1..]);
            tokens.push(Token::Text(literal.repeat(count)));
            rest = behind;
        } else if let Some(digits) = rest.strip_prefix("x'") {
            let (digits, count, behind) = literal(digits);
            let bytes: Vec<u8> = (0..digits.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
                .collect();
            tokens.push(Token::Bytes(bytes.repeat(count)));
            rest = behind;
        } else if "{}[]()=:".contains(first) {
            tokens.push(Token::Mark(first));
            rest = &rest[1..];
        } else {
            let end = rest
                .find(|character: char| !character.is_ascii_alphanumeric() && character != '_')
                .unwrap_or(rest.len());
            assert!(end > 0, "{first:?} begins nothing in {text}");
            tokens.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        }
    }
    tokens
}

/// The literal up to its closing quote, how often it stands there, and what is behind it.
fn literal(text: &str) -> (String, usize, &str) {
    let mut literal = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next().expect("a closing quote") {
            '\'' => break,
            '\\' => match characters.next().expect("an escaped character") {
                'u' => {
                    let rest = characters.as_str().strip_prefix('{').expect("{ behind \\u");
                    let (digits, rest) = rest.split_once('}').expect("} behind \\u{");
                    let point = u32::from_str_radix(digits, 16).expect("a code point");
                    literal.push(char::from_u32(point).expect("a character"));
                    characters = rest.chars();
                }
                other => literal.push(other),
            },
            other => literal.push(other),
        }
    }
    let rest = characters.as_str();
    let Some(times) = rest.strip_prefix('*') else {
        return (literal, 1, rest);
    };
    let end = times
        .find(|digit: char| !digit.is_ascii_digit())
        .unwrap_or(times.len());
    (literal, times[..end].parse().unwrap(), &times[end..])
}
