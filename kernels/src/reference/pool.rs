//! Max and average pooling.

use crate::Activation;
use crate::pool::Pool2dShape;

/// The results of [`max_pool`].
pub struct Maxima {
    /// The maximum over each window, then ReLU if asked for.
    pub y: Vec<f64>,
    /// The window index of each maximum; -1 where ReLU clipped it.
    pub argmax: Vec<f64>,
}

/// `y[o] = max over the window of x`, then ReLU if asked for.
pub fn max_pool(shape: &Pool2dShape, n: usize, activation: Activation, x: &[f64]) -> Maxima {
    let (mut y, mut argmax) = (Vec::new(), Vec::new());
    for window in windows(shape, n) {
        let (mut best, mut arg) = (x[window[0].1], window[0].0);
        for (k, from) in window {
            if !best.is_nan() && (x[from] > best || x[from].is_nan()) {
                (best, arg) = (x[from], k);
            }
        }
        let clipped = activation == Activation::Relu && best <= 0.0;
        y.push(if clipped { 0.0 } else { best });
        argmax.push(if clipped { -1.0 } else { arg as f64 });
    }
    Maxima { y, argmax }
}

/// `dx[winner of o] += dy[o]`.
pub fn max_pool_backward(shape: &Pool2dShape, n: usize, argmax: &[f64], dy: &[f64]) -> Vec<f64> {
    let mut dx = vec![0.0; shape.c * shape.h * shape.w * n];
    for (o, window) in windows(shape, n).enumerate() {
        for (k, to) in window {
            if argmax[o] == k as f64 {
                dx[to] += dy[o];
            }
        }
    }
    dx
}

/// `y[o] = sum over the window of x / elements of the window inside the image`.
pub fn average_pool(shape: &Pool2dShape, n: usize, x: &[f64]) -> Vec<f64> {
    windows(shape, n)
        .map(|window| window.iter().map(|&(_, from)| x[from]).sum::<f64>() / window.len() as f64)
        .collect()
}

/// `dx[each element of o's window] += dy[o] / elements of the window inside the image`.
pub fn average_pool_backward(shape: &Pool2dShape, n: usize, dy: &[f64]) -> Vec<f64> {
    let mut dx = vec![0.0; shape.c * shape.h * shape.w * n];
    for (o, window) in windows(shape, n).enumerate() {
        for &(_, to) in &window {
            dx[to] += dy[o] / window.len() as f64;
        }
    }
    dx
}

/// For each output element in memory order, the window index and the input index of each window element
/// inside the image.
fn windows(shape: &Pool2dShape, n: usize) -> impl Iterator<Item = Vec<(usize, usize)>> {
    let Pool2dShape { c, h, w, kh, kw, stride, padding, dilation } = *shape;
    let (kh, kw) = (if kh == 0 { h } else { kh }, if kw == 0 { w } else { kw });
    let oh = (h + 2 * padding.h - dilation.h * (kh - 1) - 1) / stride.h + 1;
    let ow = (w + 2 * padding.w - dilation.w * (kw - 1) - 1) / stride.w + 1;
    (0..c * oh * ow * n).map(move |o| {
        let (sample, q, p, channel) = (o % n, o / n % ow, o / n / ow % oh, o / n / ow / oh);
        let mut window = Vec::new();
        for i in 0..kh {
            for j in 0..kw {
                let (row, col) = (p * stride.h + i * dilation.h, q * stride.w + j * dilation.w);
                let inside =
                    (padding.h..padding.h + h).contains(&row) && (padding.w..padding.w + w).contains(&col);
                if inside {
                    let (row, col) = (row - padding.h, col - padding.w);
                    window.push((i * kw + j, ((channel * h + row) * w + col) * n + sample));
                }
            }
        }
        window
    })
}
