//! Eigenvalues and eigenvectors of a symmetric matrix, by cyclic Jacobi rotations.
//!
//! ```text
//! until the elements beside the diagonal are 0 but for rounding:
//!     for each element (p, q) above the diagonal, row by row:
//!         rotate the plane of p and q so that a[p, q] becomes 0
//! ```
//!
//! A library's decomposition picks its instructions by the CPU. This one is plain f64 arithmetic in one
//! order: the same bits everywhere. It takes about `30 * n^3` operations, which is nothing for the patches of
//! a filter.
//!
//! # Source
//!
//! Golub, Van Loan: "Matrix computations", section 8.5. Convergence is quadratic; a few sweeps are enough.

/// More sweeps than any matrix of a sensible size needs.
const MAX_SWEEPS: usize = 60;

/// The decomposition of a symmetric matrix.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Eigen {
    /// The eigenvalues, the largest first; none below 0.
    pub(super) values: Vec<f64>,
    /// A row for each, of length 1. Its element with the largest absolute value, the first one of equals, is
    /// above 0.
    pub(super) vectors: Vec<f64>,
}

impl Eigen {
    /// Of the `n * n` matrix `a`, which has no negative eigenvalues but by rounding.
    pub(super) fn of(mut a: Vec<f64>, n: usize) -> Self {
        let mut v = vec![0.0; n * n];
        v.iter_mut().step_by(n + 1).for_each(|element| *element = 1.0);
        let norm = a.iter().map(|element| element * element).sum::<f64>();
        for _ in 0..MAX_SWEEPS {
            let beside: f64 =
                (0..n).flat_map(|p| (p + 1..n).map(move |q| (p, q))).map(|(p, q)| a[p * n + q].powi(2)).sum();
            if beside <= norm * f64::EPSILON * f64::EPSILON {
                break;
            }
            for (p, q) in (0..n).flat_map(|p| (p + 1..n).map(move |q| (p, q))) {
                rotate(&mut a, &mut v, n, p, q);
            }
        }
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|one, other| a[other * (n + 1)].total_cmp(&a[one * (n + 1)]));
        let mut vectors = Vec::with_capacity(n * n);
        for index in &order {
            let row = &v[index * n..][..n];
            let largest =
                row.iter().fold(
                    0.0_f64,
                    |largest, element| {
                        if element.abs() > largest.abs() { *element } else { largest }
                    },
                );
            vectors.extend(row.iter().map(|element| if largest < 0.0 { -element } else { *element }));
        }
        Self { values: order.iter().map(|index| a[index * (n + 1)].max(0.0)).collect(), vectors }
    }
}

/// Makes `a[p, q]` 0 by a rotation, which the rows `p` and `q` of `v` take, too.
fn rotate(a: &mut [f64], v: &mut [f64], n: usize, p: usize, q: usize) {
    let apq = a[p * n + q];
    if apq == 0.0 {
        return;
    }
    let theta = (a[q * (n + 1)] - a[p * (n + 1)]) / (2.0 * apq);
    // The smaller of the two angles. Where theta^2 overflows, the tangent is 0, as it should be.
    let tangent = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
    let sine = tangent * cosine;
    let turn = |x: f64, y: f64| (cosine * x - sine * y, sine * x + cosine * y);
    for k in 0..n {
        (a[k * n + p], a[k * n + q]) = turn(a[k * n + p], a[k * n + q]);
    }
    for k in 0..n {
        (a[p * n + k], a[q * n + k]) = turn(a[p * n + k], a[q * n + k]);
        (v[p * n + k], v[q * n + k]) = turn(v[p * n + k], v[q * n + k]);
    }
    (a[p * n + q], a[q * n + p]) = (0.0, 0.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `b b^T` of a matrix of fixed numbers with `rank` columns.
    fn matrix(n: usize, rank: usize) -> Vec<f64> {
        let b = |row: usize, column: usize| {
            (((row * 31 + column * 17 + 5) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64
                / f64::from(1 << 23)
                - 1.0
        };
        let product = |i: usize, j: usize| (0..rank).map(|k| b(i, k) * b(j, k)).sum();
        (0..n * n).map(|place| product(place / n, place % n)).collect()
    }

    /// `a e = l e`, the vectors are orthonormal, and the values fall.
    #[test]
    fn vectors_are_those_of_the_matrix() {
        for (n, rank) in [(1, 1), (2, 2), (3, 1), (12, 12), (12, 5), (27, 40)] {
            let a = matrix(n, rank);
            let Eigen { values, vectors } = Eigen::of(a.clone(), n);
            let norm = a.iter().map(|element| element * element).sum::<f64>().sqrt();
            let bound = 50.0 * n as f64 * f64::EPSILON * norm;
            for (i, value) in values.iter().enumerate() {
                let e = &vectors[i * n..][..n];
                for row in 0..n {
                    let product: f64 = a[row * n..][..n].iter().zip(e).map(|(a, e)| a * e).sum();
                    let error = (product - value * e[row]).abs();
                    assert!(error <= bound, "{n}, {rank}: vector {i}, row {row}: {error:e} above {bound:e}");
                }
                for (j, other) in vectors.chunks(n).enumerate() {
                    let product: f64 = e.iter().zip(other).map(|(e, o)| e * o).sum();
                    let expected = if i == j { 1.0 } else { 0.0 };
                    assert!((product - expected).abs() < 1e-12, "{n}, {rank}: {i} and {j}: {product}");
                }
                let largest = e.iter().copied().max_by(|x, y| x.abs().total_cmp(&y.abs()));
                assert!(largest.is_some_and(|largest| largest > 0.0));
            }
            assert!(values.is_sorted_by(|one, other| one >= other) && values.iter().all(|v| *v >= 0.0));
            assert!(values[rank.min(n)..].iter().all(|value| *value <= bound), "{values:?}");
        }
    }

    #[test]
    fn what_is_diagonal_is_only_sorted() {
        let Eigen { values, vectors } = Eigen::of(vec![1.0, 0.0, 0.0, 0.0, 3.0, 0.0, 0.0, 0.0, 0.0], 3);
        assert_eq!(values, [3.0, 1.0, 0.0]);
        assert_eq!(vectors, [0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    }
}
