//! Images in tar files, as WebDataset has them.
//!
//! ```text
//! train-000.tar:   0001.jpg 0001.cls   0002.png 0002.json ...
//! ```
//!
//! Members whose names are equal up to the first dot are one sample: an image, and its class in a `.cls` or
//! `.json` file. A class is a whole number or a name; in JSON it is the value itself, or that under `label`,
//! `cls`, `class` or `target`. Other members are left out, such as hidden ones and images with a second dot
//! in their names (`0001.seg.png`).
//!
//! Opening reads the headers of the members, and the classes. Images are read from their places in the
//! files. An epoch's order keeps the samples of a few files together ([`chunked_order`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::sample::Wanted;
use super::{ImageOptions, OnBadImage, Region, decode, scan, statistics};
use crate::digest::Lines;
use crate::shuffle::chunks_in;
use crate::{
    Chunks, Dataset, Error, FormatError, ImageError, Normalization, Part, Parts, ReadError, Request, Sample,
    SampleBuffer, chunked_order, tar,
};

/// The number of files whose samples are mixed.
const WINDOW: usize = 4;
/// The longest member with a class.
const MAX_CLASS_BYTES: u64 = 1 << 20;
/// The most classes that numbers may ask for.
const MAX_CLASSES: u64 = 1 << 20;

/// The images of one or several tar files.
pub struct TarShards {
    paths: Vec<PathBuf>,
    samples: Vec<Place>,
    /// The number of samples of each file.
    sizes: Vec<usize>,
    skipped: Vec<ImageError>,
    classes: Classes,
    sample_shape: [usize; 3],
    options: ImageOptions,
    normalization: Normalization,
}

/// Where an image lies.
#[derive(Clone, Debug, Default)]
struct Place {
    shard: usize,
    /// The name up to the first dot.
    key: String,
    offset: u64,
    bytes: u64,
    class: u32,
}

/// The classes of a set: numbers, or names.
#[derive(Clone, Debug, Default)]
struct Classes {
    count: usize,
    /// Sorted; empty if classes are numbers.
    names: Vec<String>,
}

/// A sample whose members are being collected.
#[derive(Default)]
struct Draft {
    place: Place,
    has_image: bool,
    class: Option<String>,
}

impl TarShards {
    /// Opens the tar files at `paths`, in that order.
    ///
    /// # Errors
    ///
    /// [`FileError`](crate::FileError) for a file that cannot be read; [`FormatError::Malformed`] for one
    /// that breaks off or is no tar file, and for a sample without a class or with none or two images;
    /// [`ImageError`] as of [`ImageFolder::open`](super::ImageFolder::open).
    ///
    /// # Panics
    ///
    /// If there are no paths.
    pub fn open(paths: &[PathBuf], options: &ImageOptions) -> Result<Self, Error> {
        Self::new(paths, options, None)
    }

    /// As [`open`](Self::open), with the classes and the size of `train`.
    ///
    /// # Errors
    ///
    /// As `open`, and [`FormatError::Malformed`] for a class that `train` lacks.
    pub fn open_beside(paths: &[PathBuf], train: &Self) -> Result<Self, Error> {
        Self::new(paths, &train.options, Some(train))
    }

    /// The samples that were left out, and why.
    pub fn skipped(&self) -> &[ImageError] {
        &self.skipped
    }

    fn new(paths: &[PathBuf], options: &ImageOptions, train: Option<&Self>) -> Result<Self, Error> {
        assert!(!paths.is_empty(), "a set of no files");
        let side = options.fit.side()?;
        let indexes = paths.par_iter().enumerate().map(|(shard, path)| index(shard, path));
        let indexes = indexes.collect::<Vec<_>>().into_iter().collect::<Result<Vec<_>, Error>>()?;
        let drafts: Vec<Draft> = indexes.into_iter().flatten().collect();
        let Some(first) = drafts.first() else {
            return Err(malformed(&paths[0], "has no samples: images with classes".to_string()).into());
        };
        let classes = match train {
            Some(train) => train.classes.clone(),
            None => Classes::new(drafts.iter().filter_map(|draft| draft.class.as_deref()))
                .map_err(|problem| malformed(&paths[first.place.shard], problem))?,
        };
        let numbers: BTreeMap<&str, u32> = classes.names.iter().map(String::as_str).zip(0..).collect();
        let mut samples = Vec::with_capacity(drafts.len());
        for Draft { mut place, class, .. } in drafts {
            let class = class.expect("a sample that was indexed has a class");
            let number = match classes.names.is_empty() {
                true => class.parse::<u32>().ok().filter(|class| (*class as usize) < classes.count),
                false => numbers.get(class.as_str()).copied(),
            };
            place.class = number.ok_or_else(|| {
                let problem = format!("class '{class}' of {} is not one of the training samples'", place.key);
                malformed(&paths[place.shard], problem)
            })?;
            samples.push(place);
        }
        let mut set = Self {
            paths: paths.to_vec(),
            samples,
            sizes: Vec::new(),
            skipped: Vec::new(),
            classes,
            sample_shape: [options.colour.channels(), side.unwrap_or(0), side.unwrap_or(0)],
            options: options.clone(),
            normalization: statistics(options.colour),
        };
        set.check_images()?;
        if let Some(train) = train.filter(|train| train.sample_shape != set.sample_shape) {
            let of = |[_, height, width]: [usize; 3]| [width as u32, height as u32];
            let files = [train.describe(0), set.describe(0)];
            return Err(
                ImageError::Sizes { files, sizes: [of(train.sample_shape), of(set.sample_shape)] }.into()
            );
        }
        set.sizes = vec![0; paths.len()];
        for place in &set.samples {
            set.sizes[place.shard] += 1;
        }
        Ok(set)
    }

    /// Leaves out bad images if that is asked for, and finds the size of all if none is asked for.
    fn check_images(&mut self) -> Result<(), Error> {
        let decode_all = self.options.on_bad_image == OnBadImage::Skip;
        let has_side = self.sample_shape[1] > 0;
        if has_side && !decode_all {
            return Ok(());
        }
        let size = |place: &Place| {
            let (path, mut bytes) = (&self.paths[place.shard], Vec::new());
            self.read_raw(place, &mut bytes).map_err(|reason| scan::io_error(path, reason))?;
            Ok(match decode_all {
                true => {
                    decode::decode(&bytes, self.options.colour, &mut Vec::new()).map(|decoded| decoded.size)
                }
                false => decode::size(&bytes).map(|size| size.map(|side| side as usize)),
            })
        };
        let sizes: Vec<_> = self.samples.par_iter().map(size).collect();
        let sizes = sizes.into_iter().collect::<Result<Vec<_>, Error>>()?;
        let mut first: Option<(String, [usize; 2])> = None;
        let mut good = Vec::with_capacity(sizes.len());
        for (index, size) in sizes.into_iter().enumerate() {
            let size = match size {
                Ok(size) => size,
                Err(problem) => {
                    let error = ImageError::Image { file: self.describe(index), problem };
                    if !decode_all {
                        return Err(error.into());
                    }
                    self.skipped.push(error);
                    continue;
                }
            };
            let (name, expected) = first.get_or_insert_with(|| (self.describe(index), size));
            if !has_side && *expected != size {
                let of = |[height, width]: [usize; 2]| [width as u32, height as u32];
                let (files, sizes) = ([name.clone(), self.describe(index)], [of(*expected), of(size)]);
                return Err(ImageError::Sizes { files, sizes }.into());
            }
            good.push(self.samples[index].clone());
        }
        let Some((_, [height, width])) = first else {
            return Err(self.skipped.remove(0).into());
        };
        if !has_side {
            self.sample_shape = [self.sample_shape[0], height, width];
        }
        self.samples = good;
        Ok(())
    }

    /// Reads the part of an image that `choose` gives of one of `[height, width]`, resized to `size`.
    fn read_region<'a>(
        &'a self,
        index: usize,
        size: [usize; 2],
        choose: impl FnOnce([usize; 2]) -> Region,
        buffer: &'a mut SampleBuffer,
    ) -> Result<Sample<'a>, ReadError> {
        let len = self.len();
        assert!(index < len, "sample {index} is out of range for a data set of {len}");
        let place = &self.samples[index];
        let wanted = Wanted { colour: self.options.colour, size, class: place.class };
        let contents = |raw: &mut Vec<u8>| self.read_raw(place, raw).map_err(|error| error.to_string());
        wanted.read(contents, |decoded| choose(decoded.size), buffer)
    }

    fn read_raw(&self, place: &Place, raw: &mut Vec<u8>) -> io::Result<()> {
        let mut file = File::open(&self.paths[place.shard])?;
        file.seek(SeekFrom::Start(place.offset))?;
        raw.clear();
        match file.take(place.bytes).read_to_end(raw)? as u64 == place.bytes {
            true => Ok(()),
            false => Err(io::Error::other("the file has become shorter since training began")),
        }
    }
}

impl Classes {
    /// The classes that the samples of a set have.
    fn new<'a>(classes: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let names: BTreeSet<&str> = classes.collect();
        let numbers = names.iter().map(|name| name.parse::<u64>().ok()).collect::<Option<Vec<_>>>();
        let Some(numbers) = numbers else {
            let names: Vec<String> = names.into_iter().map(str::to_string).collect();
            return Ok(Self { count: names.len(), names });
        };
        let most = numbers.into_iter().max().unwrap_or(0);
        match most < MAX_CLASSES {
            true => Ok(Self { count: most as usize + 1, names: Vec::new() }),
            false => Err(format!("{most} is no class, expected 0 to {}", MAX_CLASSES - 1)),
        }
    }
}

/// The samples of one file.
fn index(shard: usize, path: &Path) -> Result<Vec<Draft>, Error> {
    if !scan::metadata(path)?.is_file() {
        return Err(crate::FileError::NotAFile { file: path.display().to_string() }.into());
    }
    let file = File::open(path).map_err(|reason| scan::io_error(path, reason))?;
    let file_bytes = file.metadata().map_err(|reason| scan::io_error(path, reason))?.len();
    let (mut samples, mut draft) = (Vec::new(), Draft::default());
    let mut archive = tar::Archive::seekable(BufReader::new(file));
    let breaks = |place: u64, error: &dyn std::fmt::Display| {
        malformed(path, format!("breaks off or is no tar file, at byte {place} of {file_bytes}: {error}"))
    };
    loop {
        let begin = archive.end();
        let member = match archive.next() {
            Ok(Some(member)) => member,
            Ok(None) => break,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(breaks(file_bytes, &"the blocks at the end are missing").into());
            }
            // What follows the end is wrong, not the archive.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(malformed(path, error.to_string()).into());
            }
            Err(error) => return Err(breaks(begin, &error).into()),
        };
        let tar::Member { name, offset, bytes, is_file } = &member;
        let (offset, bytes) = (*offset, *bytes);
        if archive.end() > file_bytes {
            return Err(breaks(offset, &format!("a member of {bytes} bytes begins there")).into());
        }
        let base = name.rfind('/').map_or(0, |slash| slash + 1);
        // Archives of macOS have a hidden file of attributes beside each file: `._0001.jpg`.
        if !is_file || name[base..].starts_with('.') {
            continue;
        }
        let Some(dot) = name[base..].find('.').map(|dot| base + dot) else { continue };
        let (key, ending) = (&name[..dot], &name[dot + 1..]);
        if key != draft.place.key {
            finish(path, &mut samples, std::mem::take(&mut draft))?;
            draft.place.key = key.to_string();
        }
        if scan::is_image(name) && !ending.contains('.') {
            if draft.has_image {
                return Err(malformed(path, format!("sample {key} has two images")).into());
            }
            draft.place = Place { shard, offset, bytes, ..draft.place };
            draft.has_image = true;
        } else if ending.eq_ignore_ascii_case("cls") || ending.eq_ignore_ascii_case("json") {
            let damaged = |error: &dyn std::fmt::Display| malformed(path, format!("{name}: {error}"));
            let text = archive.read(&member, MAX_CLASS_BYTES).map_err(|error| damaged(&error))?;
            let text = String::from_utf8(text).map_err(|_| damaged(&"is not UTF-8"))?;
            draft.class = match ending.eq_ignore_ascii_case("cls") {
                true => Some(text.trim().to_string()),
                false => class_in_json(&text).or(draft.class),
            };
        }
    }
    finish(path, &mut samples, draft)?;
    Ok(samples)
}

/// Takes a sample whose members have all been seen.
fn finish(path: &Path, samples: &mut Vec<Draft>, draft: Draft) -> Result<(), FormatError> {
    let missing = match (draft.has_image, &draft.class) {
        (true, Some(_)) => {
            samples.push(draft);
            return Ok(());
        }
        (false, None) => return Ok(()),
        (true, None) => "no class (.cls, or .json with a label)",
        (false, Some(_)) => "no image",
    };
    Err(malformed(path, format!("sample {} has {missing}", draft.place.key)))
}

fn class_in_json(text: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    let label = ["label", "cls", "class", "target"].iter().find_map(|name| value.get(name)).unwrap_or(&value);
    match label {
        serde_json::Value::Number(number) => Some(number.to_string()),
        serde_json::Value::String(name) => Some(name.clone()),
        _ => None,
    }
}

fn malformed(path: &Path, problem: String) -> FormatError {
    FormatError::Malformed { file: path.display().to_string(), problem }
}

impl Dataset for TarShards {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn sample_shape(&self) -> [usize; 3] {
        self.sample_shape
    }

    fn num_classes(&self) -> usize {
        self.classes.count
    }

    fn class_names(&self) -> &[String] {
        &self.classes.names
    }

    fn normalization(&self) -> &Normalization {
        &self.normalization
    }

    fn read<'a>(&'a self, request: Request, buffer: &'a mut SampleBuffer) -> Result<Sample<'a>, ReadError> {
        let [_, height, width] = self.sample_shape;
        self.read_region(request.index, [height, width], |size| self.options.fit.region(size), buffer)
    }

    fn parts(&self) -> Option<&dyn Parts> {
        Some(self)
    }

    fn describe(&self, index: usize) -> String {
        let Place { shard, key, .. } = &self.samples[index];
        format!("sample {index} ({key} in {})", self.paths[*shard].display())
    }

    fn order_of_range(&self, range: Range<usize>, seed: u64, epoch: u32, order: &mut [u32]) {
        chunked_order(seed, u64::from(epoch), &chunks_in(&self.sizes, range), WINDOW, order);
    }

    fn chunks(&self) -> Option<Chunks<'_>> {
        Some(Chunks { sizes: &self.sizes, window: WINDOW })
    }

    /// Of the names, places and classes of the images and the options, not of their contents.
    fn digest(&self) -> Result<String, ReadError> {
        let mut digest = Lines::default();
        let ImageOptions { fit, colour, .. } = &self.options;
        digest.add(&format!("{fit:?} {colour:?} {:?} {:?}", self.sample_shape, self.classes));
        for Place { shard, key, offset, bytes, class } in &self.samples {
            digest.add(&format!("{shard} {offset} {bytes} {class} {key}"));
        }
        Ok(digest.finish())
    }
}

impl Parts for TarShards {
    fn read_part<'a>(
        &'a self,
        request: Request,
        part: &Part<'_>,
        buffer: &'a mut SampleBuffer,
    ) -> Result<Sample<'a>, ReadError> {
        let choose = |size| self.options.fit.region_of(part, size);
        self.read_region(request.index, part.size, choose, buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_read_is_no_bad_image() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train-000.tar");
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/arrays/shards/train-000.tar");
        std::fs::copy(golden, &path).unwrap();
        let options = ImageOptions { on_bad_image: OnBadImage::Skip, ..ImageOptions::default() };
        let mut set = TarShards::open(std::slice::from_ref(&path), &options).unwrap();
        std::fs::remove_file(&path).unwrap();
        let error = set.check_images().unwrap_err().to_string();
        assert!(error.starts_with("cannot read ") && error.contains("train-000.tar"), "{error}");
        let error = set.read(Request::new(0), &mut SampleBuffer::new()).unwrap_err();
        assert!(!error.is_bad_image(), "{error}");
    }
}
