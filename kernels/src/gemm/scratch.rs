//! The memory of packed matrices.

use std::cell::RefCell;

/// The bytes of a cache line. The memory begins at the start of one, so that no vector of a panel lies in
/// two lines.
const LINE_BYTES: usize = 64;
const LINE_WORDS: usize = LINE_BYTES / size_of::<u64>();

thread_local! {
    /// The packed blocks. A thread allocates this memory at its first product and keeps it, so later products
    /// allocate nothing.
    static SCRATCH: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with this thread's memory for `len` elements.
pub(super) fn with_scratch<T: bytemuck::Pod, R>(len: usize, work: impl FnOnce(&mut [T]) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| {
        let needed = (len * size_of::<T>()).div_ceil(size_of::<u64>()) + LINE_WORDS;
        if scratch.len() < needed {
            scratch.resize(needed, 0);
        }
        let start = scratch.as_ptr().align_offset(LINE_BYTES).min(LINE_WORDS);
        work(&mut bytemuck::cast_slice_mut(&mut scratch[start..])[..len])
    })
}
