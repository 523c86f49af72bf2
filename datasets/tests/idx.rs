//! Good and bad IDX files, raw and compressed, from memory and from disk.

mod common;

use std::fs;
use std::path::Path;

use common::{gzip, idx};
use isograd_datasets::idx::{from_bytes, from_file};
use isograd_datasets::{Error, FileError};

fn message(bytes: &[u8]) -> String {
    from_bytes("f", bytes).expect_err("a bad file was read").to_string()
}

#[test]
fn one_to_four_dimensions_are_read_raw_and_compressed() {
    for dims in [&[6][..], &[2, 3], &[3, 1, 2], &[1, 2, 3, 1], &[0], &[4, 0, 7]] {
        let count = dims.iter().product::<u32>() as u8;
        let data = (0..count).map(|i| i * 37).collect::<Vec<_>>();
        let file = idx(dims, &data);
        let expected_dims = dims.iter().map(|&dim| dim as usize).collect::<Vec<_>>();
        for bytes in [file.clone(), gzip(&file)] {
            let read = from_bytes("f", &bytes).unwrap();
            assert_eq!((read.dims(), read.data()), (&expected_dims[..], &data[..]), "dimensions {dims:?}");
        }
    }
}

#[test]
fn gzip_members_are_one_stream() {
    let file = idx(&[5], b"abcde");
    let members = [gzip(&file[..9]), gzip(&file[9..])].concat();
    assert_eq!(from_bytes("f", &members).unwrap().into_data(), b"abcde");
}

#[test]
fn data_that_compress_beyond_the_first_guess_are_read() {
    let file = idx(&[1000, 1000], &vec![7; 1_000_000]);
    let packed = gzip(&file);
    assert!(packed.len() * 100 < file.len(), "{} bytes are too many for this test", packed.len());
    assert_eq!(from_bytes("f", &packed).unwrap().into_data(), file[12..]);
}

#[test]
fn every_prefix_is_an_error() {
    let file = idx(&[2, 3], b"abcdef");
    for len in 0..file.len() {
        let expected = match len {
            0..4 => 4,
            4..12 => 12,
            _ => 18,
        };
        assert_eq!(message(&file[..len]), format!("f is truncated: expected {expected} bytes, got {len}"));
        // A whole gzip stream of the same prefix.
        assert_eq!(
            message(&gzip(&file[..len])),
            format!("f is truncated: expected {expected} bytes, got {len}")
        );
    }
    let packed = gzip(&file);
    for len in 2..packed.len() {
        let error = from_bytes("f", &packed[..len]).unwrap_err();
        assert!(matches!(error, Error::File(FileError::Gzip { .. })), "{len} bytes of gzip: {error}");
    }
}

#[test]
fn bytes_after_the_end_are_an_error() {
    let long = idx(&[3], b"abcdefg");
    assert_eq!(message(&long), "f is too long: expected 11 bytes, got at least 15");
    assert_eq!(message(&gzip(&long)), "f is too long: expected 11 bytes, got at least 12");
    let trailing = [gzip(&idx(&[3], b"abc")), b"xyz".to_vec()].concat();
    assert!(message(&trailing).starts_with("f: broken gzip stream after 11 decoded bytes: "));
}

#[test]
fn zeros_after_a_gzip_stream_are_ignored_as_gzip_does() {
    let file = idx(&[3], b"abc");
    for padding in [1, 511, 100_000] {
        let padded = [gzip(&file[..9]), gzip(&file[9..]), vec![0; padding]].concat();
        assert_eq!(from_bytes("f", &padded).unwrap().data(), b"abc", "{padding} zeros");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("padded");
        fs::write(&path, &padded).unwrap();
        assert_eq!(from_file(&path).unwrap().data(), b"abc", "{padding} zeros in a file");
        for rest in [&b"x"[..], &gzip(b"x")] {
            assert_eq!(
                message(&[&padded, rest].concat()),
                "f: broken gzip stream after 11 decoded bytes: something follows the zeros after the stream"
            );
        }
    }
    // Zeros in a stream are not padding.
    assert_eq!(message(&[file, vec![0]].concat()), "f is too long: expected 11 bytes, got at least 12");
}

#[test]
fn corrupt_gzip_is_an_error() {
    let packed = gzip(&idx(&[300], &[9; 300]));
    let last = packed.len() - 1;
    for (position, what) in [(last - 7, "checksum"), (last, "length"), (2, "compression method")] {
        let mut bad = packed.clone();
        bad[position] ^= 1;
        let error = from_bytes("f", &bad).unwrap_err();
        assert!(matches!(error, Error::File(FileError::Gzip { .. })), "{what}: {error}");
    }
}

#[test]
fn other_formats_are_errors() {
    assert_eq!(
        message(b"\x89PNG\r\n\x1a\n"),
        "f is not an IDX file: it begins with bytes 89 50 4e 47, not with 00 00 08"
    );
    assert_eq!(
        message(&[0, 0, 0x42, 1, 0, 0, 0, 0]),
        "f is not an IDX file: it begins with bytes 00 00 42 01, not with 00 00 08"
    );
    let mut floats = idx(&[60_000, 28, 28], &[]);
    let types = [
        (0x09, "signed bytes"),
        (0x0b, "16-bit integers"),
        (0x0c, "32-bit integers"),
        (0x0d, "32-bit floats"),
        (0x0e, "64-bit floats"),
    ];
    for (code, name) in types {
        floats[2] = code;
        assert_eq!(
            message(&floats),
            format!(
                "f: IDX files of {name} (type {code:#04x}; dimensions [60000, 28, 28]) are not supported, only \
                 unsigned bytes (0x08)"
            )
        );
    }
    assert_eq!(message(&idx(&[], &[])), "f: IDX header has 0 dimensions, expected 1 to 4");
    assert_eq!(message(&idx(&[1; 5], &[1])), "f: IDX header has 5 dimensions, expected 1 to 4");
    assert_eq!(
        message(&idx(&[u32::MAX; 4], b"a")),
        "f: IDX dimensions [4294967295, 4294967295, 4294967295, 4294967295] have a product that does not fit in memory"
    );
    assert_eq!(message(&idx(&[u32::MAX, 2], b"a")), "f is truncated: expected 8589934602 bytes, got 13");
}

#[test]
fn files_are_read_by_content_whatever_their_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = idx(&[70_000], &[5; 70_000]);
    for (name, bytes) in [("raw.gz", file.clone()), ("packed", gzip(&file))] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        assert_eq!(from_file(&path).unwrap().data(), &file[8..], "{name}");
    }
}

#[test]
fn file_errors_name_the_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("images");
    let name = path.display();
    let message = |path: &Path| from_file(path).unwrap_err().to_string();
    assert!(message(&path).starts_with(&format!("cannot read {name}: ")), "{}", message(&path));
    fs::write(&path, idx(&[100_000], &[1; 99_999])).unwrap();
    assert_eq!(message(&path), format!("{name} is truncated: expected 100008 bytes, got 100007"));
    fs::write(&path, idx(&[100_000], &[1; 100_002])).unwrap();
    assert_eq!(message(&path), format!("{name} is too long: expected 100008 bytes, got at least 100010"));
    assert_eq!(message(folder.path()), format!("{} is not a regular file", folder.path().display()));
}
