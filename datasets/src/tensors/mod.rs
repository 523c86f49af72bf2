//! Arrays in files: npz and npy files of numpy, folders of them, and safetensors files.
//!
//! A file has an array of samples and one of targets, for each part of the set:
//!
//! ```text
//! samples   x, data, samples, images, inputs, features, arr_0
//! targets   y, labels, targets, classes, arr_1
//! part      train, training; val, valid, validation; test, testing; none is for training
//! ```
//!
//! in singular or plural and in any order, as in `x_train`, `test_labels` and `train.images`. An npy file has
//! one array, whose name is that of the file; the others are in the files beside it.
//!
//! Samples are `[N, C, H, W]`, `[N, H, W, C]`, `[N, H, W]`, `[N, values]` or `[N]`. Of four dimensions, the
//! last one is the channels if it is 1 or 3 and the second is neither, or if it is 4 and the second is not 1,
//! 3 or 4. Bytes stay bytes, other numbers become
//! `f32`. Whole numbers `[N]` and `[N, 1]` as targets are classes, floats and wider arrays are numbers. Where
//! the least class of the training samples is 1, classes count from 1.
//!
//! Classes have names where an array `class_names`, `label_names` or `target_names` lists them in their
//! order, as texts of numpy (`<U12`, `|S12`), or where the metadata of a safetensors file has them under
//! `class_names`, as a list in JSON or a name a line. There are as many classes as names then. Targets may
//! also be texts themselves: classes are then in the order of that list, or else sorted.

mod chunks;
mod classes;
pub(crate) mod npy;
pub(crate) mod npz;
pub(crate) mod safetensors;
mod write;
mod zip;
mod zip_write;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

pub use chunks::NpzChunks;
pub use write::write_npz;

use crate::{Arrays, Error, FileError, FormatError};
use classes::{Classes, names_in, names_of_text};
use npy::Tensor;

/// A part of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Train,
    Validation,
    Test,
}

/// What an array is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Samples,
    Targets,
}

/// Which part's samples are taken where no targets are needed: the first that there is.
pub(crate) const SAMPLES_IN_USE: [Part; 3] = [Part::Test, Part::Train, Part::Validation];

/// What the name of an array says; nothing if it has other words.
pub(crate) fn role(name: &str) -> Option<(Part, Role)> {
    let name = name.to_lowercase();
    let name = name.strip_suffix(".npy").unwrap_or(&name);
    match name {
        "arr_0" => return Some((Part::Train, Role::Samples)),
        "arr_1" => return Some((Part::Train, Role::Targets)),
        _ => (),
    }
    let (mut part, mut role) = (Part::Train, None);
    for word in name.split(['_', '-', '.', '/']) {
        match word {
            "train" | "training" => part = Part::Train,
            "val" | "valid" | "validation" => part = Part::Validation,
            "test" | "testing" => part = Part::Test,
            "x" | "data" | "sample" | "samples" | "image" | "images" | "input" | "inputs" | "feature"
            | "features" => role = Some(Role::Samples),
            "y" | "label" | "labels" | "target" | "targets" | "class" | "classes" => {
                role = Some(Role::Targets);
            }
            _ => return None,
        }
    }
    Some((part, role?))
}

/// Whether the array called `name` lists the names of classes.
pub(crate) fn lists_names(name: &str) -> bool {
    let name = name.to_lowercase();
    let name = name.strip_suffix(".npy").unwrap_or(&name).replace(['-', '.'], "_");
    matches!(name.as_str(), "class_names" | "label_names" | "target_names")
}

/// The parts of a set of arrays.
pub struct ArrayParts {
    /// The samples to train on.
    pub train: Arrays<'static>,
    /// The samples to validate on, if there are some.
    pub validation: Option<Arrays<'static>>,
    /// The samples to test with, if there are some.
    pub test: Option<Arrays<'static>>,
}

/// Opens an npz or a safetensors file, or an npy file and those beside it, by its ending; `test_path` is a
/// file with the test samples, under names without a part or with that of the test.
///
/// # Errors
///
/// [`FileError`] for a file that cannot be read, [`FormatError::Malformed`] for one that is
/// damaged, holds pickled objects, or lacks one of the arrays, [`Error::Array`] for arrays that do not make a
/// data set.
pub fn open(path: &Path, test_path: Option<&Path>) -> Result<ArrayParts, Error> {
    let Found { mut tensors, names } = find(path)?;
    let file = path.display().to_string();
    let (x, y) = part(&mut tensors, Part::Train).ok_or_else(|| missing(path, &tensors))?;
    let classes = Classes::of(&file, std::iter::once(&y), names)?;
    let train = to_arrays(&file, x, y, &classes)?;
    let mut of_part = |of| part(&mut tensors, of).map(|(x, y)| to_arrays(&file, x, y, &classes)).transpose();
    let (validation, mut test) = (of_part(Part::Validation)?, of_part(Part::Test)?);
    if let Some(path) = test_path {
        let Found { mut tensors, names } = find(path)?;
        let (x, y) = part(&mut tensors, Part::Test)
            .or_else(|| part(&mut tensors, Part::Train))
            .ok_or_else(|| missing(path, &tensors))?;
        let file = path.display().to_string();
        classes.check(&file, names.as_deref())?;
        test = Some(to_arrays(&file, x, y, &classes)?);
    }
    Ok(ArrayParts { train, validation, test })
}

/// The arrays of a file, and the names of classes that it lists.
struct Found {
    tensors: Vec<Tensor>,
    names: Option<Vec<String>>,
}

fn find(path: &Path) -> Result<Found, Error> {
    let file = path.display().to_string();
    let (mut tensors, text) = match path.extension().and_then(|ending| ending.to_str()) {
        Some("npz") => (npz::read(path, |_| true)?, None),
        Some("npy") => (npy_files(path)?, None),
        _ => safetensors::read(path)?,
    };
    let list = tensors.iter().position(|tensor| lists_names(&tensor.name));
    let list = list.map(|place| tensors.swap_remove(place));
    let names = match (list, text) {
        (Some(list), _) => Some(names_in(&file, &list)?),
        (None, Some(text)) => Some(names_of_text(&file, &text)?),
        (None, None) => None,
    };
    Ok(Found { tensors, names })
}

/// Reads the npy files in the folder of `path` whose names say what they are for.
fn npy_files(path: &Path) -> Result<Vec<Tensor>, Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let io_error = |path: &Path| {
        let file = path.display().to_string();
        move |reason| FileError::Io { file, reason }
    };
    let entries = folder.read_dir().map_err(io_error(folder))?.map(|entry| entry.map(|entry| entry.path()));
    let mut files = entries.collect::<Result<Vec<_>, _>>().map_err(io_error(folder))?;
    files.retain(|file| file.extension().is_some_and(|ending| ending == "npy"));
    files.sort();
    let mut tensors = Vec::new();
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let metadata = file.metadata().map_err(io_error(&file))?;
        if (role(&name).is_none() && !lists_names(&name)) || !metadata.is_file() {
            continue;
        }
        let mut source = BufReader::new(File::open(&file).map_err(io_error(&file))?);
        let tensor = npy::read(&name, &mut source, metadata.len());
        tensors.push(tensor.map_err(|problem| npz::malformed(&file, &problem))?);
    }
    Ok(tensors)
}

/// Takes the samples and the targets of a part out of `tensors`.
fn part(tensors: &mut Vec<Tensor>, part: Part) -> Option<(Tensor, Tensor)> {
    let find = |tensors: &[Tensor], wanted| {
        tensors.iter().position(|tensor| role(&tensor.name) == Some((part, wanted)))
    };
    find(tensors, Role::Samples).zip(find(tensors, Role::Targets))?;
    let mut take = |wanted| find(tensors, wanted).map(|place| tensors.swap_remove(place));
    take(Role::Samples).zip(take(Role::Targets))
}

fn missing(path: &Path, tensors: &[Tensor]) -> FormatError {
    let names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    FormatError::Malformed {
        file: path.display().to_string(),
        problem: format!(
            "has the arrays {}; expected samples and targets, such as x and y, or x_train, y_train, x_test and y_test",
            names.join(", ")
        ),
    }
}

/// How the values of a sample lie in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// `[c, h, w]`.
    pub(crate) shape: [usize; 3],
    /// Whether the channels of a pixel lie side by side.
    is_interleaved: bool,
}

impl Layout {
    /// Of an array of samples with these dimensions.
    pub(crate) fn new(file: &str, dims: &[usize]) -> Result<Self, FormatError> {
        // Four rows are likelier than four channels beside one or three in the last place.
        let are_channels_last = |h: usize, c: usize| match c {
            1 | 3 => !matches!(h, 1 | 3),
            4 => !matches!(h, 1 | 3 | 4),
            _ => false,
        };
        let shape = match *dims {
            [_] => [1, 1, 1],
            [_, values] => [values, 1, 1],
            [_, h, w] => [1, h, w],
            [_, h, w, c] if are_channels_last(h, c) => {
                return Ok(Self { shape: [c, h, w], is_interleaved: true });
            }
            [_, c, h, w] => [c, h, w],
            _ => {
                let problem = format!("samples have dimensions {dims:?}, expected 1 to 4");
                return Err(FormatError::Malformed { file: file.to_string(), problem });
            }
        };
        Ok(Self { shape, is_interleaved: false })
    }

    /// The values of one sample, or of several, as `[N, C, H, W]`.
    pub(crate) fn arrange<T: Copy>(self, values: Vec<T>) -> Vec<T> {
        let [c, h, w] = self.shape;
        if !self.is_interleaved || c == 1 || values.is_empty() {
            return values;
        }
        let planes = |sample: &[T]| -> Vec<T> {
            (0..c).flat_map(|channel| sample[channel..].iter().step_by(c).copied()).collect()
        };
        values.chunks_exact(c * h * w).flat_map(planes).collect()
    }
}

fn to_arrays(file: &str, x: Tensor, y: Tensor, classes: &Classes) -> Result<Arrays<'static>, Error> {
    let malformed = |problem: String| FormatError::Malformed { file: file.to_string(), problem };
    if x.dims[0] != y.dims[0] {
        let (samples, targets) = (x.dims[0], y.dims[0]);
        let problem = format!("'{}' has {samples} samples, '{}' has {targets} targets", x.name, y.name);
        return Err(malformed(problem).into());
    }
    x.check_numbers().map_err(malformed)?;
    let layout = Layout::new(file, &x.dims)?;
    let bytes = x.element.is_byte();
    if *classes != Classes::Values {
        let (labels, count) = (classes.of_targets(file, &y)?, classes.count());
        let set = match bytes {
            true => Arrays::from_u8_named(layout.arrange(x.bytes), labels, layout.shape, count, file)?,
            false => Arrays::from_f32(layout.arrange(x.floats()), labels, layout.shape, count)?,
        };
        return set.with_class_names(classes.names().to_vec());
    }
    y.check_numbers().map_err(malformed)?;
    let values = y.dims[1..].iter().product::<usize>();
    if values == 0 {
        return Err(malformed(format!("'{}' has no values", y.name)).into());
    }
    match bytes {
        true => Arrays::from_u8_with_values(layout.arrange(x.bytes), y.floats(), layout.shape, values),
        false => Arrays::from_f32_with_values(layout.arrange(x.floats()), y.floats(), layout.shape, values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_arrays_are_for() {
        for (name, expected) in [
            ("x", Some((Part::Train, Role::Samples))),
            ("y.npy", Some((Part::Train, Role::Targets))),
            ("x_test", Some((Part::Test, Role::Samples))),
            ("val_labels", Some((Part::Validation, Role::Targets))),
            ("Train.Images", Some((Part::Train, Role::Samples))),
            ("arr_1", Some((Part::Train, Role::Targets))),
            ("train", None),
            ("x_mean", None),
            ("class_names", None),
        ] {
            assert_eq!(role(name), expected, "{name}");
        }
        assert!(lists_names("Class-Names.npy") && lists_names("target_names") && !lists_names("names"));
    }

    #[test]
    fn layouts_are_told_by_their_sizes() {
        let layout =
            |dims: &[usize]| Layout::new("f", dims).map(|layout| (layout.shape, layout.is_interleaved));
        assert_eq!(layout(&[9, 3, 8, 8]).unwrap(), ([3, 8, 8], false));
        assert_eq!(layout(&[9, 8, 6, 3]).unwrap(), ([3, 8, 6], true));
        assert_eq!(layout(&[9, 3, 3, 3]).unwrap(), ([3, 3, 3], false));
        assert_eq!(layout(&[9, 4, 5, 3]).unwrap(), ([3, 4, 5], true));
        assert_eq!(layout(&[9, 4, 5, 4]).unwrap(), ([4, 5, 4], false));
        assert_eq!(layout(&[9, 16, 8, 8]).unwrap(), ([16, 8, 8], false));
        assert_eq!(
            [layout(&[9, 8, 6]).unwrap(), layout(&[9, 5]).unwrap()],
            [([1, 8, 6], false), ([5, 1, 1], false)]
        );
        assert!(layout(&[1, 2, 3, 4, 5]).is_err() && layout(&[]).is_err());
        let pixels = Layout { shape: [3, 1, 2], is_interleaved: true };
        assert_eq!(pixels.arrange(vec![1, 2, 3, 4, 5, 6]), [1, 4, 2, 5, 3, 6]);
    }
}
