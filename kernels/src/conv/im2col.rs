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
//! Output rows are taken in blocks, so that a block of the matrix stays in the cache. Where the kernel is one
//! element without a stride, the image is the matrix, and nothing is copied.

use super::Precision;
use super::axis::Axis;
use super::strided_rows::copy_strided;
use crate::element::Element;
use crate::gemm::{MatMut, MatRef, RowFinish, finished_gemm, finished_gemm_bf16};
use crate::{Accum, Activation, Finish, Isa, Pass, activation, elementwise};
use std::ops::Range;

/// The elements of a block's columns, which fit in the second-level cache, unless a block then has fewer
/// outputs than [`BLOCK_OUTPUTS`] or less than one row of them.
const BLOCK_LEN: usize = 128 * 1024;

/// A product with so many columns takes much longer than the packing of the weights, and the sums of a weight
/// gradient are added to memory only once for so many terms.
const BLOCK_OUTPUTS: usize = 512;

/// The geometry of the copy.
#[derive(Debug, Clone)]
pub(super) struct Im2col {
    c: usize,
    f: usize,
    rows: Axis,
    columns: Axis,
    /// For each kernel column, the part of an image row that it reads.
    reads: Vec<Reads>,
    /// Whether each output reads the pixel at its own place, and no other.
    is_image: bool,
    /// Whether the kernel is one element, so that no two outputs read the same pixel.
    is_single: bool,
    /// How factors are multiplied in the forward pass, the input gradient and the weight gradient.
    precisions: [Precision; 3],
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
    pub(super) fn new(c: usize, f: usize, rows: &Axis, columns: &Axis, precisions: [Precision; 3]) -> Self {
        let reads = |k| {
            let outputs = columns.outputs_of(k);
            Reads { first: columns.input(outputs.start, k).unwrap_or(0), outputs }
        };
        let is_single = (rows.kernel, columns.kernel) == (1, 1);
        let is_in_place = |axis: &Axis| (axis.stride, axis.padding) == (1, 0);
        Self {
            c,
            f,
            is_image: is_single && is_in_place(rows) && is_in_place(columns),
            is_single,
            reads: (0..columns.kernel).map(reads).collect(),
            rows: rows.clone(),
            columns: columns.clone(),
            precisions,
        }
    }

    /// Whether each output reads the pixel at its own place, and no other.
    pub(super) fn is_image(&self) -> bool {
        self.is_image
    }

    /// The number of elements of scratch memory for at most `n` samples.
    pub(super) fn scratch_len(&self, n: usize) -> usize {
        let row_len = self.depth() * self.columns.outputs * n;
        // Fewer samples can make larger blocks, of more rows: by less than one row.
        let block_len = row_len + BLOCK_LEN.max(BLOCK_OUTPUTS.saturating_mul(self.depth()));
        if self.is_image { 0 } else { block_len.min(row_len * self.rows.outputs) }
    }

    /// The number of products in one output value, which is the height of the matrix of columns.
    fn depth(&self) -> usize {
        self.c * self.rows.kernel * self.columns.kernel
    }

    fn block_rows(&self, n: usize) -> usize {
        let row_outputs = (self.columns.outputs * n).max(1);
        let outputs = BLOCK_OUTPUTS.max(BLOCK_LEN / self.depth());
        outputs.div_ceil(row_outputs).min(self.rows.outputs)
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
        finish: Finish<'_, T>,
        y: &mut [T],
    ) {
        let plane = self.plane(n);
        // Possibly a part of all filters.
        let f = w.len() / self.depth();
        let w = MatRef::row_major(w, f, self.depth());
        for block in self.blocks(n) {
            let (start, len) = self.place(&block, n);
            let columns = self.columns(n, x, &block, scratch);
            let y = MatMut::strided(&mut y[start..], f, len, plane, 1);
            let addend = finish.addend.map(|addend| &addend[start..]);
            let finish = RowFinish { bias, finish: Finish { addend, ..finish } };
            product(self.precisions[0], isa, w, columns, Accum::Replace, y, finish);
        }
    }

    /// The gradient of the input channels `channels`; `dx` and `relu_output` are those of them alone.
    pub(super) fn input_gradient<T: Element>(
        &self,
        Pass { isa, n, scratch }: Pass<'_, T>,
        channels: Range<usize>,
        [dy, w]: [&[T]; 2],
        relu_output: Option<&[T]>,
        accum: Accum,
        dx: &mut [T],
    ) {
        let plane = self.plane(n);
        let kernel_len = self.rows.kernel * self.columns.kernel;
        let depth = channels.len() * kernel_len;
        let w = &w[channels.start * kernel_len..];
        let w = MatRef::strided(w, self.f, depth, self.depth(), 1).t();
        if accum == Accum::Replace && !self.is_image {
            dx.fill(T::ZERO);
        }
        for block in self.blocks(n) {
            let (start, len) = self.place(&block, n);
            let dy = MatRef::strided(&dy[start..], self.f, len, plane, 1);
            if self.is_image {
                product(
                    self.precisions[1],
                    isa,
                    w,
                    dy,
                    accum,
                    MatMut::strided(&mut dx[start..], depth, len, plane, 1),
                    RowFinish::NONE,
                );
                continue;
            }
            let columns = &mut scratch[..depth * len];
            let gradients = MatMut::row_major(columns, depth, len);
            product(self.precisions[1], isa, w, dy, Accum::Replace, gradients, RowFinish::NONE);
            // At stride 1, a row of pixels is contiguous in both.
            let run_len = |row_len| if self.columns.stride == 1 { row_len } else { n };
            self.for_each_row(n, channels.len(), &block, |inside, source| {
                let (dx, columns) = (&mut dx[source..], &columns[inside]);
                let run_len = run_len(columns.len()).max(1);
                let runs = dx.chunks_mut(run_len * self.columns.stride);
                for (dx, columns) in runs.zip(columns.chunks_exact(run_len)) {
                    match accum {
                        Accum::Replace if self.is_single => dx[..run_len].copy_from_slice(columns),
                        _ => elementwise::add_assign(isa, columns, Activation::Identity, &mut dx[..run_len]),
                    }
                }
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
        let plane = self.plane(n);
        // Possibly a part of all filters.
        let f = dw.len() / self.depth();
        for block in self.blocks(n) {
            let (start, len) = self.place(&block, n);
            let columns = self.columns(n, x, &block, scratch);
            let accum = if block.start == 0 { accum } else { Accum::Add };
            let dw = MatMut::row_major(dw, f, self.depth());
            let dy = MatRef::strided(&dy[start..], f, len, plane, 1);
            product(self.precisions[2], isa, dy, columns.t(), accum, dw, RowFinish::NONE);
        }
    }

    /// Elements of an output channel.
    fn plane(&self, n: usize) -> usize {
        self.rows.outputs * self.columns.outputs * n
    }

    /// The columns of a block `[C*KH*KW, rows of the block * OW * n]`, copied from `x` if need be.
    fn columns<'a, T: Element>(
        &self,
        n: usize,
        x: &'a [T],
        block: &Range<usize>,
        scratch: &'a mut [T],
    ) -> MatRef<'a, T> {
        let (start, len) = self.place(block, n);
        if self.is_image {
            return MatRef::strided(&x[start..], self.c, len, self.plane(n), 1);
        }
        let columns = &mut scratch[..self.depth() * len];
        self.copy(n, x, block, columns);
        MatRef::row_major(columns, self.depth(), len)
    }

    /// Fills `columns` `[C*KH*KW, rows of the block * OW * n]` from `x`.
    fn copy<T: Element>(&self, n: usize, x: &[T], block: &Range<usize>, columns: &mut [T]) {
        let (mut done, stride) = (0, self.columns.stride);
        self.for_each_row(n, self.c, block, |inside, source| {
            columns[done..inside.start].fill(T::ZERO);
            let (copy, x) = (&mut columns[inside.clone()], &x[source..]);
            match (stride, n) {
                (_, 0) => {}
                (1, _) => copy.copy_from_slice(&x[..inside.len()]),
                _ => copy_strided(n, stride, x, copy),
            }
            done = inside.end;
        });
        columns[done..].fill(T::ZERO);
    }

    /// Calls `visit(range of the columns, first element of x)` for every row of pixels of `channels` channels
    /// to copy, which are a stride apart in x, in the order of the columns.
    fn for_each_row(
        &self,
        n: usize,
        channels: usize,
        block: &Range<usize>,
        mut visit: impl FnMut(Range<usize>, usize),
    ) {
        let (h, w, ow) = (self.rows.inputs, self.columns.inputs, self.columns.outputs);
        let mut row = 0;
        for c in 0..channels {
            for kh in 0..self.rows.kernel {
                for reads in &self.reads {
                    for i in block.clone() {
                        let start = row * ow + reads.outputs.start;
                        row += 1;
                        let Some(p) = self.rows.input(i, kh).filter(|_| !reads.outputs.is_empty()) else {
                            continue;
                        };
                        let source = (c * h + p) * w + reads.first;
                        visit(start * n..(start + reads.outputs.len()) * n, source * n);
                    }
                }
            }
        }
    }
}

/// `c = a b` or `c += a b`, and then `finish`.
fn product<T: Element>(
    precision: Precision,
    isa: Isa,
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
    accum: Accum,
    c: MatMut<'_, T>,
    finish: RowFinish<'_, T>,
) {
    match precision {
        Precision::Full => finished_gemm(isa, a, b, accum, c, finish),
        Precision::Bfloat16 => finished_gemm_bf16(isa, a, b, accum, c, finish),
    }
}
