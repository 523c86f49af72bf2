//! WebP files.

use std::io::Cursor;

use image_webp::WebPDecoder;

use super::colour::Colour;
use super::exif::Orientation;

/// A file whose header has been read.
pub(super) struct WebP<'a> {
    decoder: WebPDecoder<Cursor<&'a [u8]>>,
}

impl<'a> WebP<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, String> {
        let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(failure)?;
        // It bounds the chunks of metadata, which get memory before they are read: they lie in the file.
        decoder.set_memory_limit(bytes.len());
        Ok(Self { decoder })
    }

    /// `[height, width]`, as stored.
    pub(super) fn size(&self) -> [u32; 2] {
        let (width, height) = self.decoder.dimensions();
        [height, width]
    }

    pub(super) fn orientation(&mut self) -> Orientation {
        match self.decoder.exif_metadata() {
            Ok(Some(chunk)) => Orientation::of_exif(&chunk),
            _ => Orientation::default(),
        }
    }

    pub(super) fn read(mut self, pixels: &mut Vec<u8>) -> Result<Colour, String> {
        let length = self.decoder.output_buffer_size().ok_or("WebP file has too many pixels")?;
        pixels.clear();
        pixels.resize(length, 0);
        self.decoder.read_image(pixels).map_err(failure)?;
        if self.decoder.has_alpha() {
            let count = length / 4;
            for index in 0..count {
                pixels.copy_within(4 * index..4 * index + 3, 3 * index);
            }
            pixels.truncate(3 * count);
        }
        Ok(Colour::Rgb)
    }
}

fn failure(error: image_webp::DecodingError) -> String {
    format!("WebP file cannot be decoded: {error}")
}
