//! Losses: the sum over samples or elements, and the gradient of `scale` times that sum.

use super::activation::{log_sigmoid, log_softmax, sigmoid};

/// `sum over s of -log_softmax(logits)[labels[s], s]`, `logits` `[classes, n]`.
pub fn softmax_cross_entropy(classes: usize, n: usize, logits: &[f64], labels: &[u32]) -> f64 {
    let log_probs = log_softmax(classes, n, logits);
    labels.iter().enumerate().map(|(s, label)| -log_probs[*label as usize * n + s]).sum()
}

/// `dlogits = scale * (softmax(logits) - onehot(labels))`.
pub fn softmax_cross_entropy_backward(
    classes: usize,
    n: usize,
    logits: &[f64],
    labels: &[u32],
    scale: f64,
) -> Vec<f64> {
    let mut dlogits: Vec<f64> =
        log_softmax(classes, n, logits).into_iter().map(|y| scale * y.exp()).collect();
    for (s, label) in labels.iter().enumerate() {
        dlogits[*label as usize * n + s] -= scale;
    }
    dlogits
}

/// `sum over s of -ln max(probs[labels[s], s], eps)`, `probs` `[classes, n]`.
pub fn cross_entropy(n: usize, probs: &[f64], labels: &[u32], eps: f64) -> f64 {
    labels.iter().enumerate().map(|(s, label)| -probs[*label as usize * n + s].max(eps).ln()).sum()
}

/// `dprobs = -scale / max(probs, eps)` at the labels, 0 elsewhere.
pub fn cross_entropy_backward(n: usize, probs: &[f64], labels: &[u32], scale: f64, eps: f64) -> Vec<f64> {
    let mut dprobs = vec![0.0; probs.len()];
    for (s, label) in labels.iter().enumerate() {
        let at = *label as usize * n + s;
        dprobs[at] = -scale / probs[at].max(eps);
    }
    dprobs
}

/// `sum over i of -(t ln p + (1 - t) ln(1 - p))`, `p` clamped to `[eps, 1 - eps]`.
pub fn binary_cross_entropy(p: &[f64], t: &[f64], eps: f64) -> f64 {
    let clamped = p.iter().map(|p| p.clamp(eps, 1.0 - eps));
    clamped.zip(t).map(|(p, t)| -(t * p.ln() + (1.0 - t) * (-p).ln_1p())).sum()
}

/// `dp = scale * (p - t) / (p (1 - p))`, `p` clamped to `[eps, 1 - eps]`.
pub fn binary_cross_entropy_backward(p: &[f64], t: &[f64], scale: f64, eps: f64) -> Vec<f64> {
    let clamped = p.iter().map(|p| p.clamp(eps, 1.0 - eps));
    clamped.zip(t).map(|(p, t)| scale * (p - t) / (p * (1.0 - p))).collect()
}

/// `sum over i of -(t ln p + (1 - t) ln(1 - p))` with `p = sigmoid(x)`. Here zero times infinity is zero.
pub fn binary_cross_entropy_with_logits(x: &[f64], t: &[f64]) -> f64 {
    let term = |share: f64, log: f64| if share == 0.0 && !log.is_nan() { 0.0 } else { -share * log };
    let negated: Vec<f64> = x.iter().map(|x| -x).collect();
    let logs = log_sigmoid(x).into_iter().zip(log_sigmoid(&negated));
    logs.zip(t).map(|((ln_p, ln_not_p), t)| term(*t, ln_p) + term(1.0 - t, ln_not_p)).sum()
}

/// `dx = scale * (p - t)`, computed as `scale * ((1 - t) sigmoid(x) - t sigmoid(-x))`, where no digits
/// cancel.
pub fn binary_cross_entropy_with_logits_backward(x: &[f64], t: &[f64], scale: f64) -> Vec<f64> {
    let negated: Vec<f64> = x.iter().map(|x| -x).collect();
    let probs = sigmoid(x).into_iter().zip(sigmoid(&negated));
    probs.zip(t).map(|((p, not_p), t)| scale * ((1.0 - t) * p - t * not_p)).collect()
}

/// `sum over i of (y - t)^2`.
pub fn mean_squared_error(y: &[f64], t: &[f64]) -> f64 {
    y.iter().zip(t).map(|(y, t)| (y - t) * (y - t)).sum()
}

/// `dy = scale * 2 (y - t)`.
pub fn mean_squared_error_backward(y: &[f64], t: &[f64], scale: f64) -> Vec<f64> {
    y.iter().zip(t).map(|(y, t)| scale * 2.0 * (y - t)).collect()
}
