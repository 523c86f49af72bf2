//! One group of a convolution: an ordinary convolution of some of the channels.

use super::axis::Axis;
use super::direct::{DirectPass, Epilogue, WeightStrides};
use super::direct_plan::DirectPlan;
use super::im2col::Im2col;
use super::weight_gradient::{WeightGradientPass, WeightGradientPlan};
use super::{Path, Paths};
use crate::element::Element;
use crate::{Accum, Finish, Pass};
use std::ops::Range;

/// The planned loops of a group. All groups of a convolution have the same.
#[derive(Debug, Clone)]
pub(super) struct Group {
    /// Distances between the kernels of neighbouring filters and channels.
    w_strides: WeightStrides,
    forward: DirectPlan,
    input_gradient: DirectPlan,
    weight_gradient: WeightGradientPlan,
    im2col: Im2col,
}

impl Group {
    /// A group of `c` channels and `f` filters.
    pub(super) fn new([c, f]: [usize; 2], [rows, columns]: [&Axis; 2], paths: &Paths) -> Self {
        let im2col = Im2col::new(c, f, rows, columns, paths.precisions());
        // Where each output reads the pixel at its own place, the direct loops take the image as one row.
        let long_row = [Axis::unit(1), Axis::unit(rows.outputs * columns.outputs)];
        let [rows, columns] = if im2col.is_image() { &long_row } else { &[rows.clone(), columns.clone()] };
        let kernel_len = rows.kernel * columns.kernel;
        Self {
            w_strides: WeightStrides { output: c * kernel_len, input: kernel_len },
            forward: DirectPlan::new(c, f, rows, columns),
            input_gradient: DirectPlan::transposed(f, c, rows, columns),
            weight_gradient: WeightGradientPlan::new(c, rows, columns),
            im2col,
        }
    }

    /// The number of elements of scratch memory that each pass needs for at most `n` samples. `is_here` says
    /// whether direct passes run here.
    pub(super) fn scratch_len(&self, paths: &Paths, is_here: bool, n: usize) -> usize {
        let few = n.min(paths.least_samples.saturating_sub(1));
        [
            (paths.forward, self.forward.scratch_len(n), self.forward.scratch_len(few)),
            (paths.input_gradient, self.input_gradient.scratch_len(n), self.input_gradient.scratch_len(few)),
            (
                paths.weight_gradient,
                self.weight_gradient.scratch_len(n),
                self.weight_gradient.scratch_len(few),
            ),
        ]
        .into_iter()
        .map(|(path, direct, few)| match path {
            Path::Direct if is_here => direct,
            Path::Direct => 0,
            Path::Im2col => self.im2col.scratch_len(n),
            // Passes over few samples are direct.
            Path::WinogradF2 | Path::WinogradF4 => few,
        })
        .fold(self.im2col.scratch_len(n.min(paths.product_samples)), usize::max)
    }

    /// The forward pass of all filters of the group, or of those whose weights, biases and outputs are given.
    pub(super) fn forward<T: Element>(
        &self,
        path: Path,
        pass: Pass<'_, T>,
        [x, w]: [&[T]; 2],
        bias: Option<&[T]>,
        finish: Finish<'_, T>,
        y: &mut [T],
    ) {
        if path == Path::Im2col {
            return self.im2col.forward(pass, x, w, bias, finish, y);
        }
        let Pass { isa, n, scratch } = pass;
        let (plan, w_strides, epilogue) = (&self.forward, self.w_strides, Epilogue::finish(finish));
        let outputs = w.len() / w_strides.output;
        T::direct(isa, DirectPass { plan, n, outputs, x, w, w_strides, bias, epilogue, y, scratch });
    }

    /// The gradient of the group's input channels `channels`; `dx` and `relu_output` are those of them alone.
    #[expect(clippy::too_many_arguments, reason = "those of a convolution's, and the path")]
    pub(super) fn input_gradient<T: Element>(
        &self,
        path: Path,
        pass: Pass<'_, T>,
        channels: Range<usize>,
        [dy, w]: [&[T]; 2],
        relu_output: Option<&[T]>,
        accum: Accum,
        dx: &mut [T],
    ) {
        if path == Path::Im2col {
            return self.im2col.input_gradient(pass, channels, [dy, w], relu_output, accum, dx);
        }
        let Pass { isa, n, scratch } = pass;
        let w = &w[channels.start * self.w_strides.input..];
        let (plan, epilogue) = (&self.input_gradient, Epilogue::gradient(accum, relu_output));
        let w_strides = WeightStrides { output: self.w_strides.input, input: self.w_strides.output };
        let pass = DirectPass {
            plan,
            n,
            outputs: channels.len(),
            x: dy,
            w,
            w_strides,
            bias: None,
            epilogue,
            y: dx,
            scratch,
        };
        T::direct(isa, pass);
    }

    /// The gradient of the weights of all filters of the group, or of those to which `dy` and `dw` belong.
    pub(super) fn weight_gradient<T: Element>(
        &self,
        path: Path,
        pass: Pass<'_, T>,
        [x, dy]: [&[T]; 2],
        accum: Accum,
        dw: &mut [T],
    ) {
        if path == Path::Im2col {
            return self.im2col.weight_gradient(pass, x, dy, accum, dw);
        }
        let (Pass { isa, n, scratch }, plan) = (pass, &self.weight_gradient);
        let filters = dw.len() / self.w_strides.output;
        T::weight_gradient(isa, WeightGradientPass { plan, filters, n, x, dy, accum, dw, scratch });
    }
}
