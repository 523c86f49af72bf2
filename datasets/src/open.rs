//! Opens a data set by its name, or whatever is at a path.
//!
//! ```text
//! file     .csv .tsv                          table
//!          .npz .safetensors                  arrays
//!          .tar                               images in a tar file
//!          cifar-10-binary.tar.gz and so on   CIFAR
//! folder   train-images-idx3-ubyte and so on  MNIST, and sets in its format
//!          data_batch_1.bin, train.bin        CIFAR
//!          .npz                               arrays in several files
//!          .tar                               images in several tar files
//!          folders of classes, or train/      images
//! ```
//!
//! Several npz or tar files are the parts that a word of their names says, as in `val-003.tar`, or the folder
//! that they are in: `train`, `val` and `test`. Without such a word they are for training. Hidden files are
//! left out.

use std::path::{Path, PathBuf};

use crate::images::shards::TarShards;
use crate::images::{ImageFolder, ImageOptions, ImageParts, open_parts, part_of};
use crate::table::{Encoding, Table, TableOptions};
use crate::tensors::{self, ArrayParts, NpzChunks};
use crate::{Arrays, Dataset, Error, FileError, FormatError, ImageError, cifar, mnist};

/// What the error for an unknown path lists.
const LOOKED_FOR: &str = "a folder with folders of images, one for each class, or with train/ and test/ of them; \
     .tar files of images; .csv, .npz, .npy and .safetensors files; the IDX files of MNIST; the binary files of CIFAR";

/// How a data set is opened. Each format takes what concerns it.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// For images.
    pub images: ImageOptions,
    /// For tables.
    pub table: TableOptions,
    /// The number of classes of IDX files without a known name; 10 without an answer.
    pub num_classes: Option<usize>,
}

/// A data set in a format that has been recognised.
pub struct Opened {
    /// What it is.
    pub format: Format,
    /// The samples to train on.
    pub train: Box<dyn Dataset>,
    /// The samples to validate on, where the set has some of its own.
    pub validation: Option<Box<dyn Dataset>>,
    /// The samples to test with, where there are some.
    pub test: Option<Box<dyn Dataset>>,
    /// The files that were left out, and why.
    pub skipped: Vec<String>,
}

/// The format of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Pairs of IDX files.
    Idx,
    /// The binary version of CIFAR.
    Cifar,
    /// A CSV file.
    Table,
    /// Npz, npy or safetensors files.
    Arrays,
    /// Folders of images.
    Images,
    /// Tar files of images.
    Shards,
}

impl Format {
    /// Whether samples are decoded images, to which [`ImageOptions`] apply.
    pub fn has_images(self) -> bool {
        matches!(self, Self::Images | Self::Shards)
    }

    /// The name for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idx => "IDX files",
            Self::Cifar => "CIFAR",
            Self::Table => "a table",
            Self::Arrays => "arrays",
            Self::Images => "images",
            Self::Shards => "tar files of images",
        }
    }
}

/// A data set that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// MNIST, or a set in its format.
    Idx(mnist::Set),
    /// CIFAR.
    Cifar(cifar::Set),
}

/// Names of CIFAR's sets.
const CIFAR: [(&str, cifar::Set); 3] = [
    ("cifar10", cifar::Set::Cifar10),
    ("cifar100", cifar::Set::Cifar100),
    ("cifar100-coarse", cifar::Set::Cifar100Coarse),
];

impl Named {
    /// The set called `name`.
    pub fn by_name(name: &str) -> Option<Self> {
        let cifar = CIFAR.iter().find(|(known, _)| *known == name).map(|(_, set)| Self::Cifar(*set));
        cifar.or_else(|| mnist::Set::by_name(name).copied().map(Self::Idx))
    }

    /// All names.
    pub fn names() -> impl Iterator<Item = &'static str> {
        mnist::SETS.iter().map(|set| set.name).chain(CIFAR.iter().map(|(name, _)| *name))
    }

    /// The number of classes.
    pub fn num_classes(self) -> usize {
        match self {
            Self::Idx(set) => set.num_classes,
            Self::Cifar(set) => set.num_classes(),
        }
    }

    /// Opens the set at `path`; its test samples, if there is one, at `test_path`.
    ///
    /// # Errors
    ///
    /// Those of [`mnist::open`] and [`cifar::open`]; [`FormatError::Parts`] for test samples of another shape
    /// than the training samples.
    pub fn open(self, path: &Path, test_path: Option<&Path>) -> Result<Opened, Error> {
        let test = self.open_test(test_path.unwrap_or(path))?;
        let (format, train) = match self {
            Self::Idx(set) => (Format::Idx, mnist::open(path, &set, mnist::Split::Train)?),
            Self::Cifar(set) => (Format::Cifar, cifar::open(path, set, cifar::Split::Train)?),
        };
        Opened::new(format, train, Some(test)).checked()
    }

    /// Opens the test samples alone.
    ///
    /// # Errors
    ///
    /// Those of [`mnist::open`] and [`cifar::open`].
    pub fn open_test(self, path: &Path) -> Result<Arrays<'static>, Error> {
        match self {
            Self::Idx(set) => mnist::open(path, &set, mnist::Split::Test),
            Self::Cifar(set) => cifar::open(path, set, cifar::Split::Test),
        }
    }
}

/// Opens the data set at `path`, whatever its format; its test samples, if they are apart, are at `test_path`
/// in the same format.
///
/// ```no_run
/// use isograd_datasets::images::{Fit, ImageOptions};
/// use isograd_datasets::open::{OpenOptions, open};
///
/// let fit = Fit { resize: Some(256), crop: Some(224) };
/// let images = ImageOptions { fit, ..ImageOptions::default() };
/// let photos = open("photos".as_ref(), None, &OpenOptions { images, ..OpenOptions::default() })?;
/// println!("{} photos of {:?}", photos.train.len(), photos.train.class_names());
/// # Ok::<(), isograd_datasets::Error>(())
/// ```
///
/// # Errors
///
/// [`FormatError::Unrecognised`] if it is none; [`FormatError::Parts`] for parts that do not go together; and
/// those of the format.
pub fn open(path: &Path, test_path: Option<&Path>, options: &OpenOptions) -> Result<Opened, Error> {
    let metadata =
        path.metadata().map_err(|reason| FileError::Io { file: path.display().to_string(), reason })?;
    if metadata.is_dir() {
        return open_folder(path, test_path, options)?.checked();
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let (_, ending) = name.rsplit_once('.').unwrap_or_default();
    match ending {
        "csv" => open_table(path, test_path, &options.table)?.checked(),
        "tsv" => {
            let table = TableOptions { delimiter: b'\t', ..options.table.clone() };
            open_table(path, test_path, &table)?.checked()
        }
        "gz" | "tgz" | "tar" if name.contains("cifar-100") => {
            Named::Cifar(cifar::Set::Cifar100).open(path, test_path)
        }
        "gz" | "tgz" | "tar" if name.contains("cifar") => {
            Named::Cifar(cifar::Set::Cifar10).open(path, test_path)
        }
        "tar" => {
            let test = test_path.map(|path| files(path, "tar")).transpose()?.map(Files::all);
            let train = Files { parts: [vec![path.to_owned()], Vec::new(), test.unwrap_or_default()] };
            open_shards(train, &options.images)?.checked()
        }
        "npz" | "npy" | "safetensors" => {
            let ArrayParts { train, validation, test } = tensors::open(path, test_path)?;
            let opened = Opened::new(Format::Arrays, train, test);
            let validation = validation.map(|part| Box::new(part) as Box<dyn Dataset>);
            Opened { validation, ..opened }.checked()
        }
        _ => Err(unrecognised(path, format!("the format of a file '{name}' is not known")).into()),
    }
}

/// Whether [`open`] takes what is at `path` for a folder of images.
///
/// # Errors
///
/// [`FileError::Io`] for a folder that cannot be read.
pub fn is_image_folder(path: &Path) -> Result<bool, Error> {
    if !path.is_dir() || mnist::are_in(path, mnist::Split::Train) {
        return Ok(false);
    }
    if [cifar::Set::Cifar10, cifar::Set::Cifar100].into_iter().any(|set| cifar::is_at(path, set)) {
        return Ok(false);
    }
    let is_there = |ending| Ok::<_, Error>(files(path, ending)?.parts.iter().any(|part| !part.is_empty()));
    Ok(!is_there("npz")? && !is_there("tar")? && has_folders(path)?)
}

fn open_folder(path: &Path, test_path: Option<&Path>, options: &OpenOptions) -> Result<Opened, Error> {
    if mnist::are_in(path, mnist::Split::Train) {
        let num_classes = options.num_classes.unwrap_or(mnist::NUM_CLASSES);
        let of = |path, split| mnist::from_folder(path, split, num_classes);
        let test_path = test_path.unwrap_or(path);
        let has_test = mnist::are_in(test_path, mnist::Split::Test);
        let test = has_test.then(|| of(test_path, mnist::Split::Test)).transpose()?;
        return Ok(Opened::new(Format::Idx, of(path, mnist::Split::Train)?, test));
    }
    for set in [cifar::Set::Cifar10, cifar::Set::Cifar100] {
        if cifar::is_at(path, set) {
            return Named::Cifar(set).open(path, test_path);
        }
    }
    for (ending, format) in [("npz", Format::Arrays), ("tar", Format::Shards)] {
        let mut found = files(path, ending)?;
        if found.parts.iter().all(Vec::is_empty) {
            continue;
        }
        if let Some(path) = test_path {
            found.parts[2] = files(path, ending)?.all();
        }
        if found.parts[0].is_empty() {
            return Err(unrecognised(path, format!("has no .{ending} files for training")).into());
        }
        return match format {
            Format::Arrays => open_npz(found),
            _ => open_shards(found, &options.images),
        };
    }
    if !has_folders(path)? {
        return Err(unrecognised(path, "the folder has neither folders nor known files".to_string()).into());
    }
    let ImageParts { train, validation, mut test } = open_parts(path, &options.images)?;
    if let Some(path) = test_path {
        test = Some(ImageFolder::open_beside(path, &train)?);
    }
    let all = [Some(&train), validation.as_ref(), test.as_ref()].into_iter().flatten();
    let skipped = all.flat_map(|part| part.skipped()).map(ToString::to_string).collect();
    let boxed = |part| Box::new(part) as Box<dyn Dataset>;
    Ok(Opened {
        format: Format::Images,
        train: Box::new(train),
        validation: validation.map(boxed),
        test: test.map(boxed),
        skipped,
    })
}

fn open_table(path: &Path, test_path: Option<&Path>, options: &TableOptions) -> Result<Opened, Error> {
    let table = Table::open(path, options)?;
    let encoding = Encoding::new(&table, options)?;
    let test = |path| encoding.samples(&Table::open(path, options)?);
    let test = test_path.map(test).transpose()?;
    Ok(Opened::new(Format::Table, encoding.samples(&table)?, test))
}

/// Files of one format, by the part that they are for: training, validation and test.
struct Files {
    parts: [Vec<PathBuf>; 3],
}

impl Files {
    /// All files, whatever part they are for.
    fn all(self) -> Vec<PathBuf> {
        self.parts.into_iter().flatten().collect()
    }
}

/// The files that end in `ending`: `path` itself, or those in the folder `path` and in its folders for parts.
fn files(path: &Path, ending: &str) -> Result<Files, Error> {
    let has_ending = |path: &Path| path.extension().is_some_and(|found| found == ending);
    let mut parts = [const { Vec::new() }; 3];
    if !path.is_dir() {
        parts[0].push(path.to_owned());
        return Ok(Files { parts });
    }
    for entry in sorted(path)? {
        let stem = entry.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if entry.is_dir() {
            if let Some(part) = part_of(&stem) {
                parts[part].extend(sorted(&entry)?.into_iter().filter(|path| has_ending(path)));
            }
        } else if has_ending(&entry) {
            let part = stem.split(|c: char| !c.is_ascii_alphabetic()).find_map(part_of);
            parts[part.unwrap_or(0)].push(entry);
        }
    }
    Ok(Files { parts })
}

/// The entries of a folder, sorted by name, without hidden ones.
fn sorted(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let failure = |reason| FileError::Io { file: folder.display().to_string(), reason };
    let entries = folder.read_dir().map_err(failure)?.map(|entry| entry.map(|entry| entry.path()));
    let mut entries = entries.collect::<Result<Vec<_>, _>>().map_err(failure)?;
    entries.retain(|path| !path.file_name().unwrap_or_default().to_string_lossy().starts_with('.'));
    entries.sort();
    Ok(entries)
}

fn open_npz(Files { parts: [train, validation, test] }: Files) -> Result<Opened, Error> {
    let train = NpzChunks::open(&train, NpzChunks::CACHE_BYTES)?;
    let beside = |paths: Vec<PathBuf>| -> Result<Option<Box<dyn Dataset>>, Error> {
        let set = (!paths.is_empty()).then(|| NpzChunks::open_beside(&paths, &train)).transpose()?;
        Ok(set.map(|set| Box::new(set) as Box<dyn Dataset>))
    };
    let (validation, test) = (beside(validation)?, beside(test)?);
    Ok(Opened { format: Format::Arrays, train: Box::new(train), validation, test, skipped: Vec::new() })
}

fn open_shards(
    Files { parts: [train, validation, test] }: Files,
    options: &ImageOptions,
) -> Result<Opened, Error> {
    let train = TarShards::open(&train, options)?;
    let mut skipped: Vec<String> = train.skipped().iter().map(ImageError::to_string).collect();
    let mut beside = |paths: Vec<PathBuf>| -> Result<Option<Box<dyn Dataset>>, Error> {
        let set = (!paths.is_empty()).then(|| TarShards::open_beside(&paths, &train)).transpose()?;
        skipped.extend(set.iter().flat_map(TarShards::skipped).map(ImageError::to_string));
        Ok(set.map(|set| Box::new(set) as Box<dyn Dataset>))
    };
    let (validation, test) = (beside(validation)?, beside(test)?);
    Ok(Opened { format: Format::Shards, train: Box::new(train), validation, test, skipped })
}

fn has_folders(path: &Path) -> Result<bool, Error> {
    Ok(sorted(path)?.iter().any(|entry| entry.is_dir()))
}

fn unrecognised(path: &Path, problem: String) -> FormatError {
    FormatError::Unrecognised { path: path.to_owned(), problem, looked_for: LOOKED_FOR.to_string() }
}

impl Opened {
    fn new(format: Format, train: Arrays<'static>, test: Option<Arrays<'static>>) -> Self {
        Self {
            format,
            train: Box::new(train),
            validation: None,
            test: test.map(|test| Box::new(test) as Box<dyn Dataset>),
            skipped: Vec::new(),
        }
    }

    /// Checks that the parts have samples of one kind.
    fn checked(self) -> Result<Self, Error> {
        for (part, set) in [("validation", &self.validation), ("test", &self.test)] {
            let Some(set) = set else { continue };
            let kind = |set: &dyn Dataset| (set.sample_shape(), set.num_classes(), set.target_values());
            let [got, expected] = [kind(&**set), kind(&*self.train)];
            if got.0 != expected.0 {
                let problem = format!("are {:?}, training samples are {:?}", got.0, expected.0);
                return Err(FormatError::Parts { part, problem }.into());
            }
            if got != expected {
                let words = |(_, classes, values): ([usize; 3], usize, Option<usize>)| match values {
                    Some(values) => format!("targets of {values} numbers"),
                    None => format!("{classes} classes"),
                };
                let problem = format!("have {}, training samples {}", words(got), words(expected));
                return Err(FormatError::Parts { part, problem }.into());
            }
        }
        Ok(self)
    }
}
