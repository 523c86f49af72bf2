//! Finds the files of MNIST, and of sets in its format, under the names with which they are distributed.
//!
//! ```text
//! name  = [set] split "-" kind [".gz"]
//! set   = "emnist-" word "-" | "qmnist-"           of EMNIST's sets and of QMNIST, which call t10k "test"
//! split = "train" | "t10k"
//! kind  = "images-idx3-ubyte" | "labels-idx1-ubyte", also with ".idx" for "-idx"
//!       | "labels-idx2-int" | "labels-idx1-int"
//! place = name | name "/" name                     Kaggle packs each file into a folder
//! ```
//!
//! A folder may have a file twice, say unpacked and packed. If their contents differ, nobody knows which one
//! is meant, so both are refused.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::Split;
use crate::gzip::{self, GzipReader};
use crate::{Error, FileError};

/// The most names of a folder that an error lists.
const LISTED: usize = 10;

/// The two files of a split.
pub(crate) struct Files {
    pub(crate) labels: PathBuf,
    pub(crate) images: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Images,
    Labels,
}

impl Kind {
    /// The ends of names, the usual one first.
    fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Images => &["images-idx3-ubyte"],
            Self::Labels => &["labels-idx1-ubyte", "labels-idx2-int", "labels-idx1-int"],
        }
    }
}

/// What a file's name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name<'n> {
    /// Empty, `qmnist-`, or like `emnist-letters-`.
    set: &'n str,
    split: Split,
    kind: Kind,
}

impl<'n> Name<'n> {
    /// What `name` says; nothing if it is no name of such a file.
    fn parse(name: &'n str) -> Option<Self> {
        let name = name.strip_suffix(".gz").unwrap_or(name);
        let (kind, start) = [Kind::Images, Kind::Labels].into_iter().find_map(|kind| {
            let start = kind
                .endings()
                .iter()
                .find_map(|ending| name.strip_suffix(ending).or_else(|| name.strip_suffix(&dotted(ending))));
            Some((kind, start?.strip_suffix('-')?))
        })?;
        // The set ends with the last dash before the split.
        let (set, split) = start.split_at(start.rfind('-').map_or(0, |dash| dash + 1));
        let word = set.strip_prefix("emnist-").and_then(|rest| rest.strip_suffix('-'));
        let is_named = set == "qmnist-" || word.is_some_and(|word| !word.is_empty() && !word.contains('-'));
        let split = match (split, is_named) {
            ("train", _) => Split::Train,
            ("t10k", false) | ("test", true) => Split::Test,
            _ => return None,
        };
        (set.is_empty() || is_named).then_some(Self { set, split, kind })
    }

    /// The name, with dashes and unpacked.
    fn text(self) -> String {
        let split = match self.split {
            Split::Train => "train",
            Split::Test if self.set.is_empty() => "t10k",
            Split::Test => "test",
        };
        let ending = match (self.set, self.kind) {
            ("qmnist-", Kind::Labels) => "labels-idx2-int",
            (_, kind) => kind.endings()[0],
        };
        format!("{}{split}-{ending}", self.set)
    }
}

/// The other spelling of a name.
fn dotted(name: &str) -> String {
    name.replacen("-idx", ".idx", 1)
}

/// The files of `split` in `folder`: of the set whose names begin with `set` if there is one, otherwise of
/// the only set that is there.
///
/// # Errors
///
/// [`FileError::MissingFolder`], [`FileError::MissingFile`], [`FileError::SeveralSets`],
/// [`FileError::SeveralFiles`], [`FileError::NotAFile`], [`FileError::Io`].
pub(crate) fn find(folder: &Path, set: &str, split: Split) -> Result<Files, Error> {
    if !folder.is_dir() {
        return Err(Error::File(FileError::MissingFolder { folder: folder.to_owned() }));
    }
    let entries = names(folder)
        .map_err(|reason| Error::File(FileError::Io { file: folder.display().to_string(), reason }))?;
    // By set, its first file.
    let mut sets: BTreeMap<&str, &str> = BTreeMap::new();
    for entry in &entries {
        if let Some(name) = Name::parse(entry) {
            sets.entry(name.set).or_insert(entry);
        }
    }
    let is_named = !set.is_empty() && sets.contains_key(set);
    if sets.len() > 1 && !is_named {
        let files = sets.into_values().map(str::to_owned).collect();
        return Err(Error::File(FileError::SeveralSets { folder: folder.to_owned(), files }));
    }
    let set = if is_named { set } else { sets.into_keys().next().unwrap_or(set) };
    let file = |kind| find_one(folder, &entries, Name { set, split, kind });
    Ok(Files { labels: file(Kind::Labels)?, images: file(Kind::Images)? })
}

/// The names in a folder, in their order. A name that is not UTF-8 is none of ours.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name().into_string().ok()));
    let mut names: Vec<String> = names.filter_map(Result::transpose).collect::<io::Result<_>>()?;
    names.sort();
    Ok(names)
}

/// The file that one or several of the `entries` of `folder` name: of several with the same content the
/// first, plain before packed, dashes before dots, files before folders.
fn find_one(folder: &Path, entries: &[String], wanted: Name<'_>) -> Result<PathBuf, Error> {
    let is_wanted = |entry: &&String| Name::parse(entry) == Some(wanted);
    let places: Vec<PathBuf> = entries.iter().filter(is_wanted).map(|entry| folder.join(entry)).collect();
    let (mut files, others): (Vec<PathBuf>, Vec<PathBuf>) =
        places.into_iter().partition(|path| path.is_file());
    for place in &others {
        let inner = names(place).unwrap_or_default();
        let inner = inner.iter().filter(is_wanted).map(|entry| place.join(entry));
        files.extend(inner.filter(|path| path.is_file()));
    }
    match files.as_slice() {
        [] => Err(Error::File(why_none(folder, entries, wanted, &others))),
        [first, more @ ..] if more.iter().all(|other| is_same(first, other).unwrap_or(false)) => {
            Ok(first.clone())
        }
        _ => Err(Error::File(FileError::SeveralFiles { name: wanted.text(), files })),
    }
}

/// The error where there is no file: something else may have its name.
fn why_none(folder: &Path, entries: &[String], wanted: Name<'_>, others: &[PathBuf]) -> FileError {
    if let Some(path) = others.first() {
        let file = path.display().to_string();
        return match (path.metadata(), path.read_link()) {
            (Err(reason), Ok(target)) => {
                FileError::Io { file: format!("{file}, a link to {}", target.display()), reason }
            }
            (Err(reason), Err(_)) => FileError::Io { file, reason },
            (Ok(_), _) => FileError::NotAFile { file },
        };
    }
    let name = wanted.text();
    let shown = entries.iter().take(LISTED).map(|entry| {
        let is_folder = folder.join(entry).is_dir();
        if is_folder { format!("{entry}/") } else { entry.clone() }
    });
    FileError::MissingFile {
        folder: folder.to_owned(),
        dotted_name: dotted(&name),
        name,
        entries: shown.collect(),
        entry_count: entries.len(),
    }
}

/// Whether `folder` has a file of `split` under one of the names.
pub(crate) fn are_in(folder: &Path, split: Split) -> bool {
    let names = names(folder).unwrap_or_default();
    names.iter().any(|name| Name::parse(name).is_some_and(|name| name.split == split))
}

/// Whether two files have the same content, once unpacked.
fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (BufReader::new(content(one)?), BufReader::new(content(other)?));
    loop {
        let (left, right) = (one.fill_buf()?, other.fill_buf()?);
        let shared = left.len().min(right.len());
        if shared == 0 {
            return Ok(left.is_empty() && right.is_empty());
        }
        if left[..shared] != right[..shared] {
            return Ok(false);
        }
        one.consume(shared);
        other.consume(shared);
    }
}

/// The content of a file, unpacked if it is packed.
fn content(path: &Path) -> io::Result<Box<dyn Read>> {
    let mut file = BufReader::new(File::open(path)?);
    let is_packed = file.fill_buf()?.starts_with(&gzip::MAGIC);
    Ok(if is_packed { Box::new(GzipReader::new(file)) } else { Box::new(file) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_file_is() {
        let parsed = |name: &'static str| Name::parse(name).map(|name| (name.set, name.split, name.kind));
        let (train, test) = (Split::Train, Split::Test);
        for (name, expected) in [
            ("train-images-idx3-ubyte", ("", train, Kind::Images)),
            ("t10k-labels-idx1-ubyte.gz", ("", test, Kind::Labels)),
            ("t10k-images.idx3-ubyte", ("", test, Kind::Images)),
            ("train-labels.idx1-ubyte.gz", ("", train, Kind::Labels)),
            ("emnist-balanced-train-images-idx3-ubyte", ("emnist-balanced-", train, Kind::Images)),
            ("emnist-letters-test-labels-idx1-ubyte.gz", ("emnist-letters-", test, Kind::Labels)),
            ("qmnist-test-labels-idx2-int.gz", ("qmnist-", test, Kind::Labels)),
            ("qmnist-train-images-idx3-ubyte", ("qmnist-", train, Kind::Images)),
        ] {
            assert_eq!(parsed(name), Some(expected), "{name}");
            let name = Name::parse(name).unwrap();
            assert_eq!(Name::parse(&name.text()), Some(name));
        }
        for name in [
            "train-images",
            "images-idx3-ubyte",
            "-images-idx3-ubyte",
            "test-images-idx3-ubyte",
            "train-images-idx1-ubyte",
            "emnist-letters-t10k-labels-idx1-ubyte",
            "emnist--train-labels-idx1-ubyte",
            "emnist-train-labels-idx1-ubyte",
            "emnist-a-b-train-labels-idx1-ubyte",
            "other-letters-train-labels-idx1-ubyte",
            "train-images-idx3-ubyte.zip",
        ] {
            assert_eq!(parsed(name), None, "{name}");
        }
    }
}
