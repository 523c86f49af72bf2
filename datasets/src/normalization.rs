//! The affine map, one for each channel, from stored values to the input of a network.

use crate::{Error, NormalizationError};

/// `x[c, h, w] = scale[c] * pixel[c, h, w] + shift[c]`.
///
/// The coefficients are `f64`, so they are rounded only once, to the element type of the network.
///
/// ```
/// use isograd_datasets::Normalization;
///
/// let unit = Normalization::unit_range(3);
/// assert_eq!(unit.scale(), [1.0 / 255.0; 3]);
/// assert_eq!(unit.shift(), [0.0; 3]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Normalization {
    scale: Vec<f64>,
    shift: Vec<f64>,
}

impl Normalization {
    /// `x = scale[c] * pixel + shift[c]`; `scale` and `shift` have one value for each channel.
    ///
    /// # Errors
    ///
    /// [`NormalizationError::Length`] if the two differ in length, [`NormalizationError::Value`] if a value
    /// is infinite or not a number.
    pub fn new(scale: Vec<f64>, shift: Vec<f64>) -> Result<Self, Error> {
        if scale.len() != shift.len() {
            return Err(Error::Normalization(NormalizationError::Length {
                scales: scale.len(),
                shifts: shift.len(),
            }));
        }
        for (channel, (&scale, &shift)) in scale.iter().zip(&shift).enumerate() {
            if !(scale.is_finite() && shift.is_finite()) {
                return Err(Error::Normalization(NormalizationError::Value { channel, scale, shift }));
            }
        }
        Ok(Self { scale, shift })
    }

    /// `x = pixel`.
    pub fn identity(channels: usize) -> Self {
        Self { scale: vec![1.0; channels], shift: vec![0.0; channels] }
    }

    /// `x = pixel / 255`: bytes onto `0..=1`.
    ///
    /// The network multiplies by the rounded `1 / 255`, which can differ from the quotient by one unit in
    /// the last place.
    pub fn unit_range(channels: usize) -> Self {
        Self { scale: vec![1.0 / 255.0; channels], shift: vec![0.0; channels] }
    }

    /// `x = (pixel / 255 - mean[c]) / std[c]`: bytes onto zero mean and unit variance, with the statistics
    /// given on the `0..=1` scale.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), on `scale = 1 / (255 std)` and `shift = -mean / std`; so a `std` of zero is an
    /// error.
    pub fn from_mean_std(mean: &[f64], std: &[f64]) -> Result<Self, Error> {
        let scale = std.iter().map(|std| 1.0 / (255.0 * std)).collect::<Vec<_>>();
        if mean.len() != std.len() {
            return Err(Error::Normalization(NormalizationError::Length {
                scales: std.len(),
                shifts: mean.len(),
            }));
        }
        Self::new(scale, mean.iter().zip(std).map(|(mean, std)| -mean / std).collect())
    }

    /// The normalization that gives zero mean and unit variance, where what `self` gives has `mean` and
    /// `std`: `x = (self(pixel) - mean[c]) / std[c]`.
    ///
    /// Published statistics are on the scale `0..=1`, which [`unit_range`](Self::unit_range) gives of bytes
    /// and [`identity`](Self::identity) of floats on this scale.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); [`NormalizationError::Channels`] if there are statistics of another number of
    /// channels.
    pub fn standardized(&self, mean: &[f64], std: &[f64]) -> Result<Self, Error> {
        for got in [mean.len(), std.len()] {
            if got != self.channels() {
                return Err(Error::Normalization(NormalizationError::Channels {
                    expected: self.channels(),
                    got,
                }));
            }
        }
        let shift = self.shift.iter().zip(mean).zip(std).map(|((shift, mean), std)| (shift - mean) / std);
        Self::new(self.scale.iter().zip(std).map(|(scale, std)| scale / std).collect(), shift.collect())
    }

    /// The number of channels.
    pub fn channels(&self) -> usize {
        self.scale.len()
    }

    /// The factor of each channel.
    pub fn scale(&self) -> &[f64] {
        &self.scale
    }

    /// What is added to each channel after scaling.
    pub fn shift(&self) -> &[f64] {
        &self.shift
    }

    /// Whether `x = pixel` in every channel, so that a consumer may copy.
    pub fn is_identity(&self) -> bool {
        self.scale.iter().all(|&scale| scale == 1.0) && self.shift.iter().all(|&shift| shift == 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_std_become_scale_and_shift() {
        let norm = Normalization::from_mean_std(&[0.5, 0.25], &[0.25, 0.5]).unwrap();
        assert_eq!(norm.channels(), 2);
        assert_eq!(norm.scale(), [4.0 / 255.0, 2.0 / 255.0]);
        assert_eq!(norm.shift(), [-2.0, -0.5]);
    }

    #[test]
    fn only_the_identity_is_one() {
        assert!(Normalization::identity(3).is_identity());
        assert!(!Normalization::unit_range(1).is_identity());
        assert!(!Normalization::new(vec![1.0, 1.0], vec![0.0, 0.5]).unwrap().is_identity());
    }

    #[test]
    fn nonsense_is_refused_with_its_numbers() {
        let message = |result: Result<Normalization, Error>| result.unwrap_err().to_string();
        assert_eq!(
            message(Normalization::new(vec![1.0; 3], vec![0.0])),
            "normalization has 3 scales but 1 shift value"
        );
        assert_eq!(
            message(Normalization::from_mean_std(&[0.1], &[0.2, 0.3])),
            "normalization has 2 scales but 1 shift value"
        );
        assert_eq!(
            message(Normalization::new(vec![1.0, f64::NAN], vec![0.0, 0.0])),
            "normalization of channel 1 is not finite: scale NaN, shift 0"
        );
        assert_eq!(
            message(Normalization::from_mean_std(&[0.5], &[0.0])),
            "normalization of channel 0 is not finite: scale inf, shift -inf"
        );
    }
}
