//! The peak of copies of a given footprint.

use crate::data::Buffer;
use isograd_kernels::peak::fastest;
use std::hint::black_box;

/// The rate at which one thread copies when source and destination together have `footprint_bytes`, in GB/s.
/// Bytes read and bytes written both count.
pub fn copy_peak(footprint_bytes: usize) -> f64 {
    let len = (footprint_bytes / 2 / size_of::<f32>()).max(1);
    let (from, mut to) = (Buffer::zeroed(len), Buffer::zeroed(len));
    let copy = || {
        black_box(&mut to).copy_from_slice(black_box(&from));
        (2 * len * size_of::<f32>()) as f64
    };
    fastest(copy) / 1e9
}
