//! BMP files, of Windows and of OS/2.
//!
//! Pixels have 1, 2, 4 or 8 bits and a palette, perhaps packed by runs, or 16, 24 or 32 bits, of which masks
//! say the colours. Rows are stored from the bottom, unless the height is negative, and each fills whole 32
//! bits. Transparency is left out.
//!
//! # Source
//!
//! Microsoft, "Bitmap Storage" and "BITMAPV5HEADER structure"; "Bitmap Compression" for runs.

mod runs;

use super::colour::Colour;

/// The length of what comes before the second header.
const FILE_HEADER_BYTES: usize = 14;
/// The second header of OS/2.
const CORE_HEADER_BYTES: usize = 12;
/// The second header that has masks.
const MASKS_HEADER_BYTES: usize = 52;

/// How pixels are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    /// They are not. The masks are those of red, green and blue; only 16 and 32 bits have some.
    Plain([u32; 3]),
    Runs,
}

/// A file whose headers have been read.
#[derive(Debug)]
pub(super) struct Bmp<'a> {
    /// `[height, width]`.
    size: [u32; 2],
    is_upright: bool,
    bits: usize,
    packing: Packing,
    palette: Vec<[u8; 3]>,
    /// The pixels.
    data: &'a [u8],
}

impl<'a> Bmp<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, String> {
        let u16_at = |place: usize| {
            let bytes = bytes.get(place..place + 2).ok_or_else(truncated)?;
            Ok::<_, String>(u16::from_le_bytes([bytes[0], bytes[1]]))
        };
        let u32_at =
            |place: usize| Ok::<_, String>(u32::from(u16_at(place)?) | u32::from(u16_at(place + 2)?) << 16);
        let data_start = u32_at(10)? as usize;
        let header_bytes = u32_at(FILE_HEADER_BYTES)? as usize;
        let is_core = header_bytes == CORE_HEADER_BYTES;
        if !is_core && !(40..=1 << 12).contains(&header_bytes) {
            return Err(format!("BMP file has a header of {header_bytes} bytes, which is not known"));
        }
        let (width, height, bits) = match is_core {
            true => (i32::from(u16_at(18)?), i32::from(u16_at(20)?), u16_at(24)?),
            false => (u32_at(18)? as i32, u32_at(22)? as i32, u16_at(28)?),
        };
        if width < 0 {
            return Err(format!("BMP file has a width of {width}"));
        }
        let compression = if is_core { 0 } else { u32_at(30)? };
        let mut palette_start = FILE_HEADER_BYTES + header_bytes;
        let packing = match (compression, bits) {
            (0, 1 | 2 | 4 | 8 | 24) => Packing::Plain([0; 3]),
            (0, 16) => Packing::Plain([0x7c00, 0x03e0, 0x001f]),
            (0, 32) => Packing::Plain([0xff_0000, 0xff00, 0xff]),
            (1, 8) | (2, 4) => Packing::Runs,
            (3 | 6, 16 | 32) => {
                // In the header, or behind one that ends before them.
                if header_bytes < MASKS_HEADER_BYTES {
                    palette_start += if compression == 6 { 16 } else { 12 };
                }
                Packing::Plain([u32_at(54)?, u32_at(58)?, u32_at(62)?])
            }
            _ => return Err(format!("BMP file has pixels of {bits} bits in compression {compression}")),
        };
        let mut bmp = Self {
            size: [height.unsigned_abs(), width as u32],
            is_upright: height < 0,
            bits: bits.into(),
            packing,
            palette: Vec::new(),
            data: bytes.get(data_start..).unwrap_or_default(),
        };
        if bits <= 8 {
            let entry_bytes = if is_core { 3 } else { 4 };
            let used = if is_core { 0 } else { u32_at(46)? as usize };
            let colours = if used == 0 { 1 << bits } else { used.min(1 << bits) };
            let colours =
                bytes.get(palette_start..).unwrap_or_default().chunks_exact(entry_bytes).take(colours);
            bmp.palette = colours.map(|entry| [entry[2], entry[1], entry[0]]).collect();
        }
        Ok(bmp)
    }

    /// `[height, width]`, as stored.
    pub(super) fn size(&self) -> [u32; 2] {
        self.size
    }

    pub(super) fn read(self, pixels: &mut Vec<u8>) -> Result<Colour, String> {
        let [height, width] = self.size.map(|side| side as usize);
        let row_bytes = (width * self.bits).div_ceil(32) * 4;
        // A file of a few bytes gets no memory for many pixels. Runs may leave any number out.
        if self.packing != Packing::Runs && self.data.len() < height * row_bytes {
            return Err(truncated());
        }
        pixels.clear();
        pixels.resize(height * width * 3, 0);
        let unpacked;
        let (rows, row_bytes) = match self.packing {
            Packing::Plain(_) => (self.data, row_bytes),
            Packing::Runs => {
                unpacked = runs::unpack(self.data, self.bits, [height, width])?;
                (&unpacked[..], width)
            }
        };
        for (index, row) in rows.chunks_exact(row_bytes).take(height).enumerate() {
            let y = if self.is_upright { index } else { height - 1 - index };
            let out = pixels[y * width * 3..(y + 1) * width * 3].as_chunks_mut().0;
            self.expand(row, out);
        }
        Ok(Colour::Rgb)
    }

    /// Overwrites `out` with the pixels of `row`.
    fn expand(&self, row: &[u8], out: &mut [[u8; 3]]) {
        match (self.packing, self.bits) {
            (Packing::Runs, _) => {
                out.iter_mut().zip(row).for_each(|(out, index)| *out = self.colour(*index));
            }
            (Packing::Plain(_), 24) => {
                let pixels = row.as_chunks().0;
                out.iter_mut().zip(pixels).for_each(|(out, [b, g, r])| *out = [*r, *g, *b]);
            }
            (Packing::Plain(masks), 16) => {
                for (out, pixel) in out.iter_mut().zip(row.as_chunks().0) {
                    *out = masks.map(|mask| masked(u16::from_le_bytes(*pixel).into(), mask));
                }
            }
            (Packing::Plain(masks), 32) => {
                for (out, pixel) in out.iter_mut().zip(row.as_chunks().0) {
                    *out = masks.map(|mask| masked(u32::from_le_bytes(*pixel), mask));
                }
            }
            (Packing::Plain(_), bits) => {
                for (index, out) in out.iter_mut().enumerate() {
                    let place = index * bits;
                    let value = row[place / 8] >> (8 - bits - place % 8);
                    *out = self.colour(value & (0xff >> (8 - bits)));
                }
            }
        }
    }

    /// Colour `index` of the palette; one that it lacks is black, as most viewers show it.
    fn colour(&self, index: u8) -> [u8; 3] {
        self.palette.get(usize::from(index)).copied().unwrap_or_default()
    }
}

/// The bits of `pixel` under `mask` as a byte: all ones are 255, and the nearest byte is taken.
fn masked(pixel: u32, mask: u32) -> u8 {
    if mask == 0 {
        return 0;
    }
    let shift = mask.trailing_zeros();
    let (value, most) = (u64::from((pixel & mask) >> shift), u64::from(mask >> shift));
    ((value * 255 + most / 2) / most) as u8
}

fn truncated() -> String {
    "BMP file is truncated".to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with a header of 40 bytes, what comes behind it, and pixels.
    fn file(size: [i32; 2], bits: u16, compression: u32, behind: &[u8], data: &[u8]) -> Vec<u8> {
        let start = 54 + behind.len() as u32;
        let mut file = b"BM\0\0\0\0\0\0\0\0".to_vec();
        file.extend([start, 40].map(u32::to_le_bytes).concat());
        file.extend([size[1], size[0]].map(i32::to_le_bytes).concat());
        file.extend([1, bits].map(u16::to_le_bytes).concat());
        file.extend(compression.to_le_bytes());
        file.extend([0; 20]);
        file.extend(behind);
        file.extend(data);
        file
    }

    fn decode(file: &[u8]) -> Result<Vec<u8>, String> {
        let mut pixels = vec![7; 100];
        Bmp::new(file)?.read(&mut pixels)?;
        Ok(pixels)
    }

    const BLACK_AND_RED: [u8; 8] = [0, 0, 0, 0, 0, 0, 255, 0];

    #[test]
    fn all_depths_are_read() {
        let palette = file([1, 3], 1, 0, &BLACK_AND_RED, &[0b0110_0000, 0, 0, 0]);
        assert_eq!(decode(&palette).unwrap(), [0, 0, 0, 255, 0, 0, 255, 0, 0]);
        // Five bits of each colour.
        let sixteen = file([1, 2], 16, 0, &[], &[0x00, 0x7c, 0x10, 0x00]);
        assert_eq!(decode(&sixteen).unwrap(), [255, 0, 0, 0, 0, 132]);
        let masks = [0xff_u32, 0xff00, 0xff_0000].map(u32::to_le_bytes).concat();
        let fields = file([1, 1], 32, 3, &masks, &[1, 2, 3, 4]);
        assert_eq!(decode(&fields).unwrap(), [1, 2, 3]);
        let core =
            [&b"BM\0\0\0\0\0\0\0\0"[..], &[26, 0, 0, 0, 12, 0, 0, 0, 1, 0, 1, 0, 1, 0, 24, 0, 3, 2, 1, 0]]
                .concat();
        assert_eq!(decode(&core).unwrap(), [1, 2, 3]);
    }

    #[test]
    fn rows_come_from_the_bottom_unless_the_height_is_negative() {
        let data = [1, 1, 1, 0, 2, 2, 2, 0];
        assert_eq!(decode(&file([2, 1], 24, 0, &[], &data)).unwrap(), [2, 2, 2, 1, 1, 1]);
        assert_eq!(decode(&file([-2, 1], 24, 0, &[], &data)).unwrap(), [1, 1, 1, 2, 2, 2]);
    }

    #[test]
    fn what_is_damaged_is_refused() {
        let whole = file([2, 1], 24, 0, &[], &[1, 1, 1, 0, 2, 2, 2, 0]);
        for length in 2..whole.len() {
            assert_eq!(decode(&whole[..length]).unwrap_err(), "BMP file is truncated", "{length} bytes");
        }
        assert!(decode(&file([1, 1], 24, 1, &[], &[0; 4])).unwrap_err().contains("24 bits in compression 1"));
        assert_eq!(decode(&file([1, -1], 24, 0, &[], &[0; 4])).unwrap_err(), "BMP file has a width of -1");
    }
}
