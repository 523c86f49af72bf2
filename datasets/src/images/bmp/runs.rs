//! Pixels that are packed by runs.
//!
//! ```text
//! n, v         n > 0: n pixels of v; of 4 bits, the two halves of v in turn
//! 0, 0         the end of the row
//! 0, 1         the end of the image
//! 0, 2, x, y   x pixels to the right and y rows up; what is left out is colour 0
//! 0, n, ...    n > 2: n pixels as they are, filled up to 16 bits
//! ```

/// The indices of `[height, width]` pixels, in rows from the first one that is stored. `data` has pixels of 4
/// or 8 `bits`.
pub(super) fn unpack(data: &[u8], bits: usize, [height, width]: [usize; 2]) -> Result<Vec<u8>, String> {
    let mut pixels = vec![0; height * width];
    let mut rest = data;
    let (mut x, mut y) = (0, 0);
    while let Some((&[count, value], behind)) = rest.split_first_chunk() {
        rest = behind;
        match (count, value) {
            (0, 0) => (x, y) = (0, y + 1),
            (0, 1) => return Ok(pixels),
            (0, 2) => {
                let Some((&[right, up], behind)) = rest.split_first_chunk() else { break };
                rest = behind;
                (x, y) = (x + usize::from(right), y + usize::from(up));
            }
            (0, count) => {
                let bytes = (usize::from(count) * bits).div_ceil(8);
                let Some(stored) = rest.get(..bytes) else { break };
                let values = (0..usize::from(count)).map(|index| nth(bits, index, stored[index * bits / 8]));
                put(&mut pixels, [height, width], [y, x], values)?;
                x += usize::from(count);
                rest = rest.get(bytes.next_multiple_of(2)..).unwrap_or_default();
            }
            (count, value) => {
                let values = (0..usize::from(count)).map(|index| nth(bits, index, value));
                put(&mut pixels, [height, width], [y, x], values)?;
                x += usize::from(count);
            }
        }
    }
    // Some writers leave the mark at the end out.
    if y + 1 >= height && x >= width || y >= height { Ok(pixels) } else { Err(super::truncated()) }
}

/// Value `index` of those in a byte.
fn nth(bits: usize, index: usize, byte: u8) -> u8 {
    match bits {
        8 => byte,
        _ if index.is_multiple_of(2) => byte >> 4,
        _ => byte & 15,
    }
}

/// Puts values in a row, from `[y, x]` on.
fn put(
    pixels: &mut [u8],
    [height, width]: [usize; 2],
    [y, x]: [usize; 2],
    values: impl ExactSizeIterator<Item = u8>,
) -> Result<(), String> {
    if y >= height || x + values.len() > width {
        return Err("BMP file is damaged: a run goes beyond the edge".to_string());
    }
    pixels[y * width + x..].iter_mut().zip(values).for_each(|(pixel, value)| *pixel = value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_unpacked() {
        let eight = [3, 7, 0, 0, 0, 3, 1, 2, 3, 0, 0, 1];
        assert_eq!(unpack(&eight, 8, [2, 3]).unwrap(), [7, 7, 7, 1, 2, 3]);
        let four = [3, 0x12, 0, 0, 0, 3, 0x45, 0x60, 0, 1];
        assert_eq!(unpack(&four, 4, [2, 3]).unwrap(), [1, 2, 1, 4, 5, 6]);
        let skips = [0, 2, 1, 1, 1, 9, 0, 1];
        assert_eq!(unpack(&skips, 8, [2, 2]).unwrap(), [0, 0, 0, 9]);
    }

    #[test]
    fn runs_stay_in_the_image() {
        assert!(unpack(&[4, 7, 0, 1], 8, [1, 3]).is_err());
        assert!(unpack(&[0, 0, 1, 7, 0, 1], 8, [1, 3]).is_err());
        assert_eq!(unpack(&[3, 7], 8, [2, 3]).unwrap_err(), "BMP file is truncated");
        assert_eq!(unpack(&[3, 7], 8, [1, 3]).unwrap(), [7, 7, 7]);
    }
}
