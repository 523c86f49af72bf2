//! Finds JPEG files that break off.
//!
//! The decoder makes grey of what is missing, as web browsers do. Training on such an image would be a
//! mistake that nobody sees, so a file must reach its end-of-image marker.
//!
//! # Source
//!
//! ITU-T T.81, annex B: markers and their lengths.

const START_OF_SCAN: u8 = 0xda;
const END_OF_IMAGE: u8 = 0xd9;

/// Whether a JPEG file reaches its end-of-image marker. What follows the marker, as cameras put it there, is
/// not looked at.
pub(super) fn is_complete(bytes: &[u8]) -> bool {
    // Behind the start-of-image marker.
    let mut rest = bytes.get(2..).unwrap_or_default();
    loop {
        let Some(marker) = next_marker(&mut rest) else { return false };
        match marker {
            END_OF_IMAGE => return true,
            // These have no length.
            0x00 | 0x01 | 0xd0..=0xd8 => (),
            _ => {
                let &[high, low, ..] = rest else { return false };
                let length = usize::from(u16::from_be_bytes([high, low]));
                let Some(behind) = rest.get(length..) else { return false };
                rest = behind;
                if marker == START_OF_SCAN {
                    skip_scan(&mut rest);
                }
            }
        }
    }
}

/// The next marker, without the bytes 0xff in front of it.
fn next_marker(rest: &mut &[u8]) -> Option<u8> {
    let start = rest.iter().position(|&byte| byte == 0xff)?;
    let behind = &rest[start..];
    let fill = behind.iter().position(|&byte| byte != 0xff)?;
    *rest = &behind[fill + 1..];
    Some(behind[fill])
}

/// Skips compressed data, in which 0xff stands before a zero or a restart marker.
fn skip_scan(rest: &mut &[u8]) {
    let is_marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xd0..=0xd7 | 0xff);
    let end = rest.windows(2).position(is_marker).unwrap_or(rest.len());
    *rest = &rest[end..];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_behind_scans_and_thumbnails() {
        let mut file = vec![0xff, 0xd8];
        // A segment that holds a small JPEG file of its own.
        file.extend([0xff, 0xe1, 0, 6, 0xff, 0xd8, 0xff, 0xd9]);
        file.extend([0xff, 0xda, 0, 3, 7, 1, 0xff, 0, 2, 0xff, 0xd3, 3]);
        assert!(!is_complete(&file));
        file.extend([0xff, 0xff, 0xd9]);
        let whole = file.len();
        file.extend([1, 2, 3]);
        assert!(is_complete(&file));
        for length in 0..whole {
            assert!(!is_complete(&file[..length]), "{length} of {whole} bytes");
        }
    }
}
