//! JPEG files.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::colour::Colour;
use super::exif::Orientation;
use super::jpeg_end::is_complete;

/// The most pixels that a byte can hold: each block of 8 x 8 pixels takes a bit at least.
const MAX_PIXELS_PER_BYTE: u64 = 8 * 64;

/// A file whose header has been read.
pub(super) struct Jpeg<'a> {
    bytes: &'a [u8],
    decoder: JpegDecoder<ZCursor<&'a [u8]>>,
    size: [u32; 2],
    is_grey: bool,
}

impl<'a> Jpeg<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, String> {
        let options = DecoderOptions::default()
            .set_strict_mode(false)
            .set_max_width(u16::MAX.into())
            .set_max_height(u16::MAX.into());
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
        let failure = |error: &dyn std::fmt::Debug| format!("JPEG file cannot be decoded: {error:?}");
        decoder.decode_headers().map_err(|error| failure(&error))?;
        let (width, height) = decoder.dimensions().ok_or_else(|| failure(&"no dimensions"))?;
        let is_grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
        let out = if is_grey { ColorSpace::Luma } else { ColorSpace::RGB };
        decoder.set_options(options.jpeg_set_out_colorspace(out));
        Ok(Self { bytes, decoder, size: [height as u32, width as u32], is_grey })
    }

    /// `[height, width]`, as stored.
    pub(super) fn size(&self) -> [u32; 2] {
        self.size
    }

    pub(super) fn orientation(&self) -> Orientation {
        self.decoder.exif().map_or_else(Orientation::default, |chunk| Orientation::of_exif(chunk))
    }

    pub(super) fn read(mut self, pixels: &mut Vec<u8>) -> Result<Colour, String> {
        if !is_complete(self.bytes) {
            let bytes = self.bytes.len();
            return Err(format!("JPEG file is truncated: {bytes} bytes without an end-of-image marker"));
        }
        let bytes = self.bytes.len() as u64;
        let [height, width] = self.size.map(u64::from);
        if height * width > MAX_PIXELS_PER_BYTE * bytes {
            return Err(format!("JPEG file is truncated: {bytes} bytes hold no {width} x {height} pixels"));
        }
        let colour = if self.is_grey { Colour::Grey } else { Colour::Rgb };
        let [height, width] = self.size.map(|side| side as usize);
        // Zeros, not the image before: the decoder leaves gaps where the data is damaged.
        pixels.clear();
        pixels.resize(height * width * colour.channels(), 0);
        self.decoder
            .decode_into(pixels)
            .map_err(|error| format!("JPEG file cannot be decoded: {error:?}"))?;
        Ok(colour)
    }
}
