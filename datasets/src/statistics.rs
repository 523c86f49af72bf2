//! The mean and the deviation of the values of a data set, channel by channel.
//!
//! ```text
//! mean[c] = sum of x / count                       x: all pixels of channel c of all samples
//! variance[c] = (count * sum of x^2 - (sum of x)^2) / count^2
//! ```
//!
//! Of bytes, the sums are whole numbers: exact, and so the same in whatever order they are taken. Of floats,
//! they are f64 of [`Moments::BLOCK`] samples each, added up in order. So the caller can have any number of
//! threads take the moments of blocks, and gets the same bits.

use std::ops::Range;

use crate::{
    Dataset, Error, Normalization, NormalizationError, Pixels, Request, SampleBuffer, SampleError,
    check_sample,
};

/// The mean and the deviation of published data sets, on the scale `0..=1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Published {
    /// The name of the data set.
    pub name: &'static str,
    /// The mean of each channel.
    pub mean: &'static [f64],
    /// The standard deviation of each channel.
    pub std: &'static [f64],
}

impl Published {
    /// All of them. Those of ImageNet are the usual ones, which a sample of its images has; the others are
    /// those of the training samples.
    pub const ALL: [Self; 5] = [
        Self { name: "imagenet", mean: &[0.485, 0.456, 0.406], std: &[0.229, 0.224, 0.225] },
        Self { name: "cifar10", mean: &[0.4914, 0.4822, 0.4465], std: &[0.2470, 0.2435, 0.2616] },
        Self { name: "cifar100", mean: &[0.5071, 0.4865, 0.4409], std: &[0.2673, 0.2564, 0.2762] },
        Self { name: "mnist", mean: &[0.1307], std: &[0.3081] },
        Self { name: "fashion-mnist", mean: &[0.2860], std: &[0.3530] },
    ];

    /// Those of the data set called `name`.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|published| published.name == name)
    }
}

/// Sums over the values of some samples, from which mean and deviation follow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    channels: Vec<Channel>,
}

/// The sums of one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Channel {
    count: u64,
    /// Of bytes.
    sum: u64,
    squares: u128,
    /// Of floats.
    float_sum: f64,
    float_squares: f64,
}

impl Moments {
    /// The number of samples whose floats are added up before their sum is added to those of others.
    pub const BLOCK: usize = 1024;

    /// The blocks of a set of `samples`, in order.
    pub fn blocks(samples: usize) -> impl ExactSizeIterator<Item = Range<usize>> {
        (0..samples.div_ceil(Self::BLOCK)).map(move |block| {
            let start = block * Self::BLOCK;
            start..samples.min(start + Self::BLOCK)
        })
    }

    /// The moments of `samples` of `set`, as they are stored.
    ///
    /// # Errors
    ///
    /// [`SampleError`] of the first sample that cannot be read or contradicts its set.
    pub fn of(
        set: &dyn Dataset,
        samples: Range<usize>,
        buffer: &mut SampleBuffer,
    ) -> Result<Self, SampleError> {
        let mut moments = Self::default();
        for index in samples {
            let read = set.read(Request::new(index), buffer);
            let sample = read.map_err(|reason| SampleError::Read { sample: set.describe(index), reason })?;
            check_sample(set, index, &sample)?;
            moments.add_sample(set.sample_shape(), sample.pixels);
        }
        Ok(moments)
    }

    /// Adds one sample of `shape`, `[c, h, w]`.
    pub fn add_sample(&mut self, [c, h, w]: [usize; 3], pixels: Pixels<'_>) {
        self.channels.resize(c, Channel::default());
        match pixels {
            Pixels::U8(pixels) => {
                for (channel, plane) in self.channels.iter_mut().zip(pixels.chunks_exact(h * w)) {
                    channel.add_bytes(plane);
                }
            }
            Pixels::F32(pixels) => {
                for (channel, plane) in self.channels.iter_mut().zip(pixels.chunks_exact(h * w)) {
                    channel.add_floats(plane);
                }
            }
        }
    }

    /// The moments of a whole set, by this thread alone. Others have the same bits if they
    /// [add](Self::add) up those of all [`blocks`](Self::blocks) in order.
    ///
    /// # Errors
    ///
    /// As [`of`](Self::of).
    pub fn of_all(set: &dyn Dataset) -> Result<Self, SampleError> {
        let (mut moments, mut buffer) = (Self::default(), SampleBuffer::new());
        for block in Self::blocks(set.len()) {
            moments.add(&Self::of(set, block, &mut buffer)?);
        }
        Ok(moments)
    }

    /// Adds those of other samples of the same set, perhaps of none.
    pub fn add(&mut self, other: &Self) {
        let channels = self.channels.len().max(other.channels.len());
        self.channels.resize(channels, Channel::default());
        for (channel, other) in self.channels.iter_mut().zip(&other.channels) {
            channel.count += other.count;
            channel.sum += other.sum;
            channel.squares += other.squares;
            channel.float_sum += other.float_sum;
            channel.float_squares += other.float_squares;
        }
    }

    /// The mean of each channel of stored values.
    pub fn mean(&self) -> Vec<f64> {
        self.channels.iter().map(Channel::mean).collect()
    }

    /// The standard deviation of each channel of stored values, over all of them.
    pub fn std(&self) -> Vec<f64> {
        self.channels.iter().map(|channel| channel.variance().sqrt()).collect()
    }

    /// The normalization that gives zero mean and unit variance.
    ///
    /// # Errors
    ///
    /// [`NormalizationError::Constant`] if all values of a channel are the same,
    /// [`NormalizationError::Value`] if they are not finite.
    pub fn normalization(&self) -> Result<Normalization, Error> {
        let (mean, std) = (self.mean(), self.std());
        if let Some(channel) = std.iter().position(|std| *std == 0.0) {
            let value = mean[channel];
            return Err(Error::Normalization(NormalizationError::Constant { channel, value }));
        }
        let shift = mean.iter().zip(&std).map(|(mean, std)| -mean / std).collect();
        Normalization::new(std.iter().map(|std| 1.0 / std).collect(), shift)
    }
}

impl Channel {
    fn add_bytes(&mut self, plane: &[u8]) {
        self.count += plane.len() as u64;
        // A run of 2^16 squares fits u32, which is added up fastest.
        for run in plane.chunks(1 << 16) {
            self.sum += u64::from(run.iter().map(|byte| u32::from(*byte)).sum::<u32>());
            self.squares +=
                u128::from(run.iter().map(|byte| u32::from(*byte) * u32::from(*byte)).sum::<u32>());
        }
    }

    fn add_floats(&mut self, plane: &[f32]) {
        self.count += plane.len() as u64;
        self.float_sum += plane.iter().map(|value| f64::from(*value)).sum::<f64>();
        self.float_squares += plane.iter().map(|value| f64::from(*value) * f64::from(*value)).sum::<f64>();
    }

    fn mean(&self) -> f64 {
        (self.sum as f64 + self.float_sum) / self.count as f64
    }

    fn variance(&self) -> f64 {
        let (count, sum) = (u128::from(self.count), u128::from(self.sum));
        let of_bytes = (count * self.squares - sum * sum) as f64 / (self.count as f64).powi(2);
        let mean = self.float_sum / self.count as f64;
        let of_floats = (self.float_squares / self.count as f64 - mean * mean).max(0.0);
        of_bytes + of_floats
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arrays, Subset, Synthetic};

    fn naive(values: &[f64]) -> [f64; 2] {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        [mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()]
    }

    #[test]
    fn moments_are_those_of_all_pixels() {
        let set = Synthetic { seed: 3, sample_shape: [2, 5, 7], num_classes: 3 }.samples(0..2500).unwrap();
        let pixels = |index| set.sample(index).pixels.bytes().unwrap();
        let floats: Vec<f32> =
            (0..2500).flat_map(pixels).map(|byte| f32::from(*byte) / 255.0 - 0.3).collect();
        let float_set = Arrays::from_f32(&floats[..], set.labels(), [2, 5, 7], 3).unwrap();
        let (bytes, of_floats) = (Moments::of_all(&set).unwrap(), Moments::of_all(&float_set).unwrap());
        for channel in 0..2 {
            let of_channel = |index| pixels(index)[channel * 35..][..35].iter().map(|byte| f64::from(*byte));
            let [mean, std] = naive(&(0..2500).flat_map(of_channel).collect::<Vec<_>>());
            assert!(
                (bytes.mean()[channel] - mean).abs() < 1e-10 && (bytes.std()[channel] - std).abs() < 1e-10
            );
            let [mean, std] = [mean / 255.0 - 0.3, std / 255.0];
            let [got, got_std] = [of_floats.mean()[channel], of_floats.std()[channel]];
            // Each float is rounded to 24 bits.
            assert!((got - mean).abs() < 1e-7 && (got_std - std).abs() < 1e-7, "{got} {got_std}");
        }
    }

    #[test]
    fn bytes_are_the_same_bits_in_any_order_and_blocks() {
        let set = Synthetic { seed: 3, sample_shape: [1, 4, 4], num_classes: 3 }.samples(0..3000).unwrap();
        let whole = Moments::of_all(&set).unwrap();
        let mut backwards = Moments::default();
        for start in (0..3000).step_by(100).rev() {
            let part = Subset::new(&set, start..start + 100);
            backwards.add(&Moments::of_all(&part).unwrap());
        }
        assert_eq!(backwards, whole);
        backwards.add(&Moments::default());
        assert_eq!(backwards, whole);
        let blocks: Vec<_> = Moments::blocks(3000).collect();
        assert_eq!(blocks, [0..1024, 1024..2048, 2048..3000]);
    }

    #[test]
    fn what_is_computed_normalises() {
        let set = Arrays::from_u8(vec![10, 30, 0, 4], vec![0, 0], [1, 1, 2], 1).unwrap();
        let moments = Moments::of_all(&set).unwrap();
        assert_eq!((moments.mean(), moments.std()), (vec![11.0], vec![133.0_f64.sqrt()]));
        let normalization = moments.normalization().unwrap();
        let at = |byte: f64| normalization.scale()[0] * byte + normalization.shift()[0];
        assert!((at(10.0) + at(30.0) + at(0.0) + at(4.0)).abs() < 1e-12);
        let one = Arrays::from_u8(vec![7; 4], vec![0, 0], [2, 1, 1], 1).unwrap();
        let error = Moments::of_all(&one).unwrap().normalization().unwrap_err();
        assert_eq!(error.to_string(), "channel 0 has the value 7 everywhere, which cannot be normalised");
    }

    #[test]
    fn published_statistics_have_names() {
        for published in Published::ALL {
            assert_eq!(Published::by_name(published.name), Some(published));
            assert_eq!(published.mean.len(), published.std.len());
        }
        let cifar = Published::by_name("cifar10").unwrap();
        let made = Normalization::unit_range(3).standardized(cifar.mean, cifar.std).unwrap();
        let other = Normalization::from_mean_std(cifar.mean, cifar.std).unwrap();
        for (made, other) in
            made.scale().iter().chain(made.shift()).zip(other.scale().iter().chain(other.shift()))
        {
            assert!((made - other).abs() < 1e-15);
        }
        let error = Normalization::unit_range(1).standardized(cifar.mean, cifar.std).unwrap_err();
        assert_eq!(error.to_string(), "normalization has 3 channels, but the samples have 1");
    }
}
