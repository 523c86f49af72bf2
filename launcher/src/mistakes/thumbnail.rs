//! Small pictures of samples.

use isograd_datasets::Pixels;
use isograd_datasets::images::write_png;

/// The longer side of a picture, at most.
const MOST_PIXELS: usize = 96;
/// Samples with a shorter side are no pictures, such as rows of a table.
const LEAST_PIXELS: usize = 4;

/// A small picture of a sample: a PNG file, with height and width.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Thumbnail {
    pub(crate) png: Vec<u8>,
    pub(crate) size: [u32; 2],
}

impl Thumbnail {
    /// That of `pixels`: three channels are red, green and blue, the first of any other number is grey. Large
    /// samples are scaled down. `None` for samples that are no pictures.
    pub(super) fn of(pixels: Pixels<'_>, [c, h, w]: [usize; 3]) -> Option<Self> {
        (h.min(w) >= LEAST_PIXELS).then(|| draw(pixels, [c, h, w]))
    }
}

fn draw(pixels: Pixels<'_>, [c, h, w]: [usize; 3]) -> Thumbnail {
    let channels = if c == 3 { 3 } else { 1 };
    let (lowest, range) = brightness(pixels);
    let value = |place: usize| match pixels {
        Pixels::U8(bytes) => f32::from(bytes[place]),
        Pixels::F32(values) => (values[place] - lowest) / range * 255.0,
    };
    let factor = h.max(w).div_ceil(MOST_PIXELS);
    let (height, width) = (h.div_ceil(factor), w.div_ceil(factor));
    let mut bytes = Vec::with_capacity(height * width * channels);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..channels {
                // The mean of a square; at the border, of what there is.
                let rows = y * factor..((y + 1) * factor).min(h);
                let columns = x * factor..((x + 1) * factor).min(w);
                let area = (rows.len() * columns.len()) as f32;
                let places = rows.flat_map(|row| columns.clone().map(move |column| (row, column)));
                let sum: f32 = places.map(|(row, column)| value((channel * h + row) * w + column)).sum();
                bytes.push((sum / area + 0.5) as u8);
            }
        }
    }
    let size = [height as u32, width as u32];
    let mut png = Vec::new();
    write_png(&mut png, size, channels, &bytes).expect("writing to memory does not fail");
    Thumbnail { png, size }
}

/// The value that is black and the distance to the one that is white: 0 and 1, unless floats are on another
/// scale.
fn brightness(pixels: Pixels<'_>) -> (f32, f32) {
    let Pixels::F32(values) = pixels else { return (0.0, 1.0) };
    let finite = values.iter().copied().filter(|value| value.is_finite());
    let (low, high) = finite
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if (0.0..=1.0).contains(&low) && high <= 1.0 || low >= high { (0.0, 1.0) } else { (low, high - low) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(picture: Option<Thumbnail>) -> (Vec<u8>, [u32; 2], png::ColorType) {
        let Thumbnail { png, size } = picture.unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!([info.height, info.width], size);
        (pixels, size, info.color_type)
    }

    #[test]
    fn colours_and_greys_keep_their_values() {
        let planes: Vec<u8> = [[10; 16], [20; 16], [30; 16]].concat();
        let (pixels, size, kind) = decoded(Thumbnail::of(Pixels::U8(&planes), [3, 4, 4]));
        assert_eq!((&pixels[..6], size, kind), (&[10, 20, 30, 10, 20, 30][..], [4, 4], png::ColorType::Rgb));
        let (pixels, _, kind) = decoded(Thumbnail::of(Pixels::U8(&planes[..32]), [2, 4, 4]));
        assert_eq!((pixels, kind), (vec![10; 16], png::ColorType::Grayscale));
    }

    #[test]
    fn large_pictures_are_scaled_down_by_means() {
        let wide: Vec<u8> = (0..5 * 200).map(|place| if place % 2 == 0 { 0 } else { 100 }).collect();
        let (pixels, size, _) = decoded(Thumbnail::of(Pixels::U8(&wide), [1, 5, 200]));
        // Squares of three pixels, two rows of them, of which the last has two rows of pixels.
        assert_eq!(size, [2, 67]);
        assert!(pixels[..66].iter().all(|pixel| (33..=67).contains(pixel)), "{pixels:?}");
    }

    #[test]
    fn floats_on_any_scale_can_be_seen_and_rows_are_no_pictures() {
        let mut values = [0.5; 16];
        assert_eq!(decoded(Thumbnail::of(Pixels::F32(&values), [1, 4, 4])).0, [128; 16]);
        (values[0], values[1], values[2]) = (-2.0, 3.0, f32::NAN);
        let (pixels, ..) = decoded(Thumbnail::of(Pixels::F32(&values), [1, 4, 4]));
        assert_eq!(pixels[..4], [0, 255, 0, 128]);
        assert!(Thumbnail::of(Pixels::F32(&values), [16, 1, 1]).is_none());
    }
}
