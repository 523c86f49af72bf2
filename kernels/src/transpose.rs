//! The transposition inside of other kernels.
//!
//! It works in blocks of 8 x 8 elements, which a level transposes in its registers, two blocks side by side,
//! so that whole cache lines are written.

use crate::element::Element;
use crate::simd::Level;
use std::array;

/// The rows and the columns of a block.
pub(crate) const BLOCK: usize = 8;
/// The most rows of the source that are read together.
const SOURCES: usize = 2 * BLOCK;

/// `y[j, i] = row(i)[j]`: from `rows` rows of `columns` elements to `[columns, rows]`.
#[inline(always)]
pub(crate) fn transpose<'x, T: Element, S: Level>(
    s: S,
    rows: usize,
    columns: usize,
    row: impl Fn(usize) -> &'x [T],
    y: &mut [T],
) {
    let whole = columns - columns % BLOCK;
    for first in (0..rows).step_by(SOURCES) {
        let width = SOURCES.min(rows - first);
        // Blocks that reach beyond the last row read it again.
        let sources: [&[T]; SOURCES] = array::from_fn(|i| &row(first + i.min(width - 1))[..columns]);
        for column in (0..whole).step_by(BLOCK) {
            let y = &mut y[column * rows..][..BLOCK * rows];
            let mut done = 0;
            while done < width {
                let mut block = [[T::ZERO; BLOCK]; BLOCK];
                for (block, source) in block.iter_mut().zip(&sources[done..][..BLOCK]) {
                    block.copy_from_slice(&source[column..][..BLOCK]);
                }
                let block = T::transpose(s, block);
                let at = first + done;
                // A row of constant length compiles to a few instructions.
                match width - done {
                    BLOCK.. => write::<T, BLOCK>(&block, rows, at, y),
                    6 => write::<T, 6>(&block, rows, at, y),
                    4 => write::<T, 4>(&block, rows, at, y),
                    few => {
                        for (y, row) in y.chunks_exact_mut(rows).zip(&block) {
                            y[at..at + few].copy_from_slice(&row[..few]);
                        }
                    }
                }
                done += BLOCK;
            }
        }
        for column in whole..columns {
            for (y, source) in y[column * rows + first..][..width].iter_mut().zip(&sources) {
                *y = source[column];
            }
        }
    }
}

/// Writes the first `N` elements of each row of `block` to a row of `y`, from element `at` on. A row of `y`
/// has `len` elements.
#[inline(always)]
fn write<T: Element, const N: usize>(block: &[[T; BLOCK]; BLOCK], len: usize, at: usize, y: &mut [T]) {
    for (i, row) in block.iter().enumerate() {
        y[i * len + at..][..N].copy_from_slice(&row[..N]);
    }
}

/// The transpose of a block.
#[inline(always)]
pub(crate) fn of_block<T: Copy>(block: [[T; BLOCK]; BLOCK]) -> [[T; BLOCK]; BLOCK] {
    array::from_fn(|i| array::from_fn(|j| block[j][i]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;
    use crate::simd::Kernel;

    struct Transpose<'a, T> {
        rows: usize,
        columns: usize,
        x: &'a [T],
        y: &'a mut [T],
    }

    impl<T: Element> Kernel for Transpose<'_, T> {
        type Output = ();

        #[inline(always)]
        fn run<S: Level>(self, s: S) {
            let Self { rows, columns, x, y } = self;
            transpose(s, rows, columns, |i| &x[i * columns..][..columns], y);
        }
    }

    fn is_transposed<T: Element>() {
        for isa in Isa::available() {
            for rows in (0..20).chain([24, 31, 48]) {
                for columns in [0, 1, 7, 8, 9, 16, 23, 40] {
                    let x: Vec<T> = (0..rows * columns).map(|i| T::from_f64(i as f64)).collect();
                    let mut y = vec![T::ZERO; rows * columns];
                    isa.run(Transpose { rows, columns, x: &x, y: &mut y });
                    let wanted = (0..columns).flat_map(|j| (0..rows).map(move |i| i * columns + j));
                    assert!(wanted.map(|i| x[i]).eq(y), "{rows} rows of {columns} at {isa}");
                }
            }
        }
    }

    #[test]
    fn any_number_of_rows_is_transposed_at_every_level() {
        is_transposed::<f32>();
        is_transposed::<f64>();
    }
}
