//! What can be wrong with image folders and with files of tables and arrays.

use std::path::PathBuf;

use crate::count::Count;

/// Why a folder of images, or a shard of them, cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// An image that cannot be decoded, or that another program has changed.
    #[error("{file}: {problem}")]
    Image {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A folder without folders of classes.
    #[error(
        "folder {} has no class folders; each class needs a folder of its own, named after it, with its images",
        folder.display()
    )]
    NoClasses {
        /// The folder.
        folder: PathBuf,
    },
    /// A folder with one class only.
    #[error(
        "folder {} has one class only, '{class}'; a classifier needs two or more class folders",
        folder.display()
    )]
    OneClass {
        /// The folder.
        folder: PathBuf,
        /// The class.
        class: String,
    },
    /// A class folder without images.
    #[error(
        "class folder {} has no images{}; images end in .jpg, .jpeg, .png, .webp or .bmp",
        folder.display(), others(*other_files)
    )]
    EmptyClass {
        /// The class folder.
        folder: PathBuf,
        /// The number of its files that are no images by their names.
        other_files: usize,
    },
    /// Two class folders whose names are the same on some systems.
    #[error(
        "class folders '{}' and '{}' of {} differ only in case; rename or merge them",
        names[0], names[1], folder.display()
    )]
    SameName {
        /// The folder.
        folder: PathBuf,
        /// The names.
        names: [String; 2],
    },
    /// A class that the training samples lack.
    #[error("class folder {} is of a class that the training samples lack", folder.display())]
    UnknownClass {
        /// The class folder.
        folder: PathBuf,
    },
    /// Two folders that hold the same part of a set.
    #[error(
        "folders '{}' and '{}' of {} both hold {part} samples; only one may be there",
        names[0], names[1], folder.display()
    )]
    TwoParts {
        /// The folder.
        folder: PathBuf,
        /// The names.
        names: [String; 2],
        /// What both hold.
        part: &'static str,
    },
    /// A link to a folder that the link lies in.
    #[error("{} is a link to {}, which it lies in", link.display(), target.display())]
    LinkCycle {
        /// The link.
        link: PathBuf,
        /// The folder.
        target: PathBuf,
    },
    /// A link to a file that does not exist.
    #[error("{} is a link to {}, which does not exist", link.display(), target.display())]
    DanglingLink {
        /// The link.
        link: PathBuf,
        /// What it points to.
        target: PathBuf,
    },
    /// A name that is no text.
    #[error("the name of {} is not UTF-8; rename it", path.display())]
    NotUtf8 {
        /// The file or folder.
        path: PathBuf,
    },
    /// Images of several sizes, where no size is asked for.
    #[error(
        "images have different sizes, such as {} of {} x {} and {} of {} x {} pixels (width x height); \
         resize or crop them to one size",
        files[0], sizes[0][0], sizes[0][1], files[1], sizes[1][0], sizes[1][1]
    )]
    Sizes {
        /// Two files.
        files: [String; 2],
        /// Their widths and heights.
        sizes: [[u32; 2]; 2],
    },
    /// A size that images cannot be brought to.
    #[error("a crop of {crop} pixels does not fit into images whose shorter side has {resize}")]
    Crop {
        /// The side of the crop.
        crop: usize,
        /// The shorter side of the images.
        resize: usize,
    },
}

fn others(files: usize) -> String {
    match files {
        0 => String::new(),
        files => format!(", but {}", Count::of(files, "other file")),
    }
}

/// Why a file of a table or of arrays cannot be used, though it can be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// A file that is not what its format says.
    #[error("{file}: {problem}")]
    Malformed {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A value in a table that cannot be used.
    #[error("{file}, line {line}, column {column}: {problem}")]
    Value {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u64,
        /// The column: its number from 1, and its name if it has one.
        column: String,
        /// What is wrong with the value.
        problem: String,
    },
    /// A path at which there is no data set of a known format.
    #[error("{}: {problem}; looked for {looked_for}", path.display())]
    Unrecognised {
        /// The path.
        path: PathBuf,
        /// What is there.
        problem: String,
        /// What would have been recognised.
        looked_for: String,
    },
    /// A part of a set that does not go with the training samples.
    #[error("{part} samples {problem}")]
    Parts {
        /// The part.
        part: &'static str,
        /// How they differ.
        problem: String,
    },
}
