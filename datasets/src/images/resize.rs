//! Parts of images in another size: the filter of [`resample`](crate::resample) over what decoders give.

use crate::resample::{Weights, filter_columns, filter_rows};

/// An image as decoders give it: rows from the top, pixels from the left, the channels of a pixel side by
/// side.
#[derive(Clone, Copy, Debug)]
pub struct Raster<'a> {
    /// `[height, width, channels]`, row-major.
    pub pixels: &'a [u8],
    /// The number of rows.
    pub height: usize,
    /// The number of pixels in a row.
    pub width: usize,
    /// The channels of a pixel: 3 of colour images, 1 of grey ones.
    pub channels: usize,
}

/// A rectangle of an image, in its pixels. The first pixel reaches from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// The distance of the rectangle from the left edge.
    pub left: f64,
    /// The distance of the rectangle from the upper edge.
    pub top: f64,
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
}

impl Region {
    /// All of an image of `height` rows of `width` pixels.
    pub fn whole(height: usize, width: usize) -> Self {
        Self { left: 0.0, top: 0.0, width: width as f64, height: height as f64 }
    }
}

/// Resizes `region` of `source` to `to = [height, width]` and overwrites `out`, which is
/// `[channels, height, width]`.
///
/// A pixel near the edge of the region takes part of its value from pixels outside of it, so that two regions
/// side by side give two halves of one image.
///
/// ```
/// use isograd_datasets::images::{Raster, Region, resize_region};
///
/// let source = Raster { pixels: &[0, 10, 20, 30], height: 1, width: 4, channels: 1 };
/// let mut out = [0; 2];
/// resize_region(&source, Region::whole(1, 4), [1, 2], &mut out);
/// assert_eq!(out, [7, 23]);
/// ```
///
/// # Panics
///
/// If the lengths of `source` or `out` are not those of their shapes, one of them is empty, or the region is
/// empty or does not lie in the image.
pub fn resize_region(source: &Raster<'_>, region: Region, to: [usize; 2], out: &mut [u8]) {
    let Raster { pixels, height, width, channels } = *source;
    let [out_height, out_width] = to;
    assert!(
        pixels.len() == height * width * channels && !pixels.is_empty(),
        "an image of {height} x {width} x {channels} with {} values",
        pixels.len()
    );
    assert!(
        out.len() == out_height * out_width * channels && !out.is_empty(),
        "room for {} values, an image of {channels} x {out_height} x {out_width}",
        out.len()
    );
    let Region { left, top, width: region_width, height: region_height } = region;
    // A region may end a rounding error beyond the edge.
    let is_inside = |start: f64, length: f64, size: usize| {
        start >= 0.0 && length > 0.0 && start + length <= size as f64 * (1.0 + 1e-9)
    };
    assert!(
        is_inside(left, region_width, width) && is_inside(top, region_height, height),
        "{region:?} of an image of {width} x {height}"
    );
    let (mut columns, mut rows) = (Weights::default(), Weights::default());
    columns.set::<u8>(width, left, region_width, out_width);
    rows.set::<u8>(height, top, region_height, out_height);
    let needed = rows.range();
    let stride = width * channels;
    let mut planes = vec![0; needed.len() * out_width * channels];
    filter_rows(&pixels[needed.start * stride..needed.end * stride], stride, channels, &columns, &mut planes);
    let plane = needed.len() * out_width;
    for (from, to) in planes.chunks_exact(plane).zip(out.chunks_exact_mut(out_height * out_width)) {
        filter_columns(from, out_width, needed.start, &rows, to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The filter in floating point, without the rounding between its passes.
    fn reference(source: &Raster<'_>, region: Region, to: [usize; 2], [c, y, x]: [usize; 3]) -> f64 {
        let axis = |start: f64, length: f64, out: usize, index: usize, size: usize| -> Vec<f64> {
            let scale = length / out as f64;
            let center = start + (index as f64 + 0.5) * scale;
            let weight =
                |pixel: usize| (1.0 - ((pixel as f64 + 0.5 - center) / scale.max(1.0)).abs()).max(0.0);
            let weights: Vec<f64> = (0..size).map(weight).collect();
            let sum: f64 = weights.iter().sum();
            weights.iter().map(|weight| weight / sum).collect()
        };
        let across = axis(region.left, region.width, to[1], x, source.width);
        let down = axis(region.top, region.height, to[0], y, source.height);
        let mut sum = 0.0;
        for (row, wy) in down.iter().enumerate() {
            for (column, wx) in across.iter().enumerate() {
                let value = source.pixels[(row * source.width + column) * source.channels + c];
                sum += wy * wx * f64::from(value);
            }
        }
        sum
    }

    proptest::proptest! {
        #[test]
        fn every_pixel_is_that_of_the_formula(
            pixels in proptest::collection::vec(proptest::num::u8::ANY, 3 * 17 * 13),
            [height, width] in [1_usize..=17, 1_usize..=13],
            to in [1_usize..=20, 1_usize..=70],
            part in [0.0..0.6, 0.0..0.6, 0.1..1.0, 0.1..1.0_f64],
        ) {
            for channels in [1, 3] {
                let pixels = &pixels[..height * width * channels];
                let source = Raster { pixels, height, width, channels };
                let (left, top) = (part[0] * width as f64, part[1] * height as f64);
                let region = Region {
                    left,
                    top,
                    width: part[2] * (width as f64 - left),
                    height: part[3] * (height as f64 - top),
                };
                let mut out = vec![0; channels * to[0] * to[1]];
                resize_region(&source, region, to, &mut out);
                for (index, &got) in out.iter().enumerate() {
                    let place = [index / (to[0] * to[1]), index / to[1] % to[0], index % to[1]];
                    let expected = reference(&source, region, to, place);
                    // Each of the two roundings is off by at most a half.
                    proptest::prop_assert!(
                        (f64::from(got) - expected).abs() <= 1.001, "{got} for {expected} at {place:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_same_size_is_a_copy() {
        let pixels: Vec<u8> = (0..24).map(|value| value * 10).collect();
        let source = Raster { pixels: &pixels, height: 2, width: 4, channels: 3 };
        let mut out = [0; 24];
        resize_region(&source, Region::whole(2, 4), [2, 4], &mut out);
        let expected: Vec<u8> = (0..24).map(|index| pixels[index % 8 * 3 + index / 8]).collect();
        assert_eq!(out, expected[..]);
    }

    #[test]
    #[should_panic(expected = "width: 3.0, height: 1.0 } of an image of 4 x 1")]
    fn a_region_lies_in_its_image() {
        let source = Raster { pixels: &[0; 4], height: 1, width: 4, channels: 1 };
        let region = Region { left: 2.0, top: 0.0, width: 3.0, height: 1.0 };
        resize_region(&source, region, [1, 1], &mut [0]);
    }
}
