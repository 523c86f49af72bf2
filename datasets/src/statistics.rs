//! The mean and the deviation of the values of a data set, channel by channel.
//!
//! ```text
//! mean[c] = sum of x / count                       x: all pixels of channel c of all samples
//! variance[c] = (count * sum of x^2 - (sum of x)^2) / count^2                         of bytes
//! variance[c] = sum of (x - mean[c])^2 / count                                        of floats
//! ```
//!
//! Of bytes, the sums are whole numbers: exact, and so the same in whatever order they are taken. Of floats,
//! the difference would cancel where they deviate little from a large mean. So each sample gets a mean and a
//! sum of squared distances from it, in f64. Those of [`Moments::BLOCK`] samples are joined in order, and
//! those of the blocks, too. So the caller can have any number of threads take the moments of blocks, and
//! gets the same bits.
//!
//! # Source
//!
//! Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances",
//! 1979, for the moments of two sets together.

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
    /// Of bytes.
    count: u64,
    sum: u64,
    squares: u128,
    floats: Spread,
}

/// How floats spread about their mean.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Spread {
    count: f64,
    mean: f64,
    /// The sum of the squared distances from the mean.
    squares: f64,
}

impl Moments {
    /// The number of samples whose moments are added up before their sum is added to those of others.
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
            channel.floats = channel.floats.joined(other.floats);
        }
    }

    /// The mean of each channel of stored values.
    pub fn mean(&self) -> Vec<f64> {
        self.channels.iter().map(|channel| channel.mean_and_variance()[0]).collect()
    }

    /// The standard deviation of each channel of stored values, over all of them.
    pub fn std(&self) -> Vec<f64> {
        self.channels.iter().map(|channel| channel.mean_and_variance()[1].sqrt()).collect()
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
        self.floats = self.floats.joined(Spread::of(plane));
    }

    fn mean_and_variance(&self) -> [f64; 2] {
        let (whole_count, whole_sum) = (u128::from(self.count), u128::from(self.sum));
        let count = self.count as f64;
        let mean = self.sum as f64 / count;
        let variance = (whole_count * self.squares - whole_sum * whole_sum) as f64 / count.powi(2);
        if self.floats.count == 0.0 {
            return [mean, variance];
        }
        let all = Spread { count, mean, squares: variance * count }.joined(self.floats);
        [all.mean, all.squares / all.count]
    }
}

impl Spread {
    fn of(values: &[f32]) -> Self {
        let (count, floats) = (values.len() as f64, || values.iter().map(|value| f64::from(*value)));
        // The sum of equal values of 24 bits is exact up to 2^29 of them. So their mean is the value, and a
        // channel that is constant has squares of exactly 0.
        let mean = floats().sum::<f64>() / count;
        Self { count, mean, squares: floats().map(|value| (value - mean) * (value - mean)).sum() }
    }

    /// That of both together.
    fn joined(self, other: Self) -> Self {
        if self.count == 0.0 || other.count == 0.0 {
            return if self.count == 0.0 { other } else { self };
        }
        let count = self.count + other.count;
        let (distance, share) = (other.mean - self.mean, other.count / count);
        Self {
            count,
            mean: self.mean + distance * share,
            squares: self.squares + other.squares + distance * distance * self.count * share,
        }
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

    /// A set of one channel whose sample `index` has the values `of(35 * index..)`.
    fn floats(samples: usize, of: impl Fn(usize) -> f32) -> Arrays<'static> {
        let values: Vec<f32> = (0..35 * samples).map(of).collect();
        Arrays::from_f32(values, vec![0; samples], [1, 5, 7], 1).unwrap()
    }

    #[test]
    fn floats_far_from_zero_keep_their_deviation() {
        // 10^7 and the three whole numbers behind it: mean 1.5 and variance 1.25.
        let moments = Moments::of_all(&floats(2000, |index| 1e7 + (index % 4) as f32)).unwrap();
        let (mean, std) = (moments.mean()[0], moments.std()[0]);
        assert!((mean - 10_000_001.5).abs() < 1e-7 && (std - 1.25_f64.sqrt()).abs() < 1e-9, "{mean} {std}");
    }

    #[test]
    fn constant_floats_and_those_that_are_not_finite_are_refused() {
        let message =
            |set: Arrays<'_>| Moments::of_all(&set).unwrap().normalization().unwrap_err().to_string();
        for value in [0.1, -1e-30, 16_777_215.0] {
            let text = message(floats(2000, |_| value));
            assert!(text.starts_with("channel 0 has the value ") && text.contains(" everywhere"), "{text}");
        }
        for value in [f32::NAN, f32::INFINITY] {
            let text = message(floats(2000, |index| if index == 40_000 { value } else { 0.5 }));
            assert!(text.starts_with("normalization of channel 0 is not finite"), "{text}");
        }
    }

    #[test]
    fn floats_are_the_same_bits_when_blocks_are_added_in_order() {
        let set = floats(2500, |index| (index as f32 * 0.37).fract() - 0.2);
        let of_block = |block| Moments::of(&set, block, &mut SampleBuffer::new()).unwrap();
        let mut sum = Moments::default();
        Moments::blocks(2500).map(of_block).for_each(|block| sum.add(&block));
        assert_eq!(sum, Moments::of_all(&set).unwrap());
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
