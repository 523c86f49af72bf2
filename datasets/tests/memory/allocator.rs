//! Counts the memory that is in use.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The system allocator, which adds up what is in use and keeps the most.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

fn add(bytes: usize) {
    let in_use = IN_USE.fetch_add(bytes, Relaxed) + bytes;
    MOST.fetch_max(in_use, Relaxed);
}

// SAFETY: every call goes to `System` with the caller's arguments, so its guarantees are those of `System`;
// counting touches two statics and does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: `block` came from `System` with this layout, because all of them do.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        add(new_size);
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as for `dealloc`, and the caller keeps the contract on `new_size`.
        unsafe { System.realloc(block, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The whole program's memory, while no other test runs.
pub(crate) struct Memory {
    _alone: MutexGuard<'static, ()>,
}

static TESTS: Mutex<()> = Mutex::new(());

impl Memory {
    /// Waits until no other test runs.
    pub(crate) fn alone() -> Self {
        // A test that failed leaves nothing half done.
        Self { _alone: TESTS.lock().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Runs `work`, and returns the most bytes that it had in use at a time, with what it returns.
    pub(crate) fn most_during<R>(&self, work: impl FnOnce() -> R) -> (usize, R) {
        let before = IN_USE.load(Relaxed);
        MOST.store(before, Relaxed);
        let result = work();
        (MOST.load(Relaxed).saturating_sub(before), result)
    }
}
