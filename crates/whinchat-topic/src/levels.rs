//! Owns what names and filters have in common: the bytes that no topic may hold, the number of
//! levels, and the order by levels.

use core::cmp::Ordering;

use crate::error::{TOPIC_BYTES_MAX, TopicError, TopicErrorKind, TopicPart};

/// Checks the rules that hold for a name, a filter and a ShareName alike.
pub(crate) fn check(text: &str, part: TopicPart) -> Result<(), TopicError> {
    let error = |kind| Err(TopicError::new(part, kind));
    if text.is_empty() {
        return error(TopicErrorKind::Empty); // v5 [MQTT-4.7.3-1], v311 [MQTT-4.7.3-1]
    }
    if text.len() > TOPIC_BYTES_MAX {
        return error(TopicErrorKind::TooLong { len: text.len() }); // v5 [MQTT-4.7.3-3], v311 [MQTT-4.7.3-3]
    }
    if let Some(at) = text.bytes().position(|byte| byte == 0) {
        return error(TopicErrorKind::Null { at }); // v5 [MQTT-4.7.3-2], v311 [MQTT-4.7.3-2]
    }
    Ok(())
}

/// Where the first wildcard character stands.
pub(crate) fn wildcard_at(text: &str) -> Option<usize> {
    text.bytes().position(|byte| matches!(byte, b'+' | b'#'))
}

/// How many levels there are: one more than there are `/`.
pub(crate) fn count(text: &str) -> usize {
    1 + text.bytes().filter(|&byte| byte == b'/').count()
}

pub(crate) fn check_count(text: &str, max: usize, part: TopicPart) -> Result<(), TopicError> {
    let levels = count(text);
    if levels > max {
        return Err(TopicError::new(
            part,
            TopicErrorKind::TooManyLevels { levels, max },
        ));
    }
    Ok(())
}

/// Compares level by level, as a list of levels is compared: a topic stands directly before the
/// topics below it. `a`, `a/b`, `a!` is in order, though `!` is a smaller byte than `/`.
pub(crate) fn order(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    // `/` ranks below each byte that can stand inside a level; U+0000 cannot.
    let rank = |byte: u8| if byte == b'/' { 0 } else { byte };
    a.iter()
        .zip(b)
        .find(|(a, b)| a != b)
        .map_or_else(|| a.len().cmp(&b.len()), |(&a, &b)| rank(a).cmp(&rank(b)))
}
