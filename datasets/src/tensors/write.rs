//! Writes npz files.

use std::io::{self, Write};

use super::zip_write::ZipWriter;

/// The header of an npy file is a multiple of this.
const ALIGNMENT: usize = 64;

/// Writes arrays of f32, by name and dimensions and row-major, as a npz file, without compression.
///
/// # Errors
///
/// When `to` cannot be written.
pub fn write_npz<'a>(
    to: impl Write,
    arrays: impl IntoIterator<Item = (&'a str, &'a [usize], &'a [f32])>,
) -> io::Result<()> {
    let mut zip = ZipWriter::new(to);
    for (name, dims, values) in arrays {
        let parts = || {
            let values = values
                .chunks(1 << 14)
                .map(|values| values.iter().flat_map(|value| value.to_le_bytes()).collect());
            std::iter::once(header(dims)).chain(values)
        };
        zip.member(&format!("{name}.npy"), parts)?;
    }
    zip.finish()
}

/// The header of an array of f32, in version 1 of the format.
fn header(dims: &[usize]) -> Vec<u8> {
    let shape: String = dims.iter().map(|dim| format!("{dim}, ")).collect();
    let mut text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", shape.trim_end());
    // The magic, the version, the length of the text, and the end of its line.
    let fixed = 6 + 2 + 2 + 1;
    let length = (fixed + text.len()).next_multiple_of(ALIGNMENT) - fixed;
    text.extend(std::iter::repeat_n(' ', length - text.len()));
    text.push('\n');
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend((text.len() as u16).to_le_bytes());
    header.extend(text.as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensors::npz;

    #[test]
    fn what_is_written_is_read() {
        let file = tempfile::NamedTempFile::with_suffix(".npz").unwrap();
        let (a, b) = ([1.0, -2.5, 3.0, 4.0, 5.0, 6.0], [7.0_f32]);
        let arrays = [("conv.weight", &[2, 3][..], &a[..]), ("b", &[1], &b)];
        write_npz(file.as_file(), arrays).unwrap();
        let read = npz::read(file.path(), |_| true).unwrap();
        let read: Vec<_> =
            read.iter().map(|tensor| (&*tensor.name, &*tensor.dims, tensor.floats())).collect();
        assert_eq!(read, arrays.map(|(name, dims, values)| (name, dims, values.to_vec())));
        assert_eq!(header(&[2, 3]).len() % ALIGNMENT, 0);
    }
}
