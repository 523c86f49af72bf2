//! Folders of images: a folder for each class, with JPEG, PNG, WebP and BMP files in it.
//!
//! ```text
//! photos/cat/one.jpg               photos/train/cat/one.jpg
//! photos/cat/more/two.png          photos/val/cat/two.png          also valid, validation
//! photos/dog/three.webp            photos/test/dog/three.webp      also testing; training for train
//! ```
//!
//! Classes are the names of the folders, sorted. Samples of all classes are mixed in proportion, so that a
//! part at the end, to validate on, has them all. Images are found in folders of any depth, by the ends of
//! their names; other files and hidden ones are left out. What a file is, is told by its first bytes. EXIF
//! rotation is honoured.
//!
//! A sample is decoded when it is read, brought to one size ([`Fit`]), and given as bytes `[C, H, W]`. Of
//! whole images, other parts can be read ([`Parts`]), as augmentation does.
//! Opening reads the header of every file, once: an [index](ImageOptions::cache_folder) keeps them. Images
//! whose header asks for more than 2^26 pixels are refused before any memory is taken.
//!
//! # Bad images
//!
//! With [`OnBadImage::Stop`], a file with a bad header is an error when the set is opened, and one with a bad
//! body when it is read. With [`OnBadImage::Skip`] all files are decoded once when the set is opened, and
//! those that cannot be are left out: so every rank leaves out the same ones, and before the first epoch.
//! The index remembers them. A file that cannot be read, as the disk fails or forbids it, is an error in both
//! cases: another rank may be able to read it.

mod bmp;
mod colour;
mod decode;
mod exif;
mod files;
mod fit;
mod index;
mod jpeg;
mod jpeg_end;
mod png;
mod resize;
mod sample;
mod scan;
pub mod shards;
mod survey;
mod webp;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use colour::Colour;
pub use files::{ImageChanges, ImageFiles, find_images};
pub use fit::Fit;
pub use png::write_png;
pub use resize::{Raster, Region, resize_region};
pub use survey::{Survey, survey_parts};

use crate::digest::Lines;
use crate::{
    Dataset, Error, FileError, ImageError, Normalization, NormalizationError, Part, Parts, ReadError,
    Request, Sample, SampleBuffer,
};
use index::Index;
use sample::Wanted;

/// Statistics of the images of ImageNet, on the scale of 0 to 1.
const MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const STD: [f64; 3] = [0.229, 0.224, 0.225];
/// The same of their brightness: the means of the three.
const GREY_MEAN: [f64; 1] = [0.449];
const GREY_STD: [f64; 1] = [0.226];

/// How images are read.
#[derive(Clone, Debug, Default)]
pub struct ImageOptions {
    /// The size of the samples.
    pub fit: Fit,
    /// Their colours.
    pub colour: Colour,
    /// What happens to files that are no images.
    pub on_bad_image: OnBadImage,
    /// The folder that keeps the index between runs; without one there is no index. It is made if it does
    /// not exist.
    pub cache_folder: Option<PathBuf>,
}

/// What happens to files that end like images and cannot be decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBadImage {
    /// The first one is an error.
    #[default]
    Stop,
    /// They are left out, and [listed](ImageFolder::skipped). All files are decoded once when the set is
    /// opened.
    Skip,
}

/// The images of a folder that has a folder for each class.
#[derive(Clone)]
pub struct ImageFolder {
    root: PathBuf,
    images: Arc<[Image]>,
    skipped: Arc<[ImageError]>,
    classes: Arc<[String]>,
    sample_shape: [usize; 3],
    options: ImageOptions,
    normalization: Normalization,
}

#[derive(Debug)]
struct Image {
    /// Relative to the root.
    path: String,
    bytes: u64,
    class: u32,
}

impl ImageFolder {
    /// The images in the class folders of `root`.
    ///
    /// Headers are read by the threads of the caller's rayon pool.
    ///
    /// # Errors
    ///
    /// [`FileError`] for a folder that does not exist, and for a folder or file that cannot be read;
    /// [`ImageError`] for everything else.
    pub fn open(root: &Path, options: &ImageOptions) -> Result<Self, Error> {
        Self::new(root, options, None)
    }

    /// As [`open`](Self::open), for samples that are tested with a network that was trained on `train`: they
    /// have its classes and size. Classes without samples are possible.
    ///
    /// # Errors
    ///
    /// [`ImageError::UnknownClass`] for a class that `train` lacks, otherwise as `open`.
    pub fn open_beside(root: &Path, train: &Self) -> Result<Self, Error> {
        Self::new(root, &train.options, Some(train))
    }

    fn new(root: &Path, options: &ImageOptions, train: Option<&Self>) -> Result<Self, Error> {
        if !root.is_dir() {
            return Err(FileError::MissingFolder { folder: root.to_owned() }.into());
        }
        // Before files are read: an option that cannot be is told at once.
        let side = options.fit.side()?;
        let decode_all = options.on_bad_image == OnBadImage::Skip;
        let Index { listing, images: known } =
            Index::open(root, options.cache_folder.as_deref(), decode_all)?;
        let classes = match train {
            None => {
                listing.check(root)?;
                listing.classes.into()
            }
            Some(train) => {
                let is_known = |class: &&String| !train.classes.contains(class);
                if let Some(class) = listing.classes.iter().find(is_known) {
                    return Err(ImageError::UnknownClass { folder: root.join(class) }.into());
                }
                Arc::clone(&train.classes)
            }
        };
        let (mut images, mut skipped, mut size) = (Vec::new(), Vec::new(), None);
        for known in known {
            let [height, width] = match &known.size {
                Ok(size) => *size,
                Err(problem) if decode_all => {
                    skipped.push(known.error(root, problem));
                    continue;
                }
                Err(problem) => return Err(known.error(root, problem).into()),
            };
            let (first, expected) = size.get_or_insert_with(|| (known.path.clone(), [height, width]));
            if side.is_none() && *expected != [height, width] {
                let files = [first.clone(), known.path];
                let sizes = [[expected[1], expected[0]], [width, height]];
                return Err(ImageError::Sizes { files, sizes }.into());
            }
            let class = known.path.split('/').next().unwrap_or_default();
            let class = classes.binary_search_by(|name: &String| name.as_str().cmp(class));
            let class = class.expect("the path of an image begins with a class") as u32;
            images.push(Image { path: known.path, bytes: known.bytes, class });
        }
        let Some((_, size)) = size else {
            return Err(skipped.into_iter().next().expect("a folder without images is an error").into());
        };
        let images = interleave(images, classes.len());
        let [height, width] = side.map_or(size.map(|side| side as usize), |side| [side; 2]);
        let sample_shape = [options.colour.channels(), height, width];
        if let Some(train) = train.filter(|train| train.sample_shape != sample_shape) {
            let files = [train.images[0].path.clone(), images[0].path.clone()];
            let of = |[_, height, width]: [usize; 3]| [width as u32, height as u32];
            return Err(ImageError::Sizes { files, sizes: [of(train.sample_shape), of(sample_shape)] }.into());
        }
        Ok(Self {
            root: root.to_owned(),
            images: images.into(),
            skipped: skipped.into(),
            classes,
            sample_shape,
            options: options.clone(),
            normalization: statistics(options.colour),
        })
    }

    /// The files that were left out, and why.
    pub fn skipped(&self) -> &[ImageError] {
        &self.skipped
    }

    /// The same samples under another normalization.
    ///
    /// # Errors
    ///
    /// [`NormalizationError::Channels`] if it has another number of channels than a sample.
    pub fn with_normalization(self, normalization: Normalization) -> Result<Self, Error> {
        let (expected, got) = (self.sample_shape[0], normalization.channels());
        if expected != got {
            return Err(NormalizationError::Channels { expected, got }.into());
        }
        Ok(Self { normalization, ..self })
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
        let image = &self.images[index];
        let wanted = Wanted { colour: self.options.colour, size, class: image.class };
        let contents = |raw: &mut Vec<u8>| index::read_file(&self.root.join(&image.path), image.bytes, raw);
        wanted.read(contents, |decoded| choose(decoded.size), buffer)
    }
}

/// Mixes the classes: any stretch of the images has each class in its share, as far as whole numbers allow.
/// So the last ones, on which a run validates, are of all classes. Those of a class stay in their order.
fn interleave(images: Vec<Image>, num_classes: usize) -> Vec<Image> {
    let mut sizes = vec![0_u64; num_classes];
    images.iter().for_each(|image| sizes[image.class as usize] += 1);
    let mut seen = vec![0_u64; num_classes];
    let mut placed: Vec<(u64, Image)> = Vec::with_capacity(images.len());
    for image in images {
        let class = image.class as usize;
        // (seen + 1/2) / size, in 31 bits behind the point.
        placed.push((((2 * seen[class] + 1) << 30) / sizes[class], image));
        seen[class] += 1;
    }
    placed.sort_by_key(|(place, image)| (*place, image.class));
    placed.into_iter().map(|(_, image)| image).collect()
}

/// The normalization of photographs.
pub(crate) fn statistics(colour: Colour) -> Normalization {
    match colour {
        Colour::Rgb => Normalization::from_mean_std(&MEAN, &STD),
        Colour::Grey => Normalization::from_mean_std(&GREY_MEAN, &GREY_STD),
    }
    .expect("no deviation is 0")
}

impl Dataset for ImageFolder {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn sample_shape(&self) -> [usize; 3] {
        self.sample_shape
    }

    fn num_classes(&self) -> usize {
        self.classes.len()
    }

    fn class_names(&self) -> &[String] {
        &self.classes
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
        format!("sample {index} ({})", self.root.join(&self.images[index].path).display())
    }

    /// Of the names, lengths and classes of the files and the options, not of their contents.
    fn digest(&self) -> Result<String, ReadError> {
        let mut digest = Lines::default();
        let ImageOptions { fit, colour, .. } = &self.options;
        digest.add(&format!("{fit:?} {colour:?} {:?}", self.sample_shape));
        for Image { path, bytes, class } in self.images.iter() {
            digest.add(&format!("{class} {bytes} {path}"));
        }
        Ok(digest.finish())
    }
}

impl Parts for ImageFolder {
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

/// The parts of a set of images.
pub struct ImageParts {
    /// The samples to train on.
    pub train: ImageFolder,
    /// The samples to validate on, if there is a folder of them.
    pub validation: Option<ImageFolder>,
    /// The samples to test with, if there is a folder of them.
    pub test: Option<ImageFolder>,
}

/// Opens a folder of class folders, or a folder with folders `train`, `val` and `test` of class folders; the
/// module's documentation has their other names. A folder with the name of `train` is such a part if there
/// are folders in it, and a class otherwise.
///
/// # Errors
///
/// [`ImageError::TwoParts`], and all of [`ImageFolder::open`] and [`ImageFolder::open_beside`].
pub fn open_parts(root: &Path, options: &ImageOptions) -> Result<ImageParts, Error> {
    let [train, validation, test] = part_folders(root)?;
    let Some(train) = train else {
        return Ok(ImageParts { train: ImageFolder::open(root, options)?, validation: None, test: None });
    };
    let train = ImageFolder::open(&train, options)?;
    let beside =
        |folder: Option<PathBuf>| folder.map(|folder| ImageFolder::open_beside(&folder, &train)).transpose();
    let (validation, test) = (beside(validation)?, beside(test)?);
    Ok(ImageParts { train, validation, test })
}

/// The parts of a set, and the names of their folders.
const PARTS: [(&str, &[&str]); 3] = [
    ("training", &["train", "training"]),
    ("validation", &["val", "valid", "validation"]),
    ("test", &["test", "testing"]),
];

/// Which of training, validation and test the word `name` stands for.
pub(crate) fn part_of(name: &str) -> Option<usize> {
    PARTS.iter().position(|(_, names)| names.iter().any(|known| known.eq_ignore_ascii_case(name)))
}

/// The folders of the parts for training, validation and test in `root`.
fn part_folders(root: &Path) -> Result<[Option<PathBuf>; 3], Error> {
    if !root.is_dir() {
        return Err(FileError::MissingFolder { folder: root.to_owned() }.into());
    }
    let mut folders = [const { None }; 3];
    for entry in scan::entries(root)?.into_iter().filter(|entry| entry.is_folder) {
        let Some(part) = part_of(&entry.name) else { continue };
        if let Some(before) = folders[part].replace(entry.name.clone()) {
            let (folder, names) = (root.to_owned(), [before, entry.name]);
            return Err(ImageError::TwoParts { folder, names, part: PARTS[part].0 }.into());
        }
    }
    let paths = folders.map(|name| name.map(|name| root.join(name)));
    match &paths[0] {
        Some(train) if scan::entries(train)?.iter().any(|entry| entry.is_folder) => Ok(paths),
        _ => Ok([const { None }; 3]),
    }
}
