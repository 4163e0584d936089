//! Owns the definition of a match: short and plainly right. The indexes are tested against it.
//!
//! Read first: MQTT 5.0 sections 4.7.1 and 4.7.2.

use crate::filter::TopicFilter;
use crate::name::TopicName;

pub(crate) fn matches(filter: &TopicFilter, name: &TopicName) -> bool {
    if filter.starts_with_wildcard() && name.starts_with_dollar() {
        return false; // v5 [MQTT-4.7.2-1], v311 [MQTT-4.7.2-1]
    }
    let mut name_levels = name.levels();
    for filter_level in filter.levels() {
        match (filter_level, name_levels.next()) {
            // All that is left, and the parent level too.
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (filter_level, Some(name_level)) if filter_level == name_level => {}
            (_, _) => return false,
        }
    }
    name_levels.next().is_none()
}
