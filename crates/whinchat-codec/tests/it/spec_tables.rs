//! The tables of properties and reason codes against the project's checklist of the standard,
//! `testdata/spec/packets.toml`.

use std::collections::BTreeMap;

use toml::{Table, Value};
use whinchat_codec::{
    AuthReason, ConnAckReason, DataType, DisconnectReason, PacketType, Property, PubAckReason,
    PubCompReason, PubRecReason, PubRelReason, SubAckReason, UnsubAckReason,
};

fn spec() -> Table {
    include_str!("../../testdata/spec/packets.toml")
        .parse()
        .expect("the checklist is TOML")
}

fn rows<'a>(table: &'a Table, version: &str, name: &str) -> &'a [Value] {
    table[version][name].as_array().expect("an array of rows")
}

fn number(row: &Value, key: &str) -> u8 {
    u8::try_from(row[key].as_integer().expect("a number")).expect("a byte")
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().expect("a string")
}

fn packet_type(name: &str) -> PacketType {
    PacketType::ALL
        .into_iter()
        .find(|packet_type| packet_type.name() == name)
        .expect("a packet of the specification")
}

#[test]
fn there_are_as_many_properties_as_in_the_standard() {
    let spec = spec();
    assert_eq!(Property::ALL.len(), 27);
    assert_eq!(rows(&spec, "v5", "property").len(), 27);
    let known = (0..=u8::MAX).filter(|id| Property::from_id(*id).is_some());
    assert_eq!(known.count(), 27);
}

#[test]
fn each_property_has_the_name_and_type_of_the_standard() {
    for row in rows(&spec(), "v5", "property") {
        let id = number(row, "id");
        let property = Property::from_id(id).expect("a property of the standard");
        assert_eq!(property.id(), id);
        assert_eq!(property.name(), text(row, "name"));
        let data_type = match text(row, "data_type") {
            "byte" => DataType::Byte,
            "two-byte-integer" => DataType::TwoByteInteger,
            "four-byte-integer" => DataType::FourByteInteger,
            "variable-byte-integer" => DataType::VariableByteInteger,
            "utf8-string" => DataType::Utf8String,
            "utf8-string-pair" => DataType::Utf8StringPair,
            "binary" => DataType::BinaryData,
            other => panic!("{other} is no data type"),
        };
        assert_eq!(property.data_type(), data_type, "{property}");
    }
}

#[test]
fn each_property_is_allowed_where_the_standard_allows_it_and_nowhere_else() {
    for row in rows(&spec(), "v5", "property") {
        let property = Property::from_id(number(row, "id")).expect("a property");
        let usages: BTreeMap<&str, &Value> = row["usage"]
            .as_array()
            .expect("usages")
            .iter()
            .map(|usage| (text(usage, "packet"), usage))
            .collect();
        for packet in PacketType::ALL {
            let usage = usages.get(packet.name());
            assert_eq!(
                property.is_allowed_in(packet),
                usage.is_some(),
                "{property} in {packet}"
            );
            let repeats = usage.is_some_and(|usage| usage["repeat"].as_bool() == Some(true));
            assert_eq!(
                property.is_repeatable_in(packet),
                repeats,
                "{property} in {packet}"
            );
        }
        assert_eq!(
            property.is_allowed_in_will(),
            usages.contains_key("WILL"),
            "{property} in the will"
        );
    }
}

#[test]
fn each_number_has_the_range_of_the_standard() {
    for row in rows(&spec(), "v5", "property") {
        let property = Property::from_id(number(row, "id")).expect("a property");
        for usage in row["usage"].as_array().expect("usages") {
            let bound = |key| usage.get(key).and_then(Value::as_integer);
            let (Some(min), Some(max)) = (bound("min"), bound("max")) else {
                continue;
            };
            let (found_min, found_max) = property.range();
            assert_eq!(
                (i64::from(found_min), i64::from(found_max)),
                (min, max),
                "{property}"
            );
        }
    }
}

/// Code and name of every reason of an enum.
macro_rules! reasons {
    ($($packet:literal $reason:ident)+) => {
        [$(($packet, $reason::ALL.iter().map(|reason| (reason.code(), reason.name())).collect()),)+]
    };
}

#[test]
fn each_packet_has_the_reason_codes_of_the_standard_and_no_others() {
    let spec = spec();
    let ours: BTreeMap<&str, Vec<(u8, &str)>> = reasons! {
        "CONNACK" ConnAckReason "PUBACK" PubAckReason "PUBREC" PubRecReason
        "PUBREL" PubRelReason "PUBCOMP" PubCompReason "SUBACK" SubAckReason
        "UNSUBACK" UnsubAckReason "DISCONNECT" DisconnectReason "AUTH" AuthReason
    }
    .into();
    for row in rows(&spec, "v5", "packet") {
        let name = text(row, "name");
        let mut theirs: Vec<(u8, &str)> = row
            .get("reason")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|reason| (number(reason, "code"), text(reason, "name")))
            .collect();
        if name == "DISCONNECT" {
            // The general table of the standard names it for DISCONNECT, the table of the packet
            // does not; a decoder has to take it.
            theirs.push((0x8C, "Bad authentication method"));
        }
        theirs.sort_unstable();
        assert_eq!(
            ours.get(name).cloned().unwrap_or_default(),
            theirs,
            "{name}"
        );
    }
}

#[test]
fn connack_maps_the_return_codes_of_3_1_1_both_ways() {
    let spec = spec();
    let connack = rows(&spec, "v311", "packet")
        .iter()
        .find(|row| text(row, "name") == "CONNACK")
        .expect("CONNACK");
    let codes = connack["return_codes"].as_array().expect("codes");
    assert_eq!(codes.len(), 6);
    for code in 0..=u8::MAX {
        let is_known = codes.contains(&Value::Integer(code.into()));
        let reason = ConnAckReason::from_return_code(code);
        assert_eq!(reason.is_some(), is_known, "{code}");
        if let Some(reason) = reason {
            assert_eq!(reason.return_code(), Some(code));
        }
    }
}

#[test]
fn each_packet_type_has_the_number_and_first_byte_of_the_standard() {
    let spec = spec();
    for version in ["v5", "v311"] {
        for row in rows(&spec, version, "packet") {
            let Some(expected) = row.get("packet_type").and_then(Value::as_integer) else {
                continue;
            };
            let found = packet_type(text(row, "name"));
            assert_eq!(i64::from(found as u8), expected);
            assert_eq!(PacketType::from_number(found as u8), Some(found));
        }
    }
}
