//! The passes as matrix products (im2col).
//!
//! The pixels that each output reads are copied to a matrix, one column for each output. A pass is then one
//! matrix product.
//!
//! ```text
//! columns[(c, kh, kw), (i, j, n)] = x[c, i*s - p + kh*d, j*s - p + kw*d, n], 0 outside the image
//! y  = w columns          w as [F, C*KH*KW], y as [F, OH*OW*N]
//! dw = dy transposed(columns)
//! dx = the transpose of the copy, applied to transposed(w) dy
//! ```
//!
//! Output rows are taken in blocks, so that the matrix of a large image need not be in memory as a whole.

use super::axis::Axis;
use crate::element::Element;
use crate::gemm::{MatMut, MatRef, gemm};
use crate::{Accum, Activation, Pass, activation, elementwise};
use std::ops::Range;

/// The most elements of a block's columns. A block has at least one output row, even when the row has more.
const BLOCK_LEN: usize = 4 * 1024 * 1024;

/// The geometry of the copy.
#[derive(Debug, Clone)]
pub(super) struct Im2col {
    c: usize,
    f: usize,
    rows: Axis,
    columns: Axis,
    /// For each kernel column, the part of an image row that it reads.
    reads: Vec<Reads>,
}

/// The part of an image row that a kernel column reads.
#[derive(Debug, Clone)]
struct Reads {
    /// The output columns for which the kernel column reads inside the image.
    outputs: Range<usize>,
    /// The input column that it reads for the first of these outputs. For each further output it reads a
    /// stride further.
    first: usize,
}

impl Im2col {
    pub(super) fn new(c: usize, f: usize, rows: &Axis, columns: &Axis) -> Self {
        let reads = |k| {
            let outputs = columns.outputs_of(k);
            Reads { first: columns.input(outputs.start, k).unwrap_or(0), outputs }
        };
        Self {
            c,
            f,
            reads: (0..columns.kernel).map(reads).collect(),
            rows: rows.clone(),
            columns: columns.clone(),
        }
    }

    /// The number of elements of scratch memory for at most `n` samples.
    pub(super) fn scratch_len(&self, n: usize) -> usize {
        let row_len = self.depth() * self.columns.outputs * n;
        row_len.max(BLOCK_LEN.min(row_len * self.rows.outputs))
    }

    /// The number of products in one output value, which is the height of the matrix of columns.
    fn depth(&self) -> usize {
        self.c * self.rows.kernel * self.columns.kernel
    }

    fn block_rows(&self, n: usize) -> usize {
        let row_len = self.depth() * self.columns.outputs * n;
        (BLOCK_LEN / row_len.max(1)).clamp(1, self.rows.outputs)
    }

    fn blocks(&self, n: usize) -> impl Iterator<Item = Range<usize>> {
        let (block, outputs) = (self.block_rows(n), self.rows.outputs);
        (0..outputs).step_by(block).map(move |first| first..(first + block).min(outputs))
    }

    /// The first column of a block in a matrix `[F, OH*OW*n]`, and the number of its columns.
    fn place(&self, block: &Range<usize>, n: usize) -> (usize, usize) {
        let row_len = self.columns.outputs * n;
        (block.start * row_len, block.len() * row_len)
    }

    pub(super) fn forward<T: Element>(
        &self,
        Pass { isa, n, scratch }: Pass<'_, T>,
        x: &[T],
        w: &[T],
        bias: Option<&[T]>,
        activation: Activation,
        y: &mut [T],
    ) {
        let plane = self.rows.outputs * self.columns.outputs * n;
        let accum = if let Some(bias) = bias {
            for (y, b) in y.chunks_exact_mut(plane.max(1)).zip(bias) {
                y.fill(*b);
            }
            Accum::Add
        } else {
            Accum::Replace
        };
        for block in self.blocks(n) {
            let (start, len) = self.place(&block, n);
            let columns = &mut scratch[..self.depth() * len];
            self.copy(n, x, &block, columns);
            let y = MatMut::strided(&mut y[start..], self.f, len, plane, 1);
            let w = MatRef::row_major(w, self.f, self.depth());
            gemm(isa, w, MatRef::row_major(columns, self.depth(), len), accum, y);
        }
        if activation == Activation::Relu {
            activation::relu_in_place(isa, y);
        }
    }

    pub(super) fn input_gradient<T: Element>(
        &self,
        Pass { isa, n, scratch }: Pass<'_, T>,
        dy: &[T],
        w: &[T],
        relu_output: Option<&[T]>,
        accum: Accum,
        dx: &mut [T],
    ) {
        let plane = self.rows.outputs * self.columns.outputs * n;
        if accum == Accum::Replace {
            dx.fill(T::ZERO);
        }
        for block in self.blocks(n) {
            let (start, len) = self.place(&block, n);
            let columns = &mut scratch[..self.depth() * len];
            let w = MatRef::row_major(w, self.f, self.depth());
            let dy = MatRef::strided(&dy[start..], self.f, len, plane, 1);
            gemm(isa, w.t(), dy, Accum::Replace, MatMut::row_major(columns, self.depth(), len));
            self.for_each_run(n, &block, |inside, source| {
                elementwise::add_assign(isa, &columns[inside], Activation::Identity, &mut dx[source]);
            });
        }
        if let Some(x) = relu_output {
            activation::relu_backward_in_place(isa, x, dx);
        }
    }

    pub(super) fn weight_gradient<T: Element>(
        &self,
        Pass { isa, n, scratch }: Pass<'_, T>,
        x: &[T],
        dy: &[T],
        accum: Accum,
        dw: &mut [T],
    ) {
        let plane = self.rows.outputs * self.columns.outputs * n;
        for block in self.blocks(n) {
            let (start, len) = self.place(&block, n);
            let columns = &mut scratch[..self.depth() * len];
            self.copy(n, x, &block, columns);
            let accum = if block.start == 0 { accum } else { Accum::Add };
            let dw = MatMut::row_major(dw, self.f, self.depth());
            let dy = MatRef::strided(&dy[start..], self.f, len, plane, 1);
            gemm(isa, dy, MatRef::row_major(columns, self.depth(), len).t(), accum, dw);
        }
    }

    /// Fills `columns` `[C*KH*KW, rows of the block * OW * n]` from `x`.
    fn copy<T: Element>(&self, n: usize, x: &[T], block: &Range<usize>, columns: &mut [T]) {
        let mut done = 0;
        self.for_each_run(n, block, |inside, source| {
            columns[done..inside.start].fill(T::ZERO);
            columns[inside.clone()].copy_from_slice(&x[source]);
            done = inside.end;
        });
        columns[done..].fill(T::ZERO);
    }

    /// Calls `visit(range of the columns, range of x)` for every contiguous run of elements to copy, in the
    /// order of the columns.
    fn for_each_run(
        &self,
        n: usize,
        block: &Range<usize>,
        mut visit: impl FnMut(Range<usize>, Range<usize>),
    ) {
        let (h, w, ow, stride) =
            (self.rows.inputs, self.columns.inputs, self.columns.outputs, self.columns.stride);
        let mut row = 0;
        for c in 0..self.c {
            for kh in 0..self.rows.kernel {
                for reads in &self.reads {
                    for i in block.clone() {
                        let start = row * ow + reads.outputs.start;
                        row += 1;
                        let Some(p) = self.rows.input(i, kh).filter(|_| !reads.outputs.is_empty()) else {
                            continue;
                        };
                        let source = (c * h + p) * w + reads.first;
                        let len = reads.outputs.len();
                        let (runs, run_len) = if stride == 1 { (1, len) } else { (len, 1) };
                        for j in 0..runs {
                            let (to, from) = (start + j, source + j * stride);
                            visit(to * n..(to + run_len) * n, from * n..(from + run_len) * n);
                        }
                    }
                }
            }
        }
    }
}
