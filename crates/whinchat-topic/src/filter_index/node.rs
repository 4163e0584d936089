//! Owns [`Node`] and [`Label`]: one level of one or more filters, and its text.

use alloc::boxed::Box;

use crate::subscribers::Subscribers;

/// The root, which is nobody's child: so the same number says "no such node".
pub(super) const ROOT: u32 = 0;
pub(super) const NONE: u32 = 0;

pub(super) struct Node<K, V> {
    pub(super) parent: u32,
    /// The next node in the same bucket of the edge table.
    pub(super) next: u32,
    /// The child for `+`.
    pub(super) plus: u32,
    /// The child for `#`.
    pub(super) hash: u32,
    /// One literal child: most nodes have no other, and need no room in the edge table.
    pub(super) first: u32,
    /// How many more literal children there are, in the edge table.
    pub(super) more: u32,
    pub(super) label: Label,
    pub(super) subscribers: Subscribers<K, V>,
}

impl<K, V> Node<K, V> {
    pub(super) const fn new(parent: u32, label: Label) -> Self {
        let subscribers = Subscribers::None;
        Self {
            parent,
            next: NONE,
            plus: NONE,
            hash: NONE,
            first: NONE,
            more: 0,
            label,
            subscribers,
        }
    }

    /// Whether no filter needs the node.
    pub(super) const fn is_unused(&self) -> bool {
        self.plus == NONE
            && self.hash == NONE
            && self.first == NONE
            && self.more == 0
            && self.subscribers.is_empty()
    }
}

impl<K, V> Default for Node<K, V> {
    fn default() -> Self {
        Self::new(NONE, Label::Plus)
    }
}

/// What stands in a level.
pub(super) enum Label {
    Plus,
    Hash,
    /// Up to 22 bytes in place: the rest of the node's cache line.
    Short {
        len: u8,
        bytes: [u8; SHORT_MAX],
    },
    Long(Box<str>),
}

const SHORT_MAX: usize = 22;

impl Label {
    pub(super) fn literal(level: &str) -> Self {
        let mut bytes = [0; SHORT_MAX];
        match bytes.get_mut(..level.len()) {
            Some(place) => {
                place.copy_from_slice(level.as_bytes());
                Self::Short {
                    len: level.len() as u8,
                    bytes,
                }
            }
            None => Self::Long(level.into()),
        }
    }

    /// The level as it stands in a filter.
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Plus => b"+",
            Self::Hash => b"#",
            Self::Short { len, bytes } => &bytes[..usize::from(*len)],
            Self::Long(text) => text.as_bytes(),
        }
    }

    /// The bytes held beyond `Self`.
    pub(super) const fn memory_bytes(&self) -> usize {
        match self {
            Self::Plus | Self::Hash | Self::Short { .. } => 0,
            Self::Long(text) => text.len(),
        }
    }
}
