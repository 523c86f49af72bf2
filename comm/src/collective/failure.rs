//! How the first cause of a failure reaches the other ranks: through this rank's region on its own host, in a
//! frame on other hosts. Ranks pass a cause on, since the rank that found it may be gone; the number of
//! that rank goes along.

use crate::shm::{Region, WAKER_END};
use std::sync::atomic::Ordering;

/// Offset in a region of the word that says whether its rank has failed; the text follows.
const FAILED: usize = WAKER_END;
const TEXT: usize = FAILED + 8;
/// The most bytes of text; longer texts are cut.
pub(super) const TEXT_BYTES: usize = 1024;
/// Offset behind the text.
pub(super) const FAILURE_END: usize = TEXT + TEXT_BYTES;

/// `text`, cut to the bytes that fit, at the end of a character.
pub(super) fn cut(text: &str) -> &str {
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
    &text[..ends.take_while(|end| *end <= TEXT_BYTES).last().unwrap_or(0)]
}

/// Writes into this rank's region why it has failed, and the rank that found out first.
pub(super) fn announce(region: &Region, by: usize, cause: &str) {
    let mut bytes = [0; TEXT_BYTES];
    bytes[..cut(cause).len()].copy_from_slice(cut(cause).as_bytes());
    for (index, word) in bytes.as_chunks::<8>().0.iter().enumerate() {
        region.counter(TEXT + 8 * index).store(u64::from_le_bytes(*word), Ordering::Relaxed);
    }
    region.counter(FAILED).store((by as u64) << 32 | (1 + cut(cause).len() as u64), Ordering::Release);
}

/// Reads why the region's rank has failed, if it has, and which rank found out first.
pub(super) fn read(region: &Region) -> Option<(usize, String)> {
    let word = region.counter(FAILED).load(Ordering::Acquire);
    let len = (word as u32).checked_sub(1)?;
    let words = (0..TEXT_BYTES / 8).map(|index| region.counter(TEXT + 8 * index).load(Ordering::Relaxed));
    let bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).take(len as usize).collect();
    Some(((word >> 32) as usize, String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_arrives_whole_or_cut_at_a_character() {
        let region = Region::private(FAILURE_END, 0).unwrap();
        assert_eq!(read(&region), None);
        for (by, text, read_text) in
            [(0, "rank 3 is gone".into(), "rank 3 is gone".into()), (7, "ä".repeat(1000), "ä".repeat(512))]
        {
            announce(&region, by, &text);
            assert_eq!(read(&region), Some((by, read_text)));
        }
        announce(&region, 4095, "");
        assert_eq!(read(&region), Some((4095, String::new())));
    }
}
