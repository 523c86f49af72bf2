//! Activations and softmax, forward and backward.

use crate::Activation;

/// `activation(x)`.
pub fn apply(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Identity => x,
        Activation::Relu => relu(&[x])[0],
        Activation::Relu6 => relu6(&[x])[0],
    }
}

/// `y = max(x, 0)`.
pub fn relu(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| if *x < 0.0 { 0.0 } else { *x }).collect()
}

/// `dx = dy` where `y > 0` (or NaN), else 0.
pub fn relu_backward(y: &[f64], dy: &[f64]) -> Vec<f64> {
    zip(y, dy, |y, dy| if y <= 0.0 { 0.0 } else { dy })
}

/// `y = 1 / (1 + e^-x)`.
pub fn sigmoid(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect()
}

/// `dx = dy * y * (1 - y)`.
pub fn sigmoid_backward(y: &[f64], dy: &[f64]) -> Vec<f64> {
    zip(y, dy, |y, dy| dy * y * (1.0 - y))
}

/// `y = tanh x`.
pub fn tanh(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| x.tanh()).collect()
}

/// `dx = dy * (1 - y^2)`.
pub fn tanh_backward(y: &[f64], dy: &[f64]) -> Vec<f64> {
    zip(y, dy, |y, dy| dy * (1.0 - y * y))
}

/// `y = ln(1 / (1 + e^-x))`, as `-ln(1 + e^-x)` or, where that exponential may overflow, `x - ln(1 + e^x)`.
pub fn log_sigmoid(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| if *x < 0.0 { x - x.exp().ln_1p() } else { -(-x).exp().ln_1p() }).collect()
}

/// `dx = dy * (1 - e^y)`.
pub fn log_sigmoid_backward(y: &[f64], dy: &[f64]) -> Vec<f64> {
    zip(y, dy, |y, dy| -dy * y.exp_m1())
}

/// `y = artanh x = (ln(1 + x) - ln(1 - x)) / 2`.
pub fn arctanh(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| (x.ln_1p() - (-x).ln_1p()) / 2.0).collect()
}

/// `dx = dy / (1 - x^2)`, from the input.
pub fn arctanh_backward(x: &[f64], dy: &[f64]) -> Vec<f64> {
    zip(x, dy, |x, dy| dy / (1.0 - x * x))
}

/// `y[c, s] = e^x[c, s] / sum over k of e^x[k, s]`, both `[classes, n]`, after subtraction of the largest
/// `x[k, s]`.
pub fn softmax(classes: usize, n: usize, x: &[f64]) -> Vec<f64> {
    log_softmax(classes, n, x).into_iter().map(f64::exp).collect()
}

/// `dx[c, s] = y[c, s] * (dy[c, s] - sum over k of y[k, s] dy[k, s])`.
pub fn softmax_backward(classes: usize, n: usize, y: &[f64], dy: &[f64]) -> Vec<f64> {
    let mut dx = vec![0.0; classes * n];
    for s in 0..n {
        let mean: f64 = (0..classes).map(|k| y[k * n + s] * dy[k * n + s]).sum();
        for c in 0..classes {
            dx[c * n + s] = y[c * n + s] * (dy[c * n + s] - mean);
        }
    }
    dx
}

/// `y[c, s] = x[c, s] - ln(sum over k of e^x[k, s])`, after subtraction of the largest `x[k, s]`.
pub fn log_softmax(classes: usize, n: usize, x: &[f64]) -> Vec<f64> {
    let mut y = vec![0.0; classes * n];
    for s in 0..n {
        let max = (0..classes).map(|k| x[k * n + s]).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = (0..classes).map(|k| (x[k * n + s] - max).exp()).sum();
        for c in 0..classes {
            y[c * n + s] = x[c * n + s] - max - sum.ln();
        }
    }
    y
}

/// `y = x` where `x > 0`, else `slope * x`.
pub fn leaky_relu(slope: f64, x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| if *x > 0.0 { *x } else { slope * x }).collect()
}

/// `dx = dy` where `x > 0` (or NaN), else `slope * dy`.
pub fn leaky_relu_backward(slope: f64, x: &[f64], dy: &[f64]) -> Vec<f64> {
    zip(x, dy, |x, dy| if x <= 0.0 { slope * dy } else { dy })
}

/// `y = min(max(x, 0), 6)`.
pub fn relu6(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| x.clamp(0.0, 6.0)).collect()
}

/// `dx = dy` where `0 < x < 6`, else 0.
pub fn relu6_backward(x: &[f64], dy: &[f64]) -> Vec<f64> {
    zip(x, dy, |x, dy| if x > 0.0 && x < 6.0 { dy } else { 0.0 })
}

/// `y = min(max(x + 3, 0), 6) / 6`.
pub fn hard_sigmoid(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| (x + 3.0).clamp(0.0, 6.0) / 6.0).collect()
}

/// `dx = dy / 6` where `-3 < x < 3`, else 0.
pub fn hard_sigmoid_backward(x: &[f64], dy: &[f64]) -> Vec<f64> {
    zip(x, dy, |x, dy| if x > -3.0 && x < 3.0 { dy / 6.0 } else { 0.0 })
}

/// `y = x * min(max(x + 3, 0), 6) / 6`, and 0 for minus infinity.
pub fn hard_swish(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| if *x < -3.0 { 0.0 } else { x * (x + 3.0).min(6.0) / 6.0 }).collect()
}

/// `dx = 0` where `x <= -3`, `dy` where `x >= 3`, and `dy * (2 x + 3) / 6` between.
pub fn hard_swish_backward(x: &[f64], dy: &[f64]) -> Vec<f64> {
    zip(x, dy, |x, dy| match x {
        x if x <= -3.0 => 0.0,
        x if x >= 3.0 => dy,
        x => dy * (2.0 * x + 3.0) / 6.0,
    })
}

/// `y = x sigmoid(x)`, and 0 for minus infinity.
pub fn silu(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| if *x == f64::NEG_INFINITY { 0.0 } else { x / (1.0 + (-x).exp()) }).collect()
}

/// `dx = dy * (p + x p (1 - p))` with `p = sigmoid(x)`.
pub fn silu_backward(x: &[f64], dy: &[f64]) -> Vec<f64> {
    zip(x, dy, |x, dy| {
        let [p, not_p] = [1.0 / (1.0 + (-x).exp()), 1.0 / (1.0 + x.exp())];
        dy * (p + x * p * not_p)
    })
}

/// `phi(x) = e^(-x^2/2) / sqrt(2 pi)`, the density of the normal distribution.
pub fn normal_density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// `Phi(x)`, the distribution function of the normal distribution.
///
/// Near 0, it is the series `1/2 + phi(x) (x + x^3/3 + x^5/(3*5) + ...)`. Far from 0, the tail is the
/// continued fraction `phi(t) / (t + 1/(t + 2/(t + 3/(t + ...))))`.
pub fn normal_distribution(x: f64) -> f64 {
    let t = x.abs();
    if t > 40.0 {
        return if x < 0.0 { 0.0 } else { 1.0 };
    }
    if t < 2.5 {
        let (mut term, mut sum) = (x, x);
        for k in 1..60 {
            term *= x * x / f64::from(2 * k + 1);
            sum += term;
        }
        return 0.5 + normal_density(x) * sum;
    }
    let denominator = (1..=60).rev().fold(t, |rest, k| t + f64::from(k) / rest);
    let tail = normal_density(t) / denominator;
    if x < 0.0 { tail } else { 1.0 - tail }
}

/// `y = x Phi(x)`, and 0 for minus infinity.
pub fn gelu(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| if *x == f64::NEG_INFINITY { 0.0 } else { x * normal_distribution(*x) }).collect()
}

/// `dx = dy * (Phi(x) + x phi(x))`.
pub fn gelu_backward(x: &[f64], dy: &[f64]) -> Vec<f64> {
    zip(x, dy, |x, dy| dy * (normal_distribution(x) + x * normal_density(x)))
}

/// `y = x (1 + tanh u) / 2` with `u = sqrt(2/pi) (x + 0.044715 x^3)`, and 0 for minus infinity. The factor
/// `(1 + tanh u) / 2` is computed as `sigmoid(2 u)`, where no digits cancel.
pub fn gelu_tanh(x: &[f64]) -> Vec<f64> {
    x.iter()
        .map(|x| if *x == f64::NEG_INFINITY { 0.0 } else { x / (1.0 + (-2.0 * tanh_argument(*x)).exp()) })
        .collect()
}

/// `dx = dy * ((1 + tanh u) / 2 + x (1 - tanh^2 u) / 2 * u')`.
pub fn gelu_tanh_backward(x: &[f64], dy: &[f64]) -> Vec<f64> {
    zip(x, dy, |x, dy| {
        let u = tanh_argument(x);
        let du = std::f64::consts::FRAC_2_PI.sqrt() * (1.0 + 3.0 * 0.044715 * x * x);
        let [p, not_p] = [1.0 / (1.0 + (-2.0 * u).exp()), 1.0 / (1.0 + (2.0 * u).exp())];
        dy * (p + x * 2.0 * p * not_p * du)
    })
}

fn tanh_argument(x: f64) -> f64 {
    std::f64::consts::FRAC_2_PI.sqrt() * (x + 0.044715 * x * x * x)
}

/// `y = x` where `x > 0`, else `alpha * (e^x - 1)`.
pub fn elu(alpha: f64, x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| if *x > 0.0 { *x } else { alpha * x.exp_m1() }).collect()
}

/// `dx = dy` where `x > 0`, else `dy * alpha * e^x`.
pub fn elu_backward(alpha: f64, x: &[f64], dy: &[f64]) -> Vec<f64> {
    zip(x, dy, |x, dy| if x > 0.0 { dy } else { dy * alpha * x.exp() })
}

/// `y = ln(1 + e^x)`.
pub fn softplus(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| if *x > 0.0 { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() }).collect()
}

/// `dx = dy / (1 + e^-x)`.
pub fn softplus_backward(x: &[f64], dy: &[f64]) -> Vec<f64> {
    zip(x, dy, |x, dy| dy / (1.0 + (-x).exp()))
}

fn zip(a: &[f64], b: &[f64], f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| f(*a, *b)).collect()
}
