//! The image that transformations work on, and the memory that they need.

use crate::resample::{Filtered, Weights};

/// An element of an image.
pub(crate) trait Pixel: Filtered + PartialEq {
    /// White: the largest value that a colour has.
    const WHITE: f32;

    fn to_f32(self) -> f32;

    /// The nearest value; of bytes, halves go up, and what is outside of `0..=255` becomes the nearer end.
    fn from_f32(value: f32) -> Self;

    /// The sum of `values`: exact for bytes, one after the other for floats.
    fn sum(values: &[Self]) -> f64;
}

impl Pixel for u8 {
    const WHITE: f32 = 255.0;

    #[inline]
    fn to_f32(self) -> f32 {
        self.into()
    }

    #[inline]
    fn from_f32(value: f32) -> Self {
        (value + 0.5) as u8
    }

    fn sum(values: &[Self]) -> f64 {
        values.iter().map(|value| u64::from(*value)).sum::<u64>() as f64
    }
}

impl Pixel for f32 {
    const WHITE: f32 = 1.0;

    #[inline]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline]
    fn from_f32(value: f32) -> Self {
        value
    }

    fn sum(values: &[Self]) -> f64 {
        values.iter().map(|value| f64::from(*value)).sum()
    }
}

/// Memory for an image and for what it is made of.
pub(crate) struct Memory<'m, P: Filtered> {
    pub(crate) front: &'m mut Vec<P>,
    pub(crate) spare: &'m mut Vec<P>,
    /// Of the filter that resizes.
    pub(crate) weights: &'m mut Weights<P::Number>,
}

/// An image on its way through transformations. Before the first that changes it, it lies where it was read
/// from.
pub(crate) struct Image<'m, P: Filtered> {
    /// `[c, h, w]`.
    shape: [usize; 3],
    /// What was read, until it is in `memory.front`.
    source: Option<&'m [P]>,
    memory: Memory<'m, P>,
    /// For each channel the value that normalisation makes 0.
    means: &'m [f32],
}

impl<'m, P: Pixel> Image<'m, P> {
    /// The image `source` of `shape`, which has as many values.
    pub(crate) fn new(shape: [usize; 3], source: &'m [P], means: &'m [f32], memory: Memory<'m, P>) -> Self {
        debug_assert_eq!(source.len(), shape.iter().product::<usize>());
        Self { shape, source: Some(source), memory, means }
    }

    /// `[c, h, w]`.
    pub(crate) fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// For each channel the value that normalisation makes 0.
    pub(crate) fn means(&self) -> &'m [f32] {
        self.means
    }

    /// The values, to be changed where they are.
    pub(crate) fn in_place(&mut self) -> &mut [P] {
        if let Some(source) = self.source.take() {
            self.memory.front.clear();
            self.memory.front.extend_from_slice(source);
        }
        self.memory.front
    }

    /// Makes this an image of `shape` that `write` makes of the old one. `write` gets memory for the weights
    /// of a filter, the old values, and the new ones to overwrite.
    pub(crate) fn rewrite(
        &mut self,
        shape: [usize; 3],
        write: impl FnOnce(&mut Weights<P::Number>, &[P], &mut [P]),
    ) {
        let Memory { front, spare, weights } = &mut self.memory;
        let old = match self.source.take() {
            Some(source) => source,
            None => {
                std::mem::swap(*front, *spare);
                &**spare
            }
        };
        // All of it is overwritten.
        front.resize(shape.iter().product(), P::default());
        write(weights, old, front);
        self.shape = shape;
    }

    /// The values, in the memory or where they were read from.
    pub(crate) fn finish(self) -> &'m [P] {
        match self.source {
            Some(source) => source,
            None => self.memory.front,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What `change` makes of `pixels`, with its shape. Each channel has the mean 100.
    pub(crate) fn changed<P: Pixel>(
        shape: [usize; 3],
        pixels: &[P],
        change: impl FnOnce(&mut Image<'_, P>),
    ) -> ([usize; 3], Vec<P>) {
        let (mut front, mut spare, mut weights) = (Vec::new(), Vec::new(), Weights::default());
        let memory = Memory { front: &mut front, spare: &mut spare, weights: &mut weights };
        let means = vec![100.0; shape[0]];
        let mut image = Image::new(shape, pixels, &means, memory);
        change(&mut image);
        (image.shape(), image.finish().to_vec())
    }

    /// An image of bytes that all differ from their neighbours.
    pub(crate) fn numbered(shape: [usize; 3]) -> Vec<u8> {
        (0..shape.iter().product::<usize>()).map(|place| (place * 37 % 251) as u8).collect()
    }

    /// The values called `name` that `tests/golden/augment.py` has written.
    pub(crate) fn golden(name: &str) -> Vec<f32> {
        let text = include_str!("../../tests/golden/augment.txt");
        let find = |line: &'static str| line.strip_prefix(name)?.strip_prefix(": ");
        let values = text.lines().find_map(find).unwrap_or_else(|| panic!("no golden values of {name}"));
        values.split(' ').map(|value| value.parse().expect("a number")).collect()
    }

    #[test]
    fn an_image_that_nothing_changes_stays_where_it_is() {
        let pixels = [1_u8, 2, 3];
        let (mut front, mut spare, mut weights) = (Vec::new(), Vec::new(), Weights::default());
        let memory = Memory { front: &mut front, spare: &mut spare, weights: &mut weights };
        let image = Image::new([1, 1, 3], &pixels, &[], memory);
        assert_eq!(image.finish().as_ptr(), pixels.as_ptr());
    }

    #[test]
    fn changes_follow_each_other() {
        let (shape, pixels) = changed([1, 1, 3], &[1_u8, 2, 3], |image| {
            image.rewrite([1, 1, 2], |_, old, new| new.copy_from_slice(&old[1..]));
            image.in_place()[0] = 7;
            image.rewrite([1, 2, 2], |_, old, new| new.copy_from_slice(&[old, old].concat()));
        });
        assert_eq!((shape, pixels), ([1, 2, 2], vec![7, 3, 7, 3]));
    }

    #[test]
    fn bytes_are_rounded_and_cut_off() {
        let bytes = [-3.0, 0.49, 0.5, 1.5, 254.6, 255.4, 300.0].map(u8::from_f32);
        assert_eq!(bytes, [0, 0, 1, 2, 255, 255, 255]);
    }
}
