//! Objects as files: a folder that is brought up to date with what is at an address.
//!
//! ```text
//! FOLDER/lock            held by the one who downloads
//!        data/NAME       whole files
//!        parts/DIGEST    what is there of a file to come
//!        versions/DIGEST the version of the file or of the part; DIGEST is of NAME
//! ```

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::address::{Address, Selection};
use super::download::Download;
use super::error::StoreError;
use super::objects::{ChunkObject, chunk_objects};
use super::options::StoreOptions;
use super::version::Version;
use crate::pipeline::builder::Pipeline;
use crate::pipeline::error::{PipelineError, RunError, SourceError};

/// Downloads at a time.
const WORKERS: usize = 4;
const READ_BYTES: usize = 1 << 16;

/// Makes files in `folder` of the objects at `address`, and returns where they are: the file of one object,
/// or a folder with all that are below the address, under their names there.
///
/// Files that are still the same at the server stay; a download that was killed goes on; files whose objects
/// are gone are removed. Several processes may call this at once: one of them downloads, while the others
/// wait.
///
/// # Errors
///
/// As [`chunk_objects`] and [`ChunkObject::read`], and [`SourceError::Write`].
pub fn mirror(address: &Address, folder: &Path, options: &StoreOptions) -> Result<PathBuf, SourceError> {
    let (data, lock) = (folder.join("data"), folder.join("lock"));
    for part in ["data", "parts", "versions"] {
        let part = folder.join(part);
        fs::create_dir_all(&part).map_err(|reason| unwritable(&part, reason))?;
    }
    // Given back when the file is closed.
    let file = File::create(&lock).map_err(|reason| unwritable(&lock, reason))?;
    file.lock().map_err(|reason| unwritable(&lock, reason))?;
    let objects = chunk_objects(address, options)?;
    // What is no more goes first: a file may be where a folder is to come, and a folder where a file is.
    let names: Vec<String> = objects.names().map(String::from).collect();
    let prune = |part: &str, file_of: fn(&str) -> String| {
        let part = folder.join(part);
        let keep: HashSet<PathBuf> = names.iter().map(|name| part.join(file_of(name))).collect();
        remove_others(&part, &keep).map_err(|reason| unwritable(&part, reason))
    };
    prune("data", str::to_string)?;
    prune("parts", digest_of)?;
    prune("versions", digest_of)?;
    let root = folder.to_owned();
    let save = move |object: ChunkObject| Saving::new(&root, &object).save();
    let saved = Pipeline::new().source("objects", objects).stage("save", save).workers(WORKERS);
    saved.collect("names").build().and_then(|built| built.run()).map_err(cause)?;
    Ok(match address.selection {
        Selection::One(_) => names.first().map_or(data.clone(), |name| data.join(name)),
        Selection::Below(_) | Selection::Matching { .. } => data,
    })
}

/// What went wrong in a stage, without the stage, which the caller does not know.
fn cause(error: PipelineError) -> SourceError {
    match error {
        PipelineError::Run(RunError::Stage { cause, .. }) if cause.is::<SourceError>() => {
            *cause.downcast().expect("it is one")
        }
        other => SourceError::Io { file: "objects".to_string(), reason: io::Error::other(other) },
    }
}

fn unwritable(path: &Path, reason: io::Error) -> SourceError {
    SourceError::Write { file: path.display().to_string(), reason }
}

/// Removes the files in `folder` that are not among `keep`, and the folders in it that have none of these: an
/// empty folder of images would be a class.
fn remove_others(folder: &Path, keep: &HashSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if !entry.file_type()?.is_dir() {
            if !keep.contains(&path) {
                fs::remove_file(&path)?;
            }
        } else if keep.iter().any(|kept| kept != &path && kept.starts_with(&path)) {
            remove_others(&path, keep)?;
        } else {
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

/// The name of the files with the part and the version of the object `name`.
fn digest_of(name: &str) -> String {
    Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The files of one object.
struct Saving<'a> {
    object: &'a ChunkObject,
    whole: PathBuf,
    part: PathBuf,
    version: PathBuf,
}

impl<'a> Saving<'a> {
    fn new(folder: &Path, object: &'a ChunkObject) -> Self {
        let name = &object.found.name;
        let digest = digest_of(name);
        let within = |part: &str| folder.join(part).join(&digest);
        Self {
            object,
            whole: folder.join("data").join(name),
            part: within("parts"),
            version: within("versions"),
        }
    }

    /// Downloads what is not there, and returns the name.
    fn save(&self) -> Result<String, SourceError> {
        let name = self.object.found.name.clone();
        let listed = self.object.found.version.clone();
        let kept = self.kept();
        let is_whole = |version: &Version| length(&self.whole) == Some(version.bytes);
        let is_listed = |version: &Version| listed.as_ref().is_none_or(|listed| listed.fits(version));
        if let Some(version) = kept.as_ref().filter(|version| listed.is_some() && is_listed(version))
            && is_whole(version)
        {
            return Ok(name);
        }
        let begun = length(&self.part).unwrap_or(0);
        let goes_on = |version: &&Version| {
            !is_whole(version)
                && version.is_telling()
                && is_listed(version)
                && (1..version.bytes).contains(&begun)
        };
        if let Some(version) = kept.as_ref().filter(goes_on) {
            let download = self.download(Some(version.clone()), begun);
            match self.fill(download, begun) {
                // The part is of an object that is no more.
                Err(SourceError::Io { reason, .. }) if has_changed(&reason) => (),
                filled => return filled.map(|()| name),
            }
        }
        let mut download = self.download(listed, 0);
        let version = download.version().map_err(|error| self.object.unreadable(error.into()))?.clone();
        if kept.is_some_and(|kept| kept.is_telling() && kept.fits(&version)) && is_whole(&version) {
            return Ok(name);
        }
        remove(&self.part)?;
        if !version.is_telling() {
            // Another process may have downloaded the same file just now, and read it: it is there until the
            // new one is.
            remove(&self.version)?;
            self.fill(download, 0)?;
            return self.write_version(&version).map(|()| name);
        }
        // The file of another version goes first: it must not be taken for one of this version.
        remove(&self.whole)?;
        self.write_version(&version)?;
        self.fill(download, 0).map(|()| name)
    }

    fn write_version(&self, version: &Version) -> Result<(), SourceError> {
        let text = serde_json::to_vec(version).expect("a version is JSON");
        fs::write(&self.version, text).map_err(|reason| unwritable(&self.version, reason))
    }

    /// The version of the file or the part that is there.
    fn kept(&self) -> Option<Version> {
        serde_json::from_slice(&fs::read(&self.version).ok()?).ok()
    }

    fn download(&self, known: Option<Version>, begin: u64) -> Download {
        Download::start(&self.object.connection, &self.object.found.path, known, begin)
    }

    /// Puts a download behind the `begun` bytes of the part, which then is the file.
    fn fill(&self, mut download: Download, begun: u64) -> Result<(), SourceError> {
        let unwritable = |reason| unwritable(&self.part, reason);
        let open = File::options().create(true).append(true).open(&self.part);
        let mut part = open.map_err(unwritable)?;
        debug_assert_eq!(length(&self.part), Some(begun));
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match download.read(&mut buffer).map_err(|reason| self.object.unreadable(reason))? {
                0 => break,
                count => part.write_all(&buffer[..count]).map_err(unwritable)?,
            }
        }
        let folder = self.whole.parent().unwrap_or(&self.whole);
        let moved = fs::create_dir_all(folder).and_then(|()| fs::rename(&self.part, &self.whole));
        moved.map_err(|reason| self::unwritable(&self.whole, reason))
    }
}

fn length(path: &Path) -> Option<u64> {
    path.metadata().ok().filter(fs::Metadata::is_file).map(|metadata| metadata.len())
}

fn remove(path: &Path) -> Result<(), SourceError> {
    match fs::remove_file(path) {
        Err(reason) if reason.kind() != io::ErrorKind::NotFound => Err(unwritable(path, reason)),
        _ => Ok(()),
    }
}

fn has_changed(reason: &io::Error) -> bool {
    let error = reason.get_ref().and_then(|error| error.downcast_ref::<StoreError>());
    matches!(error, Some(StoreError::Changed { .. }))
}
