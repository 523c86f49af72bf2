//! Muon: steps that are orthogonal matrices.

use super::whole::for_parts;
use super::{AdamW, Extent, Optimizer, Part, Scope, StepNumbers, check_nonnegative, check_share, norm};
use crate::error::Error;
use crate::layer::Tensor;
use isograd_kernels::gemm::{MatMut, MatRef, gemm};
use isograd_kernels::optimizer as kernel;
use isograd_kernels::{Accum, Element, Isa, elementwise};
use rayon::prelude::*;
use std::mem::swap;

/// Momentum whose direction is made orthogonal, for weights; [`AdamW`] for all other tensors.
///
/// A weight tensor is a matrix `[dims[0], the rest]`. `v = momentum * v + (1 - momentum) * g`; the direction
/// is `x = v`, or with Nesterov's look-ahead `x = momentum * v + (1 - momentum) * g`. `x / |x|` is brought
/// near to the nearest matrix with orthogonal rows or columns by iterations of
/// `x = a x + (b x x^T + c x x^T x x^T) x`, which move all singular values towards 1. Then
/// `w -= lr * weight_decay * w` and `w -= lr * sqrt(max(1, rows / columns)) * x`.
///
/// An iteration takes about `4 * min(rows, columns)` multiply-adds for each parameter, whatever the batch:
/// Muon suits networks whose passes take much longer than that.
///
/// # Source
///
/// Jordan et al.: "Muon: an optimizer for hidden layers in neural networks", 2024. The iterations are in the
/// element type of the network, not in bfloat16. The publication leaves the first and the last layer to
/// AdamW; here every tensor with two or more dimensions is Muon's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Muon {
    /// Share of the old mean, in [0, 1).
    pub momentum: f64,
    /// Whether the step looks ahead along the mean, as Nesterov's does.
    pub nesterov: bool,
    /// Decoupled weight decay of weights.
    pub weight_decay: f64,
    /// Iterations.
    pub iterations: u32,
    /// The optimizer of all other tensors.
    pub others: AdamW,
    /// The learning rate of all other tensors, as a multiple of that of the step.
    pub others_rate: f64,
}

impl Default for Muon {
    /// Momentum 0.95 with Nesterov's look-ahead, no weight decay, 5 iterations. AdamW with betas 0.9 and 0.95
    /// and epsilon 1e-10, without weight decay, at 0.015 times the learning rate: as published, 0.02 and
    /// 0.0003.
    fn default() -> Self {
        let others = AdamW { beta2: 0.95, eps: 1e-10, weight_decay: 0.0, ..AdamW::default() };
        Self { momentum: 0.95, nesterov: true, weight_decay: 0.0, iterations: 5, others, others_rate: 0.015 }
    }
}

/// The published coefficients: the slope `a` at 0 is as steep as can be, and singular values end near 1.
const COEFFICIENTS: [f64; 3] = [3.4445, -4.775, 2.0315];

/// Added to the norm by which the direction is divided.
const EPS: f64 = 1e-7;

/// Rows of a product that are one task. It is a part of the arithmetic, unlike the number of threads.
const ROWS: usize = 64;

impl<T: Element> Optimizer<T> for Muon {
    fn slots(&self, tensor: &Tensor) -> usize {
        if Scope::Weights.covers(tensor) { 1 } else { Optimizer::<T>::slots(&self.others, tensor) }
    }

    fn extent(&self, tensor: &Tensor) -> Extent {
        match Scope::Weights.covers(tensor) {
            true => Extent::Whole { scratch: Matrix::of(tensor).scratch() },
            false => Extent::Range,
        }
    }

    fn check(&self) -> Result<(), Error> {
        check_share("momentum", self.momentum)?;
        check_nonnegative("weight decay", self.weight_decay)?;
        check_nonnegative("the learning rate of other tensors", self.others_rate)?;
        Optimizer::<T>::check(&self.others)
    }

    fn constants(&self, step: u64) -> [f64; 4] {
        Optimizer::<T>::constants(&self.others, step)
    }

    fn update(&self, step: &StepNumbers, mut part: Part<'_, T>) {
        if !Scope::Weights.covers(part.tensor) {
            let learning_rate = step.learning_rate * self.others_rate;
            return self.others.update(&StepNumbers { learning_rate, ..*step }, part);
        }
        let (isa, lr, momentum) = (step.isa, step.learning_rate, self.momentum);
        let [mean] = part.slots();
        let Part { tensor, weights, gradient, scratch, .. } = part;
        for_parts([&mut *gradient, mean], &|[g, v]| kernel::momentum(isa, momentum, self.nesterov, g, v));
        let matrix = Matrix::of(tensor);
        let x = matrix.orthogonal(isa, self.iterations, gradient, scratch);
        let scale = (matrix.rows as f64 / matrix.cols as f64).max(1.0).sqrt();
        let decay = lr * self.weight_decay;
        for_parts([weights, x], &|[w, x]| kernel::descend(isa, lr * scale, decay, x, w));
    }

    /// 0.02.
    fn default_learning_rate(&self) -> f64 {
        0.02
    }
}

/// The form of a weight tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Matrix {
    rows: usize,
    cols: usize,
}

impl Matrix {
    fn of(tensor: &Tensor) -> Self {
        let rows = tensor.dims[0];
        Self { rows, cols: tensor.range.len() / rows }
    }

    /// Rows and columns of the product of the matrix and its transpose, on its shorter side.
    fn side(self) -> usize {
        self.rows.min(self.cols)
    }

    /// Elements of a second matrix and of two products.
    fn scratch(self) -> usize {
        self.rows * self.cols + 2 * self.side() * self.side()
    }

    /// Makes the rows or columns of `x` nearly orthogonal. The result is in `x` or in the scratch memory.
    fn orthogonal<'a, T: Element>(
        self,
        isa: Isa,
        iterations: u32,
        mut x: &'a mut [T],
        scratch: &'a mut [T],
    ) -> &'a mut [T] {
        let Self { rows, cols } = self;
        let side = self.side();
        let (mut next, products) = scratch.split_at_mut(rows * cols);
        let (square, polynomial) = products.split_at_mut(side * side);
        let [a, b, c] = COEFFICIENTS.map(T::from_f64);
        let scale = T::from_f64((norm(isa, x) + EPS).recip());
        for_parts([&mut *x], &|[x]| elementwise::scale(isa, scale, x));
        for _ in 0..iterations {
            let matrix = MatRef::row_major(x, rows, cols);
            let is_wide = rows <= cols;
            let (left, right) = if is_wide { (matrix, matrix.t()) } else { (matrix.t(), matrix) };
            product(isa, left, right, side, Accum::Replace, square);

            // b S + c S^2, with S the square that was just computed.
            let s = MatRef::row_major(square, side, side);
            product(isa, s, s, side, Accum::Replace, polynomial);
            for_parts([&mut *polynomial, &mut *square], &|[p, s]| {
                elementwise::scale(isa, c, p);
                elementwise::axpy(isa, b, s, p);
            });

            for_parts([&mut *next, &mut *x], &|[next, x]| {
                next.copy_from_slice(x);
                elementwise::scale(isa, a, next);
            });
            let (x_now, p) = (MatRef::row_major(x, rows, cols), MatRef::row_major(polynomial, side, side));
            let (left, right) = if is_wide { (p, x_now) } else { (x_now, p) };
            product(isa, left, right, cols, Accum::Add, next);
            swap(&mut x, &mut next);
        }
        x
    }
}

/// `c = a b` or `c += a b`, where `b` and `c` have `cols` columns, in blocks of rows, which do not depend on
/// the number of threads.
fn product<T: Element>(isa: Isa, a: MatRef<'_, T>, b: MatRef<'_, T>, cols: usize, accum: Accum, c: &mut [T]) {
    c.par_chunks_mut(ROWS * cols).with_max_len(1).enumerate().for_each(|(index, c)| {
        let rows = c.len() / cols;
        let a = a.rows(index * ROWS..index * ROWS + rows);
        gemm(isa, a, b, accum, MatMut::row_major(c, rows, cols));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a b`, or `a^T b`, of matrices in rows.
    fn naive(a: &[f64], b: &[f64], inner: usize, is_transposed: bool) -> Vec<f64> {
        let (rows, cols) = (a.len() / inner, b.len() / inner);
        let a = |i: usize, k: usize| if is_transposed { a[k * rows + i] } else { a[i * inner + k] };
        let element =
            |place: usize| (0..inner).map(|k| a(place / cols, k) * b[k * cols + place % cols]).sum();
        (0..rows * cols).map(element).collect()
    }

    /// The iteration for tall matrices, as it is published for the transpose: `x (a + b S + c S^2)`, with `S`
    /// the product `x^T x`.
    fn naive_orthogonal(x: &[f64], rows: usize, cols: usize) -> Vec<f64> {
        let [a, b, c] = COEFFICIENTS;
        let norm = x.iter().map(|x| x * x).sum::<f64>().sqrt() + EPS;
        let mut x: Vec<f64> = x.iter().map(|x| x / norm).collect();
        for _ in 0..5 {
            let s = naive(&x, &x, rows, true);
            let squared = naive(&s, &s, cols, false);
            let mut polynomial: Vec<f64> = s.iter().zip(&squared).map(|(s, t)| b * s + c * t).collect();
            polynomial.iter_mut().step_by(cols + 1).for_each(|p| *p += a);
            x = naive(&x, &polynomial, cols, false);
        }
        x
    }

    fn transposed(x: &[f64], cols: usize) -> Vec<f64> {
        let rows = x.len() / cols;
        (0..x.len()).map(|place| x[place % rows * cols + place / rows]).collect()
    }

    fn random(len: usize) -> Vec<f64> {
        let mix = |i: usize| (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        (0..len).map(|i| mix(i) as f64 / f64::from(1 << 23) - 1.0).collect()
    }

    /// In one block of rows and in several, also with a rest, and with one row or column.
    #[test]
    fn iterations_are_those_of_plain_loops() {
        for (rows, cols) in [(9, 5), (5, 5), (1, 1), (17, 1), (150, 70), (70, 64)] {
            let tall = random(rows * cols);
            let expected = naive_orthogonal(&tall, rows, cols);
            for (rows, cols, x, expected) in [
                (rows, cols, tall.clone(), expected.clone()),
                (cols, rows, transposed(&tall, cols), transposed(&expected, cols)),
            ] {
                for isa in Isa::available() {
                    let matrix = Matrix { rows, cols };
                    let (mut x, mut scratch) = (x.clone(), vec![f64::NAN; matrix.scratch()]);
                    let result = matrix.orthogonal(isa, 5, &mut x, &mut scratch);
                    // Five steps multiply an error by up to `3.4445^5`; each adds some roundings of sums.
                    let bound = 500.0 * (rows.max(cols) as f64) * f64::EPSILON;
                    for (i, (got, expected)) in result.iter().zip(&expected).enumerate() {
                        let difference = (got - expected).abs();
                        assert!(
                            difference <= bound,
                            "{isa}, {rows} x {cols}, element {i}: {got}, expected {expected}, bound {bound:e}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn rows_become_nearly_orthogonal() {
        let (rows, cols) = (8, 40);
        let (mut x, matrix) = (random(rows * cols), Matrix { rows, cols });
        let mut scratch = vec![0.0; matrix.scratch()];
        let x = matrix.orthogonal(Isa::best(), 5, &mut x, &mut scratch).to_vec();
        let products = naive(&x, &transposed(&x, cols), cols, false);
        for (place, product) in products.iter().enumerate() {
            // Singular values end between 0.68 and 1.13, as published.
            let (row, column) = (place / rows, place % rows);
            let range = if row == column { 0.46..1.28 } else { -0.41..0.41 };
            assert!(range.contains(product), "rows {row} and {column}: {product}");
        }
    }
}
