//! Owned slices of the buffer that a packet was decoded from.

use bytes::Bytes;

use crate::Utf8String;

/// `part` as owned bytes: shared with `parent` if it lies inside it, else copied.
pub(crate) fn own(parent: Option<&Bytes>, part: &[u8]) -> Bytes {
    match parent {
        _ if part.is_empty() => Bytes::new(),
        Some(parent) if contains(parent, part) => parent.slice_ref(part),
        Some(_) | None => Bytes::copy_from_slice(part),
    }
}

fn contains(parent: &Bytes, part: &[u8]) -> bool {
    let (parent, part) = (parent.as_ptr_range(), part.as_ptr_range());
    parent.start <= part.start && part.end <= parent.end
}

/// A string that was checked when it was decoded, as an owned one.
pub(crate) fn own_str(parent: Option<&Bytes>, part: &str) -> Utf8String {
    Utf8String::from_checked(own(parent, part.as_bytes()))
}
