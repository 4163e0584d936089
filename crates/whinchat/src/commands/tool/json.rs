//! A message as a JSON object, with the names that `mosquitto_sub` gives its parts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::ser::SerializeMap as _;
use serde_json::value::RawValue;
use whinchat_client::PublishProperties;

use super::format::Shown;

#[derive(Serialize)]
struct Line<'a> {
    tst: String,
    topic: &'a str,
    qos: u8,
    retain: u8,
    #[serde(skip_serializing_if = "is_zero")]
    dup: u8,
    payloadlen: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<Properties<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Payload<'a>>,
    /// What is no UTF-8 cannot be a JSON string.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Payload<'a> {
    Text(&'a str),
    /// As it was written.
    Raw(&'a RawValue),
    /// Laid out anew.
    Json(serde_json::Value),
}

#[derive(Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Properties<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_format_indicator: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_expiry_interval: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_topic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_data: Option<&'a str>,
    /// If it is no UTF-8.
    #[serde(
        rename = "correlation-data_base64",
        skip_serializing_if = "Option::is_none"
    )]
    correlation_data_base64: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    user_properties: Vec<Pair<'a>>,
}

/// An object with one name: user properties have an order, and names come more than once.
#[derive(PartialEq)]
struct Pair<'a>(&'a str, &'a str);

impl Serialize for Pair<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.0, self.1)?;
        map.end()
    }
}

pub(super) fn is_json(payload: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(payload).is_ok()
}

/// The object in one line, or in several if it is to be pretty. With `payload_is_json` the payload stands in it as it is.
pub(super) fn line(message: &Shown<'_>, payload_is_json: bool, is_pretty: bool) -> String {
    let raw = if payload_is_json {
        serde_json::from_slice::<&RawValue>(message.payload).ok()
    } else {
        None
    };
    let payload = match raw {
        Some(raw) if is_pretty => Some(Payload::Json(
            serde_json::from_str(raw.get()).unwrap_or_default(),
        )),
        Some(raw) => Some(Payload::Raw(raw)),
        None => std::str::from_utf8(message.payload).ok().map(Payload::Text),
    };
    let payload_base64 = payload.is_none().then(|| STANDARD.encode(message.payload));
    let line = Line {
        tst: jiff::fmt::strtime::format("%Y-%m-%dT%H:%M:%S.%6f%z", &message.at).unwrap_or_default(),
        topic: message.topic,
        qos: message.qos,
        retain: u8::from(message.retain),
        dup: u8::from(message.dup),
        payloadlen: message.payload.len(),
        properties: properties(message.properties),
        payload,
        payload_base64,
    };
    let text = |result: serde_json::Result<String>| {
        result.expect("every key is text and no number is a float")
    };
    if is_pretty {
        text(serde_json::to_string_pretty(&line))
    } else {
        text(serde_json::to_string(&line))
    }
}

/// Subscription identifiers are between the client and the broker, and topic aliases too.
fn properties(properties: &PublishProperties) -> Option<Properties<'_>> {
    let correlation_data = properties
        .correlation_data()
        .map(|data| std::str::from_utf8(data).map_err(|_| STANDARD.encode(data)));
    let (text, binary) = match correlation_data {
        Some(Ok(text)) => (Some(text), None),
        Some(Err(binary)) => (None, Some(binary)),
        None => (None, None),
    };
    let shown = Properties {
        payload_format_indicator: properties.payload_format_indicator().map(u8::from),
        message_expiry_interval: properties.message_expiry_interval(),
        content_type: properties.content_type(),
        response_topic: properties.response_topic(),
        correlation_data: text,
        correlation_data_base64: binary,
        user_properties: properties
            .user_properties()
            .map(|(name, value)| Pair(name, value))
            .collect(),
    };
    (shown != Properties::default()).then_some(shown)
}

fn is_zero(number: &u8) -> bool {
    *number == 0
}
