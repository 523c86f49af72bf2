//! Buffers that start on a pair of cache lines, and the check that the system has memory for them.
//!
//! A vector in such a buffer never straddles two cache lines, and the two lines that a processor fetches
//! together are of the same pixel.

use crate::error::Error;
use isograd_kernels::Element;
use rayon::prelude::*;
use std::hint::black_box;

/// Bytes of two cache lines, which many processors fetch together: a pixel of 32 samples of f32.
const PAIR_BYTES: usize = 128;

/// Checks that the system has `bytes` bytes for `what`. It is called before each allocation whose size the
/// user decides, since an allocation that fails would end the program.
pub(crate) fn check(what: impl FnOnce() -> String, bytes: u128) -> Result<(), Error> {
    let is_there = usize::try_from(bytes).is_ok_and(|bytes| {
        let mut probe = Vec::<u8>::new();
        let result = probe.try_reserve_exact(bytes);
        // Without this, the compiler may remove the allocation, as nothing uses the memory.
        black_box(&mut probe);
        result.is_ok()
    });
    if is_there { Ok(()) } else { Err(Error::OutOfMemory { what: what(), bytes }) }
}

/// A zeroed buffer of fixed length that starts on a pair of cache lines.
#[derive(Debug)]
pub(crate) struct Aligned<T> {
    all: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Element> Aligned<T> {
    pub(crate) fn zeroed(len: usize) -> Self {
        let pair = PAIR_BYTES / size_of::<T>();
        let all = vec![T::ZERO; len + pair];
        let start = all.as_ptr().align_offset(PAIR_BYTES).min(pair);
        Self { all, start, len }
    }
}

impl<T: Element> Aligned<T> {
    /// Overwrites the elements with `from`, of the same length, on all threads of the current pool.
    pub(crate) fn copy_from(&mut self, from: &[T]) {
        /// Elements that a thread copies at a time.
        const CHUNK: usize = 1 << 16;
        self.par_chunks_mut(CHUNK)
            .zip(from.par_chunks(CHUNK))
            .for_each(|(to, from)| to.copy_from_slice(from));
    }
}

impl<T: Element> Clone for Aligned<T> {
    /// The copy starts on a pair of cache lines, too.
    fn clone(&self) -> Self {
        let mut copy = Self::zeroed(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl<T> std::ops::Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.all[self.start..self.start + self.len]
    }
}

impl<T> std::ops::DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.all[self.start..self.start + self.len]
    }
}

/// `len` rounded up to whole pairs of cache lines.
pub(crate) fn round_up<T>(len: usize) -> usize {
    len.next_multiple_of(PAIR_BYTES / size_of::<T>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_machine_has_is_refused() {
        for bytes in [1 << 60, isize::MAX as u128 + 1, u128::from(u64::MAX) + 1, u128::MAX] {
            let error = check(|| "a test".to_string(), bytes).expect_err("no such memory").to_string();
            assert_eq!(error, format!("no memory for a test: {bytes} bytes"));
        }
        check(|| "a test".to_string(), 1 << 20).expect("a megabyte");
    }
}
