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
    // `/` ranks below each byte that can stand inside a level.
    let rank = |byte: u8| if byte == b'/' { 0 } else { u16::from(byte) + 1 };
    let same = common_prefix(a, b);
    match (a.get(same), b.get(same)) {
        (Some(&a), Some(&b)) => rank(a).cmp(&rank(b)),
        (a, b) => a.cmp(&b),
    }
}

/// How many bytes are the same at the beginning: eight at a time, as names of one tree mostly have
/// a long beginning in common.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let ((a_words, _), (b_words, _)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut words = a_words.iter().zip(b_words);
    let same = words
        .position(|(a, b)| a != b)
        .unwrap_or(a_words.len().min(b_words.len()))
        * 8;
    let rest = a[same..].iter().zip(&b[same..]);
    same + rest.take_while(|(a, b)| a == b).count()
}
