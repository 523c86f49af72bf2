//! Numbers of the beta distribution.

use super::draws::Draws;

/// A number of the distribution Beta(alpha, alpha).
///
/// ```text
/// beta = gamma / (gamma + other gamma), as 1 / (1 + e^(ln other - ln gamma)): small ones underflow
/// ```
pub(super) fn beta(draws: &mut Draws, alpha: f64) -> f64 {
    let [gamma, other] = [log_gamma(draws, alpha), log_gamma(draws, alpha)];
    1.0 / (1.0 + libm::exp(other - gamma))
}

/// The logarithm of a number of the distribution Gamma(alpha, 1).
///
/// # Source
///
/// G. Marsaglia, W. Tsang, "A simple method for generating gamma variables", ACM TOMS 26 (2000), section 2;
/// for alpha below 1 section 6: `gamma(alpha) = gamma(alpha + 1) uniform^(1 / alpha)`.
fn log_gamma(draws: &mut Draws, alpha: f64) -> f64 {
    let boost = if alpha < 1.0 { libm::log(draws.unit()) / alpha } else { 0.0 };
    let d = (if alpha < 1.0 { alpha + 1.0 } else { alpha }) - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = draws.normal();
        let root = 1.0 + c * x;
        if root <= 0.0 {
            continue;
        }
        let v = root * root * root;
        if libm::log(draws.unit()) < 0.5 * x * x + d - d * v + d * libm::log(v) {
            return libm::log(d * v) + boost;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::draws::Key;
    use super::*;

    /// Mean 1/2 and variance `1 / (4 (2 alpha + 1))`, and all numbers from 0 to 1.
    #[test]
    fn numbers_have_the_moments_of_the_distribution() {
        const COUNT: usize = 20_000;
        for alpha in [0.1, 0.2, 0.5, 1.0, 2.0, 30.0] {
            let number = |index| beta(&mut Key { seed: 9, epoch: 0, index }.draws(*b"test", 0), alpha);
            let numbers: Vec<f64> = (0..COUNT as u32).map(number).collect();
            assert!(numbers.iter().all(|number| (0.0..=1.0).contains(number)), "alpha {alpha}");
            let variance = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            let mean = numbers.iter().sum::<f64>() / COUNT as f64;
            let error = (variance / COUNT as f64).sqrt();
            assert!((mean - 0.5).abs() < 4.5 * error, "alpha {alpha}: mean {mean}");
            let spread = numbers.iter().map(|x| (x - 0.5).powi(2)).sum::<f64>() / COUNT as f64;
            // The fourth central moment is at most that of two values, the variance squared times 1 to 3.
            let error = variance * (2.0 / COUNT as f64).sqrt();
            assert!((spread - variance).abs() < 4.5 * error, "alpha {alpha}: {spread}, not {variance}");
        }
    }

    /// Beta(1, 1) is uniform.
    #[test]
    fn at_alpha_1_all_numbers_are_equally_likely() {
        let mut counts = [0; 20];
        for index in 0..20_000 {
            let number = beta(&mut Key { seed: 9, epoch: 1, index }.draws(*b"test", 0), 1.0);
            counts[((number * 20.0) as usize).min(19)] += 1;
        }
        let chi_squared: f64 = counts.iter().map(|count| f64::from(count - 1000).powi(2) / 1000.0).sum();
        // 19 degrees of freedom: 43.8 is exceeded once in a thousand seeds.
        assert!(chi_squared < 43.8, "chi squared is {chi_squared}");
    }

    #[test]
    fn the_smallest_alphas_give_numbers() {
        for index in 0..1000 {
            let number = beta(&mut Key { seed: 9, epoch: 1, index }.draws(*b"test", 0), 1e-3);
            assert!((0.0..=1.0).contains(&number), "{number}");
        }
    }
}
