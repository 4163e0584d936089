//! The input of a target that does one thing after another: each step is a byte or more.

/// What is left of the input. Where it has ended, zeros follow, so that a step that was begun can be ended.
pub(super) struct Steps<'a>(pub(super) &'a [u8]);

impl<'a> Steps<'a> {
    /// The byte that chooses the next step; `None` at the end.
    pub(super) fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    /// A number below `count`.
    pub(super) fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count.max(1)
    }

    /// So many bytes, or as many as there are.
    pub(super) fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    /// A length in one byte, and as many bytes as it says.
    pub(super) fn piece(&mut self) -> &'a [u8] {
        let len = self.byte();
        self.bytes(usize::from(len))
    }
}
