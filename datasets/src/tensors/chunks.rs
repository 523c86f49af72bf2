//! Several npz files, each with some of the samples: a set that need not fit in memory. The arrays of a file
//! are of one part.
//!
//! Opening reads the targets and the headers. Where samples are stored as they are, as `numpy.savez` does,
//! each is read from its place in the file. Where they are packed, as `numpy.savez_compressed` does, a file's
//! samples are unpacked together and kept, up to a bound on bytes: the least recently used ones go first.
//!
//! An epoch's order keeps the samples of a few files together ([`chunked_order`]): as many as the bound has
//! room for, so each file is unpacked once an epoch.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::classes::{Classes, names_in};
use super::npy::{self, Header, Tensor};
use super::zip::Entry;
use super::{Layout, Part, Role, lists_names, npz, role};
use crate::digest::Lines;
use crate::shuffle::chunks_in;
use crate::{
    ArrayError, Chunks, Dataset, Error, Normalization, Pixels, ReadError, Request, Sample, SampleBuffer,
    Target, chunked_order,
};

/// The most files whose samples are mixed.
const MAX_WINDOW: usize = 16;

/// Npz files with the same arrays, one after the other.
pub struct NpzChunks {
    chunks: Vec<Chunk>,
    /// The number of samples in each chunk.
    sizes: Vec<usize>,
    /// The first sample of each chunk.
    starts: Vec<usize>,
    classes: Classes,
    /// Of all samples; empty if targets are numbers.
    labels: Vec<u32>,
    /// Of all samples; empty if targets are classes.
    values: Vec<f32>,
    values_per_sample: usize,
    layout: Layout,
    normalization: Normalization,
    window: usize,
    cache_bytes: usize,
    cache: Mutex<Cache>,
}

/// The samples of one file.
struct Chunk {
    path: PathBuf,
    /// The member that has them, and what its header says.
    entry: Entry,
    header: Header,
    /// Where the values begin in the file, if they are not packed.
    start: Option<u64>,
}

/// Unpacked chunks, the most recently used one last.
#[derive(Default)]
struct Cache {
    chunks: Vec<(usize, Slot)>,
}

/// The samples of a chunk, once a thread has unpacked them, or why it could not.
type Slot = Arc<OnceLock<Result<Tensor, String>>>;

impl NpzChunks {
    /// The bound on unpacked files that [`open`](crate::open::open) takes. While one file takes another one's
    /// place, both are in memory.
    pub const CACHE_BYTES: usize = 3 << 27;

    /// Opens the npz files at `paths`, in that order. `cache_bytes` bounds the memory for
    /// unpacked files; one always has room.
    ///
    /// # Errors
    ///
    /// Those of [`open`](super::open); [`FormatError::Malformed`](crate::FormatError::Malformed) for a file
    /// whose samples have another shape or type than those of the first one, and for one with arrays of
    /// several parts.
    ///
    /// # Panics
    ///
    /// If there are no paths.
    pub fn open(paths: &[PathBuf], cache_bytes: usize) -> Result<Self, Error> {
        Self::new(paths, cache_bytes, None)
    }

    /// As [`open`](Self::open), with classes that count as those of `train`.
    ///
    /// # Errors
    ///
    /// As `open`, and `FormatError::Malformed` for a class that `train` lacks.
    pub fn open_beside(paths: &[PathBuf], train: &Self) -> Result<Self, Error> {
        Self::new(paths, train.cache_bytes, Some(train.classes.clone()))
    }

    fn new(paths: &[PathBuf], cache_bytes: usize, classes: Option<Classes>) -> Result<Self, Error> {
        let (mut chunks, mut targets): (Vec<Chunk>, Vec<Tensor>) = (Vec::new(), Vec::new());
        let mut names = Vec::new();
        for path in paths {
            let Opened { chunk, target, names: of_chunk } = open_chunk(path)?;
            if let Some(first) = chunks.first() {
                let kind = |chunk: &Chunk| (chunk.header.element, chunk.header.dims[1..].to_vec());
                if kind(first) != kind(&chunk) {
                    let [got, expected] = [kind(&chunk), kind(first)];
                    let problem =
                        format!("samples are {got:?}, those of {} are {expected:?}", first.path.display());
                    return Err(npz::malformed(path, &problem).into());
                }
            }
            chunks.push(chunk);
            targets.push(target);
            names.push(of_chunk);
        }
        assert!(!chunks.is_empty(), "a set of no files");
        let first = &chunks[0];
        let name = first.path.display().to_string();
        let layout = Layout::new(&name, &first.header.dims)?;
        if layout.shape.contains(&0) || chunks.iter().all(|chunk| chunk.header.dims[0] == 0) {
            return Err(ArrayError::NoSamples { origin: name }.into());
        }
        let classes = match classes {
            Some(classes) => classes,
            // The first file that lists names speaks for all.
            None => Classes::of(&name, targets.iter(), names.iter().flatten().next().cloned())?,
        };
        let (mut labels, mut values, mut values_per_sample) = (Vec::new(), Vec::new(), 0);
        for ((chunk, target), names) in chunks.iter().zip(&targets).zip(&names) {
            let file = chunk.path.display().to_string();
            classes.check(&file, names.as_deref())?;
            labels.extend(classes.of_targets(&file, target)?);
            if classes != Classes::Values {
                continue;
            }
            target.check_numbers().map_err(|problem| npz::malformed(&chunk.path, &problem))?;
            let width = target.dims[1..].iter().product();
            if width == 0 || (values_per_sample != 0 && values_per_sample != width) {
                let problem = format!("has targets of {width} numbers, others {values_per_sample}");
                return Err(npz::malformed(&chunk.path, &problem).into());
            }
            values_per_sample = width;
            values.extend(target.floats());
        }
        let sizes: Vec<usize> = chunks.iter().map(|chunk| chunk.header.dims[0]).collect();
        let starts = sizes.iter().scan(0, |next, size| Some(std::mem::replace(next, *next + size))).collect();
        let is_bytes = first.header.element.is_byte();
        let largest = chunks.iter().map(Chunk::bytes).max().unwrap_or(1).max(1);
        let channels = layout.shape[0];
        Ok(Self {
            sizes,
            starts,
            classes,
            labels,
            values,
            values_per_sample,
            layout,
            normalization: match is_bytes {
                true => Normalization::unit_range(channels),
                false => Normalization::identity(channels),
            },
            window: (cache_bytes / largest).clamp(1, MAX_WINDOW),
            cache_bytes,
            cache: Mutex::default(),
            chunks,
        })
    }

    /// The chunk of a sample, and its place in it.
    fn place(&self, index: usize) -> (usize, usize) {
        let len = self.len();
        assert!(index < len, "sample {index} is out of range for a data set of {len}");
        let chunk = self.starts.partition_point(|start| *start <= index) - 1;
        (chunk, index - self.starts[chunk])
    }

    /// Reads the bytes of sample `place` of a chunk into `raw`.
    fn read_raw(&self, chunk: usize, place: usize, raw: &mut Vec<u8>) -> Result<(), String> {
        let values = self.layout.shape.iter().product::<usize>();
        let header = &self.chunks[chunk].header;
        let bytes = values * header.element.bytes();
        if let Some(start) = self.chunks[chunk].start {
            raw.resize(bytes, 0);
            let mut file = File::open(&self.chunks[chunk].path).map_err(|error| error.to_string())?;
            let at = SeekFrom::Start(start + (place * bytes) as u64);
            file.seek(at).and_then(|_| file.read_exact(raw)).map_err(|error| error.to_string())?;
            header.to_little_endian(raw);
            return Ok(());
        }
        let slot = self.slot(chunk);
        // Other threads that want the same chunk wait here, and those that want another one do not.
        let unpacked = slot.get_or_init(|| self.chunks[chunk].unpack());
        let tensor = unpacked.as_ref().map_err(Clone::clone)?;
        let range = place * bytes..(place + 1) * bytes;
        let sample = tensor.bytes.get(range).ok_or("the file has changed since training began")?;
        raw.clear();
        raw.extend_from_slice(sample);
        Ok(())
    }

    /// The place of an unpacked chunk in the cache. Older ones leave if there is no room.
    fn slot(&self, chunk: usize) -> Slot {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let known = cache.chunks.iter().position(|(known, _)| *known == chunk);
        let entry = known.map_or_else(|| (chunk, Arc::default()), |place| cache.chunks.remove(place));
        let slot = Arc::clone(&entry.1);
        cache.chunks.push(entry);
        let bytes = |(chunk, _): &(usize, _)| self.chunks[*chunk].bytes();
        while cache.chunks.len() > 1 && cache.chunks.iter().map(bytes).sum::<usize>() > self.cache_bytes {
            cache.chunks.remove(0);
        }
        slot
    }
}

impl Chunk {
    /// The bytes of all samples.
    fn bytes(&self) -> usize {
        let values = self.header.dims.iter().fold(1, |product: usize, dim| product.saturating_mul(*dim));
        values.saturating_mul(self.header.element.bytes())
    }

    fn unpack(&self) -> Result<Tensor, String> {
        let read = || -> Result<Tensor, Error> {
            let mut archive = npz::archive(&self.path)?;
            let mut member = npz::member(&self.path, &mut archive, &self.entry)?;
            let tensor = npy::read("samples", &mut member, self.entry.bytes);
            Ok(tensor.map_err(|problem| npz::malformed(&self.path, &problem))?)
        };
        read().map_err(|error| error.to_string())
    }
}

/// What a file holds beside the values of its samples.
struct Opened {
    chunk: Chunk,
    target: Tensor,
    /// The names of classes, if it lists them.
    names: Option<Vec<String>>,
}

/// The part that the arrays of a file are of, if any of them is of a set. Which part that is makes no
/// difference: a file of several ones is refused, as one of them alone would be read.
fn part_in(path: &Path) -> Result<Option<Part>, Error> {
    let names = npz::names(path)?;
    let mut arrays = names.iter().filter_map(|name| Some((name, role(name)?.0)));
    let Some((first, part)) = arrays.next() else { return Ok(None) };
    match arrays.find(|(_, other)| *other != part) {
        None => Ok(Some(part)),
        Some((other, _)) => {
            let problem = format!(
                "has arrays of several parts, such as '{first}' and '{other}', which one of several files cannot \
                 have; the path of the file itself opens all its parts"
            );
            Err(npz::malformed(path, &problem).into())
        }
    }
}

/// Reads the header of the samples in a file, and its targets.
fn open_chunk(path: &Path) -> Result<Opened, Error> {
    let missing = || npz::malformed(path, "has no arrays of samples and targets, such as x and y");
    let part = part_in(path)?.ok_or_else(missing)?;
    let is = |name: &str, wanted| role(name) == Some((part, wanted));
    let targets = npz::read(path, |name| is(name, Role::Targets))?;
    let list = npz::read(path, lists_names)?.into_iter().next();
    let names = list.map(|list| names_in(&path.display().to_string(), &list)).transpose()?;
    let mut archive = npz::archive(path)?;
    for entry in archive.entries.clone() {
        let Some(name) = npz::array_name(&entry).filter(|name| is(name, Role::Samples)) else { continue };
        let header = npz::header(path, &mut archive, &entry, name)?;
        let value_bytes = header.value_bytes(entry.bytes.saturating_sub(header.bytes as u64));
        let value_bytes = match header.element.is_text() {
            true => Err("holds texts, expected numbers".to_string()),
            false => value_bytes,
        };
        value_bytes.map_err(|problem| npz::malformed(path, &format!("array '{name}' {problem}")))?;
        let start = match entry.is_stored() {
            true => {
                let start = archive.start(&entry).map_err(|problem| npz::malformed(path, &problem))?;
                Some(start + header.bytes as u64)
            }
            false => None,
        };
        let Some(target) = targets.into_iter().next() else { break };
        if target.dims[0] != header.dims[0] {
            let problem = format!("has {} samples and {} targets", header.dims[0], target.dims[0]);
            return Err(npz::malformed(path, &problem).into());
        }
        let chunk = Chunk { path: path.to_owned(), entry, header, start };
        return Ok(Opened { chunk, target, names });
    }
    Err(missing().into())
}

impl Dataset for NpzChunks {
    fn len(&self) -> usize {
        self.sizes.iter().sum()
    }

    fn sample_shape(&self) -> [usize; 3] {
        self.layout.shape
    }

    fn num_classes(&self) -> usize {
        self.classes.count()
    }

    fn class_names(&self) -> &[String] {
        self.classes.names()
    }

    fn target_values(&self) -> Option<usize> {
        (self.classes == Classes::Values).then_some(self.values_per_sample)
    }

    fn normalization(&self) -> &Normalization {
        &self.normalization
    }

    fn read<'a>(&'a self, request: Request, buffer: &'a mut SampleBuffer) -> Result<Sample<'a>, ReadError> {
        let Request { index, .. } = request;
        let (chunk, place) = self.place(index);
        self.read_raw(chunk, place, &mut buffer.raw).map_err(ReadError::new)?;
        let element = self.chunks[chunk].header.element;
        let pixels = match element.is_byte() {
            true if !self.layout.is_interleaved => Pixels::U8(&buffer.raw),
            true => {
                buffer.bytes = self.layout.arrange(std::mem::take(&mut buffer.raw));
                Pixels::U8(&buffer.bytes)
            }
            false => {
                buffer.floats = self.layout.arrange(npy::floats(element, &buffer.raw));
                Pixels::F32(&buffer.floats)
            }
        };
        let width = self.values_per_sample;
        let target = match self.classes {
            Classes::Labels { .. } | Classes::Texts { .. } => Target::Class(self.labels[index]),
            Classes::Values => Target::Values(&self.values[index * width..][..width]),
        };
        Ok(Sample { pixels, target })
    }

    fn describe(&self, index: usize) -> String {
        let (chunk, place) = self.place(index);
        format!("sample {index} (number {place} of {})", self.chunks[chunk].path.display())
    }

    fn order_of_range(&self, range: Range<usize>, seed: u64, epoch: u32, order: &mut [u32]) {
        chunked_order(seed, u64::from(epoch), &chunks_in(&self.sizes, range), self.window, order);
    }

    fn chunks(&self) -> Option<Chunks<'_>> {
        Some(Chunks { sizes: &self.sizes, window: self.window })
    }

    /// Of the names and sizes of the files, the targets, and the order's window, not of the samples.
    fn digest(&self) -> Result<String, ReadError> {
        let mut digest = Lines::default();
        digest.add(&format!("{:?} {} {}", self.layout, self.classes.digest_text(), self.window));
        for Chunk { path, header, .. } in &self.chunks {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            digest.add(&format!("{name} {:?} {:?}", header.element, header.dims));
        }
        digest.add(&format!("{:?} {:?}", self.labels, self.values));
        Ok(digest.finish())
    }
}
