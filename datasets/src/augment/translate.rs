//! Images moved at random.
//!
//! ```text
//! dy = one of the whole numbers of pixels from -d to d, with d = round(fraction * h); dx alike
//! new[c, y, x] = old[c, y - dy, x - dx], where that is inside; elsewhere the border
//! ```

use super::border::{Border, window};
use super::draws::Draws;
use super::error::{AugmentError, check};
use super::image::{Image, Pixel};

/// The image, moved by whole pixels.
///
/// # Source
///
/// The translation of torchvision's `RandomAffine`, which draws a real number and rounds it, so that the two
/// outermost distances are half as likely as the others; here all are equally likely.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Translation {
    /// The longest way, as a part of height and width.
    pub fraction: f64,
    /// What comes in.
    pub border: Border,
}

impl Translation {
    pub(super) const PURPOSE: [u8; 4] = *b"move";

    fn distance(&self, extent: usize) -> usize {
        (self.fraction * extent as f64).round() as usize
    }

    pub(super) fn check(&self, [_, h, w]: [usize; 3]) -> Result<(), AugmentError> {
        let is_fine = (0.0..=1.0).contains(&self.fraction);
        check("translation", "fraction", self.fraction, is_fine, "at least 0 and at most 1")?;
        // A reflection must reach as far as the image may move.
        [h, w].iter().try_for_each(|extent| self.border.check(self.distance(*extent), [*extent; 2]))
    }

    pub(super) fn apply<P: Pixel>(&self, draws: &mut Draws, image: &mut Image<'_, P>) {
        let [_, h, w] = image.shape();
        let corner = [h, w].map(|extent| {
            let distance = self.distance(extent);
            draws.below(2 * distance + 1) as isize - distance as isize
        });
        window(image, self.border, corner, [h, w]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::draws::Key;
    use super::super::image::tests::changed;
    use super::*;

    #[test]
    fn distances_are_equally_likely() {
        let translation = Translation { fraction: 0.25, border: Border::Zeros };
        let mut pixels = [0; 80];
        pixels[4 * 10 + 5] = 1;
        let mut counts = std::collections::HashMap::new();
        const COUNT: u32 = 20_000;
        for index in 0..COUNT {
            let mut draws = Key { seed: 1, epoch: 0, index }.draws(Translation::PURPOSE, 0);
            let (_, made) = changed([1, 8, 10], &pixels, |image| translation.apply(&mut draws, image));
            let place = made.iter().position(|pixel| *pixel == 1_u8).expect("it stays inside");
            *counts.entry((place / 10, place % 10)).or_insert(0) += 1;
        }
        // 2 pixels up and down, and 2.5 rounded to 3 to each side.
        assert_eq!(counts.len(), 5 * 7);
        assert!(counts.keys().all(|(y, x)| y.abs_diff(4) <= 2 && x.abs_diff(5) <= 3));
        let expected = f64::from(COUNT) / 35.0;
        let chi_squared: f64 =
            counts.values().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
        // 34 degrees of freedom: 65.2 is exceeded once in a thousand seeds.
        assert!(chi_squared < 65.2, "chi squared is {chi_squared}");
    }

    #[test]
    fn a_reflection_must_reach_far_enough() {
        let check = |fraction, border| Translation { fraction, border }.check([1, 8, 10]);
        assert!(check(1.0, Border::Reflect).is_err() && check(1.0, Border::Edge).is_ok());
        assert!(check(0.5, Border::Reflect).is_ok() && check(f64::NAN, Border::Zeros).is_err());
    }
}
