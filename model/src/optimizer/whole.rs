//! What an update of a whole tensor needs: norms and loops on several threads, with the same bits on any
//! number of them.

use isograd_kernels::reduce::sum_of_squares_in_f64;
use isograd_kernels::{Element, Isa};

/// Elements of which a norm adds up the squares in one go.
const BLOCK: usize = 2048;

/// Elements that are worth a task of their own.
const PART: usize = 1 << 16;

/// The Euclidean norm `sqrt(sum of x[i]^2)`, computed by the threads of the current pool, with the same bits
/// on any number of them and at every level.
///
/// Squares are added in f64, first in blocks of 2048; the sums of the blocks are added in a binary tree. The
/// error is less than `64 * f64::EPSILON` of the norm. It is 0 for an empty slice, and not finite if an
/// element is not.
pub fn norm<T: Element>(isa: Isa, x: &[T]) -> f64 {
    sum_of_squares(isa, x).sqrt()
}

fn sum_of_squares<T: Element>(isa: Isa, x: &[T]) -> f64 {
    if x.len() <= BLOCK {
        return sum_of_squares_in_f64(isa, x);
    }
    let (left, right) = x.split_at(middle(x.len(), BLOCK));
    let (left, right) = if x.len() > PART {
        rayon::join(|| sum_of_squares(isa, left), || sum_of_squares(isa, right))
    } else {
        (sum_of_squares(isa, left), sum_of_squares(isa, right))
    };
    left + right
}

/// Calls `work` with parts of `columns`, which have equal lengths, on the threads of the current pool.
pub(super) fn for_parts<T: Send, const N: usize>(
    columns: [&mut [T]; N],
    work: &(impl Fn([&mut [T]; N]) + Sync),
) {
    let len = columns[0].len();
    if len <= PART {
        return work(columns);
    }
    let middle = middle(len, BLOCK);
    let (mut left, mut right) = ([const { None }; N], [const { None }; N]);
    for (i, column) in columns.into_iter().enumerate() {
        let (first, second) = column.split_at_mut(middle);
        (left[i], right[i]) = (Some(first), Some(second));
    }
    let [left, right] = [left, right].map(|half| half.map(|part| part.expect("each column was split")));
    rayon::join(|| for_parts(left, work), || for_parts(right, work));
}

/// The middle of `len` elements, after a whole number of blocks.
pub(super) fn middle(len: usize, block: usize) -> usize {
    len.div_ceil(block) / 2 * block
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919) % 1013) as f32 - 500.0).collect()
    }

    #[test]
    fn a_norm_is_the_same_bits_on_any_number_of_threads() {
        for len in [0, 1, BLOCK, BLOCK + 1, 5 * BLOCK + 3, PART + 1, 3 * PART + 4321] {
            let x = values(len);
            // Whole numbers: every sum is exact.
            let expected = x.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
            let tenths: Vec<f32> = x.iter().map(|x| x / 10.0).collect();
            let norms = [1, 2, 3].map(|threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
                pool.install(|| {
                    Isa::available().into_iter().map(|isa| norm(isa, &tenths)).collect::<Vec<_>>()
                })
            });
            assert_eq!(norm(Isa::best(), &x), expected, "{len} elements");
            let all = norms.iter().flatten();
            assert!(all.clone().all(|norm| norm.to_bits() == norms[0][0].to_bits()), "{len}: {norms:?}");
        }
    }

    #[test]
    fn parts_tile_all_columns_alike() {
        for len in [0, 5, PART, PART + 1, 4 * PART + 77] {
            let (mut a, mut b) = (values(len), vec![0.0; len]);
            for_parts([&mut a, &mut b], &|[a, b]| {
                assert_eq!(a.len(), b.len());
                for (a, b) in a.iter_mut().zip(b) {
                    *b += 2.0 * *a;
                    *a = -*a;
                }
            });
            for (i, x) in values(len).into_iter().enumerate() {
                assert_eq!((a[i], b[i]), (-x, 2.0 * x), "element {i} of {len}");
            }
        }
    }
}
