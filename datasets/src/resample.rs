//! The filter that resizes images: separable, a triangle, with antialiasing.
//!
//! ```text
//! scale  = length of the part / number of output pixels, of each axis
//! center = start of the part + (i + 1/2) scale                 // of output pixel i, in source pixels
//! w[k]   = max(0, 1 - |k + 1/2 - center| / max(scale, 1))      // normalised to a sum of 1
//! rows:    row[i]  = sum over k of w[k] source[k], rounded where values are bytes
//! columns: out[i]  = the same over rows
//! ```
//!
//! That is bilinear interpolation where the image grows, and where it shrinks, a mean of all pixels that a
//! new one covers.
//!
//! Weights of bytes are integers with 22 bits behind the point, so sums are exact and every instruction set
//! gives the same bytes. They are those that Pillow gives, from `Image.resize(..., BILINEAR, box=...)`;
//! torchvision's resizing with antialiasing is the same filter. Sums of floats are added up pixel by pixel,
//! in the same order at every level.
//!
//! Both passes are plain loops that are compiled for the CPU's vector instructions. Rows come first, into a
//! plane for each channel, so that the second pass runs along contiguous values.
//!
//! # Source
//!
//! A. Clark and others, Pillow, "Concepts: filters"; the filter as P. Heckbert, "Filtering by repeated
//! integration", SIGGRAPH 1986, describes antialiasing by a kernel as wide as the output's pixels.

use std::ops::Range;

/// Bits behind the binary point of a weight of bytes. A sum of 255 times weights that add up to 1 fits in an
/// `i32`.
const WEIGHT_BITS: u32 = 22;

/// A value of an image.
pub(crate) trait Filtered: Copy + Default + Send + Sync + 'static {
    /// Of a weight, and of a sum of weighted values.
    type Number: Copy + Default + Send + Sync + 'static;

    fn weight(weight: f64) -> Self::Number;

    fn add(sum: Self::Number, weight: Self::Number, value: Self) -> Self::Number;

    fn of_sum(sum: Self::Number) -> Self;
}

impl Filtered for u8 {
    type Number = i32;

    fn weight(weight: f64) -> i32 {
        (weight * f64::from(1 << WEIGHT_BITS) + 0.5) as i32
    }

    #[inline(always)]
    fn add(sum: i32, weight: i32, value: u8) -> i32 {
        sum + weight * i32::from(value)
    }

    #[inline(always)]
    fn of_sum(sum: i32) -> u8 {
        ((sum + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS).clamp(0, 255) as u8
    }
}

impl Filtered for f32 {
    type Number = f32;

    fn weight(weight: f64) -> f32 {
        weight as f32
    }

    #[inline(always)]
    fn add(sum: f32, weight: f32, value: f32) -> f32 {
        sum + weight * value
    }

    #[inline(always)]
    fn of_sum(sum: f32) -> f32 {
        sum
    }
}

/// The weights of all output pixels of one axis. They keep their memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weights<N> {
    taps: Vec<Tap>,
    values: Vec<N>,
    /// Those of one output pixel.
    exact: Vec<f64>,
}

/// Memory for the weights of any image.
#[derive(Clone, Debug, Default)]
pub(crate) struct AnyWeights {
    pub(crate) of_bytes: Weights<i32>,
    pub(crate) of_floats: Weights<f32>,
}

/// The source pixels that an output pixel is made of.
#[derive(Clone, Debug)]
struct Tap {
    first: usize,
    weights: Range<usize>,
}

impl Tap {
    fn end(&self) -> usize {
        self.first + self.weights.len()
    }
}

impl<N: Copy> Weights<N> {
    /// Becomes those of `out` pixels made of `length` source pixels from `start` on, in a source of `size`.
    /// Pixels at the ends of the part take something of those beside it, if the source has some.
    pub(crate) fn set<P: Filtered<Number = N>>(&mut self, size: usize, start: f64, length: f64, out: usize) {
        let Self { taps, values, exact } = self;
        taps.clear();
        values.clear();
        let scale = length / out as f64;
        let support = scale.max(1.0);
        for index in 0..out {
            let center = start + (index as f64 + 0.5) * scale;
            let first = ((center - support + 0.5).max(0.0) as usize).min(size - 1);
            let end = ((center + support + 0.5) as usize).clamp(first + 1, size);
            exact.clear();
            exact.extend((first..end).map(|pixel| {
                let distance = (pixel as f64 - center + 0.5) / support;
                (1.0 - distance.abs()).max(0.0)
            }));
            let sum: f64 = exact.iter().sum();
            let from = values.len();
            // A pixel beyond the edge by a rounding error has no weight at all: its nearest one is taken.
            values.extend(
                exact.iter().map(|weight| {
                    P::weight(if sum > 0.0 { weight / sum } else { 1.0 / (end - first) as f64 })
                }),
            );
            taps.push(Tap { first, weights: from..values.len() });
        }
    }

    /// The source pixels that all output pixels are made of.
    pub(crate) fn range(&self) -> Range<usize> {
        let last = self.taps.last().expect("there are output pixels");
        self.taps[0].first..last.end()
    }
}

/// Filters rows of `stride` values, the last of which may be shorter, into the planes of the channels:
/// `[channels, rows, output width]`. A pixel has 1 or 3 channels, side by side.
pub(crate) fn filter_rows<P: Filtered>(
    source: &[P],
    stride: usize,
    channels: usize,
    weights: &Weights<P::Number>,
    planes: &mut [P],
) {
    pulp::Arch::new().dispatch(FilterRows { source, stride, channels, weights, planes });
}

/// Filters the columns of one plane `[rows, width]`, whose first row is row `first` of the source, into
/// `out`: `[output height, width]`.
pub(crate) fn filter_columns<P: Filtered>(
    plane: &[P],
    width: usize,
    first: usize,
    weights: &Weights<P::Number>,
    out: &mut [P],
) {
    pulp::Arch::new().dispatch(FilterColumns { plane, width, first, weights, out });
}

struct FilterRows<'a, P: Filtered> {
    source: &'a [P],
    stride: usize,
    channels: usize,
    weights: &'a Weights<P::Number>,
    planes: &'a mut [P],
}

impl<P: Filtered> pulp::WithSimd for FilterRows<'_, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        match self.channels {
            1 => self.filter::<1>(),
            3 => self.filter::<3>(),
            channels => unreachable!("an image of {channels} channels"),
        }
    }
}

impl<P: Filtered> FilterRows<'_, P> {
    #[inline(always)]
    fn filter<const CHANNELS: usize>(self) {
        let Self { source, stride, channels: _, weights, planes } = self;
        let width = weights.taps.len();
        let plane = planes.len() / CHANNELS;
        for (row, source) in source.chunks(stride).take(plane / width).enumerate() {
            for (column, tap) in weights.taps.iter().enumerate() {
                let pixels = source[tap.first * CHANNELS..].chunks_exact(CHANNELS);
                let mut sums = [P::Number::default(); CHANNELS];
                for (weight, pixel) in weights.values[tap.weights.clone()].iter().zip(pixels) {
                    for (sum, &value) in sums.iter_mut().zip(pixel) {
                        *sum = P::add(*sum, *weight, value);
                    }
                }
                for (channel, sum) in sums.into_iter().enumerate() {
                    planes[channel * plane + row * width + column] = P::of_sum(sum);
                }
            }
        }
    }
}

struct FilterColumns<'a, P: Filtered> {
    plane: &'a [P],
    width: usize,
    first: usize,
    weights: &'a Weights<P::Number>,
    out: &'a mut [P],
}

impl<P: Filtered> pulp::WithSimd for FilterColumns<'_, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        /// As many sums as stay in registers.
        const BLOCK: usize = 64;
        let Self { plane, width, first, weights, out } = self;
        for (tap, out) in weights.taps.iter().zip(out.chunks_exact_mut(width)) {
            let rows = &plane[(tap.first - first) * width..(tap.end() - first) * width];
            for (block, out) in out.chunks_mut(BLOCK).enumerate() {
                let mut sums = [P::Number::default(); BLOCK];
                for (row, &weight) in rows.chunks_exact(width).zip(&weights.values[tap.weights.clone()]) {
                    let row = &row[block * BLOCK..][..out.len()];
                    for (sum, &value) in sums.iter_mut().zip(row) {
                        *sum = P::add(*sum, weight, value);
                    }
                }
                for (out, &sum) in out.iter_mut().zip(&sums) {
                    *out = P::of_sum(sum);
                }
            }
        }
    }
}
