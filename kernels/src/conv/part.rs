//! Parts of a pass: some of the channels of a convolution, or some of its groups.

use super::weight_gradient::MAX_FILTERS;
use std::ops::Range;

/// The multiple at which parts of an ungrouped convolution begin. It is also one of the number of filters in
/// a tile of the direct weight gradient: its blocks of rows, and so the order of its sums, depend on how many
/// filters a tile has.
pub(super) const CHANNELS_OF_PART: usize = 8;
const _: () = assert!(CHANNELS_OF_PART.is_multiple_of(MAX_FILTERS));

/// Some of the `count` channels, or filters, of a tensor.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) channels: Range<usize>,
    pub(super) count: usize,
}

impl Part {
    /// Checks that the part begins and ends at multiples of `unit`, or at the end.
    ///
    /// A matrix product of a single row is summed in another order. So a channel that would be left alone at
    /// the end belongs to the part in front of it.
    pub(super) fn new(channels: Range<usize>, count: usize, unit: usize) -> Self {
        let Range { start, end } = channels;
        let is_between = |at: usize| at.is_multiple_of(unit) && (unit == 1 || at + 1 != count);
        let is_cut = |at: usize| at == 0 || at == count || is_between(at);
        assert!(
            start < end && end <= count && is_cut(start) && is_cut(end),
            "channels {start}..{end} of {count} are no part: parts have a multiple of {unit}"
        );
        Self { channels, count }
    }

    /// The part of a tensor `[count, ...]`.
    pub(super) fn of<'a, T>(&self, all: &'a [T]) -> &'a [T] {
        let len = all.len() / self.count;
        &all[self.channels.start * len..self.channels.end * len]
    }

    /// Checks the length of a tensor that holds the part of another one, of `whole` elements, which are as
    /// many as there should be. Returns the length of the other one, which is `len` if the part is all of it.
    pub(super) fn whole(&self, len: usize, whole: usize) -> usize {
        if self.channels.len() == self.count {
            return len;
        }
        let (channels, count) = (&self.channels, self.count);
        let needed = whole / count * channels.len();
        assert_eq!(
            len, needed,
            "channels {channels:?} of {count} have {len} elements, but {needed} are needed"
        );
        whole
    }
}

/// The part of a tensor that belongs to group `g` of `groups`.
pub(super) fn of_group<T>(g: usize, groups: usize, all: &[T]) -> &[T] {
    let len = all.len() / groups;
    &all[g * len..][..len]
}

pub(super) fn of_group_mut<T>(g: usize, groups: usize, all: &mut [T]) -> &mut [T] {
    let len = all.len() / groups;
    &mut all[g * len..][..len]
}
