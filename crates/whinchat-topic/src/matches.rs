//! Owns the definition of a match: short and plainly right. The indexes are tested against it, and it against the same in terms of levels.
//!
//! Read first: MQTT 5.0 sections 4.7.1 and 4.7.2.

use crate::filter::TopicFilter;
use crate::name::TopicName;

pub(crate) fn matches(filter: &TopicFilter, name: &TopicName) -> bool {
    if filter.starts_with_wildcard() && name.starts_with_dollar() {
        return false; // v5 [MQTT-4.7.2-1], v311 [MQTT-4.7.2-1]
    }
    let (mut filter, mut name) = (filter.as_str().as_bytes(), name.as_str().as_bytes());
    loop {
        // Both are at the start of a level.
        match filter {
            [b'#'] => return true,
            [b'+'] | [b'+', b'/', ..] => (filter, name) = (&filter[1..], &name[level_end(name)..]),
            _ => {
                let (level, rest) = filter.split_at(level_end(filter));
                match name.strip_prefix(level) {
                    Some(name_rest) => (filter, name) = (rest, name_rest),
                    None => return false,
                }
            }
        }
        // Both are at the end of a level, if they match.
        match (filter, name) {
            ([], []) => return true,
            ([b'/', b'#'], []) => return true, // the parent level too
            ([b'/', filter_rest @ ..], [b'/', name_rest @ ..]) => {
                (filter, name) = (filter_rest, name_rest)
            }
            _ => return false,
        }
    }
}

fn level_end(text: &[u8]) -> usize {
    let slash = text.iter().position(|&byte| byte == b'/');
    slash.unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a match is, level by level.
    fn matches_by_level(filter: &TopicFilter, name: &TopicName) -> bool {
        if filter.starts_with_wildcard() && name.starts_with_dollar() {
            return false;
        }
        let mut name_levels = name.levels();
        for filter_level in filter.levels() {
            match (filter_level, name_levels.next()) {
                ("#", _) => return true,
                ("+", Some(_)) => {}
                (filter_level, Some(name_level)) if filter_level == name_level => {}
                (_, _) => return false,
            }
        }
        name_levels.next().is_none()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn bytes_match_as_levels_do(filter in "[ab$é]{0,2}(/([ab]{0,2}|\\+)){0,3}(/#)?|\\+(/[ab+])?|#", name in "[ab$é]{0,2}(/[ab]{0,2}){0,4}") {
            if let (Ok(filter), Ok(name)) = (TopicFilter::new(&filter), TopicName::new(&name)) {
                prop_assert_eq!(matches(filter, name), matches_by_level(filter, name));
            }
        }
    }
}
