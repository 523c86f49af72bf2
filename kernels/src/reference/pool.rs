//! Max and average pooling.

use crate::Size2;
use crate::pool::{AdaptivePool2d, Divisor, Pool2dShape, Rounding};

/// The results of [`max_pool`].
pub struct Maxima {
    /// The maximum over each window, then ReLU if asked for.
    pub y: Vec<f64>,
    /// The window index of each maximum; -1 where ReLU clipped it.
    pub argmax: Vec<f64>,
}

/// `y[o] = max over the window of x`, then ReLU if asked for.
pub fn max_pool(shape: &Pool2dShape, n: usize, relu: bool, x: &[f64]) -> Maxima {
    maxima(&windows(shape, n), relu, x)
}

/// `dx[winner of o] += dy[o]`.
pub fn max_pool_backward(shape: &Pool2dShape, n: usize, argmax: &[f64], dy: &[f64]) -> Vec<f64> {
    to_winners(&windows(shape, n), shape.c * shape.h * shape.w * n, argmax, dy)
}

/// `y[o] = sum over the window of x / elements of the window that count`.
pub fn average_pool(shape: &Pool2dShape, n: usize, x: &[f64]) -> Vec<f64> {
    means(&windows(shape, n), x)
}

/// `dx[each element of o's window] += dy[o] / elements of the window that count`.
pub fn average_pool_backward(shape: &Pool2dShape, n: usize, dy: &[f64]) -> Vec<f64> {
    to_all(&windows(shape, n), shape.c * shape.h * shape.w * n, dy)
}

/// [`max_pool`] to a given size, without ReLU.
pub fn adaptive_max_pool(shape: &AdaptivePool2d, n: usize, x: &[f64]) -> Maxima {
    maxima(&adaptive_windows(shape, n), false, x)
}

/// [`max_pool_backward`] for [`adaptive_max_pool`].
pub fn adaptive_max_pool_backward(shape: &AdaptivePool2d, n: usize, argmax: &[f64], dy: &[f64]) -> Vec<f64> {
    to_winners(&adaptive_windows(shape, n), adaptive_inputs(shape, n), argmax, dy)
}

/// [`average_pool`] to a given size.
pub fn adaptive_average_pool(shape: &AdaptivePool2d, n: usize, x: &[f64]) -> Vec<f64> {
    means(&adaptive_windows(shape, n), x)
}

/// [`average_pool_backward`] for [`adaptive_average_pool`].
pub fn adaptive_average_pool_backward(shape: &AdaptivePool2d, n: usize, dy: &[f64]) -> Vec<f64> {
    to_all(&adaptive_windows(shape, n), adaptive_inputs(shape, n), dy)
}

/// The window of one output.
struct Window {
    /// The window index and the input index of each element inside the image.
    elements: Vec<(usize, usize)>,
    /// The number of elements that count in an average.
    counted: usize,
}

fn maxima(windows: &[Window], relu: bool, x: &[f64]) -> Maxima {
    let (mut y, mut argmax) = (Vec::new(), Vec::new());
    for Window { elements, .. } in windows {
        let (mut best, mut arg) = (x[elements[0].1], elements[0].0);
        for &(k, from) in elements {
            if !best.is_nan() && (x[from] > best || x[from].is_nan()) {
                (best, arg) = (x[from], k);
            }
        }
        let clipped = relu && best <= 0.0;
        y.push(if clipped { 0.0 } else { best });
        argmax.push(if clipped { -1.0 } else { arg as f64 });
    }
    Maxima { y, argmax }
}

fn to_winners(windows: &[Window], inputs: usize, argmax: &[f64], dy: &[f64]) -> Vec<f64> {
    let mut dx = vec![0.0; inputs];
    for (o, window) in windows.iter().enumerate() {
        for &(k, to) in &window.elements {
            if argmax[o] == k as f64 {
                dx[to] += dy[o];
            }
        }
    }
    dx
}

fn means(windows: &[Window], x: &[f64]) -> Vec<f64> {
    let mean = |window: &Window| {
        window.elements.iter().map(|&(_, from)| x[from]).sum::<f64>() / window.counted as f64
    };
    windows.iter().map(mean).collect()
}

fn to_all(windows: &[Window], inputs: usize, dy: &[f64]) -> Vec<f64> {
    let mut dx = vec![0.0; inputs];
    for (window, dy) in windows.iter().zip(dy) {
        for &(_, to) in &window.elements {
            dx[to] += dy / window.counted as f64;
        }
    }
    dx
}

/// The windows of all outputs, in memory order.
fn windows(shape: &Pool2dShape, n: usize) -> Vec<Window> {
    let Pool2dShape { c, h, w, kh, kw, stride, padding, dilation, rounding, divisor } = *shape;
    let (kh, kw) = (if kh == 0 { h } else { kh }, if kw == 0 { w } else { kw });
    let outputs = |size: usize, window: usize, stride: usize, padding: usize, dilation: usize| {
        let (span, padded) = (dilation * (window - 1) + 1, size + 2 * padding);
        let exists = |o: &usize| match rounding {
            Rounding::Down => o * stride + span <= padded,
            Rounding::Up => o * stride + span < padded + stride && o * stride < size + padding,
        };
        (0..).take_while(exists).count()
    };
    let oh = outputs(h, kh, stride.h, padding.h, dilation.h);
    let ow = outputs(w, kw, stride.w, padding.w, dilation.w);
    let window = |o: usize| {
        let (sample, q, p, channel) = (o % n, o / n % ow, o / n / ow % oh, o / n / ow / oh);
        let mut window = Window { elements: Vec::new(), counted: 0 };
        for i in 0..kh {
            for j in 0..kw {
                let (row, col) = (p * stride.h + i * dilation.h, q * stride.w + j * dilation.w);
                let is_inside =
                    (padding.h..padding.h + h).contains(&row) && (padding.w..padding.w + w).contains(&col);
                let is_padded = row < h + 2 * padding.h && col < w + 2 * padding.w;
                if is_inside || (is_padded && divisor == Divisor::Padded) {
                    window.counted += 1;
                }
                if is_inside {
                    let (row, col) = (row - padding.h, col - padding.w);
                    window.elements.push((i * kw + j, ((channel * h + row) * w + col) * n + sample));
                }
            }
        }
        window
    };
    (0..c * oh * ow * n).map(window).collect()
}

/// The windows of all outputs of a pooling to a given size, in memory order: those of the input rows `row`
/// with `p H < (row + 1) OH` and `row OH < (p + 1) H`.
fn adaptive_windows(shape: &AdaptivePool2d, n: usize) -> Vec<Window> {
    let (Size2 { h, w }, Size2 { h: oh, w: ow }) = (shape.input(), shape.output());
    let positions = |o: usize, size: usize, outputs: usize| -> Vec<usize> {
        (0..size).filter(|i| o * size < (i + 1) * outputs && i * outputs < (o + 1) * size).collect()
    };
    let window = |o: usize| {
        let (sample, q, p, channel) = (o % n, o / n % ow, o / n / ow % oh, o / n / ow / oh);
        let (rows, cols) = (positions(p, h, oh), positions(q, w, ow));
        let elements: Vec<_> = rows
            .iter()
            .flat_map(|row| cols.iter().map(move |col| ((channel * h + row) * w + col) * n + sample))
            .enumerate()
            .collect();
        Window { counted: elements.len(), elements }
    };
    (0..shape.channels() * oh * ow * n).map(window).collect()
}

fn adaptive_inputs(shape: &AdaptivePool2d, n: usize) -> usize {
    shape.channels() * shape.input().h * shape.input().w * n
}
