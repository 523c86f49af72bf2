//! What is in a folder of images, bad files included.
//!
//! Opening a set stops at the first file that is no image. A survey decodes every file, counts, and lists all
//! that cannot be decoded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::index::read_file;
use super::scan::{self, Listing};
use super::{Colour, PARTS, Raster, Region, decode, fit, part_folders};
use crate::{Error, ImageError, Moments, Pixels};

/// Files that a thread decodes at a time.
const BLOCK: usize = 64;

/// What is in a folder that has a folder for each class.
#[derive(Debug, Default)]
pub struct Survey {
    /// The names of the classes, and the number of images of each that can be decoded.
    pub classes: Vec<(String, usize)>,
    /// How many images have each size, `[height, width]`, when they are upright.
    pub sizes: BTreeMap<[usize; 2], usize>,
    /// Sums over the pixels of all images, as they are stored.
    pub moments: Moments,
    /// The files that cannot be decoded, and why, in order of their names.
    pub broken: Vec<ImageError>,
    /// Why these classes cannot be trained on or tested with, though all their images may be good.
    pub problem: Option<ImageError>,
}

impl Survey {
    /// Decodes all images in the class folders of `root`, by the threads of the caller's rayon pool.
    ///
    /// # Errors
    ///
    /// [`FileError`](crate::FileError) for a folder that cannot be read; [`ImageError`] for links that lead
    /// nowhere or back, and for a folder without folders.
    pub fn of(root: &Path, colour: Colour) -> Result<Self, Error> {
        Self::by(root, colour, Listing::check_images)
    }

    /// That of `root`, whose classes `check` checks.
    fn by(
        root: &Path,
        colour: Colour,
        check: impl Fn(&Listing, &Path) -> Result<(), ImageError>,
    ) -> Result<Self, Error> {
        let listing = Listing::scan(root)?;
        if listing.classes.is_empty() {
            return Err(ImageError::NoClasses { folder: root.to_owned() }.into());
        }
        let empty = || Self {
            classes: listing.classes.iter().map(|name| (name.clone(), 0)).collect(),
            ..Self::default()
        };
        let of_block = |paths: &[String]| {
            let (mut survey, mut buffers) = (empty(), Buffers::default());
            for path in paths {
                survey.add_file(root, path, colour, &mut buffers);
            }
            survey
        };
        let blocks: Vec<Self> = listing.images.par_chunks(BLOCK).map(of_block).collect();
        let problem = check(&listing, root).err();
        Ok(Self { problem, ..blocks.into_iter().fold(empty(), Self::joined) })
    }

    /// The images that can be decoded.
    pub fn images(&self) -> usize {
        self.sizes.values().sum()
    }

    fn add_file(&mut self, root: &Path, path: &str, colour: Colour, buffers: &mut Buffers) {
        let file = root.join(path);
        let [height, width] = match buffers.decode(&file, colour) {
            Ok(size) => size,
            Err(problem) => {
                self.broken.push(ImageError::Image { file: file.display().to_string(), problem });
                return;
            }
        };
        let class = path.split('/').next().unwrap_or_default();
        if let Ok(class) = self.classes.binary_search_by(|(name, _)| name.as_str().cmp(class)) {
            self.classes[class].1 += 1;
        }
        *self.sizes.entry([height, width]).or_default() += 1;
        self.moments.add_sample([colour.channels(), height, width], Pixels::U8(&buffers.planes));
    }

    fn joined(mut self, other: Self) -> Self {
        self.classes.iter_mut().zip(&other.classes).for_each(|((_, sum), (_, images))| *sum += images);
        other.sizes.into_iter().for_each(|(size, images)| *self.sizes.entry(size).or_default() += images);
        self.moments.add(&other.moments);
        self.broken.extend(other.broken);
        self
    }
}

/// Memory for one image after the other.
#[derive(Default)]
struct Buffers {
    raw: Vec<u8>,
    pixels: Vec<u8>,
    planes: Vec<u8>,
}

impl Buffers {
    /// Decodes a file into `planes`, and gives its height and width.
    fn decode(&mut self, file: &Path, colour: Colour) -> Result<[usize; 2], String> {
        let metadata = scan::metadata(file).map_err(|error| error.to_string())?;
        if !metadata.is_file() {
            return Err("is not a regular file".to_string());
        }
        read_file(file, metadata.len(), &mut self.raw)?;
        let [height, width] = decode::decode(&self.raw, colour, &mut self.pixels)?.size;
        let source = Raster { pixels: &self.pixels, height, width, channels: colour.channels() };
        fit::fill(&source, Region::whole(height, width), [height, width], &mut self.planes);
        Ok([height, width])
    }
}

/// Surveys a folder that [`open_parts`](super::open_parts) opens: each part that it has, by name.
///
/// # Errors
///
/// [`ImageError::TwoParts`], and those of [`Survey::of`].
pub fn survey_parts(root: &Path, colour: Colour) -> Result<Vec<(&'static str, Survey)>, Error> {
    let folders = part_folders(root)?;
    let parts: Vec<(&'static str, PathBuf)> = match &folders[0] {
        None => vec![(PARTS[0].0, root.to_owned())],
        Some(_) => {
            PARTS.iter().zip(folders).filter_map(|((name, _), folder)| Some((*name, folder?))).collect()
        }
    };
    let survey = |(name, folder): (&'static str, PathBuf)| {
        // Training needs two classes.
        let check = if name == PARTS[0].0 { Listing::check } else { Listing::check_images };
        Ok((name, Survey::by(&folder, colour, check)?))
    };
    parts.into_iter().map(survey).collect()
}
