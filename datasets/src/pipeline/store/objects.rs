//! Objects as sources: unread, so that several workers download them; or as chunks of records.

use std::collections::HashSet;
use std::io::{self, Read};
use std::sync::Arc;

use object_store::path::Path;

use super::address::{Address, Selection};
use super::connection::Connection;
use super::download::Download;
use super::error::StoreError;
use super::options::StoreOptions;
use super::version::Version;
use crate::pipeline::error::{Cause, SourceError};
use crate::pipeline::files::{self, Records};
use crate::pipeline::source::Source;

/// An object, found and not yet read. Workers of the next stage download and decode it.
#[derive(Clone)]
pub struct ChunkObject {
    /// Its address, without secrets.
    pub address: String,
    /// Its number in the stream, from 0.
    pub number: usize,
    pub(super) found: Found,
    pub(super) connection: Arc<Connection>,
}

/// An object at an address.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) path: Path,
    /// Its name below the folder of the address.
    pub(super) name: String,
    /// As a list has it.
    pub(super) version: Option<Version>,
}

impl ChunkObject {
    /// A reader of the contents, which are decoded if they are gzip. It reads while the download goes on.
    ///
    /// # Errors
    ///
    /// [`SourceError::Io`] with a [`StoreError`].
    pub fn open(&self) -> Result<Box<dyn Read>, SourceError> {
        files::decoded(self.download()).map_err(|reason| self.unreadable(reason))
    }

    /// The contents, decoded if they are gzip.
    ///
    /// # Errors
    ///
    /// [`SourceError::Io`] with a [`StoreError`], or with what is wrong with the gzip stream.
    pub fn read(&self) -> Result<Vec<u8>, SourceError> {
        let mut bytes = Vec::new();
        let read = files::decoded(self.download()).and_then(|mut reader| reader.read_to_end(&mut bytes));
        read.map(|_| bytes).map_err(|reason| self.unreadable(reason))
    }

    fn download(&self) -> Download {
        Download::start(&self.connection, &self.found.path, self.found.version.clone(), 0)
    }

    pub(super) fn unreadable(&self, reason: io::Error) -> SourceError {
        SourceError::Io { file: self.address.clone(), reason }
    }
}

/// The objects at an address.
///
/// | address | objects |
/// | --- | --- |
/// | `https://host/path/file` | that one |
/// | `s3://bucket/path/file` | that one |
/// | `s3://bucket/path/` | all below, in the order of their names |
/// | `s3://bucket/path/part-??-*.npz` | those right below whose names match, in that order |
///
/// ```no_run
/// use isograd_datasets::pipeline::{ChunkObject, Pipeline, StoreOptions, chunk_objects};
///
/// let options = StoreOptions::default().with_variables(std::env::vars());
/// let mut out = Pipeline::new()
///     .source("objects", chunk_objects(&"s3://lake/2026/part-*.csv.gz".parse()?, &options)?)
///     .stage("download", |object: ChunkObject| object.read())
///     .workers(4)
///     .map("length", |chunk| chunk.len())
///     .collect("lengths")
///     .build()?
///     .run()?;
/// println!("{:?}", out.take::<Vec<usize>>("lengths")?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Downloads
///
/// A download is at most [`StoreOptions::read_ahead_bytes`] ahead of its reader. One that breaks off, or is
/// refused with a status by which servers say "not now" (408, 429, and from 500 on), goes on at the byte
/// where it broke, after a pause; from a server that cannot begin in the middle, the bytes that are there are
/// passed over. All that is read is of one object: its ETag, or else its date, and its length must stay the
/// same, from the list on.
///
/// All downloads share one thread, which ends when the source and all that came of it are gone. `https_proxy`
/// and its likes hold for them.
///
/// # Errors
///
/// [`SourceError::Io`] with a [`StoreError`]: for an address with several objects, what goes wrong with their
/// list, and a list of none.
pub fn chunk_objects(address: &Address, options: &StoreOptions) -> Result<ChunkObjects, SourceError> {
    let shown = address.to_string();
    let connection = Connection::new(&address.place, options).map_err(|error| error.of(&shown))?;
    let found = match &address.selection {
        Selection::One(path) => {
            let name = path.filename().unwrap_or("index").to_string();
            vec![Found { path: path.clone(), name, version: None }]
        }
        Selection::Below(folder) | Selection::Matching { folder, .. } => {
            listed(&connection, &address.selection, folder).map_err(|error| error.of(&shown))?
        }
    };
    Ok(ChunkObjects { address: address.clone(), found, connection: Arc::new(connection) })
}

fn listed(connection: &Connection, selection: &Selection, folder: &Path) -> Result<Vec<Found>, StoreError> {
    let objects = connection.list(folder)?;
    // Consoles of stores mark folders with objects of no bytes.
    let folders: HashSet<String> =
        objects.iter().filter_map(|object| object.location.parent()).map(String::from).collect();
    let mut found: Vec<Found> = objects
        .iter()
        .filter(|object| object.size > 0 || !folders.contains(object.location.as_ref()))
        .filter_map(|object| {
            let (path, version) = (object.location.clone(), Some(Version::of(object)));
            Some(Found { name: selection.name_of(&path)?.to_string(), path, version })
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    match found.is_empty() {
        true => Err(StoreError::NoObjects),
        false => Ok(found),
    }
}

/// Objects as a source: see [`chunk_objects`].
#[derive(Clone)]
pub struct ChunkObjects {
    address: Address,
    found: Vec<Found>,
    connection: Arc<Connection>,
}

impl ChunkObjects {
    /// The names of the objects, in their order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.found.iter().map(|found| found.name.as_str())
    }

    /// The addresses of the objects, in their order.
    pub fn addresses(&self) -> impl Iterator<Item = String> {
        self.found.iter().map(|found| self.address.of(&found.path))
    }

    /// Chunks of `records` records of `record_bytes` bytes each, of one object after the other. The last
    /// chunk of each object may have fewer; one that ends within a record is an error.
    ///
    /// # Panics
    ///
    /// If one of them is 0.
    pub fn records(self, record_bytes: usize, records: usize) -> RecordObjects {
        assert!(record_bytes > 0 && records > 0, "chunks of {records} records of {record_bytes} bytes");
        RecordObjects { objects: self, record_bytes, records }
    }

    pub(super) fn objects(&self) -> impl Iterator<Item = ChunkObject> + use<> {
        let (address, connection) = (self.address.clone(), Arc::clone(&self.connection));
        self.found.clone().into_iter().enumerate().map(move |(number, found)| ChunkObject {
            address: address.of(&found.path),
            number,
            found,
            connection: Arc::clone(&connection),
        })
    }
}

impl Source for ChunkObjects {
    type Item = ChunkObject;
    type Items = Box<dyn Iterator<Item = Result<ChunkObject, Cause>>>;

    fn open(&self) -> Result<Self::Items, Cause> {
        Ok(Box::new(self.objects().map(Ok)))
    }

    fn interrupt(&self) {
        self.connection.interrupt();
    }
}

/// Records of objects that may be larger than memory: see [`ChunkObjects::records`].
#[derive(Clone)]
pub struct RecordObjects {
    objects: ChunkObjects,
    record_bytes: usize,
    records: usize,
}

impl Source for RecordObjects {
    type Item = Vec<u8>;
    type Items = Box<dyn Iterator<Item = Result<Vec<u8>, Cause>>>;

    fn open(&self) -> Result<Self::Items, Cause> {
        let (record_bytes, records) = (self.record_bytes, self.records);
        let chunks = move |object: ChunkObject| -> Box<dyn Iterator<Item = Result<Vec<u8>, Cause>>> {
            match object.open() {
                Err(error) => Box::new(std::iter::once(Err(error.into()))),
                Ok(reader) => {
                    let origin = object.address;
                    Box::new(Records { reader, origin, record_bytes, records, is_over: false })
                }
            }
        };
        Ok(Box::new(self.objects.objects().flat_map(chunks)))
    }

    fn interrupt(&self) {
        self.objects.interrupt();
    }
}
