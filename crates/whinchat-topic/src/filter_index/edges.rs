//! Owns the edge table: which node is the child of a given parent for a given literal level. The
//! first such child of each node is not in it: the node itself knows that one.
//!
//! Linear hashing with the chains inside the nodes (`Node::next`): the table grows and shrinks one
//! bucket at a time, so that no insertion pays for rehashing a million edges while the index is
//! locked, and an edge costs no memory of its own beyond its share of the bucket array.

use alloc::vec::Vec;
use core::mem;
use core::ops::{Index, IndexMut};

use super::node::{NONE, Node};
use crate::arena::Arena;
use crate::text_hasher::TextHasher;

pub(super) struct Edges {
    heads: Heads,
    len: usize,
    hasher: TextHasher,
}

/// The hash of a level's text, worked out once per level of a match.
#[derive(Clone, Copy)]
pub(super) struct LevelHash(u64);

/// A chain that is looked at in vain costs a cache miss: two buckets per edge make that rare.
const BUCKETS_PER_EDGE: usize = 2;
const BUCKETS_MIN: usize = 16;

impl Edges {
    pub(super) fn new() -> Self {
        Self {
            heads: Heads::new(),
            len: 0,
            hasher: TextHasher::new(),
        }
    }

    pub(super) fn level_hash(&self, level: &[u8]) -> LevelHash {
        LevelHash(self.hasher.hash(level))
    }

    pub(super) fn find<K, V>(
        &self,
        nodes: &Arena<Node<K, V>>,
        parent: u32,
        level: &[u8],
        hash: LevelHash,
    ) -> u32 {
        if self.heads.len == 0 {
            return NONE;
        }
        let mut at = self.heads[self.bucket_of(parent, hash)];
        while at != NONE {
            let node = &nodes[at];
            if node.parent == parent && node.label.as_bytes() == level {
                break;
            }
            at = node.next;
        }
        at
    }

    /// Links a node that is not in the table. Its parent and label say where.
    pub(super) fn insert<K, V>(&mut self, nodes: &mut Arena<Node<K, V>>, number: u32) {
        self.len += 1;
        while self.heads.len < (self.len * BUCKETS_PER_EDGE).max(BUCKETS_MIN) {
            self.split(nodes);
        }
        self.link(nodes, number);
    }

    /// Unlinks a node that is in the table.
    pub(super) fn remove<K, V>(&mut self, nodes: &mut Arena<Node<K, V>>, number: u32) {
        let next = nodes[number].next;
        let bucket = self.bucket_of_node(&nodes[number]);
        let mut at = self.heads[bucket];
        if at == number {
            self.heads[bucket] = next;
        } else {
            while nodes[at].next != number {
                at = nodes[at].next;
            }
            nodes[at].next = next;
        }
        self.len -= 1;
        // A quarter more than is needed stays: no work while the size only wavers.
        while self.heads.len > (self.len * BUCKETS_PER_EDGE * 5 / 4).max(BUCKETS_MIN) {
            self.merge(nodes);
        }
    }

    /// The bytes held beyond `Self`.
    pub(super) fn memory_bytes(&self) -> usize {
        self.heads.memory_bytes()
    }

    /// Adds a bucket and moves to it what belongs there, all from one other bucket.
    fn split<K, V>(&mut self, nodes: &mut Arena<Node<K, V>>) {
        let added = self.heads.len;
        self.heads.push(NONE);
        if added == 0 {
            return;
        }
        let source = buddy(added);
        let mut at = mem::replace(&mut self.heads[source], NONE);
        while at != NONE {
            let next = nodes[at].next;
            self.link(nodes, at);
            at = next;
        }
    }

    /// Takes the last bucket away and moves what was in it to the one it was split from.
    fn merge<K, V>(&mut self, nodes: &mut Arena<Node<K, V>>) {
        let Some(mut at) = self.heads.pop() else {
            return;
        };
        while at != NONE {
            let next = nodes[at].next;
            self.link(nodes, at);
            at = next;
        }
    }

    fn link<K, V>(&mut self, nodes: &mut Arena<Node<K, V>>, number: u32) {
        let bucket = self.bucket_of_node(&nodes[number]);
        nodes[number].next = mem::replace(&mut self.heads[bucket], number);
    }

    fn bucket_of_node<K, V>(&self, node: &Node<K, V>) -> usize {
        self.bucket_of(node.parent, self.level_hash(node.label.as_bytes()))
    }

    /// There must be a bucket.
    fn bucket_of(&self, parent: u32, hash: LevelHash) -> usize {
        // Both constants are odd and spread the parent's number over all bits; the upper half of
        // the product depends on all of them.
        let parent = u64::from(parent).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = (hash.0 ^ parent).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        let bits = (mixed >> 32) as usize;
        let mask = self.heads.len.next_power_of_two() - 1;
        let bucket = bits & mask;
        if bucket < self.heads.len {
            bucket
        } else {
            buddy(bucket)
        }
    }
}

/// The bucket that bucket `added` is split from: the same without its highest bit.
const fn buddy(added: usize) -> usize {
    added & !(1 << added.ilog2())
}

/// The first node of each bucket, in blocks: to add one never moves the others.
struct Heads {
    blocks: Vec<Vec<u32>>,
    len: usize,
}

const BLOCK: usize = 1024;

impl Heads {
    const fn new() -> Self {
        Self {
            blocks: Vec::new(),
            len: 0,
        }
    }

    fn push(&mut self, head: u32) {
        let index = self.len / BLOCK;
        if index == self.blocks.len() {
            // The first block grows by doubling, so that a small table stays small.
            self.blocks
                .push(Vec::with_capacity(if index == 0 { 0 } else { BLOCK }));
        }
        self.blocks[index].push(head);
        self.len += 1;
    }

    fn pop(&mut self) -> Option<u32> {
        let block = self.blocks.last_mut()?;
        let head = block.pop()?;
        if block.is_empty() {
            self.blocks.pop();
            self.blocks.shrink_to(self.blocks.len() * 2);
        }
        self.len -= 1;
        Some(head)
    }

    fn memory_bytes(&self) -> usize {
        let blocks = self
            .blocks
            .iter()
            .map(|block| block.capacity() * size_of::<u32>());
        self.blocks.capacity() * size_of::<Vec<u32>>() + blocks.sum::<usize>()
    }
}

impl Index<usize> for Heads {
    type Output = u32;

    fn index(&self, bucket: usize) -> &u32 {
        &self.blocks[bucket / BLOCK][bucket % BLOCK]
    }
}

impl IndexMut<usize> for Heads {
    fn index_mut(&mut self, bucket: usize) -> &mut u32 {
        &mut self.blocks[bucket / BLOCK][bucket % BLOCK]
    }
}
