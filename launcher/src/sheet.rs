//! A sheet of images, for a PNG file.

use isograd_datasets::Pixels;
use isograd_datasets::images::write_png;
use std::io::{self, Write};

/// Colour of what lies between images.
const GAP: [u8; 3] = [64; 3];
/// Pixels between images.
const GAP_PIXELS: usize = 2;
/// Smaller images are enlarged, each pixel to a square.
const LEAST_PIXELS: usize = 64;

/// Images of one size in rows and columns.
pub(crate) struct Sheet {
    /// Height and width of an image.
    size: [usize; 2],
    /// Pixels of the sheet for each of an image.
    zoom: usize,
    rows: usize,
    columns: usize,
    /// Red, green and blue, row after row.
    pixels: Vec<u8>,
}

impl Sheet {
    /// An empty sheet; `None` if it would not fit an image file or memory.
    pub(crate) fn new(size: [usize; 2], rows: usize, columns: usize) -> Option<Self> {
        let zoom = LEAST_PIXELS.div_ceil(size[0].max(size[1]));
        let extent = |count: usize, size: usize| count.checked_mul(size * zoom + GAP_PIXELS);
        let (height, width) = (extent(rows, size[0])?, extent(columns, size[1])?);
        let bytes = height.checked_mul(width)?.checked_mul(3).filter(|bytes| *bytes <= 1 << 30)?;
        let pixels = GAP.into_iter().cycle().take(bytes).collect();
        Some(Self { size, zoom, rows, columns, pixels })
    }

    /// Width and height in pixels.
    pub(crate) fn size(&self) -> [u32; 2] {
        [self.width() as u32, self.height() as u32]
    }

    fn width(&self) -> usize {
        self.columns * (self.size[1] * self.zoom + GAP_PIXELS)
    }

    fn height(&self) -> usize {
        self.rows * (self.size[0] * self.zoom + GAP_PIXELS)
    }

    /// Draws an image: three channels as red, green and blue, and the first of any other number as grey.
    /// Floats are drawn from 0, black, to 1, white.
    pub(crate) fn draw(&mut self, row: usize, column: usize, pixels: Pixels<'_>) {
        let ([h, w], zoom, width) = (self.size, self.zoom, self.width());
        let byte = |place: usize| match pixels {
            Pixels::U8(bytes) => bytes[place],
            Pixels::F32(values) => (values[place] * 255.0 + 0.5) as u8,
        };
        let plane = if pixels.len() == 3 * h * w { h * w } else { 0 };
        let (top, left) = (row * (h * zoom + GAP_PIXELS), column * (w * zoom + GAP_PIXELS));
        for y in 0..h * zoom {
            for x in 0..w * zoom {
                let place = y / zoom * w + x / zoom;
                let at = ((top + y) * width + left + x) * 3;
                self.pixels[at..at + 3]
                    .copy_from_slice(&[0, 1, 2].map(|colour| byte(place + colour * plane)));
            }
        }
    }

    /// Writes it as a PNG file.
    pub(crate) fn write(&self, to: impl Write) -> io::Result<()> {
        write_png(to, [self.height() as u32, self.width() as u32], 3, &self.pixels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_drawn_where_they_belong() {
        let mut sheet = Sheet::new([1, 64], 2, 2).unwrap();
        sheet.draw(1, 0, Pixels::U8(&[7; 64]));
        let colours: Vec<u8> =
            [[1.0_f32; 64], [0.0; 64], [0.5; 64]].concat().iter().map(|v| *v as u8 * 9).collect();
        sheet.draw(0, 1, Pixels::U8(&colours));
        let mut file = Vec::new();
        sheet.write(&mut file).unwrap();
        let mut reader = png::Decoder::new(io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height, info.color_type), (132, 6, png::ColorType::Rgb));
        let at = |y: usize, x: usize| [0, 1, 2].map(|colour| pixels[(y * 132 + x) * 3 + colour]);
        assert_eq!((at(0, 66), at(0, 129), at(3, 0), at(3, 63)), ([9, 0, 0], [9, 0, 0], [7; 3], [7; 3]));
        assert_eq!((at(0, 0), at(1, 66), at(0, 64)), (GAP, GAP, GAP));
    }

    #[test]
    fn small_images_are_enlarged_and_huge_sheets_refused() {
        let mut sheet = Sheet::new([2, 2], 1, 1).unwrap();
        sheet.draw(0, 0, Pixels::F32(&[0.0, 1.0, 2.0, -1.0]));
        assert_eq!((sheet.width(), sheet.pixels[31 * 3], sheet.pixels[32 * 3]), (66, 0, 255));
        assert!(Sheet::new([1000, 1000], 100_000, 100_000).is_none());
    }
}
