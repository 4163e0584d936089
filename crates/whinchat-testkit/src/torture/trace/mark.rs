//! Texts that stand nowhere else: `~` and a number in sixteen hexadecimal digits, allowed in payloads, filters and client ids.

const DIGITS: usize = 16;

/// The text of a number.
pub(super) fn mark(number: u64) -> String {
    format!("~{number:016x}")
}

/// The first one in these bytes.
pub(super) fn mark_in(bytes: &[u8]) -> Option<u64> {
    marks_in(bytes).next()
}

/// All that are in these bytes.
pub(super) fn marks_in(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.windows(1 + DIGITS).filter_map(|text| {
        let digits = text.strip_prefix(b"~")?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    })
}
