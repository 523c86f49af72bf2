//! Decodes JPEG, PNG, WebP and BMP into bytes, upright.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

use super::jpeg;

/// The most pixels of an image. Memory is taken only after its header is known to ask for fewer.
const MAX_PIXELS: u64 = 1 << 26;

/// The longest side of an image.
const MAX_SIDE: u32 = 1 << 16;

/// The most memory that a decoder takes, beside that of the pixels.
const MAX_DECODER_BYTES: u64 = 1 << 30;

/// Where the header of most files ends. A file whose header is longer is read whole.
const HEADER_BYTES: u64 = 1 << 14;

/// Colours of the samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    /// Three channels: red, green, blue. Grey images have three equal ones; transparency is left out.
    #[default]
    Rgb,
    /// One channel, the brightness: `(299 R + 587 G + 114 B) / 1000`.
    Grey,
}

impl Colour {
    /// The number of channels.
    pub fn channels(self) -> usize {
        match self {
            Self::Rgb => 3,
            Self::Grey => 1,
        }
    }
}

/// `[height, width]` of the upright image in the file at `path`, from its header.
pub(super) fn size_in_file(path: &Path, file_bytes: u64) -> Result<[u32; 2], String> {
    let mut bytes = Vec::new();
    let mut read = |limit: u64| -> Result<[u32; 2], String> {
        bytes.clear();
        let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
        file.take(limit).read_to_end(&mut bytes).map_err(|error| format!("cannot be read: {error}"))?;
        size(&bytes)
    };
    match read(HEADER_BYTES) {
        Err(_) if file_bytes > HEADER_BYTES => read(file_bytes),
        outcome => outcome,
    }
}

/// `[height, width]` of the upright image in `bytes`, which may end behind the header.
pub(super) fn size(bytes: &[u8]) -> Result<[u32; 2], String> {
    let mut decoder = decoder(bytes)?;
    let (width, height) = decoder.dimensions();
    Ok(match is_turned(orientation(&mut decoder)) {
        true => [width, height],
        false => [height, width],
    })
}

/// Whether an image has no colours, by its header.
pub(super) fn is_grey(bytes: &[u8]) -> Result<bool, String> {
    Ok(!decoder(bytes)?.color_type().has_color())
}

/// Decodes an image into `pixels`, `[height, width, channels]`, and gives its height and width.
pub(super) fn decode(bytes: &[u8], colour: Colour, pixels: &mut Vec<u8>) -> Result<[usize; 2], String> {
    let mut decoder = decoder(bytes)?;
    if bytes.starts_with(&[0xff, 0xd8]) && !jpeg::is_complete(bytes) {
        return Err(format!("JPEG file is truncated: {} bytes without an end-of-image marker", bytes.len()));
    }
    let (width, height) = decoder.dimensions();
    let orientation = orientation(&mut decoder);
    let (color_type, length) = (decoder.color_type(), decoder.total_bytes() as usize);
    let failure = |error: image::ImageError| error.to_string();
    match color_type {
        ColorType::Rgb8 | ColorType::L8 => {
            pixels.resize(length, 0);
            decoder.read_image(pixels).map_err(failure)?;
            match (color_type, colour) {
                (ColorType::L8, Colour::Rgb) => spread(pixels),
                (ColorType::Rgb8, Colour::Grey) => to_grey(pixels),
                _ => (),
            }
        }
        _ => {
            let image = DynamicImage::from_decoder(decoder).map_err(failure)?;
            *pixels = image.into_rgb8().into_raw();
            if colour == Colour::Grey {
                to_grey(pixels);
            }
        }
    }
    if orientation == Orientation::NoTransforms {
        return Ok([height as usize, width as usize]);
    }
    Ok(turn(pixels, [height, width], colour, orientation))
}

/// A decoder that has read the header, of an image that is not too large.
fn decoder(bytes: &[u8]) -> Result<impl ImageDecoder + '_, String> {
    if bytes.is_empty() {
        return Err("the file is empty".to_string());
    }
    let format = image::guess_format(bytes)
        .ok()
        .filter(|format| {
            matches!(format, ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP | ImageFormat::Bmp)
        })
        .ok_or_else(|| {
            let start: Vec<String> = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
            format!("is no JPEG, PNG, WebP or BMP image: it begins with {}", start.join(" "))
        })?;
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|error| error.to_string())?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS || width == 0 || height == 0 {
        return Err(format!("{width} x {height} pixels, from 1 to {MAX_PIXELS} are possible"));
    }
    Ok(decoder)
}

/// What EXIF says of the camera. A file with nonsense there is upright, as viewers show it.
fn orientation(decoder: &mut impl ImageDecoder) -> Orientation {
    decoder.orientation().unwrap_or(Orientation::NoTransforms)
}

/// Whether height and width change places.
fn is_turned(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

/// Turns and flips an image as `orientation` says, and gives its new height and width.
fn turn(
    pixels: &mut Vec<u8>,
    [height, width]: [u32; 2],
    colour: Colour,
    orientation: Orientation,
) -> [usize; 2] {
    let source = std::mem::take(pixels);
    let mut image = match colour {
        Colour::Rgb => RgbImage::from_raw(width, height, source).map(DynamicImage::from),
        Colour::Grey => image::GrayImage::from_raw(width, height, source).map(DynamicImage::from),
    }
    .expect("as many pixels as height and width say");
    image.apply_orientation(orientation);
    let size = [image.height() as usize, image.width() as usize];
    *pixels = image.into_bytes();
    size
}

/// Three equal channels of one.
fn spread(pixels: &mut Vec<u8>) {
    let length = pixels.len();
    pixels.resize(3 * length, 0);
    // From the end, so that no value is overwritten before it is read.
    for index in (0..length).rev() {
        let value = pixels[index];
        pixels[3 * index..3 * index + 3].fill(value);
    }
}

/// The brightness of three channels, in 16 bits behind the point and rounded, as Pillow's mode `L`.
fn to_grey(pixels: &mut Vec<u8>) {
    let length = pixels.len() / 3;
    for index in 0..length {
        let [r, g, b] = [0, 1, 2].map(|channel| u32::from(pixels[3 * index + channel]));
        pixels[index] = ((19_595 * r + 38_470 * g + 7_471 * b + 0x8000) >> 16) as u8;
    }
    pixels.truncate(length);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_and_colour_go_into_each_other() {
        let mut pixels = vec![10, 0, 255];
        spread(&mut pixels);
        assert_eq!(pixels, [10, 10, 10, 0, 0, 0, 255, 255, 255]);
        to_grey(&mut pixels);
        assert_eq!(pixels, [10, 0, 255]);
        let mut red = vec![255, 0, 0];
        to_grey(&mut red);
        assert_eq!(red, [76]);
    }

    #[test]
    fn what_is_no_image_is_said_to_be_none() {
        let message = |bytes: &[u8]| size(bytes).unwrap_err();
        assert_eq!(message(b""), "the file is empty");
        assert_eq!(message(b"GIF89a"), "is no JPEG, PNG, WebP or BMP image: it begins with 47 49 46 38");
        assert!(!message(b"\x89PNG\r\n\x1a\n").is_empty());
    }
}
