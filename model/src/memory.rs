//! Buffers that start on a cache line, so that vectors of a row that is a multiple of one do not straddle two.

use isograd_kernels::Element;

/// Bytes of a cache line.
const LINE_BYTES: usize = 64;

/// A zeroed buffer of fixed length that starts on a cache line.
#[derive(Debug)]
pub(crate) struct Aligned<T> {
    all: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Element> Aligned<T> {
    pub(crate) fn zeroed(len: usize) -> Self {
        let line = LINE_BYTES / size_of::<T>();
        let all = vec![T::ZERO; len + line];
        let start = all.as_ptr().align_offset(LINE_BYTES).min(line);
        Self { all, start, len }
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

/// `len` rounded up to whole cache lines.
pub(crate) fn round_up<T>(len: usize) -> usize {
    len.next_multiple_of(LINE_BYTES / size_of::<T>())
}
