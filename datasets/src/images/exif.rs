//! How a camera was held, by the EXIF data of its image, and images turned upright.
//!
//! # Source
//!
//! CIPA DC-008, "Exchangeable image file format", tag 274 (Orientation); TIFF 6.0, section 2, for the
//! directory that it is in.

/// The number of the tag.
const ORIENTATION: u16 = 0x0112;
/// The TIFF type of 16 bits.
const SHORT: u16 = 3;

/// How the rows and columns of an image lie to those of the scene, as EXIF numbers it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Orientation {
    /// Whether stored rows are columns of the upright image.
    is_turned: bool,
    /// Whether the last stored row comes first.
    flips_rows: bool,
    /// Whether the last stored column comes first.
    flips_columns: bool,
}

impl Orientation {
    /// Of the EXIF data `chunk`; upright if they do not say.
    pub(super) fn of_exif(chunk: &[u8]) -> Self {
        // Some writers of PNG and WebP put the name in front that JPEG has there.
        let tiff = chunk.strip_prefix(b"Exif\0\0").unwrap_or(chunk);
        let number = number(tiff).unwrap_or(1);
        Self {
            is_turned: matches!(number, 5..=8),
            flips_rows: matches!(number, 3 | 4 | 6 | 7),
            flips_columns: matches!(number, 2 | 3 | 7 | 8),
        }
    }

    /// Whether height and width change places.
    pub(super) fn is_turned(self) -> bool {
        self.is_turned
    }

    /// Makes the image `[height, width, channels]` upright, and gives its new height and width.
    pub(super) fn turn(
        self,
        pixels: &mut Vec<u8>,
        [height, width]: [usize; 2],
        channels: usize,
    ) -> [usize; 2] {
        if self == Self::default() {
            return [height, width];
        }
        let size = if self.is_turned { [width, height] } else { [height, width] };
        let mut upright = Vec::with_capacity(pixels.len());
        for y in 0..size[0] {
            for x in 0..size[1] {
                let [row, column] = if self.is_turned { [x, y] } else { [y, x] };
                let row = if self.flips_rows { height - 1 - row } else { row };
                let column = if self.flips_columns { width - 1 - column } else { column };
                upright.extend_from_slice(&pixels[(row * width + column) * channels..][..channels]);
            }
        }
        *pixels = upright;
        size
    }
}

/// The value of the tag in the first directory of `tiff`.
fn number(tiff: &[u8]) -> Option<u16> {
    let is_little_endian = match tiff.get(..4)? {
        [b'I', b'I', 42, 0] => true,
        [b'M', b'M', 0, 42] => false,
        _ => return None,
    };
    let u16_at = |place: usize| {
        let bytes = tiff.get(place..place.checked_add(2)?)?.try_into().ok()?;
        Some(if is_little_endian { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let u32_at = |place: usize| {
        let [one, other] = [u32::from(u16_at(place)?), u32::from(u16_at(place + 2)?)];
        Some(if is_little_endian { other << 16 | one } else { one << 16 | other })
    };
    let directory = u32_at(4)? as usize;
    let entries = usize::from(u16_at(directory)?);
    let entry = |index: usize| directory + 2 + 12 * index;
    let found = (0..entries).map(entry).find(|place| u16_at(*place) == Some(ORIENTATION))?;
    if (u16_at(found + 2)?, u32_at(found + 4)?) != (SHORT, 1) {
        return None;
    }
    u16_at(found + 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with another tag, and then the orientation.
    fn exif(number: u8) -> Vec<u8> {
        let mut tiff = b"MM\0\x2a\0\0\0\x08\0\x02".to_vec();
        tiff.extend([1, 0, 0, 3, 0, 0, 0, 1, 0, 9, 0, 0]);
        tiff.extend([1, 0x12, 0, 3, 0, 0, 0, 1, 0, number, 0, 0]);
        tiff
    }

    #[test]
    fn images_are_turned_as_exif_says() {
        // 1 2 3
        // 4 5 6
        for (number, size, expected) in [
            (1, [2, 3], [1, 2, 3, 4, 5, 6]),
            (2, [2, 3], [3, 2, 1, 6, 5, 4]),
            (3, [2, 3], [6, 5, 4, 3, 2, 1]),
            (4, [2, 3], [4, 5, 6, 1, 2, 3]),
            (5, [3, 2], [1, 4, 2, 5, 3, 6]),
            (6, [3, 2], [4, 1, 5, 2, 6, 3]),
            (7, [3, 2], [6, 3, 5, 2, 4, 1]),
            (8, [3, 2], [3, 6, 2, 5, 1, 4]),
            (9, [2, 3], [1, 2, 3, 4, 5, 6]),
        ] {
            let orientation = Orientation::of_exif(&exif(number));
            let mut pixels = vec![1, 2, 3, 4, 5, 6];
            assert_eq!(orientation.turn(&mut pixels, [2, 3], 1), size, "orientation {number}");
            assert_eq!(pixels, expected, "orientation {number}");
            assert_eq!(orientation.is_turned(), size == [3, 2]);
        }
    }

    #[test]
    fn nonsense_is_upright() {
        let whole = [b"Exif\0\0", &exif(6)[..]].concat();
        assert!(Orientation::of_exif(&whole).is_turned());
        for length in 0..whole.len() - 3 {
            assert_eq!(Orientation::of_exif(&whole[..length]), Orientation::default(), "{length} bytes");
        }
        assert_eq!(Orientation::of_exif(b"II\x2a\0\xff\xff\xff\xff"), Orientation::default());
    }
}
