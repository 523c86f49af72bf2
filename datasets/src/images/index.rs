//! The index of a folder of images: what is known of each file without reading it again.
//!
//! A file in a cache folder keeps it. Whether it is still true is found by the times at which folders and
//! files changed: a folder that changed is listed again, a file that changed is read again. The cache is an
//! aid: where it cannot be read or written, everything is read as at the first time. That a file could not be
//! read is never kept: it says nothing of the file, and reading may succeed at the next start.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::colour::Colour;
use super::decode;
use super::scan::{self, Listing};
use crate::digest::Lines;
use crate::{Error, ImageError};

/// The first bytes of a cache file. The number changes when its content does.
const MAGIC: &[u8; 16] = b"isograd-images-2";

/// An image, by the header of its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// Relative to the root.
    pub(super) path: String,
    pub(super) bytes: u64,
    modified_ns: i64,
    /// Whether all of it was decoded once.
    is_decoded: bool,
    /// `[height, width]`, or why it is no image.
    pub(super) size: Result<[u32; 2], String>,
}

/// All images of a folder.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Index {
    pub(super) listing: Listing,
    pub(super) images: Vec<Known>,
}

impl Index {
    /// The index of `root`, from the cache in `cache_folder` as far as it is still true. With `decode_all`,
    /// all images are decoded once, otherwise their headers are read.
    pub(super) fn open(root: &Path, cache_folder: Option<&Path>, decode_all: bool) -> Result<Self, Error> {
        let cache = cache_folder.map(|folder| cache_file(folder, root)).transpose()?;
        let old = cache.as_deref().and_then(load).unwrap_or_default();
        let listing = if old.listing.is_current(root) { old.listing.clone() } else { Listing::scan(root)? };
        listing.check_images(root)?;
        let images = listing.images.par_iter().map(|path| {
            let place = old.images.binary_search_by(|known| known.path.cmp(path)).ok();
            Known::new(root, path, place.map(|place| &old.images[place]), decode_all)
        });
        let images = images.collect::<Vec<_>>().into_iter().collect::<Result<Vec<_>, Error>>()?;
        let index = Self { listing, images };
        if let Some(cache) = cache.filter(|_| index != old) {
            index.save(&cache);
        }
        Ok(index)
    }

    /// Writes the cache: a new file that takes the place of the old one, as ranks that start together may
    /// all write it.
    fn save(&self, path: &Path) {
        let write = || -> Option<()> {
            let folder = path.parent()?;
            fs::create_dir_all(folder).ok()?;
            let mut file = tempfile::NamedTempFile::new_in(folder).ok()?;
            file.write_all(MAGIC).ok()?;
            file.write_all(&postcard::to_stdvec(self).ok()?).ok()?;
            file.persist(path).ok()?;
            Some(())
        };
        // Without it, the next start takes longer.
        let _ = write();
    }
}

fn load(path: &Path) -> Option<Index> {
    let bytes = fs::read(path).ok()?;
    postcard::from_bytes(bytes.strip_prefix(MAGIC)?).ok()
}

/// The cache file of `root`, by the digest of its path.
fn cache_file(folder: &Path, root: &Path) -> Result<PathBuf, Error> {
    let path = root.canonicalize().map_err(|reason| scan::io_error(root, reason))?;
    let mut digest = Lines::default();
    digest.add(&path.to_string_lossy());
    Ok(folder.join(format!("images-{}.index", &digest.finish()[..32])))
}

impl Known {
    /// What is known of the image at `path`; as before if the file is the same.
    fn new(root: &Path, path: &str, before: Option<&Self>, decode: bool) -> Result<Self, Error> {
        let file = root.join(path);
        let metadata = scan::metadata(&file)?;
        let (bytes, modified_ns) = (metadata.len(), scan::modified_ns(&metadata));
        if let Some(before) = before
            && (before.bytes, before.modified_ns) == (bytes, modified_ns)
            && (before.is_decoded || !decode)
        {
            return Ok(before.clone());
        }
        let failure = |reason| scan::io_error(&file, reason);
        let size = if !metadata.is_file() {
            Err("is not a regular file".to_string())
        } else if decode {
            size_when_decoded(&file).map_err(failure)?
        } else {
            decode::size_in_file(&file, bytes).map_err(failure)?
        };
        Ok(Self { path: path.to_string(), bytes, modified_ns, is_decoded: decode, size })
    }

    /// The error that this file is no image.
    pub(super) fn error(&self, root: &Path, problem: &str) -> ImageError {
        ImageError::Image { file: root.join(&self.path).display().to_string(), problem: problem.to_string() }
    }
}

fn size_when_decoded(file: &Path) -> io::Result<Result<[u32; 2], String>> {
    let bytes = fs::read(file)?;
    let decoded = decode::decode(&bytes, Colour::Rgb, &mut Vec::new());
    Ok(decoded.map(|decoded| decoded.size.map(|side| side as u32)))
}

/// Reads a file into `contents`. A file that has changed since it was indexed is an error: ranks might see
/// different images.
pub(super) fn read_file(path: &Path, expected_bytes: u64, contents: &mut Vec<u8>) -> Result<(), String> {
    use std::io::Read;
    contents.clear();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(expected_bytes + 1).read_to_end(contents).map_err(|error| error.to_string())?;
    match contents.len() as u64 == expected_bytes {
        true => Ok(()),
        false => Err(format!("the file has changed since training began: it had {expected_bytes} bytes")),
    }
}
