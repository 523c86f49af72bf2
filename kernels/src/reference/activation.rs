//! Activations and softmax, forward and backward.

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

fn zip(a: &[f64], b: &[f64], f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| f(*a, *b)).collect()
}
