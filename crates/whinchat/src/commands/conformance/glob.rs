//! Ids with stars in them, as they are given on the command line.

use std::str::FromStr;

/// A pattern in which `*` stands for any text.
#[derive(Clone, Debug)]
pub(super) struct Glob(String);

impl FromStr for Glob {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("expected an id such as MQTT-3.3.1-2 or 'MQTT-3.3.*'".into());
        }
        Ok(Self(text.to_owned()))
    }
}

impl Glob {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = text.strip_prefix(first) else {
            return false;
        };
        let Some(last) = parts.next_back() else {
            return rest.is_empty();
        };
        for part in parts {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (glob, text, expected) in [
            ("MQTT-3.3.1-2", "MQTT-3.3.1-2", true),
            ("MQTT-3.1.2-2", "MQTT-3.1.2-20", false),
            ("MQTT-3.3.*", "MQTT-3.3.1-2", true),
            ("MQTT-3.1.*", "MQTT-3.10.1-1", false),
            ("*", "", true),
            ("*-2", "MQTT-3.3.1-2", true),
            ("M*1-2", "MQTT-3.3.1-2", true),
            ("M*1*2", "M12", true),
            ("MQTT-3*3-2", "MQTT-3-2", false),
            ("a*b*a", "aba", true),
            ("a*a", "a", false),
        ] {
            let parsed: Glob = glob.parse().unwrap();
            assert_eq!(parsed.matches(text), expected, "{glob} {text}");
        }
    }
}
