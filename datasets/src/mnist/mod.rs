//! MNIST, and [sets in its format](SETS): gray images of some classes in two pairs of IDX files.
//!
//! Bytes stay bytes, so the 60,000 training images take 47 MB; they are scaled onto `0..=1` when a shard is
//! laid out. Each call loads one split, so that a program can load the test images when and where it needs
//! them.
//!
//! # Source
//!
//! Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition",
//! Proceedings of the IEEE, 1998; H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST", arXiv:1708.07747.

mod files;
mod sets;

use std::path::Path;

pub use sets::{SETS, Set};

use crate::arrays::total_values;
use crate::idx::{self, IdxReader};
use crate::{ArrayError, Arrays, Error, FileError, IdxError};

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
    let (name, labels, images) = match split {
        Split::Train => (
            "train-labels-idx1-ubyte",
            include_bytes!("../../mnist/train-labels-idx1-ubyte.gz").as_slice(),
            include_bytes!("../../mnist/train-images.runs.gz").as_slice(),
        ),
        Split::Test => (
            "t10k-labels-idx1-ubyte",
            include_bytes!("../../mnist/t10k-labels-idx1-ubyte.gz").as_slice(),
            include_bytes!("../../mnist/t10k-images.runs.gz").as_slice(),
        ),
    };
    let labels = idx::from_bytes(name, labels)
        .unwrap_or_else(|error| panic!("this program was built with a bad data file: {error}"));
    let (pixels, [_, h, w]) = crate::pixel_runs::unpack(images);
    let labels = labels.data().iter().map(|&label| u32::from(label)).collect::<Vec<_>>();
    Arrays::from_u8(pixels, labels, [1, h, w], NUM_CLASSES)
        .and_then(|set| set.with_class_names(SETS[0].class_names()))
        .unwrap_or_else(|error| panic!("this program was built with data files that disagree: {error}"))
}

/// The [digest of the contents](crate::digest::contents) of a [`bundled`] split. It is known, so that its 47
/// MB need not be hashed.
#[cfg(feature = "bundled-mnist")]
pub fn bundled_digest(split: Split) -> &'static str {
    match split {
        Split::Train => "c4de972083bfd01adfdb2d323176fa7ffce185f6069361c0504a57835f3934a4",
        Split::Test => "2535d2e908a0940be5e850e2ca4ed5ababd9cbb1c8c8aabcd919e9181cebfae3",
    }
}

/// One split of MNIST, or of a set with such file names, from `folder`.
///
/// Reads `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, or the same with `t10k`. The names may also
/// be spelt `train-images.idx3-ubyte`, may end in `.gz`, and may be those of folders that hold the file, as
/// Kaggle packs them. The files of EMNIST have the name of their set in front, as in
/// `emnist-letters-train-images-idx3-ubyte`; their other split is called `test`.
///
/// Where several files have names of one, they must have the same content, packed or not. Files of several
/// sets need several folders.
///
/// Images may be of any size: `[N, H, W]` gives samples of `[1, H, W]`. Labels are below `num_classes`, which
/// is [`NUM_CLASSES`] for MNIST and Fashion-MNIST; the sets of EMNIST have up to 62.
///
/// # Errors
///
/// [`FileError::MissingFolder`], [`FileError::MissingFile`], [`FileError::SeveralSets`],
/// [`FileError::SeveralFiles`], [`FileError::NotAFile`] for a pipe or a folder that has a file's name, every
/// error of [`idx::from_file`], [`IdxError::WrongDimensions`], [`FileError::CountMismatch`]; and
/// [`Error::Array`] when there are no samples, images have no pixels, or a label is not below `num_classes`.
pub fn from_folder(folder: &Path, split: Split, num_classes: usize) -> Result<Arrays<'static>, Error> {
    let unnamed = Set { name: "", prefix: "", first_label: 0, num_classes, class_names: &[] };
    open(folder, &unnamed, split)
}

/// One split of `set` from `folder`, with the names of its classes. Otherwise as [`from_folder`]; a folder
/// may have the files of several sets whose names begin with that of the set.
///
/// # Errors
///
/// As `from_folder`.
pub fn open(folder: &Path, set: &Set, split: Split) -> Result<Arrays<'static>, Error> {
    let files = files::find(folder, set.prefix, split)?;
    let (labels, images) = (idx::open(&files.labels)?, idx::open(&files.images)?);
    // Both headers before any element: a small gzip file may claim and hold a gigabyte of images that no
    // label belongs to.
    let sample_shape = shared_shape(&labels, &images)?;
    let (origin, of_each) = (labels.name().to_owned(), labels.dims().get(1).copied().unwrap_or(1));
    // QMNIST has eight numbers for each image, of which the first is the class.
    let labels = labels.read_integers()?.into_iter().step_by(of_each).enumerate().map(|(index, label)| {
        u32::try_from(label - set.first_label).map_err(|_| ArrayError::LabelTooSmall {
            origin: origin.clone(),
            index,
            label,
            first: set.first_label,
        })
    });
    let labels = labels.collect::<Result<Vec<u32>, _>>()?;
    Arrays::from_u8_named(images.read()?.into_data(), labels, sample_shape, set.num_classes, &origin)?
        .with_class_names(set.class_names())
}

/// The shape of a sample, once the headers of both files are known to belong together.
fn shared_shape(labels: &IdxReader<'_>, images: &IdxReader<'_>) -> Result<[usize; 3], Error> {
    let label_count = match *labels.dims() {
        [count] => count,
        [count, of_each] if of_each > 0 => count,
        _ => return Err(wrong_dimensions(labels, 1)),
    };
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

/// Whether `folder` has files of `split` under the names that [`from_folder`] knows.
pub fn are_in(folder: &Path, split: Split) -> bool {
    files::are_in(folder, split)
}

fn wrong_dimensions(file: &IdxReader<'_>, expected: usize) -> Error {
    Error::Idx(IdxError::WrongDimensions { file: file.name().to_owned(), expected, got: file.dims().len() })
}
