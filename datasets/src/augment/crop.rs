//! Crops: windows of an image.
//!
//! ```text
//! random: surround the image with a border of `padding` pixels on each side
//!         take one of all windows of `size` in it, each equally likely
//! centre: the window of `size` in the middle
//! ```

use super::border::{Border, window};
use super::draws::Draws;
use super::error::{AugmentError, check_pixels};
use super::image::{Image, Pixel};

/// A window at a random place, of the image or of the image with a border.
///
/// # Source
///
/// torchvision's `RandomCrop` without `pad_if_needed`: the same windows are equally likely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomCrop {
    /// Height and width of the window; `None` is those of the image without its border.
    pub size: Option<[usize; 2]>,
    /// Pixels of the border on each side.
    pub padding: usize,
    /// What the border is.
    pub border: Border,
}

impl RandomCrop {
    pub(super) const PURPOSE: [u8; 4] = *b"crop";
    const NAME: &str = "random crop";

    /// Windows as large as the image, of the image with `padding` black pixels on each side: the usual one
    /// for small images, where 4 pixels are common.
    pub fn padded(padding: usize) -> Self {
        Self { size: None, padding, border: Border::Zeros }
    }

    /// Windows of `size`, height and width, without a border.
    pub fn of_size(size: [usize; 2]) -> Self {
        Self { size: Some(size), padding: 0, border: Border::Zeros }
    }

    pub(super) fn output_shape(&self, [c, h, w]: [usize; 3]) -> Result<[usize; 3], AugmentError> {
        let Self { size, padding, border } = *self;
        check_pixels(Self::NAME, "padding", padding, 0)?;
        border.check(padding, [h, w])?;
        let size = size.unwrap_or([h, w]);
        let image = [h, w].map(|extent| extent + 2 * padding);
        check_size(Self::NAME, size, image)?;
        Ok([c, size[0], size[1]])
    }

    /// The size of the window, if it is one of the image itself.
    pub(super) fn part_size(&self) -> Option<[usize; 2]> {
        self.size.filter(|_| self.padding == 0)
    }

    /// Height and width of the window, and its corner in an image of `[h, w]`.
    pub(super) fn window(&self, draws: &mut Draws, [h, w]: [usize; 2]) -> ([usize; 2], [isize; 2]) {
        let size = self.size.unwrap_or([h, w]);
        let padding = self.padding;
        let mut place = |extent: usize, size: usize| {
            draws.below(extent + 2 * padding - size + 1) as isize - padding as isize
        };
        let corner = [place(h, size[0]), place(w, size[1])];
        (size, corner)
    }

    pub(super) fn apply<P: Pixel>(&self, draws: &mut Draws, image: &mut Image<'_, P>) {
        let [_, h, w] = image.shape();
        let (size, corner) = self.window(draws, [h, w]);
        window(image, self.border, corner, size);
    }
}

/// The window in the middle of an image: what networks are tested with that are trained on random crops.
///
/// # Source
///
/// torchvision's `CenterCrop`, which rounds half a pixel to even; ours rounds it down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CenterCrop {
    /// Height and width of the window.
    pub size: [usize; 2],
}

impl CenterCrop {
    pub(super) fn output_shape(&self, [c, h, w]: [usize; 3]) -> Result<[usize; 3], AugmentError> {
        check_size("centre crop", self.size, [h, w])?;
        Ok([c, self.size[0], self.size[1]])
    }

    /// The corner of the window in an image of `[h, w]`.
    pub(super) fn corner(&self, [h, w]: [usize; 2]) -> [usize; 2] {
        [(h - self.size[0]) / 2, (w - self.size[1]) / 2]
    }

    pub(super) fn apply<P: Pixel>(&self, image: &mut Image<'_, P>) {
        let [_, h, w] = image.shape();
        let corner = self.corner([h, w]);
        window(image, Border::Zeros, corner.map(|place| place as isize), self.size);
    }
}

/// Checks that a window of `size` lies in `image`.
pub(super) fn check_size(
    transformation: &'static str,
    size: [usize; 2],
    image: [usize; 2],
) -> Result<(), AugmentError> {
    check_pixels(transformation, "height", size[0], 1)?;
    check_pixels(transformation, "width", size[1], 1)?;
    match size[0] <= image[0] && size[1] <= image[1] {
        true => Ok(()),
        false => Err(AugmentError::TooLarge { transformation, size, image }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::draws::Key;
    use super::super::image::tests::{changed, numbered};
    use super::*;
    use std::collections::HashMap;

    fn cropped(crop: RandomCrop, index: u32, shape: [usize; 3], pixels: &[u8]) -> ([usize; 3], Vec<u8>) {
        let mut draws = Key { seed: 3, epoch: 0, index }.draws(RandomCrop::PURPOSE, 0);
        changed(shape, pixels, |image| crop.apply(&mut draws, image))
    }

    #[test]
    fn without_padding_nothing_is_cropped() {
        let (shape, pixels) = ([3, 6, 5], numbered([3, 6, 5]));
        for index in 0..20 {
            assert_eq!(cropped(RandomCrop::padded(0), index, shape, &pixels), (shape, pixels.clone()));
        }
    }

    #[test]
    fn all_windows_are_equally_likely() {
        const COUNT: u32 = 20_000;
        // One pixel, and where it is in the window: 5 x 5 places.
        let mut places = HashMap::new();
        let mut pixels = [0; 9];
        pixels[4] = 255;
        for index in 0..COUNT {
            let (_, window) = cropped(RandomCrop::padded(2), index, [1, 3, 3], &pixels);
            *places.entry(window.iter().position(|pixel| *pixel == 255)).or_insert(0) += 1;
        }
        // Of 25 windows, 16 have lost the pixel to the border.
        assert_eq!(places.len(), 10);
        let expected = f64::from(COUNT) / 25.0;
        let chi_squared: f64 = places
            .iter()
            .map(|(place, count)| (expected * if place.is_some() { 1.0 } else { 16.0 }, f64::from(*count)))
            .map(|(expected, count): (f64, f64)| (count - expected).powi(2) / expected)
            .sum();
        // 9 degrees of freedom: 27.9 is exceeded once in a thousand seeds.
        assert!(chi_squared < 27.9, "chi squared is {chi_squared}: {places:?}");
    }

    #[test]
    fn windows_of_a_size_are_parts_of_the_image() {
        let pixels: Vec<u8> = (0..20).collect();
        for index in 0..50 {
            let (shape, window) = cropped(RandomCrop::of_size([2, 3]), index, [1, 4, 5], &pixels);
            let first = window[0];
            assert_eq!(shape, [1, 2, 3]);
            assert_eq!(window, [0, 1, 2, 5, 6, 7].map(|place| first + place));
        }
    }

    #[test]
    fn the_centre_is_in_the_middle() {
        let pixels: Vec<u8> = (0..20).collect();
        let crop = |size| changed([1, 4, 5], &pixels, |image| CenterCrop { size }.apply(image)).1;
        assert_eq!(crop([2, 3]), [6, 7, 8, 11, 12, 13]);
        assert_eq!(crop([1, 2]), [6, 7]);
        assert_eq!(crop([4, 5]), pixels);
    }

    #[test]
    fn windows_that_do_not_fit_are_refused() {
        let shape = |crop: RandomCrop| crop.output_shape([3, 32, 30]).map_err(|error| error.to_string());
        assert_eq!(shape(RandomCrop::padded(4)), Ok([3, 32, 30]));
        assert_eq!(shape(RandomCrop { padding: 3, ..RandomCrop::of_size([38, 36]) }), Ok([3, 38, 36]));
        for (crop, expected) in [
            (
                RandomCrop { padding: 2, ..RandomCrop::of_size([36, 35]) },
                "the random crop takes 36x35 pixels, but the image has 36x34",
            ),
            (RandomCrop::of_size([0, 3]), "the height of the random crop is 0, expected 1 to 65536 pixels"),
            (
                RandomCrop::padded(usize::MAX),
                "the padding of the random crop is 18446744073709552000, expected at most 65536 pixels",
            ),
            (
                RandomCrop { border: Border::Reflect, ..RandomCrop::padded(30) },
                "a border of 30 cannot reflect an image of 32x30: it must be smaller than both",
            ),
        ] {
            assert_eq!(shape(crop), Err(expected.to_string()));
        }
        assert_eq!(
            CenterCrop { size: [224, 224] }.output_shape([3, 32, 32]).unwrap_err().to_string(),
            "the centre crop takes 224x224 pixels, but the image has 32x32"
        );
    }
}
