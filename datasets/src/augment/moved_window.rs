//! A part of an image, moved, on black.
//!
//! ```text
//! with `probability`: new = black
//!                     take a window of the image, and put it at a place of the new one,
//!                     each of all windows and places equally likely
//! ```

use super::crop::check_size;
use super::draws::Draws;
use super::error::{AugmentError, check_probability};
use super::image::{Image, Pixel};

/// A random window of the image, moved to a random place; the rest is black.
///
/// # Source
///
/// The option `crop_images` of PyDTNN, which leaves the corners of a window alone black instead of all that
/// is outside of it, rolls over wrong axes in one of its two layouts, and draws the number of the samples of
/// a batch instead of each sample. This is what it was meant to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MovedWindow {
    /// Height and width of the window.
    pub size: [usize; 2],
    /// How likely a sample is changed in an epoch.
    pub probability: f64,
}

impl MovedWindow {
    pub(super) const PURPOSE: [u8; 4] = *b"mwin";
    const NAME: &str = "moved window";

    pub(super) fn check(&self, [_, h, w]: [usize; 3]) -> Result<(), AugmentError> {
        check_probability(Self::NAME, self.probability)?;
        check_size(Self::NAME, self.size, [h, w])
    }

    pub(super) fn apply<P: Pixel>(&self, draws: &mut Draws, image: &mut Image<'_, P>) {
        if !draws.chance(self.probability) {
            return;
        }
        let [_, h, w] = image.shape();
        let [rows, columns] = self.size;
        let mut corner = || [draws.below(h - rows + 1), draws.below(w - columns + 1)];
        let ([from_y, from_x], [to_y, to_x]) = (corner(), corner());
        image.rewrite(image.shape(), |_, old, new| {
            new.fill(P::default());
            for (old, new) in old.chunks_exact(h * w).zip(new.chunks_exact_mut(h * w)) {
                for row in 0..rows {
                    let from = &old[(from_y + row) * w + from_x..][..columns];
                    new[(to_y + row) * w + to_x..][..columns].copy_from_slice(from);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::draws::Key;
    use super::super::image::tests::changed;
    use super::*;

    #[test]
    fn a_window_of_the_image_stays() {
        let pixels: Vec<u8> = (1..=20).collect();
        let window = MovedWindow { size: [2, 3], probability: 1.0 };
        let mut seen = std::collections::BTreeSet::new();
        for index in 0..300 {
            let mut draws = Key { seed: 3, epoch: 0, index }.draws(MovedWindow::PURPOSE, 0);
            let (shape, made) = changed([1, 4, 5], &pixels, |image| window.apply(&mut draws, image));
            assert_eq!(shape, [1, 4, 5]);
            let left: Vec<u8> = made.iter().copied().filter(|pixel| *pixel != 0).collect();
            assert_eq!(left, [0, 1, 2, 5, 6, 7].map(|place| left[0] + place));
            let place = made.iter().position(|pixel| *pixel != 0).unwrap();
            assert_eq!(made[place + 5], left[3], "the second row is below the first");
            seen.insert((left[0], place));
        }
        // 3 x 3 windows at 3 x 3 places.
        assert!(seen.len() > 70, "{} windows and places of 81", seen.len());
    }

    #[test]
    fn at_probability_0_and_at_full_size_nothing_changes() {
        let pixels: Vec<u8> = (1..=20).collect();
        for window in
            [MovedWindow { size: [2, 3], probability: 0.0 }, MovedWindow { size: [4, 5], probability: 1.0 }]
        {
            for index in 0..50 {
                let mut draws = Key { seed: 3, epoch: 0, index }.draws(MovedWindow::PURPOSE, 0);
                assert_eq!(changed([1, 4, 5], &pixels, |image| window.apply(&mut draws, image)).1, pixels);
            }
        }
    }
}
