//! How images of any size become samples of one size.

use std::ops::Range;

use super::resize::{Raster, Region, resize_region};
use crate::{ImageError, Part};

/// Brings images to one size: the shorter side to `resize` pixels, then the middle `crop` x `crop` of it.
///
/// One of the two is enough: the other one is equal to it. Without both, images keep their size, and all must
/// have the same. The sizes and the middle are those of torchvision's `Resize` and `CenterCrop`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fit {
    /// The length of the shorter side. The longer one keeps the proportion.
    pub resize: Option<usize>,
    /// The side of the square in the middle.
    pub crop: Option<usize>,
}

impl Fit {
    /// The side of the square that images become; none if they keep their size.
    ///
    /// # Errors
    ///
    /// [`ImageError::Crop`] if the square is larger than what it is cut out of, or has no pixel.
    pub(super) fn side(self) -> Result<Option<usize>, ImageError> {
        let (Some(resize), Some(crop)) = (self.resize.or(self.crop), self.crop.or(self.resize)) else {
            return Ok(None);
        };
        if crop > resize || crop == 0 {
            return Err(ImageError::Crop { crop, resize });
        }
        Ok(Some(crop))
    }

    /// Where `part` lies in an image of `[height, width]`.
    pub(super) fn region_of(self, part: &Part<'_>, [height, width]: [usize; 2]) -> Region {
        let resized = match self.resize.or(self.crop) {
            Some(resize) => scaled(resize, [height, width]),
            None => [height, width],
        };
        let [rows, columns] = (part.choose)(resized);
        assert!(
            rows.end <= resized[0] && columns.end <= resized[1] && !rows.is_empty() && !columns.is_empty(),
            "rows {rows:?} and columns {columns:?} of an image of {resized:?}"
        );
        let axis = |part: Range<usize>, size: usize, resized: usize| {
            let scale = size as f64 / resized as f64;
            (part.start as f64 * scale, part.len() as f64 * scale)
        };
        let (top, region_height) = axis(rows, height, resized[0]);
        let (left, region_width) = axis(columns, width, resized[1]);
        Region { left, top, width: region_width, height: region_height }
    }

    /// The part of an image of `[height, width]` that becomes the sample.
    pub(super) fn region(self, [height, width]: [usize; 2]) -> Region {
        let Some((resize, crop)) = self.resize.or(self.crop).zip(self.crop.or(self.resize)) else {
            return Region::whole(height, width);
        };
        let [to_height, to_width] = scaled(resize, [height, width]).map(|side| side as f64);
        let crop = crop as f64;
        let axis = |size: usize, resized: f64| {
            // In pixels of the resized image, from a whole one on; halves go to the even one.
            let start = ((resized - crop) / 2.0).round_ties_even();
            let scale = size as f64 / resized;
            (start * scale, crop * scale)
        };
        let (top, region_height) = axis(height, to_height);
        let (left, region_width) = axis(width, to_width);
        Region { left, top, width: region_width, height: region_height }
    }
}

/// The size of an image of `[height, width]` whose shorter side becomes `resize`.
fn scaled(resize: usize, [height, width]: [usize; 2]) -> [usize; 2] {
    let long = |long: usize, short: usize| resize * long / short;
    match height <= width {
        true => [resize, long(width, height)],
        false => [long(height, width), resize],
    }
}

/// Overwrites `out` with `region` of `source`, resized to `to = [height, width]`: `[channels, height,
/// width]`.
pub(super) fn fill(source: &Raster<'_>, region: Region, to: [usize; 2], out: &mut Vec<u8>) {
    out.resize(source.channels * to[0] * to[1], 0);
    let is_copy = region == Region::whole(source.height, source.width) && to == [source.height, source.width];
    if !is_copy {
        return resize_region(source, region, to, out);
    }
    for (channel, plane) in out.chunks_exact_mut(to[0] * to[1]).enumerate() {
        let values = source.pixels[channel..].iter().step_by(source.channels);
        plane.iter_mut().zip(values).for_each(|(out, value)| *out = *value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_the_two_gives_the_other() {
        let side = |resize, crop| Fit { resize, crop }.side().map_err(|error| error.to_string());
        assert_eq!(side(None, None), Ok(None));
        assert_eq!(
            [side(Some(8), None), side(None, Some(8)), side(Some(9), Some(8))],
            [const { Ok(Some(8)) }; 3]
        );
        let message = "a crop of 9 pixels does not fit into images whose shorter side has 8".to_string();
        assert_eq!(side(Some(8), Some(9)), Err(message));
        assert!(side(Some(8), Some(0)).is_err());
    }

    #[test]
    fn the_square_is_in_the_middle() {
        let fit = Fit { resize: Some(256), crop: Some(224) };
        // 375 x 500 becomes 256 x 341; the crop starts 16 from the top and 58 (not 58.5) from the left.
        let Region { left, top, width, height } = fit.region([375, 500]);
        let [down, across] = [375.0 / 256.0, 500.0 / 341.0];
        assert_eq!([left, top, width, height], [58.0 * across, 16.0 * down, 224.0 * across, 224.0 * down]);
        assert_eq!(Fit::default().region([3, 5]), Region::whole(3, 5));
        // The same square as a part.
        let part = Part {
            size: [224, 224],
            choose: &|size| {
                assert_eq!(size, [256, 341]);
                [16..240, 58..282]
            },
        };
        assert_eq!(
            Fit { resize: Some(256), crop: None }.region_of(&part, [375, 500]),
            fit.region([375, 500])
        );
        let whole = Part { size: [4, 4], choose: &|[height, width]| [0..height, 0..width] };
        assert_eq!(Fit::default().region_of(&whole, [3, 5]), Region::whole(3, 5));
    }
}
