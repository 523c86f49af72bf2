//! Images of one size: a part of each, resized.
//!
//! ```text
//! random: up to ten times: area = a part of the image's, between the bounds; aspect = e^uniform(ln bounds)
//!             w = round(sqrt(area * aspect)), h = round(sqrt(area / aspect))
//!             if the image has a window of h x w: take one of all of them, each equally likely; done
//!         else the largest window in the middle whose aspect is within the bounds
//!         resize it
//! whole:  the largest window in the middle with the aspect of the new size, resized
//! ```

use std::ops::Range;

use super::draws::Draws;
use super::error::{AugmentError, check, check_pixels};
use super::image::{Image, Pixel};
use super::resample::resize;

/// A random part of the image, in one size.
///
/// # Source
///
/// C. Szegedy et al., "Going deeper with convolutions", CVPR 2015, section 6, as torchvision's
/// `RandomResizedCrop` has it, with antialiasing; half pixels of sizes are rounded up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResizedCrop {
    /// Height and width of the result.
    pub size: [usize; 2],
    /// The least and the largest area of the part, as parts of the image's.
    pub area: [f64; 2],
    /// The least and the largest aspect of the part: width over height.
    pub aspect: [f64; 2],
}

impl ResizedCrop {
    pub(super) const PURPOSE: [u8; 4] = *b"rcrp";
    const NAME: &str = "resized crop";

    /// Parts of 8 to 100 % of the area and of aspects from 3:4 to 4:3, as usual.
    pub fn new(size: [usize; 2]) -> Self {
        Self { size, area: [0.08, 1.0], aspect: [3.0 / 4.0, 4.0 / 3.0] }
    }

    pub(super) fn output_shape(&self, [c, _, _]: [usize; 3]) -> Result<[usize; 3], AugmentError> {
        let Self { size, area, aspect } = *self;
        check_pixels(Self::NAME, "height", size[0], 1)?;
        check_pixels(Self::NAME, "width", size[1], 1)?;
        let [least, most] = area;
        check(Self::NAME, "largest area", most, most > 0.0 && most <= 1.0, "above 0 and at most 1")?;
        check(
            Self::NAME,
            "least area",
            least,
            least > 0.0 && least <= most,
            "above 0 and at most the largest",
        )?;
        let [least, most] = aspect;
        let is_fine = (1e-3..=1e3).contains(&most);
        check(Self::NAME, "largest aspect", most, is_fine, "0.001 to 1000")?;
        let is_fine = (1e-3..=most).contains(&least);
        check(Self::NAME, "least aspect", least, is_fine, "at least 0.001 and at most the largest")?;
        Ok([c, size[0], size[1]])
    }

    /// Rows and columns of the part of an image of `h` x `w`.
    pub(super) fn part(&self, draws: &mut Draws, h: usize, w: usize) -> [Range<usize>; 2] {
        let logs = self.aspect.map(libm::log);
        for _ in 0..10 {
            let area = draws.between(self.area) * (h * w) as f64;
            let aspect = libm::exp(draws.between(logs));
            let [rows, columns] = [area / aspect, area * aspect].map(|square| square.sqrt().round() as usize);
            if (1..=h).contains(&rows) && (1..=w).contains(&columns) {
                let (top, left) = (draws.below(h - rows + 1), draws.below(w - columns + 1));
                return [top..top + rows, left..left + columns];
            }
        }
        let aspect = (w as f64 / h as f64).clamp(self.aspect[0], self.aspect[1]);
        middle(h, w, aspect)
    }

    pub(super) fn apply<P: Pixel>(&self, draws: &mut Draws, image: &mut Image<'_, P>) {
        let [_, h, w] = image.shape();
        let [rows, columns] = self.part(draws, h, w);
        resize(image, rows, columns, self.size);
    }
}

/// The whole image in another size; where the aspects differ, the ends of the longer side are cut off. What
/// networks are tested with that are trained on [`ResizedCrop`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resize {
    /// Height and width of the result.
    pub size: [usize; 2],
}

impl Resize {
    pub(super) fn output_shape(&self, [c, _, _]: [usize; 3]) -> Result<[usize; 3], AugmentError> {
        check_pixels("resizing", "height", self.size[0], 1)?;
        check_pixels("resizing", "width", self.size[1], 1)?;
        Ok([c, self.size[0], self.size[1]])
    }

    /// Rows and columns of what is resized, of an image of `h` x `w`.
    pub(super) fn part(&self, h: usize, w: usize) -> [Range<usize>; 2] {
        middle(h, w, self.size[1] as f64 / self.size[0] as f64)
    }

    pub(super) fn apply<P: Pixel>(&self, image: &mut Image<'_, P>) {
        let [_, h, w] = image.shape();
        let [rows, columns] = self.part(h, w);
        resize(image, rows, columns, self.size);
    }
}

/// Rows and columns of the largest window in the middle of an image of `h` x `w` that has `aspect`.
fn middle(h: usize, w: usize, aspect: f64) -> [Range<usize>; 2] {
    let columns = ((h as f64 * aspect).round() as usize).clamp(1, w);
    let rows = ((w as f64 / aspect).round() as usize).clamp(1, h);
    let centred = |part: usize, of: usize| (of - part) / 2..(of - part) / 2 + part;
    [centred(rows, h), centred(columns, w)]
}

#[cfg(test)]
mod tests {
    use super::super::draws::Key;
    use super::super::image::tests::{changed, numbered};
    use super::*;

    #[test]
    fn parts_have_the_areas_and_aspects_that_were_asked_for() {
        let crop = ResizedCrop::new([8, 8]);
        let (mut areas, mut logs) = (Vec::new(), Vec::new());
        for index in 0..5000 {
            let mut draws = Key { seed: 1, epoch: 0, index }.draws(ResizedCrop::PURPOSE, 0);
            let [rows, columns] = crop.part(&mut draws, 1000, 1000);
            assert!(rows.end <= 1000 && columns.end <= 1000);
            areas.push((rows.len() * columns.len()) as f64 / 1e6);
            logs.push((columns.len() as f64 / rows.len() as f64).ln());
        }
        assert!(areas.iter().all(|area| (0.079..=1.0).contains(area)), "{areas:?}");
        assert!(logs.iter().all(|log| log.abs() < 0.2877 + 0.005), "{logs:?}");
        // Large parts fit less often: 40,000 parts of torchvision's had a mean of 0.4801. The standard error
        // of the difference is 0.0035.
        let mean = areas.iter().sum::<f64>() / 5000.0;
        assert!((mean - 0.4801).abs() < 4.5 * 0.0035, "mean area {mean}");
        // Standard error 0.0024.
        let mean = logs.iter().sum::<f64>() / 5000.0;
        assert!(mean.abs() < 0.011, "mean logarithm of the aspect {mean}");
    }

    #[test]
    fn a_part_that_never_fits_is_the_largest_in_the_middle() {
        let crop = ResizedCrop { area: [1.0, 1.0], ..ResizedCrop::new([8, 8]) };
        let mut draws = Key { seed: 1, epoch: 0, index: 0 }.draws(ResizedCrop::PURPOSE, 0);
        // 10 rows of at most 4:3 have 13 columns.
        assert_eq!(crop.part(&mut draws, 10, 100), [0..10, 43..56]);
        assert_eq!(crop.part(&mut draws, 100, 10), [43..56, 0..10]);
    }

    #[test]
    fn the_whole_image_at_aspect_and_area_1_is_resized() {
        let crop = ResizedCrop { size: [5, 5], area: [1.0, 1.0], aspect: [1.0, 1.0] };
        let pixels = numbered([3, 9, 9]);
        let mut draws = Key { seed: 1, epoch: 0, index: 0 }.draws(ResizedCrop::PURPOSE, 0);
        let random = changed([3, 9, 9], &pixels, |image| crop.apply(&mut draws, image));
        let whole = changed([3, 9, 9], &pixels, |image| Resize { size: [5, 5] }.apply(image));
        assert_eq!((random.0, &random.1), ([3, 5, 5], &whole.1));
    }

    #[test]
    fn a_longer_side_loses_its_ends() {
        let pixels: Vec<u8> = (0..24).collect();
        let made = changed([1, 4, 6], &pixels, |image| Resize { size: [4, 4] }.apply(image));
        let middle = changed([1, 4, 6], &pixels, |image| resize(image, 0..4, 1..5, [4, 4]));
        assert_eq!(made, middle);
        assert_eq!(made.1[..4], [1, 2, 3, 4]);
    }

    #[test]
    fn bounds_that_are_none_are_refused() {
        let message = |crop: ResizedCrop| crop.output_shape([3, 9, 9]).unwrap_err().to_string();
        let crop = ResizedCrop::new([224, 224]);
        assert_eq!(crop.output_shape([3, 9, 9]), Ok([3, 224, 224]));
        assert_eq!(
            message(ResizedCrop { area: [0.5, 1.5], ..crop }),
            "the largest area of the resized crop is 1.5, expected above 0 and at most 1"
        );
        assert_eq!(
            message(ResizedCrop { area: [0.5, 0.4], ..crop }),
            "the least area of the resized crop is 0.5, expected above 0 and at most the largest"
        );
        assert_eq!(
            message(ResizedCrop { aspect: [0.0, 1.0], ..crop }),
            "the least aspect of the resized crop is 0, expected at least 0.001 and at most the largest"
        );
        assert_eq!(
            message(ResizedCrop { size: [4, 0], ..crop }),
            "the width of the resized crop is 0, expected 1 to 65536 pixels"
        );
    }
}
