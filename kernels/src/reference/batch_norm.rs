//! Batch normalisation of `c` channels. Each channel is one block of `m` values.

use crate::Activation;

/// The results of [`train`].
pub struct Normalised {
    /// The normalised values.
    pub y: Vec<f64>,
    /// The statistics of each channel.
    pub statistics: Statistics,
}

/// Statistics of a batch, one value for each channel.
pub struct Statistics {
    /// `sum(x) / m`.
    pub mean: Vec<f64>,
    /// `sum((x - mean)^2) / m`.
    pub var: Vec<f64>,
    /// `1 / sqrt(var + eps)`.
    pub inv_std: Vec<f64>,
}

/// `y = (x - mean) * inv_std * gamma + beta`, with the statistics of each channel.
pub fn train(c: usize, x: &[f64], gamma: &[f64], beta: &[f64], eps: f64) -> Normalised {
    let m = x.len() / c;
    let mut statistics = Statistics { mean: Vec::new(), var: Vec::new(), inv_std: Vec::new() };
    for x in x.chunks(m) {
        let mean = x.iter().sum::<f64>() / m as f64;
        let var = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / m as f64;
        statistics.mean.push(mean);
        statistics.var.push(var);
        statistics.inv_std.push(1.0 / (var + eps).sqrt());
    }
    let Statistics { mean, var, .. } = &statistics;
    let y = eval(x, gamma, beta, mean, var, eps, Activation::Identity);
    Normalised { y, statistics }
}

/// `y = activation((x - mean) / sqrt(var + eps) * gamma + beta)`.
pub fn eval(
    x: &[f64],
    gamma: &[f64],
    beta: &[f64],
    mean: &[f64],
    var: &[f64],
    eps: f64,
    activation: Activation,
) -> Vec<f64> {
    let m = x.len() / gamma.len();
    let normalise = |(i, x): (usize, &f64)| {
        let c = i / m;
        let y = (x - mean[c]) / (var[c] + eps).sqrt() * gamma[c] + beta[c];
        super::activation::apply(activation, y)
    };
    x.iter().enumerate().map(normalise).collect()
}

/// The gradients of [`train`].
pub struct Gradients {
    /// Of `x`.
    pub dx: Vec<f64>,
    /// Of `gamma`.
    pub dgamma: Vec<f64>,
    /// Of `beta`.
    pub dbeta: Vec<f64>,
}

/// The gradients of [`train`]: `dbeta = sum(dy)`, `dgamma = sum(dy * xhat)`,
/// `dx = gamma * inv_std * (dy - dbeta / m - xhat * dgamma / m)`, with `xhat = (x - mean) * inv_std`.
pub fn backward(x: &[f64], dy: &[f64], gamma: &[f64], mean: &[f64], inv_std: &[f64]) -> Gradients {
    let m = x.len() / gamma.len();
    let (mut dx, mut dgamma, mut dbeta) = (Vec::new(), Vec::new(), Vec::new());
    for (c, (x, dy)) in x.chunks(m).zip(dy.chunks(m)).enumerate() {
        let xhat: Vec<f64> = x.iter().map(|x| (x - mean[c]) * inv_std[c]).collect();
        let sum_dy: f64 = dy.iter().sum();
        let sum_dy_xhat: f64 = dy.iter().zip(&xhat).map(|(dy, xhat)| dy * xhat).sum();
        for (dy, xhat) in dy.iter().zip(&xhat) {
            dx.push(gamma[c] * inv_std[c] * (dy - sum_dy / m as f64 - xhat * sum_dy_xhat / m as f64));
        }
        dgamma.push(sum_dy_xhat);
        dbeta.push(sum_dy);
    }
    Gradients { dx, dgamma, dbeta }
}
