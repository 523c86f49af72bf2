//! Where the transformed values of a block lie: in records of all points.
//!
//! A transform writes or reads a vector of each point. If each point had a matrix of its own, these would be
//! dozens of places at distances that only the caller knows, and most of the instructions would compute and
//! check their addresses. So the vectors of a row are in groups, as wide as a tile of sums, and each has a
//! record,
//!
//! ```text
//! [group of vectors][row] -> [point][vector of the group][lane]
//! ```
//!
//! whose inner distances the compiler knows: one check serves all points. A product finds the rows of a group
//! one record apart.

use super::super::strided_rows::CACHE_LINE;
use crate::element::Element;
use crate::simd::Level;

/// The vectors of a group where registers have room for tiles so wide, and elsewhere.
const WIDE_GROUP: usize = 3;
const GROUP: usize = 2;
/// The lanes of the widest level.
pub(super) const MOST_LANES: usize = 16;

/// The vectors of the next group, of `left` vectors.
#[inline(always)]
fn next_len<S: Level>(left: usize) -> usize {
    match left {
        // Four vectors are better cut into 2 + 2 than into 3 + 1.
        WIDE_GROUP | 5.. if S::WIDE_FILE => WIDE_GROUP,
        GROUP.. => GROUP,
        _ => 1,
    }
}

/// The place of a vector: its group, and its number in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) group: usize,
    vector: usize,
    /// The vectors of the group.
    pub(super) len: usize,
    /// The vectors from the group's first on.
    left: usize,
}

impl Place {
    /// The first of `vectors` vectors.
    #[inline(always)]
    pub(super) fn first<S: Level>(vectors: usize) -> Self {
        Self { group: 0, vector: 0, len: next_len::<S>(vectors), left: vectors }
    }

    /// The place behind this one.
    #[inline(always)]
    pub(super) fn next<S: Level>(self) -> Self {
        match self.vector + 1 < self.len {
            true => Self { vector: self.vector + 1, ..self },
            false => self.next_group::<S>(),
        }
    }

    /// The first place of the next group.
    #[inline(always)]
    pub(super) fn next_group<S: Level>(self) -> Self {
        let left = self.left.saturating_sub(self.len);
        Self { group: self.group + 1, vector: 0, len: next_len::<S>(left), left }
    }

    /// Whether there is a vector.
    #[inline(always)]
    pub(super) fn is_filled(self) -> bool {
        self.left > 0
    }
}

/// The records of `rows` rows with `POINTS` points, and room for `width` vectors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Records<const POINTS: usize> {
    rows: usize,
    width: usize,
}

impl<const POINTS: usize> Records<POINTS> {
    /// The records of `rows` rows, with room for a whole group.
    #[inline(always)]
    pub(super) fn new<S: Level>(rows: usize) -> Self {
        Self { rows, width: if S::WIDE_FILE { WIDE_GROUP } else { GROUP } }
    }

    /// The records of `rows` rows of a single vector.
    #[inline(always)]
    pub(super) fn narrow(rows: usize) -> Self {
        Self { rows, width: 1 }
    }

    /// The distance between two records. At a large power of two, they would compete for the same places
    /// of the cache.
    #[inline(always)]
    pub(super) fn distance<T: Element, S: Level>(self) -> usize {
        self.point::<T, S>(POINTS) + CACHE_LINE
    }

    /// Where a point of a record begins.
    #[inline(always)]
    pub(super) fn point<T: Element, S: Level>(self, point: usize) -> usize {
        point * self.width * T::lanes::<S>()
    }

    /// Where the record of `row` in `group` begins.
    #[inline(always)]
    pub(super) fn record<T: Element, S: Level>(self, group: usize, row: usize) -> usize {
        (group * self.rows + row) * self.distance::<T, S>()
    }

    /// The values in the record of `row` from the vector of the first point at `place` to that of the last;
    /// [`point`](Self::point) says where each begins.
    #[inline(always)]
    pub(super) fn points<T: Element, S: Level, X>(self, values: &[X], place: Place, row: usize) -> &[X] {
        let start = self.record::<T, S>(place.group, row) + place.vector * T::lanes::<S>();
        &values[start..][..self.point::<T, S>(POINTS - 1) + T::lanes::<S>()]
    }

    #[inline(always)]
    pub(super) fn points_mut<T: Element, S: Level, X>(
        self,
        values: &mut [X],
        place: Place,
        row: usize,
    ) -> &mut [X] {
        let start = self.record::<T, S>(place.group, row) + place.vector * T::lanes::<S>();
        &mut values[start..][..self.point::<T, S>(POINTS - 1) + T::lanes::<S>()]
    }

    /// The elements of the records of `vectors` vectors.
    #[inline(always)]
    pub(super) fn len<T: Element, S: Level>(self, vectors: usize) -> usize {
        self.record::<T, S>(vectors.div_ceil(self.width), 0)
    }
}

/// At least as many elements as the records of `rows` rows of `columns` columns take at any level.
pub(super) fn most_elements(points: usize, rows: usize, columns: usize) -> usize {
    let levels =
        [GROUP, WIDE_GROUP].into_iter().flat_map(|width| [2, 4, 8, MOST_LANES].map(|lanes| [width, lanes]));
    let row = levels.map(|[width, lanes]| {
        let groups = columns.div_ceil(lanes).div_ceil(width);
        groups.saturating_mul(points * width * lanes + CACHE_LINE)
    });
    row.fold(0, usize::max).saturating_mul(rows)
}
