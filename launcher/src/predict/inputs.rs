//! The samples to predict: what the words of the command line name.

use isograd_datasets::augment::{Augmented, CenterCrop, Resize, Transformation};
use isograd_datasets::images::{Colour, ImageChanges, ImageFiles, find_images};
use isograd_datasets::{Dataset, Pixels, Request, SampleBuffer, inputs};
use isograd_model::{InputInfo, InputSize};
use rayon::prelude::*;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What words of the command line name.
pub(super) enum Named {
    /// Images, of one word or of several that follow each other.
    Images(Vec<PathBuf>),
    /// A file of arrays.
    Arrays(PathBuf),
    /// A word that names nothing that can be read, and why.
    Nothing(String),
}

/// Samples that are read alike: images, or those of one file of arrays.
pub(super) struct Group {
    /// In the size of the network's input.
    view: Box<dyn Dataset>,
    source: Source,
}

enum Source {
    Images(ImageFiles),
    Arrays { file: String, is_bytes: bool },
}

/// Samples of a block, one after the other.
pub(super) struct Block {
    pub(super) pixels: Values,
    /// The numbers of the samples in the group.
    pub(super) read: Vec<usize>,
    /// What cannot be read, and why.
    pub(super) failures: Vec<String>,
}

/// Values of samples.
pub(super) enum Values {
    U8(Vec<u8>),
    F32(Vec<f32>),
}

impl Values {
    pub(super) fn as_pixels(&self) -> Pixels<'_> {
        match self {
            Self::U8(values) => Pixels::U8(values),
            Self::F32(values) => Pixels::F32(values),
        }
    }
}

impl Named {
    /// What `words` name, in their order.
    pub(super) fn all(words: &[PathBuf]) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for word in words {
            match (Self::of(word), all.last_mut()) {
                (Self::Images(more), Some(Self::Images(images))) => images.extend(more),
                (named, _) => all.push(named),
            }
        }
        all
    }

    fn of(word: &Path) -> Self {
        if word.is_dir() {
            return match find_images(word) {
                Ok(found) if found.is_empty() => {
                    let folder = word.display();
                    Self::Nothing(format!("{folder}: the folder has no JPEG, PNG, WebP or BMP images"))
                }
                Ok(found) => Self::Images(found),
                Err(error) => Self::Nothing(error.to_string()),
            };
        }
        match inputs::is_arrays(word) {
            Ok(true) => Self::Arrays(word.to_path_buf()),
            Ok(false) if word.extension().is_some_and(|ending| ending == "csv" || ending == "tsv") => {
                let file = word.display();
                Self::Nothing(format!("{file}: tables are not read; an .npy file of their numbers is"))
            }
            // Whether it is an image is found when it is read.
            Ok(false) => Self::Images(vec![word.to_path_buf()]),
            Err(error) => Self::Nothing(error.to_string()),
        }
    }

    /// The samples, for a network that takes `input`.
    pub(super) fn open(self, input: &InputInfo) -> Result<Group, String> {
        match self {
            Self::Images(files) => images(files, input),
            Self::Arrays(path) => arrays(&path, input),
            Self::Nothing(problem) => Err(problem),
        }
    }
}

fn images(files: Vec<PathBuf>, input: &InputInfo) -> Result<Group, String> {
    let colour = match input.shape[0] {
        1 => Colour::Grey,
        3 => Colour::Rgb,
        channels => {
            let first = files[0].display();
            return Err(format!("{first}: the network takes {channels} channels, an image has 1 or 3"));
        }
    };
    let images = ImageFiles::new(files, input.stored, input.resize, colour);
    Ok(Group { view: sized(images.clone(), input)?, source: Source::Images(images) })
}

fn arrays(path: &Path, input: &InputInfo) -> Result<Group, String> {
    let file = path.display().to_string();
    let set = inputs::open_arrays(path, input.shape).map_err(|error| error.to_string())?;
    let is_bytes = set.sample(0).pixels.bytes().is_some();
    let [c, h, w] = set.sample_shape();
    let view: Box<dyn Dataset> = match [c, h, w] == input.shape {
        true => Box::new(set),
        false if c == input.shape[0] && [h, w] == input.stored => {
            sized(set, input).map_err(|problem| format!("{file}: {problem}"))?
        }
        false => {
            let [channels, height, width] = input.shape;
            let expected = format!("{channels}x{height}x{width}");
            return Err(format!("{file}: samples are {c}x{h}x{w}, the network takes {expected}"));
        }
    };
    Ok(Group { view, source: Source::Arrays { file, is_bytes } })
}

/// `set` in the size of the network's input, as in tests.
fn sized(set: impl Dataset + 'static, input: &InputInfo) -> Result<Box<dyn Dataset>, String> {
    let change: Transformation = match input.size {
        None => return Ok(Box::new(set)),
        Some(InputSize::Crop(size)) => CenterCrop { size }.into(),
        Some(InputSize::Resize(size)) => Resize { size }.into(),
    };
    // Nothing is drawn, whatever the seed.
    let view = Augmented::new(Box::new(set) as Box<dyn Dataset>, 0, [change]);
    view.map(|view| Box::new(view) as Box<dyn Dataset>).map_err(|error| error.to_string())
}

impl Group {
    pub(super) fn len(&self) -> usize {
        self.view.len()
    }

    pub(super) fn set(&self) -> &dyn Dataset {
        &*self.view
    }

    /// The file that sample `index` is in, and its number there if it has others.
    pub(super) fn name(&self, index: usize) -> (String, Option<usize>) {
        match &self.source {
            Source::Images(images) => (images.describe(index), None),
            Source::Arrays { file, .. } => (file.clone(), Some(index)),
        }
    }

    /// Reads samples on all threads.
    pub(super) fn read(&self, samples: Range<usize>) -> Block {
        let read = |buffer: &mut SampleBuffer, index: usize| {
            let sample = self.view.read(Request::new(index), buffer);
            let sample = sample.map_err(|reason| format!("{}: {reason}", self.name(index).0))?;
            Ok(match sample.pixels {
                Pixels::U8(bytes) => Values::U8(bytes.to_vec()),
                Pixels::F32(floats) => Values::F32(floats.to_vec()),
            })
        };
        let all: Vec<Result<Values, String>> =
            samples.clone().into_par_iter().map_init(SampleBuffer::new, read).collect();
        let mut block = Block { pixels: Values::U8(Vec::new()), read: Vec::new(), failures: Vec::new() };
        for (index, sample) in samples.zip(all) {
            match (sample, &mut block.pixels) {
                (Err(problem), _) => {
                    block.failures.push(problem);
                    continue;
                }
                (Ok(Values::U8(values)), Values::U8(all)) => all.extend(values),
                (Ok(Values::F32(values)), Values::F32(all)) => all.extend(values),
                // The first sample: all have its type.
                (Ok(values), pixels) => *pixels = values,
            }
            block.read.push(index);
        }
        block
    }
}

/// What was done to samples beyond what was done in training.
#[derive(Default)]
pub(super) struct Notes {
    images: ImageChanges,
    /// The first file of bytes and the first of floats.
    bytes: Option<String>,
    floats: Option<String>,
}

impl Notes {
    pub(super) fn add(&mut self, group: &Group) {
        match &group.source {
            Source::Images(images) => {
                let ImageChanges { grey_to_colour, colour_to_grey, resized } = images.changes();
                self.images.grey_to_colour += grey_to_colour;
                self.images.colour_to_grey += colour_to_grey;
                self.images.resized += resized;
            }
            Source::Arrays { file, is_bytes: true } => _ = self.bytes.get_or_insert_with(|| file.clone()),
            Source::Arrays { file, is_bytes: false } => _ = self.floats.get_or_insert_with(|| file.clone()),
        }
    }

    /// What is to be said, once for all samples.
    pub(super) fn texts(&self, input: &InputInfo) -> Vec<String> {
        let ImageChanges { grey_to_colour, colour_to_grey, resized } = self.images;
        let images = |count: usize| match count {
            1 => "1 image was".to_string(),
            count => format!("{count} images were"),
        };
        let [h, w] = input.stored;
        let mut texts = Vec::new();
        if grey_to_colour > 0 {
            texts.push(format!("{} grey: they became three equal channels", images(grey_to_colour)));
        }
        if colour_to_grey > 0 {
            texts.push(format!("{} in colour: their brightness was taken", images(colour_to_grey)));
        }
        if resized > 0 {
            let of = images(resized);
            texts.push(format!(
                "{of} of another size: they were scaled to cover {w} x {h} pixels, and cropped"
            ));
        }
        match (&self.bytes, &self.floats) {
            (_, Some(file)) if input.is_bytes => texts.push(format!(
                "{file} holds floats, and the network was trained on bytes: 0 to 1 was taken for 0 to 255"
            )),
            (Some(file), _) if !input.is_bytes => texts.push(format!(
                "{file} holds bytes, and the network was trained on floats: 0 to 255 was taken for 0 to 1"
            )),
            _ => (),
        }
        texts
    }
}
