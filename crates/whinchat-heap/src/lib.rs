//! Gives what the heap of this process holds free back to the system.
//!
//! glibc keeps a heap for each of several threads and gives memory back from the end of one only: blocks that are free behind one that
//! is not stay resident, and so does a free end below a threshold that glibc raises by itself, up to 64 MiB. [`give_back`] has it look at all of them.

/// Asks the allocator to give all pages without a block in use back to the system. True if it gave any back.
///
/// It walks the free blocks of every heap and holds the lock of the heap it is at: who allocates there meanwhile waits for
/// it, 12 to 39 ms where 100 MiB are free. So it is to be called when little happens, and not on a thread that others wait for.
///
/// Does nothing, and says false, where the allocator of the system is not glibc's.
#[must_use = "it may have had nothing to give"]
pub fn give_back() -> bool {
    give_back_all()
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(
    unsafe_code,
    reason = "a call into C: docs/decisions/0015-memory-given-back.md"
)]
fn give_back_all() -> bool {
    // SAFETY: takes no pointer and leaves every block in use as it is; glibc lets any thread call it (malloc_trim(3)).
    unsafe { libc::malloc_trim(0) == 1 }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back_all() -> bool {
    false
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::give_back;

    #[test]
    fn what_is_free_between_blocks_in_use_is_given_back_and_the_blocks_stay() {
        let mut blocks: Vec<Option<Box<[u8]>>> = (0..64)
            .map(|_| Some(vec![7; 64 << 10].into_boxed_slice()))
            .collect();
        for block in blocks.iter_mut().skip(1).step_by(2) {
            *block = None;
        }
        assert!(give_back());
        assert!(
            blocks
                .iter()
                .flatten()
                .all(|block| block[0] == 7 && block[block.len() - 1] == 7)
        );
    }
}
