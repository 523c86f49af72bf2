//! Optimizer updates, one parameter at a time.

use crate::optimizer::{Adam, Lars, RmsProp, Sgd};

/// `v = momentum v + g`, `w -= lr * v`, or with Nesterov `w -= lr * (g + momentum v)`.
pub fn sgd(hyper: &Sgd, w: &mut [f64], g: &[f64], v: &mut [f64]) {
    for i in 0..w.len() {
        v[i] = hyper.momentum * v[i] + g[i];
        let step = if hyper.nesterov { g[i] + hyper.momentum * v[i] } else { v[i] };
        w[i] -= hyper.lr * hyper.weight_decay * w[i] + hyper.lr * step;
    }
}

/// `v = rho v + (1 - rho) g^2`, `w -= lr * g / (sqrt(v) + eps)`.
pub fn rmsprop(hyper: &RmsProp, w: &mut [f64], g: &[f64], v: &mut [f64]) {
    for i in 0..w.len() {
        v[i] = hyper.rho * v[i] + (1.0 - hyper.rho) * g[i] * g[i];
        w[i] -= hyper.lr * hyper.weight_decay * w[i] + hyper.lr * g[i] / (v[i].sqrt() + hyper.eps);
    }
}

/// `m = beta1 m + (1 - beta1) g`, `v = beta2 v + (1 - beta2) g^2`, `w -= lr * m_hat / (sqrt(v_hat) + eps)`
/// with `m_hat = m / (1 - beta1^step)`, `v_hat = v / (1 - beta2^step)`.
pub fn adam(hyper: &Adam, step: u64, w: &mut [f64], g: &[f64], m: &mut [f64], v: &mut [f64]) {
    for i in 0..w.len() {
        update_moments(hyper, g[i], &mut m[i], &mut v[i]);
        let m_hat = m[i] / missing(hyper.beta1, step);
        apply(hyper, m_hat, v[i] / missing(hyper.beta2, step), &mut w[i]);
    }
}

/// As [`adam`] with `m_hat = beta1 m / (1 - beta1^(step+1)) + (1 - beta1) g / (1 - beta1^step)`.
pub fn nadam(hyper: &Adam, step: u64, w: &mut [f64], g: &[f64], m: &mut [f64], v: &mut [f64]) {
    for i in 0..w.len() {
        update_moments(hyper, g[i], &mut m[i], &mut v[i]);
        let m_hat = hyper.beta1 * m[i] / missing(hyper.beta1, step + 1)
            + (1.0 - hyper.beta1) * g[i] / missing(hyper.beta1, step);
        apply(hyper, m_hat, v[i] / missing(hyper.beta2, step), &mut w[i]);
    }
}

/// `v = momentum v + lr * (g + weight_decay w)`, `w -= v`.
pub fn lars(hyper: &Lars, w: &mut [f64], g: &[f64], v: &mut [f64]) {
    for i in 0..w.len() {
        v[i] = hyper.momentum * v[i] + hyper.lr * (g[i] + hyper.weight_decay * w[i]);
        w[i] -= v[i];
    }
}

/// `m` and `v` as in [`adam`], `g = m_hat / (sqrt(v_hat) + eps) + weight_decay w`.
pub fn lamb_direction(hyper: &Adam, step: u64, w: &[f64], g: &mut [f64], m: &mut [f64], v: &mut [f64]) {
    for i in 0..w.len() {
        update_moments(hyper, g[i], &mut m[i], &mut v[i]);
        let (m_hat, v_hat) = (m[i] / missing(hyper.beta1, step), v[i] / missing(hyper.beta2, step));
        g[i] = m_hat / (v_hat.sqrt() + hyper.eps) + hyper.weight_decay * w[i];
    }
}

/// `v = momentum v + (1 - momentum) g`, `g = v`, or with Nesterov `g = momentum v + (1 - momentum) g`.
pub fn momentum(momentum: f64, nesterov: bool, g: &mut [f64], v: &mut [f64]) {
    for i in 0..g.len() {
        v[i] = momentum * v[i] + (1.0 - momentum) * g[i];
        g[i] = if nesterov { momentum * v[i] + (1.0 - momentum) * g[i] } else { v[i] };
    }
}

/// `1 - beta^step`.
fn missing(beta: f64, step: u64) -> f64 {
    1.0 - beta.powf(step as f64)
}

fn update_moments(hyper: &Adam, g: f64, m: &mut f64, v: &mut f64) {
    *m = hyper.beta1 * *m + (1.0 - hyper.beta1) * g;
    *v = hyper.beta2 * *v + (1.0 - hyper.beta2) * g * g;
}

fn apply(hyper: &Adam, m_hat: f64, v_hat: f64, w: &mut f64) {
    *w -= hyper.lr * hyper.weight_decay * *w + hyper.lr * m_hat / (v_hat.sqrt() + hyper.eps);
}
