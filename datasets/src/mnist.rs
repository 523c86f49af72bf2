//! MNIST, and sets in its format such as Fashion-MNIST: gray images of ten classes in two pairs of IDX files.
//!
//! Bytes stay bytes, so the 60,000 training images take 47 MB; they are scaled onto `0..=1` when a shard is
//! laid out. Each call loads one split, so that a program can load the test images when and where it needs
//! them.
//!
//! # Source
//!
//! Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition",
//! Proceedings of the IEEE, 1998; H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST", arXiv:1708.07747.

use std::io;
use std::path::{Path, PathBuf};

use crate::arrays::total_values;
use crate::idx::{self, IdxReader};
use crate::{Arrays, Error, FileError, IdxError};

/// The number of classes of MNIST and of Fashion-MNIST.
pub const NUM_CLASSES: usize = 10;

/// Which of the two sets of MNIST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// 60,000 images to train on.
    Train,
    /// 10,000 images to test with.
    Test,
}

impl Split {
    fn images_name(self) -> &'static str {
        match self {
            Self::Train => "train-images-idx3-ubyte",
            Self::Test => "t10k-images-idx3-ubyte",
        }
    }

    fn labels_name(self) -> &'static str {
        match self {
            Self::Train => "train-labels-idx1-ubyte",
            Self::Test => "t10k-labels-idx1-ubyte",
        }
    }
}

/// MNIST as built into the program, in its original order: `[1, 28, 28]` bytes, normalised as
/// [`unit_range`](crate::Normalization::unit_range).
///
/// ```
/// use isograd_datasets::{Dataset, mnist};
///
/// let test = mnist::bundled(mnist::Split::Test);
/// assert_eq!((test.len(), test.sample_shape(), test.num_classes()), (10_000, [1, 28, 28], 10));
/// ```
#[cfg(feature = "bundled-mnist")]
pub fn bundled(split: Split) -> Arrays<'static> {
    let (labels, images) = match split {
        Split::Train => (
            include_bytes!("../mnist/train-labels-idx1-ubyte.gz").as_slice(),
            include_bytes!("../mnist/train-images.runs.gz").as_slice(),
        ),
        Split::Test => (
            include_bytes!("../mnist/t10k-labels-idx1-ubyte.gz").as_slice(),
            include_bytes!("../mnist/t10k-images.runs.gz").as_slice(),
        ),
    };
    let labels = idx::from_bytes(split.labels_name(), labels)
        .unwrap_or_else(|error| panic!("this program was built with a bad data file: {error}"));
    let (pixels, [_, h, w]) = crate::pixel_runs::unpack(images);
    let labels = labels.data().iter().map(|&label| u32::from(label)).collect::<Vec<_>>();
    Arrays::from_u8(pixels, labels, [1, h, w], NUM_CLASSES)
        .unwrap_or_else(|error| panic!("this program was built with data files that disagree: {error}"))
}

/// One split of MNIST, or of a set with the same file names, from `folder`.
///
/// Reads `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, or the same with `t10k`. The names may also
/// be spelt `train-images.idx3-ubyte`, may end in `.gz`, and may be those of folders that hold the file of
/// the same name, as Kaggle packs them. Where several are files, the first is read: plain before `.gz`,
/// dashes before dots, files before folders.
///
/// Images may be of any size: `[N, H, W]` gives samples of `[1, H, W]`. Labels are below `num_classes`, which
/// is [`NUM_CLASSES`] for MNIST and Fashion-MNIST; the sets of EMNIST have up to 62.
///
/// # Errors
///
/// [`FileError::MissingFolder`], [`FileError::MissingFile`], [`FileError::NotAFile`] for a pipe or a folder
/// that has a file's name, every error of [`idx::from_file`], [`IdxError::WrongDimensions`],
/// [`FileError::CountMismatch`]; and [`Error::Array`] when there are no samples, images have no pixels, or a
/// label is not below `num_classes`.
pub fn from_folder(folder: &Path, split: Split, num_classes: usize) -> Result<Arrays<'static>, Error> {
    if !folder.is_dir() {
        return Err(Error::File(FileError::MissingFolder { folder: folder.to_owned() }));
    }
    let labels = idx::open(&find(folder, split.labels_name())?)?;
    let images = idx::open(&find(folder, split.images_name())?)?;
    // Both headers before any element: a small gzip file may claim and hold a gigabyte of images that no
    // label belongs to.
    let sample_shape = shared_shape(&labels, &images)?;
    let origin = labels.name().to_owned();
    let labels = labels.read()?.into_data().into_iter().map(u32::from).collect::<Vec<_>>();
    Arrays::from_u8_named(images.read()?.into_data(), labels, sample_shape, num_classes, &origin)
}

/// The file called `name` in `folder`, in one of the forms in which it is distributed.
fn find(folder: &Path, name: &str) -> Result<PathBuf, Error> {
    let dotted_name = name.replacen("-idx", ".idx", 1);
    let spellings = [name.to_owned(), format!("{name}.gz"), dotted_name.clone(), format!("{dotted_name}.gz")];
    let files = spellings.each_ref().map(|spelling| folder.join(spelling));
    let nested = spellings.each_ref().map(|spelling| folder.join(spelling).join(spelling));
    if let Some(path) = files.iter().chain(&nested).find(|path| path.is_file()) {
        return Ok(path.clone());
    }
    // Something else may have the name.
    for path in files {
        let file = path.display().to_string();
        match (path.metadata(), path.read_link()) {
            (Ok(_), _) => return Err(Error::File(FileError::NotAFile { file })),
            (Err(source), Ok(target)) => {
                return Err(Error::File(FileError::Io {
                    file: format!("{file}, a link to {}", target.display()),
                    reason: source,
                }));
            }
            (Err(source), _) if source.kind() != io::ErrorKind::NotFound => {
                return Err(Error::File(FileError::Io { file, reason: source }));
            }
            _ => (),
        }
    }
    Err(Error::File(FileError::MissingFile { folder: folder.to_owned(), name: name.to_owned(), dotted_name }))
}

/// The shape of a sample, once the headers of both files are known to belong together.
fn shared_shape(labels: &IdxReader<'_>, images: &IdxReader<'_>) -> Result<[usize; 3], Error> {
    let &[label_count] = labels.dims() else { return Err(wrong_dimensions(labels, 1)) };
    let &[image_count, h, w] = images.dims() else { return Err(wrong_dimensions(images, 3)) };
    if image_count != label_count {
        return Err(Error::File(FileError::CountMismatch {
            images_file: images.name().to_owned(),
            images: image_count,
            labels_file: labels.name().to_owned(),
            labels: label_count,
        }));
    }
    let sample_shape = [1, h, w];
    total_values(sample_shape, image_count, images.name())?;
    Ok(sample_shape)
}

fn wrong_dimensions(file: &IdxReader<'_>, expected: usize) -> Error {
    Error::Idx(IdxError::WrongDimensions { file: file.name().to_owned(), expected, got: file.dims().len() })
}
