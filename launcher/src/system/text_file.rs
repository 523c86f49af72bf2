//! Text files that a user writes.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The most bytes that such a file may have.
const LIMIT: u64 = 16 << 20;

/// What editors write before text in UTF-8, and in the two kinds of UTF-16.
const BYTE_ORDER_MARKS: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"];

/// Reads a file of UTF-8.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    String::from_utf8(read_bytes(path)?).map_err(|error| {
        let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        io::Error::other(format!("line {line} is not UTF-8"))
    })
}

/// Reads a file of about UTF-8: names of other encodings may be in it.
pub(crate) fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LIMIT {
        return Err(io::Error::other(format!("it has more than {LIMIT} bytes")));
    }
    check_start(&bytes)?;
    Ok(bytes)
}

/// Refuses the bytes of a file that begins with a byte-order mark: it would be part of the first word.
///
/// # Errors
/// `InvalidData` for such a mark.
pub(crate) fn check_start(bytes: &[u8]) -> io::Result<()> {
    let problem = "it begins with a byte-order mark; save it as UTF-8 without one";
    match BYTE_ORDER_MARKS.iter().any(|mark| bytes.starts_with(mark)) {
        true => Err(io::Error::new(io::ErrorKind::InvalidData, problem)),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(bytes: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        read(&path).map_or_else(|error| error.to_string(), |text| format!("read: {text}"))
    }

    #[test]
    fn what_is_not_plain_utf_8_is_named() {
        assert_eq!(problem("é\n".as_bytes()), "read: é\n");
        for marked in [&b"\xef\xbb\xbfnode1\n"[..], b"\xff\xfen\0", b"\xfe\xff\0n"] {
            assert_eq!(problem(marked), "it begins with a byte-order mark; save it as UTF-8 without one");
        }
        assert_eq!(problem(b"a\nb\n\xe9\n"), "line 3 is not UTF-8");
    }
}
