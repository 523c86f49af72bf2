//! Text files that a user writes.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The most bytes that such a file may have.
const LIMIT: u64 = 16 << 20;

/// Reads a file of UTF-8. A byte-order mark is an error that names it: it would be part of the first word.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LIMIT {
        return Err(io::Error::other(format!("it has more than {LIMIT} bytes")));
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(io::Error::other("it is UTF-16; save it as UTF-8"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        io::Error::other(format!("line {line} is not UTF-8"))
    })?;
    match text.starts_with('\u{feff}') {
        true => {
            Err(io::Error::other("it begins with a byte-order mark (EF BB BF); save it as UTF-8 without one"))
        }
        false => Ok(text),
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
        assert!(problem(b"\xef\xbb\xbfnode1\n").contains("byte-order mark"));
        assert!(problem(b"\xff\xfen\0").contains("UTF-16"));
        assert_eq!(problem(b"a\nb\n\xe9\n"), "line 3 is not UTF-8");
    }
}
