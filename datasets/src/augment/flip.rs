//! Images mirrored at random.
//!
//! ```text
//! horizontal: new[c, y, x] = old[c, y, w - 1 - x]
//! vertical:   new[c, y, x] = old[c, h - 1 - y, x]
//! ```

use super::draws::Draws;
use super::error::{AugmentError, check_probability};
use super::image::{Image, Pixel};

/// Left and right are exchanged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HorizontalFlip {
    /// How likely a sample is flipped in an epoch.
    pub probability: f64,
}

impl Default for HorizontalFlip {
    /// Every other time.
    fn default() -> Self {
        Self { probability: 0.5 }
    }
}

impl HorizontalFlip {
    pub(super) const PURPOSE: [u8; 4] = *b"flip";

    pub(super) fn check(&self) -> Result<(), AugmentError> {
        check_probability("horizontal flip", self.probability)
    }

    pub(super) fn apply<P: Pixel>(&self, draws: &mut Draws, image: &mut Image<'_, P>) {
        if draws.chance(self.probability) {
            horizontally(image);
        }
    }
}

/// Top and bottom are exchanged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VerticalFlip {
    /// How likely a sample is flipped in an epoch.
    pub probability: f64,
}

impl Default for VerticalFlip {
    /// Every other time.
    fn default() -> Self {
        Self { probability: 0.5 }
    }
}

impl VerticalFlip {
    pub(super) const PURPOSE: [u8; 4] = *b"vflp";

    pub(super) fn check(&self) -> Result<(), AugmentError> {
        check_probability("vertical flip", self.probability)
    }

    pub(super) fn apply<P: Pixel>(&self, draws: &mut Draws, image: &mut Image<'_, P>) {
        if draws.chance(self.probability) {
            vertically(image);
        }
    }
}

/// Exchanges left and right.
pub(super) fn horizontally<P: Pixel>(image: &mut Image<'_, P>) {
    let [_, _, w] = image.shape();
    image.in_place().chunks_exact_mut(w).for_each(<[P]>::reverse);
}

/// Exchanges top and bottom.
fn vertically<P: Pixel>(image: &mut Image<'_, P>) {
    let [_, h, w] = image.shape();
    for plane in image.in_place().chunks_exact_mut(h * w) {
        let (upper, lower) = plane.split_at_mut(h / 2 * w);
        for (row, other) in upper.chunks_exact_mut(w).zip(lower.rchunks_exact_mut(w)) {
            row.swap_with_slice(other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::tests::{changed, numbered};
    use super::*;

    #[test]
    fn rows_and_columns_are_mirrored() {
        let pixels = [1_u8, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        let (_, flipped) = changed([2, 2, 3], &pixels, horizontally);
        assert_eq!(flipped, [3, 2, 1, 6, 5, 4, 9, 8, 7, 12, 11, 10]);
        let (_, flipped) = changed([1, 3, 4], &pixels, vertically);
        assert_eq!(flipped, [9, 10, 11, 12, 5, 6, 7, 8, 1, 2, 3, 4]);
    }

    #[test]
    fn twice_is_not_at_all() {
        for shape in [[3, 32, 32], [1, 5, 7], [2, 1, 1], [1, 4, 1]] {
            let pixels = numbered(shape);
            let floats: Vec<f32> = pixels.iter().map(|byte| f32::from(*byte)).collect();
            for flip in [horizontally, vertically] {
                let twice = changed(shape, &pixels, |image| {
                    flip(image);
                    flip(image);
                });
                assert_eq!(twice, (shape, pixels.clone()));
            }
            let twice = changed(shape, &floats, |image| {
                vertically(image);
                horizontally(image);
                vertically(image);
                horizontally(image);
            });
            assert_eq!(twice, (shape, floats));
        }
    }
}
