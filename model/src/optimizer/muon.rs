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
