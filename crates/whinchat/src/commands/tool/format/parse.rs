//! Reads a format.

use std::iter::Peekable;
use std::str::Chars;

use super::{Field, Layout, Piece};

const KNOWN: &str = "% C D d E F I j J l P p q R r t U x X";

pub(super) fn parse(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let piece = match char {
            '%' => sequence(&mut chars)?,
            '@' => time(&mut chars)?,
            '\\' => Piece::Text(vec![escape(chars.next())?]),
            char => Piece::Text(char.to_string().into_bytes()),
        };
        match (pieces.last_mut(), piece) {
            (Some(Piece::Text(text)), Piece::Text(more)) => text.extend(more),
            (_, piece) => pieces.push(piece),
        }
    }
    Ok(pieces)
}

fn sequence(chars: &mut Peekable<Chars<'_>>) -> Result<Piece, String> {
    let mut layout = Layout::default();
    while let Some(flag) = chars.next_if(|char| matches!(char, '0' | '-')) {
        layout.zero |= flag == '0';
        layout.left |= flag == '-';
    }
    layout.width = number(chars)?.unwrap_or(0);
    if chars.next_if_eq(&'.').is_some() {
        layout.precision = Some(number(chars)?.ok_or("-F: a number is missing after '.'")?);
    }
    let field = match chars.next() {
        Some('%') => return Ok(Piece::Text(b"%".to_vec())),
        Some('C') => Field::ContentType,
        Some('D') => Field::CorrelationData,
        Some('d') => Field::Dup,
        Some('E') => Field::MessageExpiryInterval,
        Some('F') => Field::PayloadFormatIndicator,
        Some('I') => Field::IsoTime,
        Some('j') => Field::Json {
            payload_is_json: false,
        },
        Some('J') => Field::Json {
            payload_is_json: true,
        },
        Some('l') => Field::Length,
        Some('P') => Field::UserProperties,
        Some('p') => Field::Payload,
        Some('q') => Field::Qos,
        Some('R') => Field::ResponseTopic,
        Some('r') => Field::Retain,
        Some('t') => Field::Topic,
        Some('U') => Field::UnixTime,
        Some('x') => Field::LowerHex,
        Some('X') => Field::UpperHex,
        Some(unknown) => {
            return Err(format!(
                "-F: %{unknown} is not known; after % there may be {KNOWN}"
            ));
        }
        None => {
            return Err(format!(
                "-F: the format ends within a sequence; after % there may be {KNOWN}"
            ));
        }
    };
    Ok(Piece::Field(field, layout))
}

fn number(chars: &mut Peekable<Chars<'_>>) -> Result<Option<usize>, String> {
    let mut digits = String::new();
    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
        digits.push(digit);
    }
    if digits.is_empty() {
        return Ok(None);
    }
    match digits.parse() {
        Ok(number @ 0..=10_000) => Ok(Some(number)),
        _ => Err(format!("-F: a width of {digits} is more than 10000")),
    }
}

fn time(chars: &mut Peekable<Chars<'_>>) -> Result<Piece, String> {
    match chars.next() {
        Some('@') => Ok(Piece::Text(b"@".to_vec())),
        Some('N') => Ok(Piece::Nanoseconds),
        Some(char) => {
            let format = format!("%{char}");
            // An unknown one must not wait for a message to be found out.
            jiff::fmt::strtime::format(&format, &jiff::Zoned::now())
                .map_err(|_| format!("-F: @{char} is no part of a date or time"))?;
            Ok(Piece::Time(format))
        }
        None => Err("-F: the format ends after '@'".into()),
    }
}

fn escape(char: Option<char>) -> Result<u8, String> {
    match char {
        Some('\\') => Ok(b'\\'),
        Some('0') => Ok(0),
        Some('a') => Ok(7),
        Some('e') => Ok(27),
        Some('n') => Ok(b'\n'),
        Some('r') => Ok(b'\r'),
        Some('t') => Ok(b'\t'),
        Some('v') => Ok(11),
        Some(unknown) => Err(format!(
            "-F: \\{unknown} is not known; after \\ there may be \\ 0 a e n r t v"
        )),
        None => Err("-F: the format ends after '\\'".into()),
    }
}
