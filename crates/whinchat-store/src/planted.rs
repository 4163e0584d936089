//! Bugs of the log that can be planted, to see whether the tests find them. Only with the feature `planted-bugs`, which nothing but such a test asks for.
//!
//! One at a time and for the whole process. The places of the bugs say `planted!(Name)`, which is `false` without the feature.

use std::sync::atomic::{AtomicU8, Ordering};

/// A bug of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Bug {
    /// A commit counts before it is synced.
    CommitNotSynced = 1,
    /// A group is read back whatever its checksum.
    ChecksumIgnored,
    /// A segment begins before the one before it is synced.
    SegmentBeginsEarly,
}

impl Bug {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::CommitNotSynced,
        Self::ChecksumIgnored,
        Self::SegmentBeginsEarly,
    ];

    /// What it does.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::CommitNotSynced => "A commit counts before it is synced.",
            Self::ChecksumIgnored => "A group is read back whatever its checksum.",
            Self::SegmentBeginsEarly => "A segment begins before the one before it is synced.",
        }
    }
}

/// 0 is none; else the number of the bug.
static PLANTED: AtomicU8 = AtomicU8::new(0);

/// Plants a bug, or takes it out.
pub fn plant(bug: Option<Bug>) {
    PLANTED.store(bug.map_or(0, |bug| bug as u8), Ordering::SeqCst);
}

/// Whether this bug is planted.
pub fn is_planted(bug: Bug) -> bool {
    PLANTED.load(Ordering::Relaxed) == bug as u8
}
