//! The record reader.

use whinchat_store::record::{BODY_BYTES_MAX, Cut, HEADER_BYTES, read, write};

/// A group of any bytes: whole records come out as they stand there, then an end or an error where the rest begins; what
/// came out is written as the same bytes.
pub fn record(data: &[u8]) {
    let mut written = Vec::new();
    let mut records = read(data);
    let mut end = None;
    for found in records.by_ref() {
        assert_eq!(end, None, "it goes on behind an error");
        match found {
            Ok(record) => write(
                &mut written,
                record.kind,
                record.version,
                record.partition,
                |body| {
                    body.extend_from_slice(record.body);
                },
            ),
            Err(error) => end = Some(error),
        }
    }
    assert!(records.next().is_none());
    assert!(data.starts_with(&written), "other bytes than were read");
    let rest = &data[written.len()..];
    let declared = rest
        .first_chunk::<4>()
        .map(|length| u32::from_le_bytes(*length) as usize);
    let expected = match declared {
        _ if rest.is_empty() => None,
        Some(length) if rest.len() >= HEADER_BYTES => {
            if length > BODY_BYTES_MAX {
                Some(Cut::Length)
            } else {
                assert!(rest.len() - HEADER_BYTES < length, "a whole record is left");
                Some(Cut::Body)
            }
        }
        _ => Some(Cut::Header),
    };
    assert_eq!(end.map(|error| error.cut), expected);
    assert!(end.is_none_or(|error| error.position == written.len()));
}
