//! What is printed of a message: the payload, topic and payload, JSON, or a format of the user's.
//!
//! The sequences are those of `mosquitto_sub -F` where this client knows what they stand for; the others are refused when
//! the format is read, not when the first message comes.

mod parse;

use std::io::{self, Write};

use jiff::Zoned;
use whinchat_client::{Message, PublishProperties};

use super::json;

/// How a message is printed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Format(Vec<Piece>);

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(Vec<u8>),
    Field(Field, Layout),
    /// For `strftime`.
    Time(String),
    Nanoseconds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    ContentType,
    CorrelationData,
    Dup,
    MessageExpiryInterval,
    PayloadFormatIndicator,
    IsoTime,
    Json { payload_is_json: bool },
    Length,
    UserProperties,
    Payload,
    Qos,
    ResponseTopic,
    Retain,
    Topic,
    UnixTime,
    LowerHex,
    UpperHex,
}

/// Flags, width and precision as of `printf`; widths count characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Layout {
    zero: bool,
    left: bool,
    width: usize,
    precision: Option<usize>,
}

/// A message and when it came.
pub(crate) struct Shown<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) dup: bool,
    pub(crate) properties: &'a PublishProperties,
    pub(crate) at: Zoned,
}

impl<'a> Shown<'a> {
    pub(crate) fn new(message: &'a Message, at: Zoned) -> Self {
        Self {
            topic: message.topic(),
            payload: message.payload(),
            qos: message.qos() as u8,
            retain: message.is_retained(),
            dup: message.is_duplicate(),
            properties: message.properties(),
            at,
        }
    }
}

/// `%J` of a message whose payload is no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotJson;

impl Format {
    /// The payload as it is.
    pub(crate) fn payload() -> Self {
        Self(vec![Piece::Field(Field::Payload, Layout::default())])
    }

    /// Topic, blank, payload.
    pub(crate) fn verbose() -> Self {
        let field = |field| Piece::Field(field, Layout::default());
        Self(vec![
            field(Field::Topic),
            Piece::Text(b" ".to_vec()),
            field(Field::Payload),
        ])
    }

    /// One JSON object per message, with the payload as text.
    pub(crate) fn json() -> Self {
        Self(vec![Piece::Field(
            Field::Json {
                payload_is_json: false,
            },
            Layout::default(),
        )])
    }

    /// # Errors
    /// A sequence that is unknown or incomplete.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        parse::parse(text).map(Self)
    }

    /// Writes nothing if the payload had to be JSON and is not.
    ///
    /// # Errors
    /// `out` refuses.
    pub(crate) fn write(
        &self,
        message: &Shown<'_>,
        is_pretty: bool,
        out: &mut impl Write,
    ) -> io::Result<Result<(), NotJson>> {
        let needs_json = self.0.iter().any(|piece| {
            matches!(
                piece,
                Piece::Field(
                    Field::Json {
                        payload_is_json: true
                    },
                    _
                )
            )
        });
        if needs_json && !json::is_json(message.payload) {
            return Ok(Err(NotJson));
        }
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.write_all(text)?,
                Piece::Field(field, layout) => field.write(message, *layout, is_pretty, out)?,
                Piece::Time(format) => out.write_all(time(format, &message.at).as_bytes())?,
                Piece::Nanoseconds => write!(out, "{:09}", message.at.subsec_nanosecond())?,
            }
        }
        Ok(Ok(()))
    }
}

/// The format was tried when it was read.
fn time(format: &str, at: &Zoned) -> String {
    jiff::fmt::strtime::format(format, at).unwrap_or_default()
}

impl Field {
    fn write(
        self,
        message: &Shown<'_>,
        layout: Layout,
        is_pretty: bool,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let properties = message.properties;
        let text = match self {
            Self::Payload => return layout.write_bytes(message.payload, out),
            Self::CorrelationData => {
                return out.write_all(properties.correlation_data().unwrap_or_default());
            }
            Self::ContentType => properties.content_type().unwrap_or_default().to_owned(),
            Self::ResponseTopic => properties.response_topic().unwrap_or_default().to_owned(),
            Self::Topic => message.topic.to_owned(),
            Self::Dup => u8::from(message.dup).to_string(),
            Self::Retain => u8::from(message.retain).to_string(),
            Self::Qos => message.qos.to_string(),
            Self::Length => message.payload.len().to_string(),
            Self::MessageExpiryInterval => text_of(properties.message_expiry_interval()),
            Self::PayloadFormatIndicator => {
                text_of(properties.payload_format_indicator().map(u8::from))
            }
            Self::UserProperties => joined(
                properties
                    .user_properties()
                    .map(|(name, value)| format!("{name}:{value}")),
            ),
            Self::IsoTime => time("%Y-%m-%dT%H:%M:%S%z", &message.at),
            Self::UnixTime => {
                let at = message.at.timestamp();
                format!("{}.{:09}", at.as_second(), at.subsec_nanosecond())
            }
            Self::Json { payload_is_json } => json::line(message, payload_is_json, is_pretty),
            Self::LowerHex => message
                .payload
                .iter()
                .map(|byte| layout.hex_digits(format!("{byte:x}")))
                .collect(),
            Self::UpperHex => message
                .payload
                .iter()
                .map(|byte| layout.hex_digits(format!("{byte:X}")))
                .collect(),
        };
        if matches!(self, Self::LowerHex | Self::UpperHex) {
            return out.write_all(text.as_bytes());
        }
        layout.write(&text, out)
    }
}

impl Layout {
    fn write(self, text: &str, out: &mut impl Write) -> io::Result<()> {
        let cut: String;
        let text = match self.precision {
            Some(precision) => {
                cut = text.chars().take(precision).collect();
                &cut
            }
            None => text,
        };
        let padding = self.width.saturating_sub(text.chars().count());
        if self.left {
            write!(out, "{text}{:padding$}", "")
        } else if self.zero {
            write!(out, "{:0>padding$}{text}", "")
        } else {
            write!(out, "{:padding$}{text}", "")
        }
    }

    /// Raw bytes have a width too, but no characters.
    fn write_bytes(self, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
        let bytes = bytes
            .get(..self.precision.unwrap_or(bytes.len()))
            .unwrap_or(bytes);
        let padding = self.width.saturating_sub(bytes.len());
        if !self.left {
            write!(out, "{:padding$}", "")?;
        }
        out.write_all(bytes)?;
        if self.left {
            write!(out, "{:padding$}", "")?;
        }
        Ok(())
    }

    /// Two digits a byte, or as many as asked.
    fn hex_digits(self, digits: String) -> String {
        let width = self.width.max(2);
        if self.width > 2 && !self.zero {
            format!("{digits:>width$}")
        } else {
            format!("{digits:0>width$}")
        }
    }
}

fn text_of(number: Option<impl ToString>) -> String {
    number.map_or_else(String::new, |number| number.to_string())
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(format: &str, expected: &str) {
        let properties = PublishProperties::new()
            .with_content_type("text/plain")
            .unwrap()
            .with_user_property("a", "b")
            .unwrap()
            .with_user_property("c", "d")
            .unwrap()
            .with_message_expiry_interval(60);
        let message = Shown {
            topic: "lab/ü",
            payload: b"{\"n\": 1.50}\x01",
            qos: 1,
            retain: true,
            dup: false,
            properties: &properties,
            at: "2026-02-03T04:05:06.000000789+01:00[+01:00]"
                .parse()
                .unwrap(),
        };
        let mut out = Vec::new();
        Format::parse(format)
            .unwrap()
            .write(&message, false, &mut out)
            .unwrap()
            .unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{format}");
    }

    #[test]
    fn sequences_stand_for_parts_of_a_message() {
        check("%t %q %r %d %l", "lab/ü 1 1 0 12");
        check("%C|%R|%E|%P|%F", "text/plain||60|a:b c:d|");
        check("%%p is %p", "%p is {\"n\": 1.50}\u{1}");
        check("%x", "7b226e223a20312e35307d01");
        check("%X", "7B226E223A20312E35307D01");
    }

    #[test]
    fn width_and_precision_are_those_of_printf() {
        check(
            "[%7t][%-7t][%07q][%.3t][%6.3t]",
            "[  lab/ü][lab/ü  ][0000001][lab][   lab]",
        );
    }

    #[test]
    fn time_is_local_and_exact() {
        check("%I", "2026-02-03T04:05:06+0100");
        check("%U", "1770087906.000000789");
        check("@H:@M @@ @N", "04:05 @ 000000789");
    }

    #[test]
    fn escapes_are_those_of_a_shell() {
        check(r"a\tb\\\n\e[0m\0", "a\tb\\\n\u{1b}[0m\0");
    }

    #[test]
    fn json_holds_everything_and_any_payload_as_text() {
        check(
            "%j",
            "{\"tst\":\"2026-02-03T04:05:06.000000+0100\",\"topic\":\"lab/ü\",\"qos\":1,\"retain\":1,\"payloadlen\":12,\
             \"properties\":{\"message-expiry-interval\":60,\"content-type\":\"text/plain\",\
             \"user-properties\":[{\"a\":\"b\"},{\"c\":\"d\"}]},\"payload\":\"{\\\"n\\\": 1.50}\\u0001\"}",
        );
    }

    #[test]
    fn a_payload_that_is_json_stays_as_it_was_written() {
        let properties = PublishProperties::new();
        let mut message = Shown {
            topic: "t",
            payload: b"{\"b\": 1.50, \"a\": 12345678901234567890}",
            qos: 0,
            retain: false,
            dup: false,
            properties: &properties,
            at: "2026-02-03T04:05:06+00:00[+00:00]".parse().unwrap(),
        };
        let format = Format::parse("%J").unwrap();
        let mut out = Vec::new();
        assert_eq!(format.write(&message, false, &mut out).unwrap(), Ok(()));
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.ends_with("\"payload\":{\"b\": 1.50, \"a\": 12345678901234567890}}"),
            "{text}"
        );
        message.payload = b"22,5";
        let mut out = Vec::new();
        assert_eq!(
            format.write(&message, false, &mut out).unwrap(),
            Err(NotJson)
        );
        assert!(out.is_empty());
    }

    #[test]
    fn an_unknown_sequence_is_refused_with_what_there_is() {
        for wrong in [
            "%", "%m", "%A", "%S", "%y", "%5", "%5.", "\\q", "\\", "@", "@!",
        ] {
            assert!(Format::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Format::parse("%m").unwrap_err().contains("%m"));
    }
}
