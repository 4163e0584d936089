//! Owns the tree of nodes: finding, adding and freeing the path of a filter. The match is in
//! `walk.rs`.

use alloc::string::String;
use alloc::vec::Vec;

use super::edges::{Edges, LevelHash};
use super::node::{Label, NONE, Node, ROOT};
use crate::arena::Arena;
use crate::filter::{TopicFilter, TopicFilterBuf};
use crate::subscribers::Subscribers;

pub(super) struct Tree<K, V> {
    /// The root is always there, so that its number is never anyone else's.
    pub(super) nodes: Arena<Node<K, V>>,
    pub(super) edges: Edges,
}

impl<K, V> Tree<K, V> {
    pub(super) fn new() -> Self {
        let mut nodes = Arena::new();
        let root = nodes.insert(Node::default());
        debug_assert_eq!(root, ROOT);
        Self {
            nodes,
            edges: Edges::new(),
        }
    }

    /// The node of a filter, if some filter begins with all of its levels.
    pub(super) fn find(&self, filter: &str) -> Option<u32> {
        let mut at = ROOT;
        for level in filter.split('/') {
            at = self.child(at, level);
            if at == NONE {
                return None;
            }
        }
        Some(at)
    }

    /// The node of a filter; what is missing of its path is added.
    pub(super) fn find_or_add(&mut self, filter: &str) -> u32 {
        let mut at = ROOT;
        for level in filter.split('/') {
            let child = self.child(at, level);
            at = if child == NONE {
                self.add_child(at, level)
            } else {
                child
            };
        }
        at
    }

    /// Frees the node and the path to it, as far as no other filter needs them.
    pub(super) fn prune(&mut self, number: u32) {
        let mut at = number;
        while at != ROOT && self.nodes[at].is_unused() {
            let parent = self.nodes[at].parent;
            match self.nodes[at].label {
                Label::Plus => self.nodes[parent].plus = NONE,
                Label::Hash => self.nodes[parent].hash = NONE,
                Label::Short { .. } | Label::Long(_) if self.nodes[parent].first == at => {
                    self.nodes[parent].first = NONE;
                }
                Label::Short { .. } | Label::Long(_) => {
                    self.edges.remove(&mut self.nodes, at);
                    self.nodes[parent].more -= 1;
                }
            }
            self.nodes.remove(at);
            at = parent;
        }
    }

    /// Whether there is such a place; a vacant one has no subscribers.
    pub(super) fn contains(&self, number: u32) -> bool {
        self.nodes.get(number).is_some()
    }

    pub(super) fn subscribers(&self, number: u32) -> &Subscribers<K, V> {
        &self.nodes[number].subscribers
    }

    pub(super) fn subscribers_mut(&mut self, number: u32) -> &mut Subscribers<K, V> {
        &mut self.nodes[number].subscribers
    }

    pub(super) fn first_level(&self, number: u32) -> &[u8] {
        let mut at = number;
        while self.nodes[at].parent != ROOT {
            at = self.nodes[at].parent;
        }
        self.nodes[at].label.as_bytes()
    }

    /// The filter whose last level is this node.
    pub(super) fn filter(&self, number: u32) -> TopicFilterBuf {
        let mut levels = Vec::new();
        let mut at = number;
        while at != ROOT {
            levels.push(self.nodes[at].label.as_bytes());
            at = self.nodes[at].parent;
        }
        levels.reverse();
        let text = String::from_utf8(levels.join(&b'/')).expect("levels are cut at `/` from text");
        TopicFilter::cast(&text).into()
    }

    pub(super) const fn node_count(&self) -> usize {
        self.nodes.len() - 1
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let held = self.nodes.values();
        let held = held.map(|node| node.label.memory_bytes() + node.subscribers.memory_bytes());
        self.nodes.memory_bytes() + self.edges.memory_bytes() + held.sum::<usize>()
    }

    /// The child of `node`, whose number is `parent`, for a level without a wildcard. The level is
    /// hashed only if that is needed.
    pub(super) fn literal_child(
        &self,
        node: &Node<K, V>,
        parent: u32,
        level: &[u8],
        hash: impl FnOnce() -> LevelHash,
    ) -> u32 {
        if node.first != NONE && self.nodes[node.first].label.as_bytes() == level {
            return node.first;
        }
        if node.more == 0 {
            return NONE;
        }
        self.edges.find(&self.nodes, parent, level, hash())
    }

    fn child(&self, parent: u32, level: &str) -> u32 {
        let node = &self.nodes[parent];
        match level {
            "+" => node.plus,
            "#" => node.hash,
            _ => {
                let level = level.as_bytes();
                self.literal_child(node, parent, level, || self.edges.level_hash(level))
            }
        }
    }

    fn add_child(&mut self, parent: u32, level: &str) -> u32 {
        let label = match level {
            "+" => Label::Plus,
            "#" => Label::Hash,
            _ => Label::literal(level),
        };
        let child = self.nodes.insert(Node::new(parent, label));
        match level {
            "+" => self.nodes[parent].plus = child,
            "#" => self.nodes[parent].hash = child,
            _ if self.nodes[parent].first == NONE => self.nodes[parent].first = child,
            _ => {
                self.edges.insert(&mut self.nodes, child);
                self.nodes[parent].more += 1;
            }
        }
        child
    }
}
