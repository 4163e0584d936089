//! PINGREQ and PINGRESP: a fixed header and nothing else (MQTT 5.0 sections 3.12, 3.13).

use crate::DecodeError;
use crate::reader::Reader;

/// Nothing may follow the fixed header.
#[inline]
pub(super) fn decode(body: Reader<'_>) -> Result<(), DecodeError> {
    body.finish("remaining length")
}
