//! What can be wrong with data from outside: one enum, with one nested enum for each topic.
//!
//! Every message stands alone: it names the file or array and its numbers, and contains the message of the
//! operating system or decoder, which is therefore not handed out as a [`source`](std::error::Error::source)
//! as well.

mod formats;

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::count::Count;
use crate::pipeline::error::PipelineError;

pub use formats::{FormatError, ImageError};

/// Why a data set could not be opened or built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or a folder of a data set cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The header of an IDX file is not what a data set needs.
    #[error(transparent)]
    Idx(#[from] IdxError),
    /// A folder of images, or an image, cannot be used.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A file of a table or of arrays is not what a data set needs.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Samples and labels do not make a data set.
    #[error(transparent)]
    Array(#[from] ArrayError),
    /// A normalization has no meaning, or does not fit the samples.
    #[error(transparent)]
    Normalization(#[from] NormalizationError),
    /// A validation split leaves no samples, or has no meaning.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// A synthetic set has no samples or no classes.
    #[error(transparent)]
    Synthetic(#[from] SyntheticError),
    /// A pipeline cannot be built, or did not run to its end.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
}

/// Why a file or a folder of a data set cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The operating system could not open or read a file.
    #[error("cannot read {file}: {reason}")]
    Io {
        /// The file.
        file: String,
        /// What the operating system said.
        reason: io::Error,
    },

    /// The folder of a data set does not exist or is not a folder.
    #[error("no folder {}", folder.display())]
    MissingFolder {
        /// The folder.
        folder: PathBuf,
    },

    /// A folder lacks one of the files of the data set.
    #[error(
        "folder {} has no file {name} or {dotted_name}, with or without .gz; {}",
        folder.display(), Listed(entries, *entry_count)
    )]
    MissingFile {
        /// The folder.
        folder: PathBuf,
        /// The name that the file has when it is not compressed.
        name: String,
        /// The other spelling of the name.
        dotted_name: String,
        /// The first ten names of what the folder has, in their order; those of folders end in `/`.
        entries: Vec<String>,
        /// How many names it has.
        entry_count: usize,
    },

    /// A folder has files of several data sets.
    #[error(
        "folder {} has files of several data sets: {}; each set needs a folder of its own",
        folder.display(), files.join(", ")
    )]
    SeveralSets {
        /// The folder.
        folder: PathBuf,
        /// A file of each set.
        files: Vec<String>,
    },

    /// Several files with different contents have names of one file.
    #[error("several files that differ could be {name}: {}; only one may be there", Paths(files))]
    SeveralFiles {
        /// The name that the file has when it is not compressed.
        name: String,
        /// The files.
        files: Vec<PathBuf>,
    },

    /// Something other than a file has the name of one of the files of a data set: a folder, a pipe, a
    /// device.
    #[error("{file} is not a regular file")]
    NotAFile {
        /// What is there.
        file: String,
    },

    /// A header asks for more than its gzip file can hold, however well it is compressed.
    #[error(
        "{file}: the header asks for {}, {} of gzip hold at most {most_bytes}",
        Count(*expected_bytes, "byte"), Count(*gzip_bytes, "byte")
    )]
    GzipTooSmall {
        /// The file.
        file: String,
        /// The length, in decoded bytes, that the header asks for.
        expected_bytes: u64,
        /// The length of the file.
        gzip_bytes: u64,
        /// The longest content that deflate puts into it.
        most_bytes: u64,
    },

    /// A gzip stream breaks off, is corrupt, or fails its checksum.
    #[error("{file}: broken gzip stream after {}: {reason}", Count(*decoded_bytes, "decoded byte"))]
    Gzip {
        /// The file.
        file: String,
        /// How many bytes could be decoded.
        decoded_bytes: u64,
        /// What the decoder said.
        reason: io::Error,
    },

    /// A file ends before its content does.
    #[error("{file} is truncated: expected {}, got {got_bytes}", Count(*expected_bytes, "byte"))]
    Truncated {
        /// The file.
        file: String,
        /// The least length, in decoded bytes, that the file would need.
        expected_bytes: u64,
        /// The length, in decoded bytes, that it has.
        got_bytes: u64,
    },

    /// A file goes on after its content.
    #[error("{file} is too long: expected {}, got at least {got_bytes}", Count(*expected_bytes, "byte"))]
    TooLong {
        /// The file.
        file: String,
        /// The length, in decoded bytes, that the header asks for.
        expected_bytes: u64,
        /// A lower bound of the length, in decoded bytes, that it has.
        got_bytes: u64,
    },

    /// Images and labels do not belong together.
    #[error(
        "{images_file} has {}, but {labels_file} has {}",
        Count::of(*images, "image"), Count::of(*labels, "label")
    )]
    CountMismatch {
        /// The file of the images.
        images_file: String,
        /// The number of images.
        images: usize,
        /// The file of the labels.
        labels_file: String,
        /// The number of labels.
        labels: usize,
    },
}

/// Why an IDX file cannot be used, though it can be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdxError {
    /// A file does not begin like an IDX file.
    #[error(
        "{file} is not an IDX file: it begins with bytes {:02x} {:02x} {:02x} {:02x}, not with 00 00 08",
        magic[0], magic[1], magic[2], magic[3]
    )]
    NotIdx {
        /// The file.
        file: String,
        /// Its first four bytes.
        magic: [u8; 4],
    },

    /// An IDX file holds elements of another type than its use asks for.
    #[error(
        "{file}: IDX files of {element_type} (type {code:#04x}; dimensions {dims:?}) are not supported, \
         {expected}"
    )]
    ElementType {
        /// The file.
        file: String,
        /// The type code in the header.
        code: u8,
        /// What the code stands for.
        element_type: &'static str,
        /// The dimensions in the header.
        dims: Vec<usize>,
        /// What would be supported.
        expected: &'static str,
    },

    /// An IDX file has no or too many dimensions.
    #[error("{file}: IDX header has {}, expected 1 to 4", Count::of(*got, "dimension"))]
    DimensionCount {
        /// The file.
        file: String,
        /// The number of dimensions in the header.
        got: usize,
    },

    /// An IDX file is well-formed, but has another number of dimensions than its use asks for.
    #[error("{file} has {}, expected {expected}", Count::of(*got, "dimension"))]
    WrongDimensions {
        /// The file.
        file: String,
        /// The number of dimensions that are needed.
        expected: usize,
        /// The number of dimensions in the header.
        got: usize,
    },

    /// The dimensions in an IDX header multiply to more bytes than can be addressed.
    #[error("{file}: IDX dimensions {dims:?} have a product that does not fit in memory")]
    SizeOverflow {
        /// The file.
        file: String,
        /// The dimensions in the header.
        dims: Vec<usize>,
    },
}

/// Why samples and labels do not make a data set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArrayError {
    /// A label is a negative number, or below the first label of its set.
    #[error("{origin}: label {label} of sample {index} is below {first}, the first label")]
    LabelTooSmall {
        /// The file or array of the labels.
        origin: String,
        /// The position of the first such label.
        index: usize,
        /// The label.
        label: i64,
        /// The first label of the set.
        first: i64,
    },

    /// A label is not a class.
    #[error(
        "{origin}: label {label} of sample {index} is out of range for {}", Count::of(*num_classes, "class")
    )]
    LabelOutOfRange {
        /// The file or array of the labels.
        origin: String,
        /// The position of the first such label.
        index: usize,
        /// The label.
        label: u32,
        /// The number of classes.
        num_classes: usize,
    },

    /// A data set has no sample.
    #[error("{origin} has no samples")]
    NoSamples {
        /// The file or array.
        origin: String,
    },

    /// The shape of a sample has a zero, or the samples would not fit in memory.
    #[error(
        "{origin}: sample shape {sample_shape:?} is empty or too large for {}", Count::of(*samples, "sample")
    )]
    SampleShape {
        /// The file or array.
        origin: String,
        /// The shape, `[c, h, w]`.
        sample_shape: [usize; 3],
        /// The number of samples.
        samples: usize,
    },

    /// An array has another length than its samples need.
    #[error(
        "pixel array has {}, expected {expected} for {} of shape {sample_shape:?}",
        Count::of(*got, "value"), Count::of(*samples, "sample")
    )]
    PixelCount {
        /// The number of samples that have targets.
        samples: usize,
        /// The shape, `[c, h, w]`.
        sample_shape: [usize; 3],
        /// The number of values that are needed.
        expected: usize,
        /// The number of values in the array.
        got: usize,
    },

    /// Classes and their names differ in number.
    #[error("{} for {}", Count::of(*got, "name"), Count::of(*expected, "class"))]
    NameCount {
        /// The number of classes.
        expected: usize,
        /// The number of names.
        got: usize,
    },

    /// An array of targets that is not a whole number of targets.
    #[error("target array has {}, expected {expected} for each sample", Count::of(*got, "value"))]
    TargetCount {
        /// The number of values of a target.
        expected: usize,
        /// The number of values in the array.
        got: usize,
    },
}

/// Why a normalization cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NormalizationError {
    /// Scales and shifts of a normalization differ in number.
    #[error(
        "normalization has {} but {}", Count::of(*scales, "scale"), Count::of(*shifts, "shift value")
    )]
    Length {
        /// The number of scales.
        scales: usize,
        /// The number of shifts.
        shifts: usize,
    },

    /// A normalization would give infinities or NaN.
    #[error("normalization of channel {channel} is not finite: scale {scale}, shift {shift}")]
    Value {
        /// The channel.
        channel: usize,
        /// Its scale.
        scale: f64,
        /// Its shift.
        shift: f64,
    },

    /// The values of a channel have no deviation to divide them by.
    #[error("channel {channel} has the value {value} everywhere, which cannot be normalised")]
    Constant {
        /// The channel.
        channel: usize,
        /// The value.
        value: f64,
    },

    /// A normalization has another number of channels than the samples.
    #[error("normalization has {}, but the samples have {expected}", Count::of(*got, "channel"))]
    Channels {
        /// The number of channels of a sample.
        expected: usize,
        /// The number of channels of the normalization.
        got: usize,
    },
}

/// Why a data set cannot be split.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SplitError {
    /// The fraction of a validation split is negative, 1 or more, or not a number.
    #[error("validation split {fraction} is out of range, expected at least 0 and below 1")]
    Fraction {
        /// The fraction.
        fraction: f64,
    },

    /// A validation split takes every sample.
    #[error("validation split {fraction:?} of {} leaves none to train on", Count::of(*samples, "sample"))]
    NoTrainingSamples {
        /// The fraction.
        fraction: f64,
        /// The number of samples before the split.
        samples: usize,
    },

    /// A split by classes of samples whose targets are numbers.
    #[error("{sample} has no class: a stratified split needs one of each sample")]
    NoClass {
        /// The sample, as [`Dataset::describe`](crate::Dataset::describe) has it.
        sample: String,
    },

    /// A split by classes cannot read a sample.
    #[error("{sample} cannot be read for a stratified split: {source}")]
    Unreadable {
        /// The sample, as [`Dataset::describe`](crate::Dataset::describe) has it.
        sample: String,
        /// Why.
        source: crate::ReadError,
    },

    /// A validation split that is not 0 takes no sample.
    #[error("validation split {fraction:?} of {} leaves none to validate on", Count::of(*samples, "sample"))]
    NoValidationSamples {
        /// The fraction.
        fraction: f64,
        /// The number of samples before the split.
        samples: usize,
    },
}

/// Why a synthetic set cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyntheticError {
    /// A synthetic set was asked for samples that end before they begin.
    #[error("sample range {start}..{end} is empty")]
    SampleRange {
        /// The first sample.
        start: u64,
        /// The sample after the last.
        end: u64,
    },

    /// A synthetic set was asked for no class, or for more than a label can name.
    #[error("number of classes {num_classes} is out of range, expected 1 to {}", u32::MAX)]
    ClassCount {
        /// The number of classes.
        num_classes: usize,
    },
}

/// What a folder has: `it has a, b/ and 3 more`.
struct Listed<'a>(&'a [String], usize);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(entries, count) = self;
        if entries.is_empty() {
            return f.write_str("it is empty");
        }
        write!(f, "it has {}", entries.join(", "))?;
        let more = count.saturating_sub(entries.len());
        if more > 0 { write!(f, " and {more} more") } else { Ok(()) }
    }
}

/// Paths, separated by commas.
struct Paths<'a>(&'a [PathBuf]);

impl fmt::Display for Paths<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<String> = self.0.iter().map(|path| path.display().to_string()).collect();
        f.write_str(&paths.join(", "))
    }
}
