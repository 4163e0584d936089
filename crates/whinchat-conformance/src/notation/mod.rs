//! Packets as one line of text, both ways: `PUBLISH q2 id7 dup a/b 'x' expiry=10`.
//!
//! The words are those of the crate's README. A [`Template`] is a packet as it is written: it can be sent,
//! valid or not, or compared with a packet that came. [`format()`] writes a packet in the same words.
//!
//! Bytes are written here and not by the codec: what is written may be what no packet can be, and a mistake
//! of the codec's encoder is not repeated by who judges it.

mod bytes;
mod encode;
mod format;
mod matching;
mod names;
mod template;
mod value;
mod vocabulary;
mod words;

pub(crate) use bytes::Raw;
pub use encode::Speaker;
pub use format::format;
pub use matching::{Mismatch, Reading};
pub(crate) use matching::{has_code, packet_id};
pub use names::{Ids, Names};
pub use template::Template;
pub(crate) use template::version;
pub(crate) use value::Id;
pub(crate) use words::split;

/// Text that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` {message}")]
pub struct NotationError {
    word: String,
    message: String,
}

impl NotationError {
    pub(crate) fn new(word: &str, message: impl Into<String>) -> Self {
        Self {
            word: word.to_owned(),
            message: message.into(),
        }
    }

    /// The word that is not understood.
    pub fn word(&self) -> &str {
        &self.word
    }
}
