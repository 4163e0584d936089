//! Owns the match of a name: which nodes it visits and in which order.
//!
//! Level by level: all nodes that match the first levels of the name stand in a frontier, and each
//! puts its children that match the next level into the next one. So each level is hashed at most
//! once, however many branches come to it, and a deep name needs no more room than a short one.

use alloc::vec::Vec;
use core::cell::LazyCell;
use core::mem;

use super::node::{NONE, Node, ROOT};
use super::tree::Tree;
use crate::name::TopicName;

impl<K, V> Tree<K, V> {
    /// Gives `each` the subscribers of each filter that matches, and then the number of nodes
    /// visited.
    pub(super) fn walk(&self, name: &TopicName, mut each: impl FnMut(&[(K, V)])) -> usize {
        let mut visited = 0;
        let (mut frontier, mut next) = (&mut Frontier::new(), &mut Frontier::new());
        frontier.start_at(ROOT);
        // Filters that begin with a wildcard do not match these names.
        let mut wildcards = !name.starts_with_dollar(); // v5 [MQTT-4.7.2-1], v311 [MQTT-4.7.2-1]
        for level in name.as_str().as_bytes().split(|&byte| byte == b'/') {
            let hash = LazyCell::new(|| self.edges.level_hash(level));
            for at in frontier.nodes() {
                let node = &self.nodes[at];
                visited += 1;
                next.push(self.literal_child(node, at, level, || *hash));
                if wildcards {
                    next.push(node.plus);
                    visited += self.visit_hash(node, &mut each);
                }
            }
            mem::swap(&mut frontier, &mut next);
            if frontier.is_empty() {
                return visited;
            }
            next.clear();
            wildcards = true;
        }
        for at in frontier.nodes() {
            let node = &self.nodes[at];
            each(node.subscribers.as_slice());
            // Here `#` stands for nothing: the parent level.
            visited += 1 + self.visit_hash(node, &mut each);
        }
        visited
    }

    fn visit_hash(&self, node: &Node<K, V>, mut each: impl FnMut(&[(K, V)])) -> usize {
        if node.hash == NONE {
            return 0;
        }
        each(self.nodes[node.hash].subscribers.as_slice());
        1
    }
}

/// Nodes of one depth. More than fit inline take memory, at less than one allocation for as many
/// nodes visited.
struct Frontier {
    inline: [u32; INLINE],
    inline_len: usize,
    more: Vec<u32>,
}

const INLINE: usize = 32;

impl Frontier {
    const fn new() -> Self {
        Self {
            inline: [NONE; INLINE],
            inline_len: 0,
            more: Vec::new(),
        }
    }

    fn start_at(&mut self, root: u32) {
        self.inline[0] = root;
        self.inline_len = 1;
    }

    /// Adds a node unless it is `NONE`.
    fn push(&mut self, node: u32) {
        let is_node = node != NONE;
        if let Some(place) = self.inline.get_mut(self.inline_len) {
            *place = node;
            self.inline_len += usize::from(is_node);
        } else if is_node {
            self.more.push(node);
        }
    }

    fn nodes(&self) -> impl Iterator<Item = u32> {
        self.inline[..self.inline_len]
            .iter()
            .chain(&self.more)
            .copied()
    }

    const fn is_empty(&self) -> bool {
        self.inline_len == 0
    }

    fn clear(&mut self) {
        self.inline_len = 0;
        self.more.clear();
    }
}
