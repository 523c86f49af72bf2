//! Writes PNG files.

use std::io::{self, Read, Write};

use flate2::bufread::ZlibEncoder;
use flate2::{Compression, Crc};

use super::SIGNATURE;

/// Writes `pixels`, `[height, width, channels]`, as a PNG file: one channel is grey, three are red, green and
/// blue.
///
/// # Errors
///
/// Those of the writer.
///
/// # Panics
///
/// If there are not as many pixels as `[height, width]` says, or none, or another number of channels.
pub fn write_png(
    mut to: impl Write,
    [height, width]: [u32; 2],
    channels: usize,
    pixels: &[u8],
) -> io::Result<()> {
    let colour = match channels {
        1 => 0,
        3 => 2,
        _ => panic!("an image of {channels} channels"),
    };
    let row_bytes = width as usize * channels;
    assert!(
        pixels.len() == height as usize * row_bytes && !pixels.is_empty(),
        "{} bytes of an image of {height} x {width}",
        pixels.len()
    );
    to.write_all(SIGNATURE)?;
    let [h, w] = [height, width].map(u32::to_be_bytes);
    // Eight bits a channel, not interlaced.
    write_chunk(&mut to, b"IHDR", &[&w[..], &h, &[8, colour, 0, 0, 0]].concat())?;
    // Each row as its difference from the one above.
    let mut rows = Vec::with_capacity(pixels.len() + height as usize);
    let mut above = &pixels[..0];
    for row in pixels.chunks_exact(row_bytes) {
        rows.push(2);
        let before = above.iter().copied().chain(std::iter::repeat(0));
        rows.extend(row.iter().zip(before).map(|(byte, before)| byte.wrapping_sub(before)));
        above = row;
    }
    let mut packed = Vec::new();
    ZlibEncoder::new(&rows[..], Compression::default()).read_to_end(&mut packed)?;
    for part in packed.chunks(1 << 30) {
        write_chunk(&mut to, b"IDAT", part)?;
    }
    write_chunk(&mut to, b"IEND", b"")?;
    to.flush()
}

/// Writes a chunk with its length and its checksum.
pub(super) fn write_chunk(to: &mut impl Write, kind: &[u8; 4], content: &[u8]) -> io::Result<()> {
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(content);
    to.write_all(&(content.len() as u32).to_be_bytes())?;
    to.write_all(kind)?;
    to.write_all(content)?;
    to.write_all(&crc.sum().to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::Png;
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let pixels: Vec<u8> = (0..5 * 7 * 3).map(|index| (index * 37 % 251) as u8).collect();
        let mut file = Vec::new();
        write_png(&mut file, [5, 7], 3, &pixels).unwrap();
        let mut read = Vec::new();
        let png = Png::new(&file).unwrap();
        assert_eq!(png.size(), [5, 7]);
        png.read(&mut read).unwrap();
        assert_eq!(read, pixels);
    }
}
