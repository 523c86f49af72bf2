//! Whitening: a first convolution whose weights are computed from the data.
//!
//! ```text
//! patches of the training samples, as the network sees them, as large as a filter
//! -> mean and covariance -> eigenvectors e[i] and eigenvalues l[i], the largest first
//! filter i = e[i] / sqrt(l[i] + epsilon), and behind them their negatives
//! bias = -filter * mean
//! ```
//!
//! The outputs of the filters have mean 0 and variance 1, and those of different directions are not
//! correlated. With the negatives, a function such as ReLU or GELU behind them loses nothing.
//!
//! All sums are f64, of a fixed number of parts of the samples each added up in order, and nothing but
//! additions, multiplications, divisions and square roots is used: the same bits on any number of threads and
//! ranks, and on every machine.

mod eigen;
mod error;
mod patches;

pub use error::WhitenError;

use crate::error::Error;
use crate::layer::Tensor;
use crate::network::{Network, State};
use crate::shape::Shape;
use crate::train::DataError;
use eigen::Eigen;
use isograd_datasets::Dataset;
use isograd_kernels::Element;
use isograd_kernels::conv::Conv2dShape;
use patches::{MAX_LEN, Moments, PatchShape};
use std::ops::Range;

/// How the first convolution of a network is made to whiten its input.
///
/// ```
/// use isograd_datasets::Synthetic;
/// use isograd_model::{Network, TrainConfig, Trainer, Whitening, layer::*, layers};
/// let data = Synthetic { seed: 1, sample_shape: [3, 8, 8], num_classes: 4 }.samples(0..256)?;
/// let mut network = Network::<f32>::build(layers![
///     Input::new(3, 8, 8), Conv2D::new(24, 2), GELU::new(), Flatten, Dense::new(4), Softmax,
/// ])?;
/// let whitened = Whitening::default().compute(&network, &data)?;
/// // The weights stay what they are; the bias is trained.
/// network.freeze(whitened.weights())?;
/// let mut trainer = Trainer::new(network, TrainConfig::default())?;
/// whitened.write(trainer.state_mut());
/// trainer.train_epoch(&data, |_| ())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Source
///
/// The whitening layer of tysam-code: "hlb-CIFAR10", 2023, and of Jordan: "94% on CIFAR-10 in 3.29 seconds on
/// a single GPU", 2024, section 3.2, which takes the second moment in the place of the covariance and leaves
/// the bias to its random start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Whitening {
    /// The number of samples to take the patches of, at least 1: all if there are fewer, otherwise those at
    /// equal distances in the data set, the first one among them.
    pub samples: usize,
    /// Added to the eigenvalues, above 0: how much directions in which patches hardly differ are held back.
    pub epsilon: f64,
}

impl Default for Whitening {
    /// 5000 samples, and 0.0005.
    fn default() -> Self {
        Self { samples: 5000, epsilon: 5e-4 }
    }
}

/// Weights and bias that whiten.
#[derive(Debug, Clone, PartialEq)]
pub struct Whitened<T> {
    name: String,
    weight: (Range<usize>, Vec<T>),
    bias: Option<(Range<usize>, Vec<T>)>,
}

impl Whitening {
    /// The name of the weights of the convolution of `network` that can be made to whiten.
    ///
    /// # Errors
    ///
    /// [`WhitenError`] when the first layer is no such convolution.
    pub fn weights<T: Element>(network: &Network<T>) -> Result<&str, Error> {
        Ok(&layer(network)?.1[0].name)
    }

    /// The weights of the first convolution of `network` that whiten the samples of `dataset`.
    ///
    /// Patches lie inside of the samples, as far from each other as the convolution's stride; of a sample
    /// with more than 1000 of them, at most so many at equal distances are taken.
    ///
    /// # Errors
    ///
    /// [`WhitenError`] when the first layer is not a convolution with a filter for each direction and at most
    /// one more for its negative, or when samples have infinite values; [`DataError`] when they do not fit
    /// the network or cannot be read; [`Error::OutOfRange`] of its own numbers.
    pub fn compute<T: Element>(
        &self,
        network: &Network<T>,
        dataset: &dyn Dataset,
    ) -> Result<Whitened<T>, Error> {
        self.check()?;
        let (shape, tensors) = layer(network)?;
        let [c, h, w] = dataset.sample_shape();
        let (input, sample) = (network.input_shape(), Shape::image(c, h, w));
        if input != sample {
            return Err(DataError::SampleShape { network: input, dataset: sample }.into());
        }
        let len = dataset.len();
        if len == 0 {
            return Err(DataError::NoSamples.into());
        }
        let count = self.samples.min(len);
        let indices = (0..count).map(|place| (place as u128 * len as u128 / count as u128) as usize);
        let patch = PatchShape::of(shape);
        let moments = Moments::of(dataset, &indices.collect::<Vec<_>>(), patch)?;
        let (mean, covariance) = moments.mean_and_covariance();
        if !mean.iter().chain(&covariance).all(|value| value.is_finite()) {
            return Err(WhitenError::NonFinite.into());
        }
        let Eigen { values, vectors } = Eigen::of(covariance, patch.len());
        let (filters, directions) = (shape.f, patch.len().min(shape.f.div_ceil(2)));
        let mut weight = Vec::with_capacity(filters * patch.len());
        let mut bias = Vec::with_capacity(filters);
        for filter in 0..filters {
            let (direction, sign) = match filter < directions {
                true => (filter, 1.0),
                false => (filter - directions, -1.0),
            };
            let factor = sign / (values[direction] + self.epsilon).sqrt();
            let vector = &vectors[direction * patch.len()..][..patch.len()];
            weight.extend(vector.iter().map(|element| T::from_f64(factor * element)));
            bias.push(T::from_f64(-factor * vector.iter().zip(&mean).map(|(e, m)| e * m).sum::<f64>()));
        }
        let range = |tensor: &Tensor| tensor.range.clone();
        Ok(Whitened {
            name: tensors[0].name.clone(),
            weight: (range(&tensors[0]), weight),
            bias: tensors.get(1).map(|tensor| (range(tensor), bias)),
        })
    }

    fn check(&self) -> Result<(), Error> {
        let Self { samples, epsilon } = *self;
        if samples == 0 {
            let name = "the number of samples for whitening";
            return Err(Error::OutOfRange { name, expected: "at least 1", value: samples.to_string() });
        }
        if !(epsilon > 0.0 && epsilon.is_finite()) {
            let (name, expected) = ("the epsilon of whitening", "a number above 0");
            return Err(Error::OutOfRange { name, expected, value: epsilon.to_string() });
        }
        Ok(())
    }
}

impl<T: Element> Whitened<T> {
    /// The name of the weights.
    pub fn weights(&self) -> &str {
        &self.name
    }

    /// Overwrites the weights and the bias of the layer in `state`, which must be one of the network that
    /// they were computed for.
    pub fn write(&self, state: &mut State<T>) {
        for (range, values) in [Some(&self.weight), self.bias.as_ref()].into_iter().flatten() {
            state.params_mut()[range.clone()].copy_from_slice(values);
        }
    }
}

/// The first layer of `network`: the shape of its convolution, its weights and perhaps its bias.
fn layer<T: Element>(network: &Network<T>) -> Result<(&Conv2dShape, &[Tensor]), WhitenError> {
    let (place, shape, tensors) = network.first_convolution().ok_or(WhitenError::NoConvolution)?;
    if shape.groups != 1 || shape.dilation != 1.into() {
        return Err(WhitenError::Spread { place: place.clone() });
    }
    let Conv2dShape { c, h, w, f: filters, kh, kw, .. } = *shape;
    let elements = c * kh * kw;
    if kh > h || kw > w {
        return Err(WhitenError::NoPatch { place: place.clone(), kernel: [kh, kw], image: [h, w] });
    }
    if elements > MAX_LEN {
        return Err(WhitenError::TooLarge { place: place.clone(), elements });
    }
    if filters > 2 * elements {
        return Err(WhitenError::TooManyFilters { place: place.clone(), filters, elements });
    }
    Ok((shape, tensors))
}
