//! Matrix product.

/// `c[i, j] = sum over t of a[i, t] * b[t, j]`, rows contiguous, `a` `[m, k]`, `b` `[k, n]`.
pub fn gemm(m: usize, n: usize, k: usize, a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut c = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            c[i * n + j] = (0..k).map(|t| a[i * k + t] * b[t * n + j]).sum();
        }
    }
    c
}
