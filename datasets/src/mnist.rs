//! MNIST, and sets in its format such as Fashion-MNIST: gray images of ten classes in two pairs of IDX files.
//!
//! Bytes stay bytes, so the 60,000 training images take 47 MB; they are scaled onto `0..=1` when a shard is laid out.
//! Each call loads one split, so that a program can load the test images when and where it needs them.
//!
//! # Source
//!
//! Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition", Proceedings of
//! the IEEE, 1998; H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST", arXiv:1708.07747.

use std::io;
use std::path::{Path, PathBuf};

use crate::arrays::total_values;
use crate::idx::{self, Idx};
use crate::{Arrays, Error};

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
    macro_rules! embedded {
        ($file:literal) => {
            (concat!("bundled ", $file), include_bytes!(concat!("../mnist/", $file)).as_slice())
        };
    }
    let (images, labels) = match split {
        Split::Train => (embedded!("train-images-idx3-ubyte.gz"), embedded!("train-labels-idx1-ubyte.gz")),
        Split::Test => (embedded!("t10k-images-idx3-ubyte.gz"), embedded!("t10k-labels-idx1-ubyte.gz")),
    };
    let read = |(name, bytes)| -> Result<Named, Error> {
        Ok(Named { name: String::from(name), idx: idx::from_bytes(name, bytes)? })
    };
    let arrays = || pair(read(labels)?, read(images)?);
    arrays().unwrap_or_else(|error| panic!("this program was built with a bad data file: {error}"))
}

/// One split of MNIST, or of a set with the same file names, from `folder`.
///
/// Reads `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, or the same with `t10k`; a file may also have the
/// ending `.gz`, and where both are files the one without it is read. Images may be of any size: `[N, H, W]` gives samples
/// of `[1, H, W]`. Labels are below [`NUM_CLASSES`].
///
/// # Errors
///
/// [`Error::MissingFolder`], [`Error::MissingFile`], [`Error::NotAFile`] where a file's name is a folder's, every error of [`idx::from_file`], [`Error::WrongDimensions`],
/// [`Error::CountMismatch`], [`Error::NoSamples`], [`Error::SampleShape`] for images without pixels, and
/// [`Error::LabelOutOfRange`].
pub fn from_folder(folder: &Path, split: Split) -> Result<Arrays<'static>, Error> {
    if !folder.is_dir() {
        return Err(Error::MissingFolder { folder: folder.to_owned() });
    }
    let read = |name| {
        let path = find(folder, name)?;
        Ok(Named { name: path.display().to_string(), idx: idx::from_file(&path)? })
    };
    // The labels first: what is wrong with them is known before the large file is read.
    pair(read(split.labels_name())?, read(split.images_name())?)
}

fn find(folder: &Path, name: &str) -> Result<PathBuf, Error> {
    let candidates = [folder.join(name), folder.join(format!("{name}.gz"))];
    if let Some(path) = candidates.iter().find(|path| path.is_file()) {
        return Ok(path.clone());
    }
    // Something else may have the name.
    for path in candidates {
        let file = path.display().to_string();
        match (path.metadata(), path.read_link()) {
            (Ok(_), _) => return Err(Error::NotAFile { file }),
            (Err(source), Ok(target)) => {
                return Err(Error::Io { file: format!("{file}, a link to {}", target.display()), source });
            }
            (Err(source), _) if source.kind() != io::ErrorKind::NotFound => {
                return Err(Error::Io { file, source });
            }
            _ => (),
        }
    }
    Err(Error::MissingFile { folder: folder.to_owned(), name: name.to_owned() })
}

/// The content of a file and what errors call it.
struct Named {
    name: String,
    idx: Idx,
}

fn pair(labels: Named, images: Named) -> Result<Arrays<'static>, Error> {
    let &[label_count] = labels.idx.dims() else { return Err(wrong_dimensions(&labels, 1)) };
    let &[image_count, h, w] = images.idx.dims() else { return Err(wrong_dimensions(&images, 3)) };
    if image_count != label_count {
        return Err(Error::CountMismatch {
            images_file: images.name,
            images: image_count,
            labels_file: labels.name,
            labels: label_count,
        });
    }
    let sample_shape = [1, h, w];
    total_values(sample_shape, image_count, &images.name)?;
    let classes = labels.idx.data().iter().map(|&label| u32::from(label)).collect::<Vec<_>>();
    Arrays::from_u8_named(images.idx.into_data(), classes, sample_shape, NUM_CLASSES, &labels.name)
}

fn wrong_dimensions(file: &Named, expected: usize) -> Error {
    Error::WrongDimensions { file: file.name.clone(), expected, got: file.idx.dims().len() }
}
