//! The operators of pooling layers.
//!
//! Operators of ONNX have a mode that rounds the size of the output up, which runtimes read differently. A
//! window that reaches out of the image at the end is written as padding there instead, which no maximum and
//! no mean counts.

use super::OnnxError;
use super::builder::{Builder, int, ints};
use super::layers::Given;
use super::proto::Attribute;
use crate::layer::Size2;
use crate::network::PlainLayer;
use crate::shape::Shape;
use isograd_kernels::Element;

/// A pooling window, for rows and columns.
struct Window {
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    /// In front of the image.
    padding: [usize; 2],
    /// How far windows reach over the padded image at the end.
    beyond: [usize; 2],
}

impl Window {
    fn new<T: Element>(layer: &PlainLayer<'_, T>, given: &Given) -> Self {
        let pair = |size: Size2| [size.h, size.w];
        let option = |name, default: usize| pair(given.size(name).unwrap_or(Size2::from(default)));
        let Shape { h, w, .. } = layer.input;
        let (image, output) = ([h, w], [layer.output.h, layer.output.w]);
        let size = option("size", 0);
        let kernel = [0, 1].map(|axis| if size[axis] == 0 { image[axis] } else { size[axis] });
        let (padding, dilation) = (option("padding", 0), option("dilation", 1));
        let stride = given.size("stride").map_or(kernel, pair);
        let beyond = [0, 1].map(|axis| {
            let end = (output[axis] - 1) * stride[axis] + (kernel[axis] - 1) * dilation[axis] + 1;
            end.saturating_sub(image[axis] + 2 * padding[axis])
        });
        Self { kernel, stride, dilation, padding, beyond }
    }

    fn attributes(&self, pads: [usize; 4]) -> Vec<Attribute> {
        vec![
            ints("kernel_shape", &self.kernel),
            ints("strides", &self.stride),
            ints("dilations", &self.dilation),
            ints("pads", &pads),
        ]
    }

    /// Top, left, bottom, right.
    fn pads(&self) -> [usize; 4] {
        let [(top, below), (left, right)] = [0, 1].map(|axis| (self.padding[axis], self.beyond[axis]));
        [top, left, top + below, left + right]
    }

    /// Whether operators take this padding: it must be smaller than the window.
    fn fits(&self, pads: [usize; 4]) -> bool {
        (0..4).all(|side| pads[side] < self.kernel[side % 2])
    }

    /// Whether it is the whole image.
    fn is_global(&self, input: Shape) -> bool {
        self.kernel == [input.h, input.w] && self.padding == [0; 2] && self.dilation == [1; 2]
    }
}

pub(super) fn max<T: Element>(
    builder: &mut Builder<'_, T>,
    layer: &PlainLayer<'_, T>,
    given: &Given,
    x: String,
) -> String {
    let window = Window::new(layer, given);
    let pads = window.pads();
    if window.is_global(layer.input) {
        return builder.output("GlobalMaxPool", [x], vec![]);
    }
    if window.fits(pads) {
        return builder.output("MaxPool", [x], window.attributes(pads));
    }
    let x = pad(builder, x, pads, f32::NEG_INFINITY);
    builder.output("MaxPool", [x], window.attributes([0; 4]))
}

pub(super) fn average<T: Element>(
    builder: &mut Builder<'_, T>,
    layer: &PlainLayer<'_, T>,
    given: &Given,
    x: String,
) -> Result<String, OnnxError> {
    let window = Window::new(layer, given);
    if window.is_global(layer.input) {
        return Ok(builder.output("GlobalAveragePool", [x], vec![]));
    }
    let ([top, left], [below, right]) = (window.padding, window.beyond);
    // Padding that counts is zeros of the image itself.
    let (x, pads) = match given.switch("count_padding") {
        true => (pad(builder, x, [top, left, top, left], 0.0), [0, 0, below, right]),
        false => (x, window.pads()),
    };
    if !window.fits(pads) {
        let reason = "its last windows have no element of the image in most of their rows or columns";
        return Err(OnnxError::Options { place: layer.place.clone(), reason: reason.to_string() });
    }
    let mut attributes = window.attributes(pads);
    attributes.push(int("count_include_pad", 0));
    Ok(builder.output("AveragePool", [x], attributes))
}

/// Surrounds images with `value`; `pads` are top, left, bottom and right.
fn pad<T: Element>(builder: &mut Builder<'_, T>, x: String, pads: [usize; 4], value: f32) -> String {
    if pads == [0; 4] {
        return x;
    }
    let [top, left, bottom, right] = pads.map(|side| side as i64);
    let pads = builder.integers(&[0, 0, top, left, 0, 0, bottom, right]);
    let value = builder.number(f64::from(value));
    builder.output("Pad", [x, pads, value], vec![])
}

/// Where window `index` of `windows` begins and ends on an axis of `size`.
fn adaptive(size: usize, windows: usize, index: usize) -> [usize; 2] {
    [index * size / windows, ((index + 1) * size).div_ceil(windows)]
}

/// `rows x columns^T`, with the share of each row and column in each window.
pub(super) fn adaptive_average<T: Element>(
    builder: &mut Builder<'_, T>,
    layer: &PlainLayer<'_, T>,
    x: String,
) -> String {
    let (input, output) = (layer.input, layer.output);
    if [output.h, output.w] == [1; 2] {
        return builder.output("GlobalAveragePool", [x], vec![]);
    }
    if [output.h, output.w] == [input.h, input.w] {
        return x;
    }
    let share = |size, windows, place: usize, window| {
        let [start, end] = adaptive(size, windows, window);
        if (start..end).contains(&place) { 1.0 / (end - start) as f32 } else { 0.0 }
    };
    let rows = (0..output.h * input.h).map(|i| share(input.h, output.h, i % input.h, i / input.h));
    let columns = (0..input.w * output.w).map(|i| share(input.w, output.w, i / output.w, i % output.w));
    let rows = builder.constant(&[output.h, input.h], rows);
    let columns = builder.constant(&[input.w, output.w], columns);
    let narrow = builder.output("MatMul", [x, columns], vec![]);
    builder.output("MatMul", [rows, narrow], vec![])
}

/// The maximum of each window of rows, then of columns.
pub(super) fn adaptive_max<T: Element>(
    builder: &mut Builder<'_, T>,
    layer: &PlainLayer<'_, T>,
    x: String,
) -> String {
    let (input, output) = (layer.input, layer.output);
    if [output.h, output.w] == [1; 2] {
        return builder.output("GlobalMaxPool", [x], vec![]);
    }
    let rows = largest_of_windows(builder, x, 2, [input.h, output.h]);
    largest_of_windows(builder, rows, 3, [input.w, output.w])
}

fn largest_of_windows<T: Element>(
    builder: &mut Builder<'_, T>,
    x: String,
    axis: i64,
    [size, windows]: [usize; 2],
) -> String {
    if size == windows {
        return x;
    }
    let axes = builder.integers(&[axis]);
    let parts: Vec<String> = (0..windows)
        .map(|window| {
            let [start, end] = adaptive(size, windows, window).map(|place| builder.integers(&[place as i64]));
            let part = builder.output("Slice", [x.clone(), start, end, axes.clone()], vec![]);
            builder.output("ReduceMax", [part, axes.clone()], vec![int("keepdims", 1)])
        })
        .collect();
    builder.output("Concat", parts, vec![int("axis", axis)])
}
