//! Arrays of samples without targets, for a network in use: npy, npz, safetensors and IDX files.
//!
//! A file is told by what it begins with. Of an npz or a safetensors file with several arrays, the samples
//! are taken whose name says so, as it does for [`tensors`]: those of the test, or else those
//! without a part, or else those to validate on or to train on.
//!
//! Values are laid out as in [`tensors`]. If they fit the shape that is expected, samples may
//! also be flat, `[N, values]`, and one sample may lack the first dimension.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use crate::tensors::{self, npy, npz, safetensors};
use crate::{Arrays, Error, FileError, FormatError, arrays, idx};

/// The kinds of files with arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Npy,
    Npz,
    Safetensors,
    Idx,
}

/// What a file with this name and beginning is, if it holds arrays.
fn kind(path: &Path, start: &[u8]) -> Option<Kind> {
    match start {
        [0x93, b'N', b'U', b'M', ..] => Some(Kind::Npy),
        [b'P', b'K', ..] => Some(Kind::Npz),
        [0, 0, 8..=0x0e, 1..=4, ..] | [0x1f, 0x8b, ..] => Some(Kind::Idx),
        _ if path.extension().is_some_and(|ending| ending == "safetensors") => Some(Kind::Safetensors),
        _ => None,
    }
}

/// Whether the file at `path` holds arrays, by what it begins with; other files may be images.
///
/// # Errors
///
/// [`FileError`] for a file that cannot be read.
pub fn is_arrays(path: &Path) -> Result<bool, Error> {
    Ok(find_kind(path)?.is_some())
}

fn find_kind(path: &Path) -> Result<Option<Kind>, Error> {
    let file = || path.display().to_string();
    let failure = |reason| FileError::Io { file: file(), reason };
    // Before the file is opened: opening a pipe waits until somebody writes to it.
    if !path.metadata().map_err(failure)?.is_file() {
        return Err(FileError::NotAFile { file: file() }.into());
    }
    let mut start = Vec::new();
    File::open(path).and_then(|file| file.take(4).read_to_end(&mut start)).map_err(failure)?;
    Ok(kind(path, &start))
}

/// The samples in the file at `path`, of a shape that a network expects to be `[c, h, w]`. All have class 0.
///
/// # Errors
///
/// [`FileError`] for a file that cannot be read, [`FormatError::Malformed`] for one that is damaged or has no
/// samples, and those of [`idx`].
pub fn open_arrays(path: &Path, expected: [usize; 3]) -> Result<Arrays<'static>, Error> {
    let file = path.display().to_string();
    let malformed = |problem: String| FormatError::Malformed { file: file.clone(), problem };
    let tensor = match find_kind(path)? {
        Some(Kind::Idx) => {
            let idx = idx::from_file(path)?;
            let (dims, element) = (idx.dims().to_vec(), npy::Element::U8);
            npy::Tensor { name: "images".to_string(), element, dims, bytes: idx.into_data() }
        }
        Some(Kind::Npy) => {
            let failure = |reason| FileError::Io { file: file.clone(), reason };
            let bytes = path.metadata().map_err(failure)?.len();
            let mut source = BufReader::new(File::open(path).map_err(failure)?);
            npy::read("array", &mut source, bytes).map_err(|problem| malformed(format!("array {problem}")))?
        }
        Some(Kind::Npz) => {
            let name = choose(&npz::names(path)?).map_err(malformed)?;
            npz::read(path, |found| found == name)?.swap_remove(0)
        }
        Some(Kind::Safetensors) => {
            let (mut arrays, _) = safetensors::read(path)?;
            let names: Vec<String> = arrays.iter().map(|array| array.name.clone()).collect();
            let name = choose(&names).map_err(malformed)?;
            let index = names.iter().position(|found| *found == name).expect("a name of the file");
            arrays.swap_remove(index)
        }
        None => return Err(malformed("holds no arrays".to_string()).into()),
    };
    samples(&file, tensor, expected)
}

/// The name of the array with the samples.
fn choose(names: &[String]) -> Result<String, String> {
    let mut numbers = names.iter().filter(|name| !tensors::lists_names(name));
    if let (Some(one), None) = (numbers.next(), numbers.next()) {
        return Ok(one.clone());
    }
    let found = tensors::SAMPLES_IN_USE.iter().find_map(|part| {
        names.iter().find(|name| tensors::role(name) == Some((*part, tensors::Role::Samples)))
    });
    found.cloned().ok_or_else(|| {
        format!("has the arrays {}; expected one, or one with a name such as x or x_test", names.join(", "))
    })
}

fn samples(file: &str, mut x: npy::Tensor, expected: [usize; 3]) -> Result<Arrays<'static>, Error> {
    let of_sample = expected.iter().product::<usize>();
    let product = x.dims.iter().try_fold(1_usize, |product, dim| product.checked_mul(*dim));
    if product == Some(of_sample) && x.dims.len() <= 3 && x.dims[0] != 1 {
        x.dims.insert(0, 1);
    }
    x.check_numbers().map_err(|problem| FormatError::Malformed { file: file.to_string(), problem })?;
    let layout = tensors::Layout::new(file, &x.dims)?;
    let shape = match x.dims[..] {
        [_, values] if values == of_sample => expected,
        _ => layout.shape,
    };
    // Before there are labels: with another dimension of 0, the first one may be any number.
    arrays::total_values(shape, x.dims[0], file)?;
    let labels = vec![0; x.dims[0]];
    match x.element.is_byte() {
        true => Arrays::from_u8_named(layout.arrange(x.bytes), labels, shape, 1, file),
        false => Arrays::from_f32(layout.arrange(x.floats()), labels, shape, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataset;

    fn bytes(dims: &[usize]) -> npy::Tensor {
        let bytes = vec![7; dims.iter().product()];
        npy::Tensor { name: "x".to_string(), element: npy::Element::U8, dims: dims.to_vec(), bytes }
    }

    #[test]
    fn samples_may_be_flat_or_single() {
        for (dims, expected) in [
            (&[5, 28, 28][..], (5, [1, 28, 28])),
            (&[5, 784], (5, [1, 28, 28])),
            (&[28, 28], (1, [1, 28, 28])),
            (&[784], (1, [1, 28, 28])),
            (&[1, 28, 28], (1, [1, 28, 28])),
            (&[5, 32, 32, 3], (5, [3, 32, 32])),
        ] {
            let set = samples("f", bytes(dims), [1, 28, 28]).unwrap();
            assert_eq!((set.len(), set.sample_shape()), expected, "{dims:?}");
        }
        let set = samples("f", bytes(&[32, 32, 3]), [3, 32, 32]).unwrap();
        assert_eq!((set.len(), set.sample_shape()), (1, [3, 32, 32]));
    }

    #[test]
    fn samples_without_values_are_refused_however_many_there_are() {
        for dims in [&[usize::MAX, 0][..], &[1 << 40, 0, 0], &[0, 28, 28]] {
            assert!(samples("f", bytes(dims), [1, 28, 28]).is_err(), "{dims:?}");
        }
    }

    #[test]
    fn the_array_of_samples_is_found_by_its_name() {
        let choose = |names: &[&str]| choose(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(choose(&["anything"]), Ok("anything".to_string()));
        assert_eq!(choose(&["class_names", "anything"]), Ok("anything".to_string()));
        assert_eq!(choose(&["x_train", "x_test", "y_test"]), Ok("x_test".to_string()));
        assert_eq!(choose(&["y", "x"]), Ok("x".to_string()));
        assert!(choose(&["a", "b"]).unwrap_err().starts_with("has the arrays a, b; expected one"));
    }
}
