//! What was said in a scene, for who looks for the cause of a failure.

use std::collections::VecDeque;

/// Older lines are left out.
const LINES_MAX: usize = 60;

/// The last lines of a conversation.
#[derive(Debug, Default)]
pub(crate) struct Record {
    lines: VecDeque<String>,
    left_out: usize,
}

impl Record {
    pub(crate) fn push(&mut self, line: String) {
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
            self.left_out += 1;
        }
        self.lines.push_back(line);
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let left_out = (self.left_out > 0).then(|| format!("({} lines before)", self.left_out));
        left_out
            .into_iter()
            .chain(self.lines.iter().cloned())
            .collect()
    }
}
