//! The memory of packed matrices.

use std::cell::RefCell;

thread_local! {
    /// The packed blocks. A thread allocates this memory at its first product and keeps it, so later products
    /// allocate nothing.
    static SCRATCH: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with this thread's memory for `len` elements.
pub(super) fn with_scratch<T: bytemuck::Pod, R>(len: usize, work: impl FnOnce(&mut [T]) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| {
        let needed = (len * size_of::<T>()).div_ceil(size_of::<u64>());
        if scratch.len() < needed {
            scratch.resize(needed, 0);
        }
        work(&mut bytemuck::cast_slice_mut(scratch)[..len])
    })
}
