//! CIFAR-10 and CIFAR-100 in their binary versions: colour images of 32 x 32 pixels.
//!
//! ```text
//! CIFAR-10    label | 1024 red, 1024 green, 1024 blue         data_batch_1.bin .. _5.bin, test_batch.bin
//! CIFAR-100   coarse label | fine label | pixels as above     train.bin, test.bin
//! ```
//!
//! The files lie in a folder, in the folder `cifar-10-batches-bin` or `cifar-100-binary` in it, or in the
//! archive (`cifar-10-binary.tar.gz`, `cifar-100-binary.tar.gz`) that they are distributed as, or in a folder
//! with it. Samples are `[3, 32, 32]` bytes, normalised by the published statistics of the training images.
//!
//! # Source
//!
//! A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009, and
//! <https://www.cs.toronto.edu/~kriz/cifar.html>.

mod files;

use std::path::Path;

use crate::{Arrays, Error, FormatError, Normalization};
use files::Files;

const PIXELS: usize = 3 * 32 * 32;

/// Which part of CIFAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// 50,000 images to train on.
    Train,
    /// 10,000 images to test with.
    Test,
}

/// Which of the two sets, and which of its labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// Ten classes.
    Cifar10,
    /// A hundred classes.
    Cifar100,
    /// The images of CIFAR-100 in twenty classes.
    Cifar100Coarse,
}

/// Names of the classes of CIFAR-10, for folders without `batches.meta.txt`.
const NAMES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

impl Set {
    /// The number of classes.
    pub fn num_classes(self) -> usize {
        match self {
            Self::Cifar10 => 10,
            Self::Cifar100 => 100,
            Self::Cifar100Coarse => 20,
        }
    }

    /// The folder in the archive.
    fn folder(self) -> &'static str {
        match self {
            Self::Cifar10 => "cifar-10-batches-bin",
            Self::Cifar100 | Self::Cifar100Coarse => "cifar-100-binary",
        }
    }

    /// The name of the archive.
    fn archive(self) -> &'static str {
        match self {
            Self::Cifar10 => "cifar-10-binary.tar.gz",
            Self::Cifar100 | Self::Cifar100Coarse => "cifar-100-binary.tar.gz",
        }
    }

    fn files(self, split: Split) -> &'static [&'static str] {
        match (self, split) {
            (Self::Cifar10, Split::Train) => &[
                "data_batch_1.bin",
                "data_batch_2.bin",
                "data_batch_3.bin",
                "data_batch_4.bin",
                "data_batch_5.bin",
            ],
            (Self::Cifar10, Split::Test) => &["test_batch.bin"],
            (_, Split::Train) => &["train.bin"],
            (_, Split::Test) => &["test.bin"],
        }
    }

    /// The file of the names of the classes.
    fn names_file(self) -> &'static str {
        match self {
            Self::Cifar10 => "batches.meta.txt",
            Self::Cifar100 => "fine_label_names.txt",
            Self::Cifar100Coarse => "coarse_label_names.txt",
        }
    }

    /// The number of labels in front of an image, and which of them is the class.
    fn labels(self) -> (usize, usize) {
        match self {
            Self::Cifar10 => (1, 0),
            Self::Cifar100Coarse => (2, 0),
            Self::Cifar100 => (2, 1),
        }
    }

    /// Mean and deviation of the training images, as they are widely used.
    fn normalization(self) -> Normalization {
        let (mean, std) = match self {
            Self::Cifar10 => ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
            _ => ([0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762]),
        };
        Normalization::from_mean_std(&mean, &std).expect("no deviation is 0")
    }
}

/// Whether the files of `set` are at `path`, which may be a folder or an archive.
pub fn is_at(path: &Path, set: Set) -> bool {
    Files::find(path, set).is_ok()
}

/// One split of `set` from `path`: a folder or an archive, as the module says.
///
/// ```no_run
/// use isograd_datasets::{Dataset, cifar};
///
/// let train = cifar::open("cifar-10-batches-bin".as_ref(), cifar::Set::Cifar10, cifar::Split::Train)?;
/// assert_eq!((train.len(), train.sample_shape()), (50_000, [3, 32, 32]));
/// # Ok::<(), isograd_datasets::Error>(())
/// ```
///
/// # Errors
///
/// [`FormatError::Unrecognised`] without the files, [`FormatError::Malformed`] for one whose length is not a
/// number of whole images or that has other labels than the set, [`FileError`](crate::FileError) for one that
/// cannot be read.
pub fn open(path: &Path, set: Set, split: Split) -> Result<Arrays<'static>, Error> {
    let files = Files::find(path, set)?;
    let contents = files.read(set.files(split))?;
    let images: usize = contents.iter().map(|(_, bytes)| bytes.len() / (set.labels().0 + PIXELS)).sum();
    let (mut pixels, mut labels) = (Vec::with_capacity(images * PIXELS), Vec::with_capacity(images));
    // Each file is dropped once its pixels are copied.
    for (file, bytes) in contents {
        append(set, &file, &bytes, &mut pixels, &mut labels)?;
    }
    Arrays::from_u8_named(pixels, labels, [3, 32, 32], set.num_classes(), &path.display().to_string())?
        .with_normalization(set.normalization())?
        .with_class_names(class_names(set, &files)?)
}

/// Appends the images of one file.
fn append(
    set: Set,
    file: &str,
    bytes: &[u8],
    pixels: &mut Vec<u8>,
    labels: &mut Vec<u32>,
) -> Result<(), FormatError> {
    let malformed = |problem: String| FormatError::Malformed { file: file.to_string(), problem };
    let (label_bytes, class) = set.labels();
    let record = label_bytes + PIXELS;
    if bytes.is_empty() || !bytes.len().is_multiple_of(record) {
        let length = bytes.len();
        return Err(malformed(format!("{length} bytes are not a number of whole images of {record} bytes")));
    }
    for (index, image) in bytes.chunks_exact(record).enumerate() {
        let (of_image, image) = image.split_at(label_bytes);
        let label = of_image[class];
        if usize::from(label) >= set.num_classes() {
            let classes = set.num_classes();
            return Err(malformed(format!("label {label} of image {index} is not below {classes}")));
        }
        labels.push(label.into());
        pixels.extend_from_slice(image);
    }
    Ok(())
}

/// The names of the classes. Without their file, those of CIFAR-10 are known.
fn class_names(set: Set, files: &Files) -> Result<Vec<String>, Error> {
    let Some((file, text)) = files.read_if_there(set.names_file())? else {
        return Ok(match set {
            Set::Cifar10 => NAMES.map(str::to_string).to_vec(),
            _ => Vec::new(),
        });
    };
    let text = String::from_utf8_lossy(&text);
    let names: Vec<String> =
        text.lines().map(str::trim).filter(|name| !name.is_empty()).map(str::to_string).collect();
    let (got, expected) = (names.len(), set.num_classes());
    if got != expected {
        let problem = format!("has {got} names of classes, expected {expected}");
        return Err(FormatError::Malformed { file, problem }.into());
    }
    Ok(names)
}
