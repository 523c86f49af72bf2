//! The filters of rows, which say a byte by its difference from a guess.
//!
//! ```text
//! a = the byte of the pixel on the left, b = of the one above, c = of the one on the left above
//! guess: 0 nothing; 1 a; 2 b; 3 (a + b) / 2; 4 that of a, b and c which is nearest to a + b - c
//! ```

use std::io::{self, Read};

/// The rows of an image, one after the other.
pub(super) struct Rows<R> {
    source: R,
    /// Bytes from a pixel to the one on its right.
    distance: usize,
    row: Vec<u8>,
    /// The row above; shorter than a row, or empty, for zeros.
    above: Vec<u8>,
}

impl<R: Read> Rows<R> {
    pub(super) fn new(source: R, distance: usize) -> Self {
        Self { source, distance, row: Vec::new(), above: Vec::new() }
    }

    /// The next row is the first of an image.
    pub(super) fn restart(&mut self) {
        self.row.clear();
    }

    /// Reads the next row, of `bytes`.
    pub(super) fn next(&mut self, bytes: usize) -> io::Result<&[u8]> {
        let Self { source, distance, row, above } = self;
        std::mem::swap(row, above);
        above.resize(bytes, 0);
        row.resize(bytes, 0);
        let mut filter = [0];
        source.read_exact(&mut filter)?;
        source.read_exact(row)?;
        match filter[0] {
            0 => (),
            1 => (*distance..bytes)
                .for_each(|place| row[place] = row[place].wrapping_add(row[place - *distance])),
            2 => row.iter_mut().zip(&*above).for_each(|(byte, above)| *byte = byte.wrapping_add(*above)),
            3 => {
                for place in 0..bytes {
                    let left = if place < *distance { 0 } else { row[place - *distance] };
                    let mean = (u16::from(left) + u16::from(above[place])) / 2;
                    row[place] = row[place].wrapping_add(mean as u8);
                }
            }
            4 => match *distance {
                1 => paeth::<1>(row, above),
                2 => paeth::<2>(row, above),
                3 => paeth::<3>(row, above),
                4 => paeth::<4>(row, above),
                6 => paeth::<6>(row, above),
                _ => paeth::<8>(row, above),
            },
            other => {
                return Err(io::Error::other(format!("a row has filter {other}, from 0 to 4 are known")));
            }
        }
        Ok(row)
    }
}

/// Undoes filter 4 for pixels of `N` bytes.
fn paeth<const N: usize>(row: &mut [u8], above: &[u8]) {
    let (mut left, mut left_above) = ([0; N], [0; N]);
    for (pixel, above) in row.as_chunks_mut::<N>().0.iter_mut().zip(above.as_chunks::<N>().0) {
        for byte in 0..N {
            let [a, b, c] = [left[byte], above[byte], left_above[byte]].map(i16::from);
            let [from_a, from_b, from_c] = [b - c, a - c, a + b - 2 * c].map(i16::abs);
            let guess = if from_a <= from_b && from_a <= from_c {
                a
            } else if from_b <= from_c {
                b
            } else {
                c
            };
            pixel[byte] = pixel[byte].wrapping_add(guess as u8);
        }
        (left, left_above) = (*pixel, *above);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The filters by their definition, one byte after the other.
    fn filtered(rows: &[&[u8]], filters: &[u8], distance: usize) -> Vec<u8> {
        let mut stored = Vec::new();
        for (y, (row, filter)) in rows.iter().zip(filters).enumerate() {
            stored.push(*filter);
            for (x, byte) in row.iter().enumerate() {
                let at = |y: Option<usize>, x: Option<usize>| match (y, x) {
                    (Some(y), Some(x)) => i32::from(rows[y][x]),
                    _ => 0,
                };
                let (up, before) = (y.checked_sub(1), x.checked_sub(distance));
                let [a, b, c] = [at(Some(y), before), at(up, Some(x)), at(up, before)];
                let guess = match filter {
                    0 => 0,
                    1 => a,
                    2 => b,
                    3 => (a + b) / 2,
                    _ => *[a, b, c].iter().min_by_key(|guess| (a + b - c - **guess).abs()).unwrap(),
                };
                stored.push(byte.wrapping_sub(guess as u8));
            }
        }
        stored
    }

    proptest::proptest! {
        #[test]
        fn filters_are_undone(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 72),
            filters in proptest::collection::vec(0_u8..5, 3),
        ) {
            let rows: Vec<&[u8]> = bytes.chunks(24).collect();
            for distance in [1, 2, 3, 4, 6, 8] {
                let stored = filtered(&rows, &filters, distance);
                let mut read = Rows::new(&stored[..], distance);
                for row in &rows {
                    proptest::prop_assert_eq!(&read.next(24).unwrap(), row);
                }
            }
        }
    }

    #[test]
    fn unknown_filters_are_refused() {
        let error = Rows::new(&[5, 0][..], 1).next(1).unwrap_err().to_string();
        assert_eq!(error, "a row has filter 5, from 0 to 4 are known");
    }
}
