//! 2-D convolution of `[C, H, W, N]` with `[F, C/G, KH, KW]` in `G` groups, and its gradients.
//!
//! In the formulas, `c` counts the channels of the filter's group.

use crate::conv::Conv2dShape;

/// `y[f, i, j, s] = bias[f] + sum over c, kh, kw of w[f, c, kh, kw] * x[c, i*sh - ph + kh*dh, j*sw - pw +
/// kw*dw, s]`.
pub fn forward(shape: &Conv2dShape, n: usize, x: &[f64], w: &[f64], bias: &[f64]) -> Vec<f64> {
    let plane = output_height(shape) * output_width(shape) * n;
    let mut y: Vec<f64> = bias.iter().flat_map(|b| std::iter::repeat_n(*b, plane)).collect();
    for_each_product(shape, n, |x_at, w_at, y_at| y[y_at] += w[w_at] * x[x_at]);
    y
}

/// `dx[c, p, q, s] = sum over the f, i, j, kh, kw that read (p, q) of w[f, c, kh, kw] * dy[f, i, j, s]`.
pub fn input_gradient(shape: &Conv2dShape, n: usize, dy: &[f64], w: &[f64]) -> Vec<f64> {
    let mut dx = vec![0.0; shape.c * shape.h * shape.w * n];
    for_each_product(shape, n, |x_at, w_at, y_at| dx[x_at] += w[w_at] * dy[y_at]);
    dx
}

/// `dw[f, c, kh, kw] = sum over i, j, s of dy[f, i, j, s] * x[c, i*sh - ph + kh*dh, j*sw - pw + kw*dw, s]`.
pub fn weight_gradient(shape: &Conv2dShape, n: usize, x: &[f64], dy: &[f64]) -> Vec<f64> {
    let mut dw = vec![0.0; shape.f * shape.c / shape.groups * shape.kh * shape.kw];
    for_each_product(shape, n, |x_at, w_at, y_at| dw[w_at] += dy[y_at] * x[x_at]);
    dw
}

/// `db[f] = sum over i, j, s of dy[f, i, j, s]`.
pub fn bias_gradient(shape: &Conv2dShape, dy: &[f64]) -> Vec<f64> {
    let plane = dy.len() / shape.f;
    (0..shape.f).map(|f| dy[f * plane..][..plane].iter().sum()).collect()
}

/// Calls `visit(x index, w index, y index)` for every product in the sums that define the convolution.
fn for_each_product(shape: &Conv2dShape, n: usize, mut visit: impl FnMut(usize, usize, usize)) {
    let Conv2dShape { c: all_channels, h, w: width, f: filters, kh, kw, stride, padding, dilation, groups } =
        *shape;
    let channels = all_channels / groups;
    let (oh, ow) = (output_height(shape), output_width(shape));
    for (f, c, k, l) in product4(filters, channels, kh, kw) {
        for (i, j) in (0..oh).flat_map(|i| (0..ow).map(move |j| (i, j))) {
            let row = (i * stride.h + k * dilation.h).wrapping_sub(padding.h);
            let column = (j * stride.w + l * dilation.w).wrapping_sub(padding.w);
            if row < h && column < width {
                let channel = f / (filters / groups) * channels + c;
                for s in 0..n {
                    visit(
                        ((channel * h + row) * width + column) * n + s,
                        ((f * channels + c) * kh + k) * kw + l,
                        ((f * oh + i) * ow + j) * n + s,
                    );
                }
            }
        }
    }
}

fn product4(a: usize, b: usize, c: usize, d: usize) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    (0..a * b * c * d).map(move |i| (i / d / c / b, i / d / c % b, i / d % c, i % d))
}

fn output_height(shape: &Conv2dShape) -> usize {
    (shape.h + 2 * shape.padding.h - shape.dilation.h * (shape.kh - 1) - 1) / shape.stride.h + 1
}

fn output_width(shape: &Conv2dShape) -> usize {
    (shape.w + 2 * shape.padding.w - shape.dilation.w * (shape.kw - 1) - 1) / shape.stride.w + 1
}
