//! Finds the images of a folder that has a folder for each class.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::{Error, FileError, ImageError};

const ENDINGS: [&str; 6] = ["jpg", "jpeg", "jpe", "png", "webp", "bmp"];

/// A folder, and when an entry of it was last added, renamed or removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FolderStamp {
    /// Relative to the root; empty for the root itself.
    pub(super) path: String,
    pub(super) modified_ns: i64,
}

/// What a folder of images holds. Paths are relative to it, with slashes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listing {
    /// The names of the class folders, sorted.
    pub(super) classes: Vec<String>,
    /// The number of files of each class that are no images by their names.
    pub(super) other_files: Vec<usize>,
    /// All folders, the root included.
    pub(super) folders: Vec<FolderStamp>,
    /// The paths of the images, sorted; each begins with the name of its class.
    pub(super) images: Vec<String>,
}

impl Listing {
    /// Lists the images in `root`.
    pub(super) fn scan(root: &Path) -> Result<Self, Error> {
        let mut listing = Self::default();
        let mut scan = Scan { root, ancestors: vec![canonical(root)?], listing: &mut listing };
        scan.stamp("")?;
        for entry in entries(root)?.into_iter().filter(|entry| entry.is_folder) {
            scan.listing.classes.push(entry.name.clone());
            scan.listing.other_files.push(0);
            scan.folder(&entry.name)?;
        }
        listing.images.sort_unstable();
        Ok(listing)
    }

    /// Whether no file was added, renamed or removed in any folder since they were listed.
    pub(super) fn is_current(&self, root: &Path) -> bool {
        let is_same = |folder: &FolderStamp| {
            let metadata = fs::metadata(root.join(&folder.path));
            metadata.is_ok_and(|metadata| modified_ns(&metadata) == folder.modified_ns)
        };
        !self.folders.is_empty() && self.folders.iter().all(is_same)
    }

    /// Checks the classes: two or more, with different names, each with images.
    pub(super) fn check(&self, root: &Path) -> Result<(), ImageError> {
        let folder = root.to_owned();
        if let [class] = self.classes.as_slice() {
            return Err(ImageError::OneClass { folder, class: class.clone() });
        }
        let mut names: Vec<(String, &String)> =
            self.classes.iter().map(|name| (name.to_lowercase(), name)).collect();
        names.sort();
        if let Some(pair) = names.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(ImageError::SameName { folder, names: [0, 1].map(|index| pair[index].1.clone()) });
        }
        self.check_images(root)
    }

    /// Checks that there are classes, and that each has images.
    pub(super) fn check_images(&self, root: &Path) -> Result<(), ImageError> {
        if self.classes.is_empty() {
            return Err(ImageError::NoClasses { folder: root.to_owned() });
        }
        for (class, &other_files) in self.classes.iter().zip(&self.other_files) {
            let prefix = format!("{class}/");
            let first = self.images.partition_point(|image| *image < prefix);
            if !self.images.get(first).is_some_and(|image| image.starts_with(&prefix)) {
                return Err(ImageError::EmptyClass { folder: root.join(class), other_files });
            }
        }
        Ok(())
    }
}

/// A walk through the folders below `root`.
struct Scan<'a> {
    root: &'a Path,
    /// The folders around the one that is being read, without links in their paths.
    ancestors: Vec<PathBuf>,
    listing: &'a mut Listing,
}

impl Scan<'_> {
    fn folder(&mut self, relative: &str) -> Result<(), Error> {
        let path = self.root.join(relative);
        let target = canonical(&path)?;
        if self.ancestors.contains(&target) {
            return Err(ImageError::LinkCycle { link: path, target }.into());
        }
        self.stamp(relative)?;
        self.ancestors.push(target);
        for entry in entries(&path)? {
            let inner = format!("{relative}/{}", entry.name);
            if entry.is_folder {
                self.folder(&inner)?;
            } else if is_image(&entry.name) {
                self.listing.images.push(inner);
            } else if let Some(count) = self.listing.other_files.last_mut() {
                *count += 1;
            }
        }
        self.ancestors.pop();
        Ok(())
    }

    fn stamp(&mut self, relative: &str) -> Result<(), Error> {
        let path = self.root.join(relative);
        let metadata = fs::metadata(&path).map_err(|reason| io_error(&path, reason))?;
        let modified_ns = modified_ns(&metadata);
        self.listing.folders.push(FolderStamp { path: relative.to_string(), modified_ns });
        Ok(())
    }
}

/// A file or folder in a folder.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) is_folder: bool,
}

/// The entries of a folder, sorted by name, without hidden ones.
pub(super) fn entries(folder: &Path) -> Result<Vec<Entry>, Error> {
    let failure = |reason| io_error(folder, reason);
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(failure)? {
        let entry = entry.map_err(failure)?;
        let path = entry.path();
        let name = entry.file_name().into_string().map_err(|_| ImageError::NotUtf8 { path: path.clone() })?;
        if name.starts_with('.') {
            continue;
        }
        let kind = entry.file_type().map_err(|reason| io_error(&path, reason))?;
        let is_folder = match kind.is_symlink() {
            false => kind.is_dir(),
            true => metadata(&path)?.is_dir(),
        };
        entries.push(Entry { name, is_folder });
    }
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(entries)
}

/// What is known of the file at `path`, or of that which it is a link to.
pub(super) fn metadata(path: &Path) -> Result<Metadata, Error> {
    fs::metadata(path).map_err(|reason| match (reason.kind(), path.read_link()) {
        (io::ErrorKind::NotFound, Ok(target)) => {
            ImageError::DanglingLink { link: path.to_owned(), target }.into()
        }
        // Some systems find the shortest cycles, of links alone, themselves.
        _ => io_error(path, reason),
    })
}

/// Nanoseconds from 1970 to the last change of a file or folder.
pub(super) fn modified_ns(metadata: &Metadata) -> i64 {
    // A file from before 1970, or a system without times of change: length and name must do.
    let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_nanos() as i64)
}

/// Whether a file is an image by its name.
pub(super) fn is_image(name: &str) -> bool {
    let ending = Path::new(name).extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| ENDINGS.iter().any(|known| known.eq_ignore_ascii_case(ending)))
}

fn canonical(path: &Path) -> Result<PathBuf, Error> {
    path.canonicalize().map_err(|reason| io_error(path, reason))
}

pub(super) fn io_error(path: &Path, reason: io::Error) -> Error {
    FileError::Io { file: path.display().to_string(), reason }.into()
}
