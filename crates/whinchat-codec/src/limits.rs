//! Bounds on what a decoder accepts, checked while it reads.

/// Bounds on what [`crate::decode`] accepts. The default accepts all that the protocol allows.
///
/// Each bound is checked before anything is done with the bytes it bounds; none of them makes
/// the codec reserve memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecodeLimits {
    /// Bytes of a whole packet, fixed header included. Over it: 0x95 (Packet too large), as soon
    /// as the fixed header is there.
    pub packet_size: u32,
    /// Bytes of one property section. Over it: 0x97 (Quota exceeded).
    pub properties_bytes: u32,
    /// User Properties in one property section; 65,535 bounds nothing. Over it: 0x97.
    pub user_properties: u16,
    /// Bytes of one UTF-8 string. Over it: 0x97.
    pub string_bytes: u16,
    /// Levels of the topic name of a PUBLISH and of a will; 65,535 bounds nothing. Over it: 0x90
    /// (Topic Name invalid).
    pub topic_levels: u16,
    /// Topic filters in one SUBSCRIBE or UNSUBSCRIBE; 65,535 bounds nothing. Over it: 0x97.
    pub filters: u16,
}

/// The largest Remaining Length (MQTT 5.0 section 2.1.4).
pub(crate) const REMAINING_LENGTH_MAX: usize = 268_435_455;

/// The largest packet: first byte, four bytes of Remaining Length and that many bytes.
const PACKET_SIZE_MAX: u32 = 268_435_460;

impl Default for DecodeLimits {
    #[inline]
    fn default() -> Self {
        Self {
            packet_size: PACKET_SIZE_MAX,
            properties_bytes: PACKET_SIZE_MAX,
            user_properties: u16::MAX,
            string_bytes: u16::MAX,
            topic_levels: u16::MAX,
            filters: u16::MAX,
        }
    }
}

/// Whether one more than `count` is over the limit.
#[inline]
pub(crate) const fn is_reached(count: usize, limit: u16) -> bool {
    limit != u16::MAX && count >= limit as usize
}

macro_rules! setters {
    ($($name:ident: $type:ty = $with:ident;)+) => {
        impl DecodeLimits {
            $(
                #[doc = concat!("The same limits with another [`", stringify!($name), "`](Self::", stringify!($name), ").")]
                #[must_use]
                pub const fn $with(mut self, $name: $type) -> Self {
                    self.$name = $name;
                    self
                }
            )+
        }
    };
}

setters! {
    packet_size: u32 = with_packet_size;
    properties_bytes: u32 = with_properties_bytes;
    user_properties: u16 = with_user_properties;
    string_bytes: u16 = with_string_bytes;
    topic_levels: u16 = with_topic_levels;
    filters: u16 = with_filters;
}
