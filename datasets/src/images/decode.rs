//! Decodes JPEG, PNG, WebP and BMP into bytes, upright.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::bmp::Bmp;
use super::colour::Colour;
use super::exif::Orientation;
use super::jpeg::Jpeg;
use super::png::Png;
use super::webp::WebP;

/// The most pixels of an image. Memory is taken only after its header is known to ask for fewer.
const MAX_PIXELS: u64 = 1 << 26;

/// The longest side of an image.
const MAX_SIDE: u32 = 1 << 16;

/// Where the header of most files ends. A file whose header is longer is read whole.
const HEADER_BYTES: u64 = 1 << 14;

/// `[height, width]` of the upright image in the file at `path`, from its header, or why it is no image.
pub(super) fn size_in_file(path: &Path, file_bytes: u64) -> io::Result<Result<[u32; 2], String>> {
    let mut bytes = Vec::new();
    let mut read = |limit: u64| -> io::Result<Result<[u32; 2], String>> {
        bytes.clear();
        File::open(path)?.take(limit).read_to_end(&mut bytes)?;
        Ok(size(&bytes))
    };
    match read(HEADER_BYTES)? {
        Err(_) if file_bytes > HEADER_BYTES => read(file_bytes),
        outcome => Ok(outcome),
    }
}

/// `[height, width]` of the upright image in `bytes`, which may end behind the header.
pub(super) fn size(bytes: &[u8]) -> Result<[u32; 2], String> {
    let mut decoder = Decoder::new(bytes)?;
    let [height, width] = decoder.size();
    Ok(if decoder.orientation().is_turned() { [width, height] } else { [height, width] })
}

/// What was found in an image file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decoded {
    /// `[height, width]` of the upright image.
    pub(super) size: [usize; 2],
    /// The colours as stored. Palettes count as coloured.
    pub(super) stored: Colour,
}

/// Decodes an image into `pixels`, `[height, width, channels]`, in `colour`.
pub(super) fn decode(bytes: &[u8], colour: Colour, pixels: &mut Vec<u8>) -> Result<Decoded, String> {
    let mut decoder = Decoder::new(bytes)?;
    let orientation = decoder.orientation();
    let size = decoder.size().map(|side| side as usize);
    let stored = decoder.read(pixels)?;
    match (stored, colour) {
        (Colour::Grey, Colour::Rgb) => spread(pixels),
        (Colour::Rgb, Colour::Grey) => to_grey(pixels),
        _ => (),
    }
    Ok(Decoded { size: orientation.turn(pixels, size, colour.channels()), stored })
}

/// A decoder that has read the header, of an image that is not too large.
enum Decoder<'a> {
    Jpeg(Box<Jpeg<'a>>),
    Png(Png<'a>),
    WebP(Box<WebP<'a>>),
    Bmp(Bmp<'a>),
}

impl<'a> Decoder<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, String> {
        let decoder = match bytes {
            [] => return Err("the file is empty".to_string()),
            [0xff, 0xd8, ..] => Self::Jpeg(Box::new(Jpeg::new(bytes)?)),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => {
                Self::WebP(Box::new(WebP::new(bytes)?))
            }
            _ if bytes.starts_with(super::png::SIGNATURE) => Self::Png(Png::new(bytes)?),
            [b'B', b'M', ..] => Self::Bmp(Bmp::new(bytes)?),
            _ => {
                let start: Vec<String> = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
                return Err(format!(
                    "is no JPEG, PNG, WebP or BMP image: it begins with {}",
                    start.join(" ")
                ));
            }
        };
        let [height, width] = decoder.size();
        if u64::from(width) * u64::from(height) > MAX_PIXELS || width == 0 || height == 0 {
            return Err(format!("{width} x {height} pixels, from 1 to {MAX_PIXELS} are possible"));
        }
        if width.max(height) > MAX_SIDE {
            return Err(format!("{width} x {height} pixels, a side has at most {MAX_SIDE}"));
        }
        Ok(decoder)
    }

    /// `[height, width]`, as stored.
    fn size(&self) -> [u32; 2] {
        match self {
            Self::Jpeg(jpeg) => jpeg.size(),
            Self::Png(png) => png.size(),
            Self::WebP(webp) => webp.size(),
            Self::Bmp(bmp) => bmp.size(),
        }
    }

    /// What EXIF says of the camera. A file with nonsense there is upright, as viewers show it.
    fn orientation(&mut self) -> Orientation {
        match self {
            Self::Jpeg(jpeg) => jpeg.orientation(),
            Self::Png(png) => png.orientation(),
            Self::WebP(webp) => webp.orientation(),
            Self::Bmp(_) => Orientation::default(),
        }
    }

    /// Overwrites `pixels` with the image, `[height, width, channels]`, and says in which colours.
    fn read(self, pixels: &mut Vec<u8>) -> Result<Colour, String> {
        match self {
            Self::Jpeg(jpeg) => jpeg.read(pixels),
            Self::Png(png) => png.read(pixels),
            Self::WebP(webp) => webp.read(pixels),
            Self::Bmp(bmp) => bmp.read(pixels),
        }
    }
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
        assert_eq!(message(b"\x89PNG\r\n\x1a\n"), "PNG file is truncated");
        assert_eq!(message(b"BM"), "BMP file is truncated");
    }
}
