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

/// The target of each class of each sample, `[classes, n]`:
/// `weights[k] * ((1 - smoothing) [k = label] + smoothing / classes)`.
pub fn shared_targets(labels: &[u32], smoothing: f64, weights: &[f64]) -> Vec<f64> {
    let mut targets = Vec::new();
    for (class, weight) in weights.iter().enumerate() {
        for label in labels {
            let own = if *label as usize == class { 1.0 - smoothing } else { 0.0 };
            targets.push(weight * (own + smoothing / weights.len() as f64));
        }
    }
    targets
}

/// `-sum over k and s of targets * log_softmax(logits)`, both `[classes, n]`. Here zero times infinity is
/// zero.
pub fn softmax_cross_entropy_of_targets(classes: usize, n: usize, logits: &[f64], targets: &[f64]) -> f64 {
    let terms = log_softmax(classes, n, logits).into_iter().zip(targets);
    terms.map(|(log, t)| if *t == 0.0 && !log.is_nan() { 0.0 } else { -t * log }).sum()
}

/// `dlogits[k, s] = scale * (p[k, s] * sum over j of targets[j, s] - targets[k, s])`, `p` the softmax.
pub fn softmax_cross_entropy_of_targets_backward(
    classes: usize,
    n: usize,
    logits: &[f64],
    targets: &[f64],
    scale: f64,
) -> Vec<f64> {
    let log_probs = log_softmax(classes, n, logits);
    let sum = |s: usize| (0..classes).map(|j| targets[j * n + s]).sum::<f64>();
    (0..classes * n).map(|at| scale * (log_probs[at].exp() * sum(at % n) - targets[at])).collect()
}

/// `-sum over k and s of targets * ln max(probs, eps)`.
pub fn cross_entropy_of_targets(probs: &[f64], targets: &[f64], eps: f64) -> f64 {
    probs.iter().zip(targets).map(|(p, t)| if *t == 0.0 { 0.0 } else { -t * p.max(eps).ln() }).sum()
}

/// `dprobs = -scale * targets / max(probs, eps)`.
pub fn cross_entropy_of_targets_backward(probs: &[f64], targets: &[f64], scale: f64, eps: f64) -> Vec<f64> {
    probs.iter().zip(targets).map(|(p, t)| -scale * t / p.max(eps)).collect()
}

/// `sum over s of max(0, 1 + max over k != labels[s] of scores[k, s] - scores[labels[s], s])`.
pub fn categorical_hinge(classes: usize, n: usize, scores: &[f64], labels: &[u32]) -> f64 {
    (0..n)
        .map(|s| {
            let label = labels[s] as usize;
            let rivals = (0..classes).filter(|k| *k != label).map(|k| scores[k * n + s]);
            (1.0 + rivals.fold(f64::NEG_INFINITY, f64::max) - scores[label * n + s]).max(0.0)
        })
        .sum()
}

/// Where the loss of a sample is above 0, `dscores` is `-scale` at the label and `scale` at the first of the
/// best other classes; it is 0 elsewhere.
pub fn categorical_hinge_backward(
    classes: usize,
    n: usize,
    scores: &[f64],
    labels: &[u32],
    scale: f64,
) -> Vec<f64> {
    let mut dscores = vec![0.0; classes * n];
    for s in 0..n {
        let label = labels[s] as usize;
        let mut rival = None;
        for k in (0..classes).filter(|k| *k != label) {
            if rival.is_none_or(|rival: usize| scores[k * n + s] > scores[rival * n + s]) {
                rival = Some(k);
            }
        }
        let Some(rival) = rival else { continue };
        if 1.0 + scores[rival * n + s] - scores[label * n + s] > 0.0 {
            dscores[label * n + s] = -scale;
            dscores[rival * n + s] = scale;
        }
    }
    dscores
}

/// `sum over i of |y - t|`.
pub fn mean_absolute_error(y: &[f64], t: &[f64]) -> f64 {
    y.iter().zip(t).map(|(y, t)| (y - t).abs()).sum()
}

/// `dy = scale * sign(y - t)`, 0 where they are equal.
pub fn mean_absolute_error_backward(y: &[f64], t: &[f64], scale: f64) -> Vec<f64> {
    y.iter().zip(t).map(|(y, t)| if y == t { 0.0 } else { scale * (y - t).signum() }).collect()
}

/// `sum over i of d^2 / 2` where `|d| <= delta`, else `delta (|d| - delta / 2)`, with `d = y - t`.
pub fn huber(delta: f64, y: &[f64], t: &[f64]) -> f64 {
    let loss = |d: f64| if d.abs() <= delta { d * d / 2.0 } else { delta * (d.abs() - delta / 2.0) };
    y.iter().zip(t).map(|(y, t)| loss(y - t)).sum()
}

/// `dy = scale * d` where `|d| <= delta`, else `scale * delta * sign(d)`.
pub fn huber_backward(delta: f64, y: &[f64], t: &[f64], scale: f64) -> Vec<f64> {
    let slope = |d: f64| if d.abs() <= delta { d } else { delta * d.signum() };
    y.iter().zip(t).map(|(y, t)| scale * slope(y - t)).collect()
}
