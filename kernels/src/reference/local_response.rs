//! Local response normalisation.

use crate::local_response::LocalResponse;

/// `d[i] = k + alpha / size * sum over the channels j around i of x[j]^2`, of all elements.
fn denominators(shape: &LocalResponse, n: usize, x: &[f64]) -> Vec<f64> {
    let row = shape.pixels * n;
    let square = |j: usize, column: usize| x[j * row + column] * x[j * row + column];
    (0..shape.c * row)
        .map(|at| {
            let (i, column) = (at / row, at % row);
            let energy: f64 =
                (0..shape.c).filter(|j| is_around(shape, i, *j)).map(|j| square(j, column)).sum();
            shape.k + shape.alpha / shape.size as f64 * energy
        })
        .collect()
}

/// Whether the sum of channel `i` contains the square of channel `j`.
fn is_around(shape: &LocalResponse, i: usize, j: usize) -> bool {
    let (before, behind) = (shape.size / 2, (shape.size - 1) / 2);
    j + before >= i && j <= i + behind
}

/// `y = x / d^beta`.
pub fn forward(shape: &LocalResponse, n: usize, x: &[f64]) -> Vec<f64> {
    x.iter().zip(denominators(shape, n, x)).map(|(x, d)| x / d.powf(shape.beta)).collect()
}

/// `dx[i] = dy[i] / d[i]^beta - 2 alpha beta / size * x[i] * sum over j of dy[j] x[j] / d[j]^(beta + 1)`,
/// where `j` goes over the channels whose sums contain channel `i`.
pub fn backward(shape: &LocalResponse, n: usize, x: &[f64], dy: &[f64]) -> Vec<f64> {
    let LocalResponse { c, pixels, size, alpha, beta, .. } = *shape;
    let row = pixels * n;
    let d = denominators(shape, n, x);
    (0..c * row)
        .map(|at| {
            let (i, column) = (at / row, at % row);
            let sum: f64 = (0..c)
                .filter(|j| is_around(shape, *j, i))
                .map(|j| j * row + column)
                .map(|j| dy[j] * x[j] / d[j].powf(beta + 1.0))
                .sum();
            dy[at] / d[at].powf(beta) - 2.0 * alpha * beta / size as f64 * x[at] * sum
        })
        .collect()
}
