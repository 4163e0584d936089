//! A static library without `std` over codec, topic and session: what firmware would link. [`sensor`] is its loop.
//!
//! It brings the two things that `std` otherwise brings, a panic handler and an allocator. If one crate below pulled
//! in `std`, both would exist twice and this would not build. An allocator cannot be written without `unsafe`, which
//! is why this package stands outside the workspace; a real device brings its own from a crate of its own.

#![no_std]

extern crate alloc;

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};

use whinchat_session::SessionState;

mod sensor;

use sensor::{Board, Reading};

/// What the board calls: serves connections until `dial` finds none any more.
#[unsafe(no_mangle)]
pub extern "C" fn run_sensor(board: &Board, dial: extern "C" fn() -> bool) {
    let mut session: SessionState<Reading> = SessionState::new();
    while dial() {
        // Whatever ended the connection, the next one resumes the session.
        let _ = sensor::serve(board, &mut session);
    }
}

const ARENA_BYTES: usize = 64 * 1024;

/// Hands out one fixed arena from front to back and takes nothing back.
struct Bump {
    arena: UnsafeCell<[u8; ARENA_BYTES]>,
    used: AtomicUsize,
}

// SAFETY: `used` only grows, so no byte of the arena is ever handed out twice.
unsafe impl Sync for Bump {}

// SAFETY: a block lies inside the arena, starts at a multiple of its alignment, and overlaps no other block.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let base = self.arena.get() as usize;
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                let start = (base + used).checked_next_multiple_of(layout.align())? - base;
                start
                    .checked_add(layout.size())
                    .filter(|end| *end <= ARENA_BYTES)
            });
        match taken {
            Ok(used) => ((base + used).next_multiple_of(layout.align())) as *mut u8,
            Err(_) => core::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ALLOCATOR: Bump = Bump {
    arena: UnsafeCell::new([0; ARENA_BYTES]),
    used: AtomicUsize::new(0),
};

#[panic_handler]
fn halt(_: &PanicInfo<'_>) -> ! {
    loop {}
}
