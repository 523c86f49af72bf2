//! The mean and the covariance of patches of samples.

use crate::error::Error;
use crate::train::DataError;
use isograd_datasets::{Dataset, Pixels, Request, SampleBuffer, SampleError, check_sample};
use isograd_kernels::conv::Conv2dShape;
use rayon::prelude::*;

/// The most elements of a patch.
pub(super) const MAX_LEN: usize = 512;

/// The parts of the samples whose sums are taken one after the other. Their number is a part of the
/// arithmetic, unlike that of threads, and bounds the memory.
const PARTS: usize = 16;

/// The most patches of a sample: neighbours are alike, and those of a large image would take long.
const MAX_PATCHES: usize = 1000;

/// The patches of a sample `[C, H, W]`, each `[C, KH, KW]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct PatchShape {
    c: usize,
    image: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
}

impl PatchShape {
    /// Those that the convolution reads and that lie inside of the sample.
    pub(super) fn of(shape: &Conv2dShape) -> Self {
        let Conv2dShape { c, h, w, kh, kw, stride, .. } = *shape;
        Self { c, image: [h, w], kernel: [kh, kw], stride: [stride.h, stride.w] }
    }

    /// The number of elements.
    pub(super) fn len(self) -> usize {
        self.c * self.kernel[0] * self.kernel[1]
    }

    /// Row and column of the first pixel of each patch.
    fn corners(self) -> impl Iterator<Item = [usize; 2]> {
        let [rows, columns] =
            [0, 1].map(|axis| (self.image[axis] - self.kernel[axis]) / self.stride[axis] + 1);
        let all = rows * columns;
        let every = all.div_ceil(MAX_PATCHES);
        let stride = self.stride;
        (0..all).step_by(every).map(move |place| [place / columns * stride[0], place % columns * stride[1]])
    }

    /// Overwrites `patch` with that of `sample` at `corner`.
    fn copy(self, sample: &[f64], [top, left]: [usize; 2], patch: &mut [f64]) {
        let ([h, w], [kh, kw]) = (self.image, self.kernel);
        for (row, to) in patch.chunks_exact_mut(kw).enumerate() {
            let (channel, y) = (row / kh, top + row % kh);
            to.copy_from_slice(&sample[(channel * h + y) * w + left..][..kw]);
        }
    }
}

/// Sums over patches.
#[derive(Debug, Clone)]
pub(super) struct Moments {
    count: u64,
    sum: Vec<f64>,
    /// Of the products of all pairs of elements; the upper triangle of a matrix.
    products: Vec<f64>,
}

impl Moments {
    fn zero(len: usize) -> Self {
        Self { count: 0, sum: vec![0.0; len], products: vec![0.0; len * len] }
    }

    /// Of the patches of the samples `indices` of `dataset`, normalised.
    pub(super) fn of(dataset: &dyn Dataset, indices: &[usize], patch: PatchShape) -> Result<Self, Error> {
        let parts = indices.par_chunks(indices.len().div_ceil(PARTS).max(1));
        let of_part = |indices: &[usize]| Self::of_part(dataset, indices, patch);
        let parts: Vec<Result<Self, SampleError>> = parts.map(of_part).collect();
        let mut moments = Self::zero(patch.len());
        for part in parts {
            moments.add(&part.map_err(DataError::Sample)?);
        }
        Ok(moments)
    }

    fn of_part(dataset: &dyn Dataset, indices: &[usize], patch: PatchShape) -> Result<Self, SampleError> {
        let (mut moments, mut buffer) = (Self::zero(patch.len()), SampleBuffer::new());
        let (mut pixels, mut elements) = (Vec::new(), vec![0.0; patch.len()]);
        for &index in indices {
            let read = dataset.read(Request::new(index), &mut buffer);
            let sample =
                read.map_err(|reason| SampleError::Read { sample: dataset.describe(index), reason })?;
            check_sample(dataset, index, &sample)?;
            pixels.clear();
            match sample.pixels {
                Pixels::U8(bytes) => pixels.extend(bytes.iter().map(|byte| f64::from(*byte))),
                Pixels::F32(floats) => pixels.extend(floats.iter().map(|value| f64::from(*value))),
            }
            let normalization = dataset.normalization();
            let coefficients = normalization.scale().iter().zip(normalization.shift());
            let plane_len = patch.image[0] * patch.image[1];
            for (plane, (scale, shift)) in pixels.chunks_exact_mut(plane_len).zip(coefficients) {
                plane.iter_mut().for_each(|pixel| *pixel = scale * *pixel + shift);
            }
            for corner in patch.corners() {
                patch.copy(&pixels, corner, &mut elements);
                moments.add_patch(&elements);
            }
        }
        Ok(moments)
    }

    fn add_patch(&mut self, patch: &[f64]) {
        self.count += 1;
        for (row, element) in patch.iter().enumerate() {
            self.sum[row] += element;
            let products = &mut self.products[row * patch.len()..][..patch.len()];
            for (product, other) in products[row..].iter_mut().zip(&patch[row..]) {
                *product += element * other;
            }
        }
    }

    fn add(&mut self, other: &Self) {
        self.count += other.count;
        for (sums, others) in [(&mut self.sum, &other.sum), (&mut self.products, &other.products)] {
            sums.iter_mut().zip(others).for_each(|(sum, other)| *sum += other);
        }
    }

    /// The mean of each element, and the covariance of all pairs.
    pub(super) fn mean_and_covariance(&self) -> (Vec<f64>, Vec<f64>) {
        let (count, len) = (self.count as f64, self.sum.len());
        let mean: Vec<f64> = self.sum.iter().map(|sum| sum / count).collect();
        let covariance = |place: usize| {
            let (row, column) = (place / len, place % len);
            let product = self.products[row.min(column) * len + row.max(column)] / count;
            product - mean[row] * mean[column]
        };
        let covariance = (0..len * len).map(covariance).collect();
        (mean, covariance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isograd_datasets::{Arrays, Normalization};

    fn shape(c: usize, [h, w]: [usize; 2], kernel: [usize; 2], stride: [usize; 2]) -> PatchShape {
        PatchShape { c, image: [h, w], kernel, stride }
    }

    #[test]
    fn patches_are_where_the_convolution_reads() {
        let patch = shape(2, [3, 4], [2, 2], [1, 2]);
        let corners: Vec<_> = patch.corners().collect();
        assert_eq!(corners, [[0, 0], [0, 2], [1, 0], [1, 2]]);
        let sample: Vec<f64> = (0..24).map(f64::from).collect();
        let mut elements = [0.0; 8];
        patch.copy(&sample, [1, 2], &mut elements);
        assert_eq!(elements, [6.0, 7.0, 10.0, 11.0, 18.0, 19.0, 22.0, 23.0]);
    }

    #[test]
    fn of_a_large_image_some_patches_are_taken() {
        let count = |side: usize| shape(3, [side, side], [3, 3], [1, 1]).corners().count();
        assert_eq!([count(3), count(33), count(34)], [1, 961, 512]);
        assert!((500..=MAX_PATCHES).contains(&count(224)));
    }

    #[test]
    fn moments_are_those_of_all_patches() {
        let pixels: Vec<u8> = (0..40 * 2 * 9).map(|i: usize| (i * i % 251) as u8).collect();
        let set = Arrays::from_u8(pixels.clone(), vec![0; 40], [2, 3, 3], 1).unwrap();
        let normalization = Normalization::new(vec![0.5, 2.0], vec![-1.0, 3.0]).unwrap();
        let set = isograd_datasets::Normalized::new(&set, normalization).unwrap();
        let patch = shape(2, [3, 3], [1, 2], [1, 1]);
        let indices: Vec<usize> = (0..40).step_by(2).collect();
        let (mean, covariance) = Moments::of(&set, &indices, patch).unwrap().mean_and_covariance();
        let mut patches = Vec::new();
        for sample in indices.iter().map(|index| &pixels[index * 18..][..18]) {
            let at = |c: usize, y: usize, x: usize| {
                f64::from(sample[c * 9 + y * 3 + x]) * [0.5, 2.0][c] + [-1.0, 3.0][c]
            };
            for (y, x) in (0..3).flat_map(|y| (0..2).map(move |x| (y, x))) {
                patches.push([at(0, y, x), at(0, y, x + 1), at(1, y, x), at(1, y, x + 1)]);
            }
        }
        let average = |of: &dyn Fn(&[f64; 4]) -> f64| patches.iter().map(of).sum::<f64>() / 120.0;
        let means: Vec<f64> = (0..4).map(|i| average(&|patch| patch[i])).collect();
        for (i, (got, expected)) in mean.iter().zip(&means).enumerate() {
            assert!((got - expected).abs() < 1e-10, "mean {i}: {got}, expected {expected}");
        }
        for (place, got) in covariance.iter().enumerate() {
            let (i, j) = (place / 4, place % 4);
            let expected = average(&|patch| (patch[i] - means[i]) * (patch[j] - means[j]));
            assert!((got - expected).abs() < 1e-8, "covariance {i}, {j}: {got}, expected {expected}");
        }
    }
}
