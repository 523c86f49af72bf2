//! Initial values of parameters.

use crate::layer::Fans;
use crate::names::named;
use isograd_kernels::Element;
use isograd_kernels::philox::{Rng, normal_pair, uniform_f64};

/// A distribution of initial values. `fan_in` and `fan_out` are the inputs and outputs that a weight tensor
/// joins: for a convolution, channels times kernel elements.
///
/// | family | variance |
/// | --- | --- |
/// | glorot | 2 / (fan_in + fan_out) |
/// | he | 2 / fan_in |
/// | lecun | 1 / fan_in |
///
/// Uniform distributions reach `sqrt(3 * variance)` to both sides. Normal distributions are not truncated.
///
/// Dirac: filter `f` of the first `C` filters of a tensor `[F, C, KH, KW]` passes on input channel `f`: it is
/// 1 at the middle `[f, KH / 2, KW / 2]` and 0 elsewhere. The other filters are drawn from lecun_uniform,
/// which gives them the same norm on average.
///
/// # Source
///
/// - Glorot, Bengio: "Understanding the difficulty of training deep feedforward neural networks", AISTATS
///   2010.
/// - He et al.: "Delving deep into rectifiers", ICCV 2015.
/// - LeCun et al.: "Efficient backprop", 1998.
/// - Zagoruyko, Komodakis: "DiracNets", 2017; for the first filters alone as in Jordan: "94% on CIFAR-10 in
///   3.29 seconds on a single GPU", 2024.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Initializer {
    /// Uniform with Glorot's variance.
    GlorotUniform,
    /// Normal with Glorot's variance.
    GlorotNormal,
    /// Uniform with He's variance.
    HeUniform,
    /// Normal with He's variance.
    HeNormal,
    /// Uniform with LeCun's variance.
    LecunUniform,
    /// Normal with LeCun's variance.
    LecunNormal,
    /// The identity of the first channels.
    Dirac,
    /// All 0.
    Zeros,
    /// All 1.
    Ones,
}

named!(Initializer, "initializer", {
    "glorot_uniform" => Self::GlorotUniform,
    "glorot_normal" => Self::GlorotNormal,
    "he_uniform" => Self::HeUniform,
    "he_normal" => Self::HeNormal,
    "lecun_uniform" => Self::LecunUniform,
    "lecun_normal" => Self::LecunNormal,
    "dirac" => Self::Dirac,
    "zeros" => Self::Zeros,
    "ones" => Self::Ones,
});

impl Initializer {
    /// What layers take for their weights unless they are told otherwise.
    pub(crate) const OF_WEIGHTS: Self = Self::GlorotUniform;
    /// What layers take for their biases unless they are told otherwise.
    pub(crate) const OF_BIASES: Self = Self::Zeros;

    /// Overwrites `values`, the elements of a tensor of `dims`. Element `i` depends on `rng`, `tensor`, `i`,
    /// `dims` and the fans only, so that the values are the same in f32 (rounded) and f64, and on every
    /// machine.
    pub fn fill<T: Element>(self, rng: &Rng, tensor: u64, dims: &[usize], fans: Fans, values: &mut [T]) {
        let (fan_in, fan_out) = (fans.inputs as f64, fans.outputs as f64);
        let (variance, normal) = match self {
            Self::Zeros => return values.fill(T::ZERO),
            Self::Ones => return values.fill(T::ONE),
            Self::Dirac => {
                Self::LecunUniform.fill(rng, tensor, dims, fans, values);
                return pass_channels_on(dims, values);
            }
            Self::GlorotUniform => (2.0 / (fan_in + fan_out), false),
            Self::GlorotNormal => (2.0 / (fan_in + fan_out), true),
            Self::HeUniform => (2.0 / fan_in, false),
            Self::HeNormal => (2.0 / fan_in, true),
            Self::LecunUniform => (1.0 / fan_in, false),
            Self::LecunNormal => (1.0 / fan_in, true),
        };
        // A block gives two values of either kind.
        for (index, pair) in values.chunks_mut(2).enumerate() {
            let block = rng.block(tensor, index as u32);
            let draws = if normal {
                normal_pair(block).map(|z| z * variance.sqrt())
            } else {
                let [a, b, c, d] = block;
                [uniform_f64(a, b), uniform_f64(c, d)].map(|u| (2.0 * u - 1.0) * (3.0 * variance).sqrt())
            };
            for (value, draw) in pair.iter_mut().zip(draws) {
                *value = T::from_f64(draw);
            }
        }
    }
}

/// Lets the first filters of a tensor `[F, C, KH, KW]`, or rows of a matrix, pass on a channel each.
fn pass_channels_on<T: Element>(dims: &[usize], values: &mut [T]) {
    let [filters, channels, kernel @ ..] = dims else { return };
    let of_filter = values.len() / filters;
    let middle = kernel.iter().fold(0, |place, extent| place * extent + extent / 2);
    for (channel, filter) in values.chunks_exact_mut(of_filter).take(*channels).enumerate() {
        filter.fill(T::ZERO);
        filter[channel * kernel.iter().product::<usize>() + middle] = T::ONE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isograd_kernels::philox::Purpose;

    const FANS: Fans = Fans { inputs: 300, outputs: 100 };

    fn values(initializer: Initializer) -> Vec<f64> {
        let mut values = vec![f64::NAN; 40_001];
        let rng = Rng::new(7, Purpose::InitialWeights).layer(2);
        initializer.fill(&rng, 0, &[40_001], FANS, &mut values);
        values
    }

    #[test]
    fn moments_and_ranges_are_those_of_the_definitions() {
        for name in Initializer::NAMES {
            let values = values(name.parse().expect("a known name"));
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count;
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
            let expected = match name.split('_').next().expect("a name") {
                "glorot" => 2.0 / 400.0,
                "he" => 2.0 / 300.0,
                // A tensor of one dimension has no filters.
                "lecun" | "dirac" => 1.0 / 300.0,
                _ => 0.0,
            };
            // Five standard errors of a mean and of a variance (kurtosis at most 3).
            let center = if name == "ones" { 1.0 } else { 0.0 };
            assert!((mean - center).abs() <= 5.0 * (expected / count).sqrt(), "{name}: mean {mean}");
            assert!(
                (variance - expected).abs() <= 5.0 * expected * (2.0 / count).sqrt(),
                "{name}: variance {variance}"
            );
            if name.ends_with("uniform") {
                let limit = (3.0 * expected).sqrt();
                assert!(values.iter().all(|v| v.abs() <= limit), "{name}: a value beyond {limit}");
            }
        }
    }

    #[test]
    fn f32_values_are_the_f64_values_rounded() {
        let mut narrow = vec![0.0f32; 40_001];
        let rng = Rng::new(7, Purpose::InitialWeights).layer(2);
        Initializer::HeNormal.fill(&rng, 0, &[40_001], FANS, &mut narrow);
        assert!(narrow.iter().zip(values(Initializer::HeNormal)).all(|(a, b)| *a == b as f32));
    }

    #[test]
    fn dirac_passes_the_first_channels_on() {
        let (dims, fans) = ([3, 2, 3, 2], Fans { inputs: 12, outputs: 18 });
        let rng = Rng::new(7, Purpose::InitialWeights);
        let filled = |initializer: Initializer, dims: &[usize]| {
            let mut values = vec![f64::NAN; dims.iter().product()];
            initializer.fill(&rng, 0, dims, fans, &mut values);
            values
        };
        let values = filled(Initializer::Dirac, &dims);
        let mut expected = vec![0.0; 24];
        // Row 1 and column 1 of channel 0 in filter 0, and of channel 1 in filter 1.
        (expected[3], expected[12 + 6 + 3]) = (1.0, 1.0);
        assert_eq!(values[..24], expected);
        assert_eq!(values[24..], filled(Initializer::LecunUniform, &dims)[24..]);
        assert_eq!(filled(Initializer::Dirac, &[2, 3]), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        assert_eq!(filled(Initializer::Dirac, &[1, 2, 1, 1]), [1.0, 0.0]);
    }

    #[test]
    fn unknown_names_get_the_nearest_known_one() {
        let error = "glorot_unifrom".parse::<Initializer>().expect_err("no such initializer").to_string();
        assert!(error.contains("did you mean 'glorot_uniform'?"), "{error}");
    }
}
