//! Brightness, contrast, saturation and hue at random.
//!
//! ```text
//! brightness: new = f old
//! contrast:   new = f old + (1 - f) mean of grey over the image
//! saturation: new = f old + (1 - f) grey of the pixel
//! hue:        new = old with its hue turned by f, a part of the circle
//! grey = 0.2989 r + 0.587 g + 0.114 b
//! ```
//!
//! All are cut off at black and white: 0 and 255 of bytes, 0 and 1 of floats. They come in a random order,
//! and bytes are rounded after each.

use super::draws::Draws;
use super::error::{AugmentError, check};
use super::image::{Image, Pixel};

/// Colours, changed at random. Images have 3 channels, red, green and blue, or 1, which has neither
/// saturation nor hue.
///
/// # Source
///
/// torchvision's `ColorJitter`; of bytes it cuts off what ours rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ColorJitter {
    /// The factor of brightness is uniform in `1 - brightness` (at least 0) to `1 + brightness`.
    pub brightness: f64,
    /// The same of contrast.
    pub contrast: f64,
    /// The same of saturation.
    pub saturation: f64,
    /// The hue turns by a part of the circle, uniform in `-hue` to `hue`.
    pub hue: f64,
}

impl ColorJitter {
    pub(super) const PURPOSE: [u8; 4] = *b"jitt";
    const NAME: &str = "colour jitter";

    pub(super) fn check(&self, [channels, _, _]: [usize; 3]) -> Result<(), AugmentError> {
        let Self { brightness, contrast, saturation, hue } = *self;
        for (number, value) in
            [("brightness", brightness), ("contrast", contrast), ("saturation", saturation)]
        {
            check(Self::NAME, number, value, (0.0..=100.0).contains(&value), "0 to 100")?;
        }
        check(Self::NAME, "hue", hue, (0.0..=0.5).contains(&hue), "0 to 0.5")?;
        match channels {
            1 | 3 => Ok(()),
            _ => Err(AugmentError::Channels { transformation: Self::NAME, channels }),
        }
    }

    pub(super) fn apply<P: Pixel>(&self, draws: &mut Draws, image: &mut Image<'_, P>) {
        let Self { brightness, contrast, saturation, hue } = *self;
        let mut order = [0, 1, 2, 3];
        for last in (1..order.len()).rev() {
            order.swap(last, draws.below(last + 1));
        }
        let mut factor = |most: f64| draws.between([(1.0 - most).max(0.0), 1.0 + most]) as f32;
        let factors = [brightness, contrast, saturation].map(&mut factor);
        let turn = draws.between([-hue, hue]) as f32;
        for step in order {
            match step {
                0 if brightness > 0.0 => adjust_brightness(image, factors[0]),
                1 if contrast > 0.0 => adjust_contrast(image, factors[1]),
                2 if saturation > 0.0 => adjust_saturation(image, factors[2]),
                3 if hue > 0.0 => adjust_hue(image, turn),
                _ => {}
            }
        }
    }
}

/// The part of red, green and blue in grey.
const GREY: [f32; 3] = [0.2989, 0.587, 0.114];

#[inline]
fn cut_off<P: Pixel>(value: f32) -> P {
    P::from_f32(value.clamp(0.0, P::WHITE))
}

fn adjust_brightness<P: Pixel>(image: &mut Image<'_, P>, factor: f32) {
    for pixel in image.in_place() {
        *pixel = cut_off(factor * pixel.to_f32());
    }
}

fn adjust_contrast<P: Pixel>(image: &mut Image<'_, P>, factor: f32) {
    let [c, h, w] = image.shape();
    let pixels = image.in_place();
    let sums = pixels.chunks_exact(h * w).map(P::sum);
    // Of one channel, the grey is the channel.
    let weights = if c == 1 { [1.0, 0.0, 0.0] } else { GREY };
    let total = sums.zip(weights).fold(0.0, |total, (sum, weight)| total + sum * f64::from(weight));
    let rest = (1.0 - factor) * (total / (h * w) as f64) as f32;
    for pixel in pixels {
        *pixel = cut_off(factor * pixel.to_f32() + rest);
    }
}

fn adjust_saturation<P: Pixel>(image: &mut Image<'_, P>, factor: f32) {
    of_colours(image, |colour| {
        let grey = GREY[0] * colour[0] + GREY[1] * colour[1] + GREY[2] * colour[2];
        colour.map(|value| factor * value + (1.0 - factor) * grey)
    });
}

fn adjust_hue<P: Pixel>(image: &mut Image<'_, P>, turn: f32) {
    of_colours(image, |colour| {
        let [hue, saturation, value] = to_hsv(colour.map(|value| value / P::WHITE));
        let hue = hue + turn;
        from_hsv([hue - hue.floor(), saturation, value]).map(|value| value * P::WHITE)
    });
}

/// Replaces the colour of each pixel by what `change` makes of it, if the image has colours.
#[inline]
fn of_colours<P: Pixel>(image: &mut Image<'_, P>, change: impl Fn([f32; 3]) -> [f32; 3]) {
    let [c, h, w] = image.shape();
    if c != 3 {
        return;
    }
    let (red, rest) = image.in_place().split_at_mut(h * w);
    let (green, blue) = rest.split_at_mut(h * w);
    for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
        let [r, g, b] = change([red.to_f32(), green.to_f32(), blue.to_f32()]);
        (*red, *green, *blue) = (cut_off(r), cut_off(g), cut_off(b));
    }
}

/// Hue, saturation and value of a colour, all from 0 to 1.
#[inline]
fn to_hsv([r, g, b]: [f32; 3]) -> [f32; 3] {
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    let range = most - least;
    if range <= 0.0 {
        return [0.0, 0.0, most];
    }
    let [to_r, to_g, to_b] = [r, g, b].map(|value| (most - value) / range);
    let sixths = if most == r {
        to_b - to_g
    } else if most == g {
        2.0 + to_r - to_b
    } else {
        4.0 + to_g - to_r
    };
    let hue = sixths / 6.0;
    [hue - hue.floor(), range / most, most]
}

#[inline]
fn from_hsv([hue, saturation, value]: [f32; 3]) -> [f32; 3] {
    let sector = (hue * 6.0).floor();
    let rest = hue * 6.0 - sector;
    let p = value * (1.0 - saturation);
    let q = value * (1.0 - saturation * rest);
    let t = value * (1.0 - saturation * (1.0 - rest));
    match sector as u32 % 6 {
        0 => [value, t, p],
        1 => [q, value, p],
        2 => [p, value, t],
        3 => [p, q, value],
        4 => [t, p, value],
        _ => [value, p, q],
    }
}

#[cfg(test)]
#[path = "color_jitter_tests.rs"]
mod tests;
