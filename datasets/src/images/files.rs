//! Single image files without a class, for a network in use.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::colour::Colour;
use super::decode::Decoded;
use super::resize::Region;
use super::sample::Wanted;
use super::{Fit, scan};
use crate::{Dataset, Error, ImageError, Normalization, ReadError, Request, Sample, SampleBuffer};

/// The longest file that is read: no image that can be decoded has more.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// Images by the names of their files, brought to one size. All have class 0.
///
/// A sample is `[C, H, W]` bytes. With a `resize`, images are brought to their size as [`Fit`] says.
/// Otherwise an image of another size is resized so that it covers the sample, and the middle of it is taken.
///
/// A file is first looked at when it is read, so a bad one is the error of its sample alone. A clone is the
/// same set.
#[derive(Clone, Debug)]
pub struct ImageFiles {
    files: Arc<[PathBuf]>,
    size: [usize; 2],
    resize: Option<usize>,
    colour: Colour,
    normalization: Normalization,
    counters: Arc<Counters>,
}

/// What has been done to the images that were read.
#[derive(Debug, Default)]
struct Counters {
    grey_to_colour: AtomicUsize,
    colour_to_grey: AtomicUsize,
    resized: AtomicUsize,
}

/// How many images were changed otherwise than [`ImageFiles`] were asked to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageChanges {
    /// Grey images that became three equal channels.
    pub grey_to_colour: usize,
    /// Colour images that became their brightness.
    pub colour_to_grey: usize,
    /// Images that had another size.
    pub resized: usize,
}

impl ImageFiles {
    /// The images in `files`, as samples of `size`, `[h, w]`.
    pub fn new(files: Vec<PathBuf>, size: [usize; 2], resize: Option<usize>, colour: Colour) -> Self {
        Self {
            files: files.into(),
            size,
            resize,
            colour,
            normalization: Normalization::unit_range(colour.channels()),
            counters: Arc::default(),
        }
    }

    /// What was done to the images that have been read so far.
    pub fn changes(&self) -> ImageChanges {
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        ImageChanges {
            grey_to_colour: count(&self.counters.grey_to_colour),
            colour_to_grey: count(&self.counters.colour_to_grey),
            resized: count(&self.counters.resized),
        }
    }

    /// The part of an image that becomes the sample. What is done to the image is counted.
    fn region(&self, Decoded { size: image, stored }: Decoded) -> Region {
        match (stored, self.colour) {
            (Colour::Grey, Colour::Rgb) => _ = self.counters.grey_to_colour.fetch_add(1, Ordering::Relaxed),
            (Colour::Rgb, Colour::Grey) => _ = self.counters.colour_to_grey.fetch_add(1, Ordering::Relaxed),
            _ => (),
        }
        if self.resize.is_some() {
            return Fit { resize: self.resize, crop: None }.region(image);
        }
        if image == self.size {
            return Region::whole(image[0], image[1]);
        }
        self.counters.resized.fetch_add(1, Ordering::Relaxed);
        covering(image, self.size)
    }
}

/// The largest part in the middle of an image that has the proportions of `size`.
fn covering([height, width]: [usize; 2], size: [usize; 2]) -> Region {
    let [h, w] = size.map(|side| side as f64);
    let [height, width] = [height, width].map(|side| side as f64);
    let scale = (height / h).min(width / w);
    let [down, across] = [(h * scale).min(height), (w * scale).min(width)];
    Region { left: (width - across) / 2.0, top: (height - down) / 2.0, width: across, height: down }
}

fn read_file(path: &Path, raw: &mut Vec<u8>) -> Result<(), String> {
    use std::io::Read;
    raw.clear();
    let metadata = path.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("is no file".to_string());
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(format!("has {} bytes, at most {MAX_FILE_BYTES} are read", metadata.len()));
    }
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(MAX_FILE_BYTES).read_to_end(raw).map(|_| ()).map_err(|error| error.to_string())
}

impl Dataset for ImageFiles {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn sample_shape(&self) -> [usize; 3] {
        let [h, w] = self.size;
        [self.colour.channels(), h, w]
    }

    fn num_classes(&self) -> usize {
        1
    }

    fn normalization(&self) -> &Normalization {
        &self.normalization
    }

    fn read<'a>(&'a self, request: Request, buffer: &'a mut SampleBuffer) -> Result<Sample<'a>, ReadError> {
        let path = &self.files[request.index];
        let wanted = Wanted { colour: self.colour, size: self.size, class: 0 };
        wanted.read(|raw| read_file(path, raw), |decoded| self.region(decoded), buffer)
    }

    fn describe(&self, index: usize) -> String {
        self.files[index].display().to_string()
    }
}

/// All images in `folder`, in folders of any depth, sorted: files with the ends of names that images have,
/// without hidden ones.
///
/// # Errors
///
/// [`FileError`](crate::FileError) for a folder that cannot be read, [`ImageError::LinkCycle`].
pub fn find_images(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    walk(folder, &mut Vec::new(), &mut found)?;
    Ok(found)
}

fn walk(folder: &Path, ancestors: &mut Vec<PathBuf>, found: &mut Vec<PathBuf>) -> Result<(), Error> {
    let target = folder.canonicalize().map_err(|reason| scan::io_error(folder, reason))?;
    if ancestors.contains(&target) {
        return Err(ImageError::LinkCycle { link: folder.to_owned(), target }.into());
    }
    ancestors.push(target);
    for entry in scan::entries(folder)? {
        let path = folder.join(&entry.name);
        if entry.is_folder {
            walk(&path, ancestors, found)?;
        } else if scan::is_image(&entry.name) {
            found.push(path);
        }
    }
    ancestors.pop();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_covers_the_sample() {
        let Region { left, top, width, height } = covering([100, 300], [28, 28]);
        assert_eq!([left, top, width, height], [100.0, 0.0, 100.0, 100.0]);
        let Region { left, top, width, height } = covering([300, 100], [10, 20]);
        assert_eq!([left, top, width, height], [0.0, 125.0, 100.0, 50.0]);
    }
}
