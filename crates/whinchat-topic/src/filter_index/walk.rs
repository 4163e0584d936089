//! Owns the match of a name: which nodes it visits and in which order.

use alloc::vec;

use super::edges::LevelHash;
use super::node::{NONE, ROOT};
use super::tree::Tree;
use crate::name::TopicName;

/// One level of the name, and the branch of the walk that still waits there.
#[derive(Clone, Copy, Default)]
struct Level {
    hash: LevelHash,
    /// Byte offsets into the name.
    start: u32,
    end: u32,
    /// The `+` node for this level that is to be visited after the literal one, or `NONE`.
    waiting: u32,
}

/// Up to how many levels a walk works on the stack. Deeper names cost one allocation, which is
/// little beside their levels.
const LEVELS_INLINE: usize = 16;

impl<K, V> Tree<K, V> {
    /// Gives `each` the subscribers of each filter that matches, and then the number of nodes
    /// visited.
    pub(super) fn walk(&self, name: &TopicName, each: impl FnMut(&[(K, V)])) -> usize {
        let text = name.as_str().as_bytes();
        let mut inline = [Level::default(); LEVELS_INLINE];
        let mut depth = 0;
        let mut start = 0;
        loop {
            let rest = text.get(start..).unwrap_or_default();
            let len = rest
                .iter()
                .position(|&byte| byte == b'/')
                .unwrap_or(rest.len());
            let Some(level) = inline.get_mut(depth) else {
                break;
            };
            *level = self.level(text, start, start + len);
            depth += 1;
            start += len + 1;
            if start > text.len() {
                return self.walk_levels(name, &mut inline[..depth], each);
            }
        }
        let mut deep = vec![Level::default(); name.levels().count()];
        let mut start = 0;
        for (level, part) in deep.iter_mut().zip(name.levels()) {
            *level = self.level(text, start, start + part.len());
            start += part.len() + 1;
        }
        self.walk_levels(name, &mut deep, each)
    }

    fn level(&self, text: &[u8], start: usize, end: usize) -> Level {
        let hash = self.edges.level_hash(&text[start..end]);
        // A valid name has at most 65,535 bytes.
        Level {
            hash,
            start: start as u32,
            end: end as u32,
            waiting: NONE,
        }
    }

    fn walk_levels(
        &self,
        name: &TopicName,
        levels: &mut [Level],
        mut each: impl FnMut(&[(K, V)]),
    ) -> usize {
        let text = name.as_str().as_bytes();
        let mut visited = 0;
        let mut at = ROOT;
        let mut depth = 0;
        loop {
            let node = &self.nodes[at];
            visited += 1;
            let wildcards = depth > 0 || !name.starts_with_dollar(); // v5 [MQTT-4.7.2-1], v311 [MQTT-4.7.2-1]
            if node.hash != NONE && wildcards {
                // Here `#` stands for the rest of the name, or for nothing: the parent level.
                visited += 1;
                each(self.nodes[node.hash].subscribers.as_slice());
            }
            if let Some(level) = levels.get_mut(depth) {
                let plus = if wildcards { node.plus } else { NONE };
                let literal = if node.literals > 0 {
                    let text = &text[level.start as usize..level.end as usize];
                    self.edges.find(&self.nodes, at, text, level.hash)
                } else {
                    NONE
                };
                depth += 1;
                if literal != NONE {
                    level.waiting = plus;
                    at = literal;
                    continue;
                }
                level.waiting = NONE;
                if plus != NONE {
                    at = plus;
                    continue;
                }
            } else {
                each(node.subscribers.as_slice());
            }
            // The deepest branch that still waits.
            let Some(waiting) = levels[..depth]
                .iter()
                .rposition(|level| level.waiting != NONE)
            else {
                return visited;
            };
            at = core::mem::replace(&mut levels[waiting].waiting, NONE);
            depth = waiting + 1;
        }
    }
}
