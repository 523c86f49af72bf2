//! PNG files.
//!
//! A file is chunks: a header, perhaps a palette, and one zlib stream that is cut into `IDAT` chunks. The
//! stream has the rows from the top, each with the number of the filter that was applied to it. An interlaced
//! file has seven images instead, each with some of the pixels. Transparency is left out, and of an animation
//! the still image is taken.
//!
//! # Source
//!
//! W3C, "Portable Network Graphics (PNG) Specification (Third Edition)", 2025: sections 5 (chunks), 8
//! (interlacing), 9 (filters) and 13 (decoders).

mod encode;
mod filter;
mod rows;

use std::io::{self, Read};

use flate2::Crc;
use flate2::bufread::ZlibDecoder;

use super::colour::Colour;
use super::exif::Orientation;
pub use encode::write_png;
use rows::Layout;

/// What every file begins with.
pub(super) const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The most bytes that deflate (RFC 1951) makes of one.
const MAX_EXPANSION: usize = 1032;

/// The columns and rows of the passes of an interlaced file: the first one, and the distance to the next.
const PASSES: [[usize; 4]; 7] =
    [[0, 8, 0, 8], [4, 8, 0, 8], [0, 4, 4, 8], [2, 4, 0, 4], [0, 2, 2, 4], [1, 2, 0, 2], [0, 1, 1, 2]];

/// A file whose chunks before the pixels have been read.
#[derive(Debug)]
pub(super) struct Png<'a> {
    /// `[height, width]`.
    size: [u32; 2],
    layout: Layout,
    /// The colours; empty for images without a palette.
    palette: Vec<[u8; 3]>,
    is_interlaced: bool,
    orientation: Orientation,
    /// The file from the first chunk of pixels on.
    data: &'a [u8],
}

impl<'a> Png<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, String> {
        let mut rest = &bytes[SIGNATURE.len()..];
        let Some((kind, header)) = next_chunk(&mut rest)? else { return Err(truncated()) };
        let &[w0, w1, w2, w3, h0, h1, h2, h3, depth, colour, 0, 0, interlace @ (0 | 1)] = header else {
            return Err("PNG file has no header that is known".to_string());
        };
        if &kind != b"IHDR" {
            return Err("PNG file does not begin with its header".to_string());
        }
        let mut png = Self {
            size: [[h0, h1, h2, h3], [w0, w1, w2, w3]].map(u32::from_be_bytes),
            layout: Layout::new(depth, colour)?,
            palette: Vec::new(),
            is_interlaced: interlace == 1,
            orientation: Orientation::default(),
            data: &[],
        };
        loop {
            png.data = rest;
            let Some((kind, content)) = next_chunk(&mut rest)? else { break };
            match &kind {
                b"IDAT" | b"IEND" => break,
                b"PLTE" => png.palette = content.as_chunks().0.to_vec(),
                b"eXIf" => png.orientation = Orientation::of_exif(content),
                _ => (),
            }
        }
        if png.layout.has_palette() && png.palette.is_empty() && !png.data.is_empty() {
            return Err("PNG file has no palette".to_string());
        }
        Ok(png)
    }

    /// `[height, width]`, as stored.
    pub(super) fn size(&self) -> [u32; 2] {
        self.size
    }

    pub(super) fn orientation(&self) -> Orientation {
        self.orientation
    }

    pub(super) fn read(self, pixels: &mut Vec<u8>) -> Result<Colour, String> {
        let [height, width] = self.size.map(|side| side as usize);
        let colour = self.layout.colour();
        let channels = colour.channels();
        // A file of a few bytes gets no memory for many pixels.
        let least_bytes = height * self.layout.row_bytes(width) / MAX_EXPANSION;
        if self.data.len() < least_bytes {
            return Err(truncated());
        }
        pixels.clear();
        pixels.resize(height * width * channels, 0);
        let mut source = ZlibDecoder::new(io::BufReader::new(PixelData { rest: self.data, content: &[] }));
        let mut rows = filter::Rows::new(&mut source, self.layout.bytes_between());
        if !self.is_interlaced {
            for out in pixels.chunks_exact_mut(width * channels) {
                let row = rows.next(self.layout.row_bytes(width)).map_err(failure)?;
                self.layout.expand(row, &self.palette, out);
            }
        } else {
            let mut pass_row = vec![0; width * channels];
            for [left, across, top, down] in PASSES {
                let columns = width.saturating_sub(left).div_ceil(across);
                if columns == 0 {
                    continue;
                }
                rows.restart();
                for y in (top..height).step_by(down) {
                    let row = rows.next(self.layout.row_bytes(columns)).map_err(failure)?;
                    let pass_row = &mut pass_row[..columns * channels];
                    self.layout.expand(row, &self.palette, pass_row);
                    let out = &mut pixels[(y * width + left) * channels..(y + 1) * width * channels];
                    for (pixel, out) in pass_row.chunks(channels).zip(out.chunks_mut(across * channels)) {
                        out[..channels].copy_from_slice(pixel);
                    }
                }
            }
        }
        // The checksum of the stream is checked at its end.
        source.read(&mut [0]).map_err(failure)?;
        Ok(colour)
    }
}

/// The kind of a chunk, and what it holds.
type Chunk<'a> = ([u8; 4], &'a [u8]);

/// Takes the next chunk off `rest`: its kind and its content. None at the end.
fn next_chunk<'a>(rest: &mut &'a [u8]) -> Result<Option<Chunk<'a>>, String> {
    let Some((head, behind)) = rest.split_first_chunk::<8>() else {
        return if rest.is_empty() { Ok(None) } else { Err(truncated()) };
    };
    let [l0, l1, l2, l3, kind @ ..] = *head;
    let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
    let Some((content, behind)) = behind.split_at_checked(length) else {
        // Of a header that is looked at alone, the chunk of pixels may be cut off.
        return if &kind == b"IDAT" { Ok(Some((kind, behind))) } else { Err(truncated()) };
    };
    let Some((checksum, behind)) = behind.split_first_chunk::<4>() else {
        return if &kind == b"IDAT" { Ok(Some((kind, content))) } else { Err(truncated()) };
    };
    let mut crc = Crc::new();
    crc.update(&kind);
    crc.update(content);
    if crc.sum() != u32::from_be_bytes(*checksum) {
        let kind = String::from_utf8_lossy(&kind).escape_debug().to_string();
        return Err(format!("PNG file is damaged: the checksum of its chunk {kind} is wrong"));
    }
    *rest = behind;
    Ok(Some((kind, content)))
}

/// The contents of the chunks of pixels, one after the other.
struct PixelData<'a> {
    rest: &'a [u8],
    content: &'a [u8],
}

impl Read for PixelData<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.content.is_empty() {
            let before = self.rest;
            match next_chunk(&mut self.rest).map_err(io::Error::other)? {
                // A chunk that is cut off has not been taken.
                Some((kind, _)) if &kind == b"IDAT" && self.rest.len() == before.len() => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Some((kind, content)) if &kind == b"IDAT" => self.content = content,
                _ => return Ok(0),
            }
        }
        self.content.read(buffer)
    }
}

fn truncated() -> String {
    "PNG file is truncated".to_string()
}

fn failure(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => truncated(),
        _ => format!("PNG file is damaged: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of the given chunks.
    fn file(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut file = SIGNATURE.to_vec();
        for (kind, content) in chunks {
            encode::write_chunk(&mut file, kind, content).unwrap();
        }
        file
    }

    fn header(size: [u8; 2], depth: u8, colour: u8, interlace: u8) -> [u8; 13] {
        [0, 0, 0, size[1], 0, 0, 0, size[0], depth, colour, 0, 0, interlace]
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        flate2::bufread::ZlibEncoder::new(bytes, flate2::Compression::fast())
            .read_to_end(&mut packed)
            .unwrap();
        packed
    }

    fn decode(file: &[u8]) -> Result<Vec<u8>, String> {
        let mut pixels = vec![7; 1000];
        Png::new(file)?.read(&mut pixels)?;
        Ok(pixels)
    }

    #[test]
    fn depths_are_spread_over_the_bytes() {
        for (depth, row, expected) in [
            (1, vec![0b1010_0000], vec![255, 0, 255]),
            (2, vec![0b0001_1000], vec![0, 85, 170]),
            (4, vec![0x0f, 0x30], vec![0, 255, 51]),
            (8, vec![1, 2, 3], vec![1, 2, 3]),
            (16, vec![0, 255, 255, 255, 128, 0], vec![1, 255, 128]),
        ] {
            let data = packed(&[&[0], &row[..]].concat());
            let file = file(&[(b"IHDR", &header([1, 3], depth, 0, 0)), (b"IDAT", &data), (b"IEND", b"")]);
            assert_eq!(decode(&file).unwrap(), expected, "depth {depth}");
        }
    }

    #[test]
    fn passes_come_together() {
        // 3 x 3 pixels: of the seven passes, the first has one pixel, the second and third none.
        let rows: [&[u8]; 7] = [&[0, 1], &[0, 3], &[0, 7, 9], &[0, 2], &[0, 8], &[0, 4, 5, 6], &[]];
        let data = packed(&rows.concat());
        let (head, tail) = data.split_at(5);
        let chunks: &[(&[u8; 4], &[u8])] =
            &[(b"IHDR", &header([3, 3], 8, 0, 1)), (b"IDAT", head), (b"IDAT", b""), (b"IDAT", tail)];
        assert_eq!(decode(&file(chunks)).unwrap(), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn damage_is_an_error() {
        let data = packed(&[0, 1, 2, 3]);
        let whole = file(&[(b"IHDR", &header([1, 3], 8, 0, 0)), (b"IDAT", &data), (b"IEND", b"")]);
        assert!(decode(&whole).is_ok());
        // What is behind the pixels is not needed.
        for length in SIGNATURE.len()..whole.len() - 12 {
            assert_eq!(decode(&whole[..length]).unwrap_err(), "PNG file is truncated", "{length} bytes");
        }
        for place in SIGNATURE.len()..whole.len() - 12 {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x10;
            assert!(decode(&damaged).is_err(), "byte {place}");
        }
        let palette = file(&[(b"IHDR", &header([1, 1], 8, 3, 0)), (b"IDAT", &packed(&[0, 0]))]);
        assert_eq!(decode(&palette).unwrap_err(), "PNG file has no palette");
        let huge = file(&[(b"IHDR", &header([255, 255], 8, 2, 0)), (b"IDAT", b"\x78\xda")]);
        assert_eq!(decode(&huge).unwrap_err(), "PNG file is truncated");
    }
}
