//! Owns [`Arena`]: numbered places that never move, given back in blocks.
//!
//! Blocks bound what one insertion costs (nothing is copied when the arena grows) and let memory
//! return after a burst: a block with no value in it is freed, whatever its neighbours hold.

use alloc::vec::Vec;
use core::mem;

/// How many values a block holds.
const BLOCK: usize = 1 << BLOCK_BITS;
const BLOCK_BITS: u32 = 10;

pub(crate) struct Arena<T> {
    blocks: Vec<Block<T>>,
    /// Blocks that may have room, the one to fill next at the end.
    open: Vec<u32>,
    len: usize,
}

struct Block<T> {
    /// Vacant places hold `T::default()`.
    places: Vec<T>,
    vacant: Vec<u16>,
}

impl<T: Default> Arena<T> {
    pub(crate) const fn new() -> Self {
        Self {
            blocks: Vec::new(),
            open: Vec::new(),
            len: 0,
        }
    }

    /// How many values there are.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Keeps a value and gives its number.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        self.len += 1;
        let index = match self.open.last() {
            Some(&index) => index,
            None => self.add_block(),
        };
        let block = &mut self.blocks[index as usize];
        let at = match block.vacant.pop() {
            Some(at) => {
                block.places[usize::from(at)] = value;
                usize::from(at)
            }
            None => {
                block.places.push(value);
                block.places.len() - 1
            }
        };
        if block.is_full() {
            self.open.pop();
        }
        (index << BLOCK_BITS) | at as u32
    }

    /// Takes a value out. Its number may be given again.
    pub(crate) fn remove(&mut self, number: u32) -> T {
        let (index, at) = split(number);
        let block = &mut self.blocks[index];
        if block.is_full() {
            self.open.push(index as u32);
        }
        let value = mem::take(&mut block.places[at]);
        block.vacant.push(at as u16);
        if block.is_empty() {
            *block = Block::with_capacity(0);
            self.drop_trailing_blocks();
        }
        self.len -= 1;
        value
    }

    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        let (index, at) = split(number);
        self.blocks.get(index)?.places.get(at)
    }

    /// The bytes held, beyond `Self`.
    pub(crate) fn memory_bytes(&self) -> usize {
        let blocks = self.blocks.iter().map(|block| {
            block.places.capacity() * size_of::<T>() + block.vacant.capacity() * size_of::<u16>()
        });
        self.blocks.capacity() * size_of::<Block<T>>()
            + self.open.capacity() * size_of::<u32>()
            + blocks.sum::<usize>()
    }

    fn add_block(&mut self) -> u32 {
        let index = self.blocks.len();
        // The first block grows by doubling, so that a small index stays small.
        let capacity = if index == 0 { 0 } else { BLOCK };
        self.blocks.push(Block::with_capacity(capacity));
        let index = u32::try_from(index)
            .ok()
            .filter(|&index| index < 1 << (u32::BITS - BLOCK_BITS));
        let index = index.expect("fewer than 2^32 values fit in memory");
        self.open.push(index);
        index
    }

    fn drop_trailing_blocks(&mut self) {
        while self.blocks.pop_if(|block| block.is_empty()).is_some() {}
        let count = self.blocks.len();
        self.open.retain(|&index| (index as usize) < count);
        self.blocks.shrink_to(count * 2);
        self.open.shrink_to(self.open.len() * 2);
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.blocks.iter().flat_map(|block| &block.places)
    }
}

impl<T> core::ops::Index<u32> for Arena<T> {
    type Output = T;

    fn index(&self, number: u32) -> &T {
        let (index, at) = split(number);
        &self.blocks[index].places[at]
    }
}

impl<T> core::ops::IndexMut<u32> for Arena<T> {
    fn index_mut(&mut self, number: u32) -> &mut T {
        let (index, at) = split(number);
        &mut self.blocks[index].places[at]
    }
}

impl<T> Block<T> {
    fn with_capacity(capacity: usize) -> Self {
        Self {
            places: Vec::with_capacity(capacity),
            vacant: Vec::new(),
        }
    }

    fn is_empty(&self) -> bool {
        self.vacant.len() == self.places.len()
    }

    fn is_full(&self) -> bool {
        self.vacant.is_empty() && self.places.len() == BLOCK
    }
}

const fn split(number: u32) -> (usize, usize) {
    (
        (number >> BLOCK_BITS) as usize,
        number as usize & (BLOCK - 1),
    )
}
