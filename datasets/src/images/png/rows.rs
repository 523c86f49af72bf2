//! How the pixels of a row are stored.

use crate::images::colour::Colour;

/// The colour types of the format.
const GREY: u8 = 0;
const RGB: u8 = 2;
const PALETTE: u8 = 3;
const GREY_ALPHA: u8 = 4;
const RGB_ALPHA: u8 = 6;

/// The type of the pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Bits of a sample: 1, 2, 4, 8 or 16.
    depth: usize,
    colour: u8,
}

impl Layout {
    pub(super) fn new(depth: u8, colour: u8) -> Result<Self, String> {
        let is_known = match colour {
            GREY => matches!(depth, 1 | 2 | 4 | 8 | 16),
            PALETTE => matches!(depth, 1 | 2 | 4 | 8),
            RGB | GREY_ALPHA | RGB_ALPHA => matches!(depth, 8 | 16),
            _ => false,
        };
        match is_known {
            true => Ok(Self { depth: depth.into(), colour }),
            false => Err(format!("PNG file has pixels of colour type {colour} with {depth} bits")),
        }
    }

    pub(super) fn has_palette(self) -> bool {
        self.colour == PALETTE
    }

    /// The colours that rows are expanded to.
    pub(super) fn colour(self) -> Colour {
        if matches!(self.colour, GREY | GREY_ALPHA) { Colour::Grey } else { Colour::Rgb }
    }

    /// Samples of a pixel, that of transparency included.
    fn samples(self) -> usize {
        match self.colour {
            GREY | PALETTE => 1,
            GREY_ALPHA => 2,
            RGB => 3,
            _ => 4,
        }
    }

    /// Bytes of a row of `width` pixels, without its filter.
    pub(super) fn row_bytes(self, width: usize) -> usize {
        (width * self.samples() * self.depth).div_ceil(8)
    }

    /// Bytes from a pixel to the one on its right, at least 1.
    pub(super) fn bytes_between(self) -> usize {
        (self.samples() * self.depth / 8).max(1)
    }

    /// Overwrites `out` with the pixels of `row`, as bytes in [`colour`](Self::colour).
    pub(super) fn expand(self, row: &[u8], palette: &[[u8; 3]], out: &mut [u8]) {
        let channels = self.colour().channels();
        match self.depth {
            _ if self.has_palette() => {
                for (index, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
                    // A colour that the palette lacks is black, as most viewers show it.
                    *out =
                        palette.get(usize::from(bits(row, index, self.depth))).copied().unwrap_or_default();
                }
            }
            8 if self.samples() == channels => out.copy_from_slice(row),
            8 => {
                for (out, pixel) in out.chunks_exact_mut(channels).zip(row.chunks_exact(self.samples())) {
                    out.copy_from_slice(&pixel[..channels]);
                }
            }
            16 => {
                for (out, pixel) in out.chunks_exact_mut(channels).zip(row.chunks_exact(2 * self.samples())) {
                    for (out, sample) in out.iter_mut().zip(pixel.as_chunks().0) {
                        // 65535 becomes 255, and the nearest byte is taken.
                        *out = ((u32::from(u16::from_be_bytes(*sample)) + 128) / 257) as u8;
                    }
                }
            }
            depth => {
                let scale = 255 / ((1 << depth) - 1) as u8;
                for (index, out) in out.iter_mut().enumerate() {
                    *out = bits(row, index, depth) * scale;
                }
            }
        }
    }
}

/// Sample `index` of `row`, each of `depth` bits, at most 8; the first is in the high bits.
fn bits(row: &[u8], index: usize, depth: usize) -> u8 {
    let place = index * depth;
    let shift = 8 - depth - place % 8;
    (row[place / 8] >> shift) & (0xff >> (8 - depth))
}
