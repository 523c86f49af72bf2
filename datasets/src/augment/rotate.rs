//! Images turned at random.
//!
//! ```text
//! angle = uniform(-degrees, degrees), counter-clockwise
//! dy, dx = y - (h - 1) / 2, x - (w - 1) / 2
//! new[c, y, x] = old at (cos dy + sin dx + (h - 1) / 2, cos dx - sin dy + (w - 1) / 2), bilinear
//! ```
//!
//! Outside of the image is the mean. Pixels at the edge are mixed with it.

use super::draws::Draws;
use super::error::{AugmentError, check};
use super::image::{Image, Pixel};

/// The image, turned about its centre. What comes in has the mean: what the set's normalisation makes 0.
///
/// # Source
///
/// torchvision's `RandomRotation`, bilinear and not expanded. It mixes the pixels at the edge of a tensor
/// with black first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rotation {
    /// The largest angle to each side.
    pub degrees: f64,
}

impl Rotation {
    pub(super) const PURPOSE: [u8; 4] = *b"turn";

    pub(super) fn check(&self) -> Result<(), AugmentError> {
        check("rotation", "angle", self.degrees, (0.0..=360.0).contains(&self.degrees), "0 to 360 degrees")
    }

    pub(super) fn apply<P: Pixel>(&self, draws: &mut Draws, image: &mut Image<'_, P>) {
        turn(image, draws.between([-self.degrees, self.degrees]));
    }
}

/// Turns an image by `degrees`.
fn turn<P: Pixel>(image: &mut Image<'_, P>, degrees: f64) {
    let [c, h, w] = image.shape();
    let (sin, cos) = (libm::sin(degrees.to_radians()), libm::cos(degrees.to_radians()));
    let [middle_y, middle_x] = [h, w].map(|extent| (extent as f64 - 1.0) / 2.0);
    let means = image.means();
    image.rewrite([c, h, w], |_, old, new| {
        for y in 0..h {
            for x in 0..w {
                let (dy, dx) = (y as f64 - middle_y, x as f64 - middle_x);
                let from = [cos * dy + sin * dx + middle_y, cos * dx - sin * dy + middle_x];
                let place = Place::new(from, h, w);
                for (channel, (old, mean)) in old.chunks_exact(h * w).zip(means).enumerate() {
                    new[(channel * h + y) * w + x] = P::from_f32(place.value(old, w, *mean));
                }
            }
        }
    });
}

/// A place between four pixels.
struct Place {
    /// Where the upper left one is, if all four are inside.
    inside: Option<usize>,
    /// Where each is, upper ones first; `None` outside of the image.
    pixels: [Option<usize>; 4],
    weights: [f32; 4],
}

impl Place {
    #[inline]
    fn new([y, x]: [f64; 2], h: usize, w: usize) -> Self {
        let ([top, left], [down, right]) = ([floor(y), floor(x)], [y - floor(y) as f64, x - floor(x) as f64]);
        let (h, w) = (h as i64, w as i64);
        let pixel = |y: i64, x: i64| {
            let is_inside = (0..h).contains(&y) && (0..w).contains(&x);
            is_inside.then_some((y * w + x) as usize)
        };
        let weights =
            [(1.0 - down) * (1.0 - right), (1.0 - down) * right, down * (1.0 - right), down * right];
        let (first, last) = (pixel(top, left), pixel(top + 1, left + 1));
        Self {
            inside: first.filter(|_| last.is_some()),
            pixels: [first, pixel(top, left + 1), pixel(top + 1, left), last],
            weights: weights.map(|weight| weight as f32),
        }
    }

    /// The value there of a channel of rows of `w`, whose outside is `mean`.
    #[inline]
    fn value<P: Pixel>(&self, plane: &[P], w: usize, mean: f32) -> f32 {
        let pixels = match self.inside {
            Some(first) => {
                let (upper, lower) = (&plane[first..][..2], &plane[first + w..][..2]);
                [upper[0], upper[1], lower[0], lower[1]].map(P::to_f32)
            }
            None => self.pixels.map(|pixel| pixel.map_or(mean, |pixel| plane[pixel].to_f32())),
        };
        pixels.iter().zip(self.weights).fold(0.0, |sum, (pixel, weight)| sum + weight * pixel)
    }
}

/// The largest whole number that is not above `value`, which is a place in or near an image. Without vector
/// instructions for it, the standard library's function is a call.
#[inline]
fn floor(value: f64) -> i64 {
    let cut = value as i64;
    cut - i64::from(cut as f64 > value)
}

#[cfg(test)]
mod tests {
    use super::super::draws::Key;
    use super::super::image::tests::{changed, golden, numbered};
    use super::*;

    /// Values from `tests/golden/augment.py`.
    #[test]
    fn bytes_are_those_of_torchvision() {
        for degrees in [30.0, -77.5, 180.0] {
            let expected = golden(&format!("rotate {degrees}"));
            let made = turned([3, 9, 12], &numbered([3, 9, 12]), degrees);
            assert_eq!(made.len(), expected.len());
            for (place, (made, expected)) in made.iter().zip(expected).enumerate() {
                let error = (f32::from(*made) - expected).abs();
                // Its coordinates are f32.
                assert!(error <= 1.0, "{degrees} degrees, {place}: {made}, not {expected}");
            }
        }
    }

    fn turned(shape: [usize; 3], pixels: &[u8], degrees: f64) -> Vec<u8> {
        changed(shape, pixels, |image| turn(image, degrees)).1
    }

    #[test]
    fn quarters_of_a_turn_move_pixels() {
        let (shape, pixels) = ([2, 3, 3], numbered([2, 3, 3]));
        let quarter = |pixels: &[u8]| -> Vec<u8> {
            let of = |plane: &[u8]| [2, 5, 8, 1, 4, 7, 0, 3, 6].map(|place: usize| plane[place]);
            pixels.chunks(9).flat_map(of).collect()
        };
        assert_eq!(turned(shape, &pixels, 0.0), pixels);
        assert_eq!(turned(shape, &pixels, 90.0), quarter(&pixels));
        assert_eq!(turned(shape, &pixels, -90.0), quarter(&quarter(&quarter(&pixels))));
        assert_eq!(turned(shape, &pixels, 360.0), pixels);
    }

    #[test]
    fn what_comes_in_is_the_mean() {
        let made = turned([1, 9, 9], &[200; 81], 45.0);
        assert_eq!((made[0], made[8], made[40], made[4 * 9]), (100, 100, 200, 200));
        assert!(made.iter().all(|pixel| (100..=200).contains(pixel)));
        assert_eq!(turned([1, 9, 9], &[100; 81], 33.0), [100; 81]);
    }

    #[test]
    fn angles_are_drawn_to_both_sides() {
        let mut pixels = vec![100; 101 * 101];
        pixels[50 * 101 + 95] = 255;
        let mut heights = Vec::new();
        for index in 0..500 {
            let mut draws = Key { seed: 3, epoch: 0, index }.draws(Rotation::PURPOSE, 0);
            let (_, made) =
                changed([1, 101, 101], &pixels, |image| Rotation { degrees: 30.0 }.apply(&mut draws, image));
            let brightest = (0..made.len()).max_by_key(|place| made[*place]).expect("pixels");
            heights.push(50.0 - (brightest / 101) as f64);
        }
        // Half of the angles are positive: 45 times sin(30) pixels up at most, and as many down.
        let up = heights.iter().filter(|height| **height > 0.0).count();
        assert!((190..310).contains(&up), "{up} of 500 turn left");
        assert!(heights.iter().all(|height| height.abs() <= 23.0));
        assert!(heights.iter().any(|height| *height > 20.0) && heights.iter().any(|height| *height < -20.0));
    }
}
