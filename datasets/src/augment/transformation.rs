//! The list of all transformations.

use std::ops::Range;

use super::draws::Key;
use super::error::AugmentError;
use super::image::{Image, Pixel};
use super::{
    AlternatingFlip, CenterCrop, ColorJitter, Cutout, HorizontalFlip, MovedWindow, RandomCrop, Resize,
    ResizedCrop, Rotation, Translation, VerticalFlip,
};

/// A change of an image. Each kind has a type of its own, which says what it does.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Transformation {
    /// Left and right exchanged at random.
    HorizontalFlip(HorizontalFlip),
    /// Top and bottom exchanged at random.
    VerticalFlip(VerticalFlip),
    /// Left and right exchanged in every other epoch.
    AlternatingFlip(AlternatingFlip),
    /// A window at a random place, perhaps of an image with a border.
    RandomCrop(RandomCrop),
    /// The window in the middle; the same in all epochs.
    CenterCrop(CenterCrop),
    /// A random window at a random place, on black.
    MovedWindow(MovedWindow),
    /// A random part, resized.
    ResizedCrop(ResizedCrop),
    /// The whole image, resized; the same in all epochs.
    Resize(Resize),
    /// The image turned.
    Rotation(Rotation),
    /// The image moved.
    Translation(Translation),
    /// Other colours.
    ColorJitter(ColorJitter),
    /// A square blotted out.
    Cutout(Cutout),
}

impl Transformation {
    /// Checks that its numbers are in their ranges and that it can change images of `shape`, `[c, h, w]`, and
    /// says which shape they have then.
    ///
    /// # Errors
    ///
    /// The first number that is not, or what does not fit.
    pub fn output_shape(&self, shape: [usize; 3]) -> Result<[usize; 3], AugmentError> {
        match self {
            Self::RandomCrop(crop) => return crop.output_shape(shape),
            Self::CenterCrop(crop) => return crop.output_shape(shape),
            Self::ResizedCrop(crop) => return crop.output_shape(shape),
            Self::Resize(resize) => return resize.output_shape(shape),
            Self::HorizontalFlip(flip) => flip.check()?,
            Self::VerticalFlip(flip) => flip.check()?,
            Self::AlternatingFlip(AlternatingFlip) => {}
            Self::MovedWindow(window) => window.check(shape)?,
            Self::Rotation(rotation) => rotation.check()?,
            Self::Translation(translation) => translation.check(shape)?,
            Self::ColorJitter(jitter) => jitter.check(shape)?,
            Self::Cutout(cutout) => cutout.check()?,
        }
        Ok(shape)
    }

    /// What separates its numbers from those of other kinds; `None` if it draws none.
    fn purpose(&self) -> Option<[u8; 4]> {
        match self {
            Self::HorizontalFlip(_) => Some(HorizontalFlip::PURPOSE),
            Self::VerticalFlip(_) => Some(VerticalFlip::PURPOSE),
            Self::AlternatingFlip(_) => Some(AlternatingFlip::PURPOSE),
            Self::RandomCrop(_) => Some(RandomCrop::PURPOSE),
            Self::MovedWindow(_) => Some(MovedWindow::PURPOSE),
            Self::ResizedCrop(_) => Some(ResizedCrop::PURPOSE),
            Self::Rotation(_) => Some(Rotation::PURPOSE),
            Self::Translation(_) => Some(Translation::PURPOSE),
            Self::ColorJitter(_) => Some(ColorJitter::PURPOSE),
            Self::Cutout(_) => Some(Cutout::PURPOSE),
            Self::CenterCrop(_) | Self::Resize(_) => None,
        }
    }

    /// Whether both draw from the same numbers, unless one is counted as the second.
    pub(super) fn is_of_kind(&self, other: &Self) -> bool {
        self.purpose() == other.purpose()
    }

    /// The size of the part of an image that this takes, if that is all it does.
    pub(super) fn part_size(&self) -> Option<[usize; 2]> {
        match self {
            Self::RandomCrop(crop) => crop.part_size(),
            Self::CenterCrop(crop) => Some(crop.size),
            Self::ResizedCrop(crop) => Some(crop.size),
            Self::Resize(resize) => Some(resize.size),
            _ => None,
        }
    }

    /// Rows and columns of the part that it takes of an image of `[h, w]` of the sample `key`, drawn as
    /// [`apply`](Self::apply) draws them for the first of its kind.
    pub(super) fn part(&self, key: Key, [h, w]: [usize; 2]) -> [Range<usize>; 2] {
        let draws = &mut key.draws(self.purpose().unwrap_or_default(), 0);
        let at =
            |corner: [usize; 2], size: [usize; 2]| [0, 1].map(|axis| corner[axis]..corner[axis] + size[axis]);
        match self {
            Self::RandomCrop(crop) => {
                let (size, corner) = crop.window(draws, [h, w]);
                at(corner.map(|place| place as usize), size)
            }
            Self::CenterCrop(crop) => at(crop.corner([h, w]), crop.size),
            Self::ResizedCrop(crop) => crop.part(draws, h, w),
            Self::Resize(resize) => resize.part(h, w),
            other => unreachable!("{other:?} takes no part"),
        }
    }

    /// Changes an image of the sample `key`. `earlier` is the number of transformations of its kind before
    /// it.
    pub(super) fn apply<P: Pixel>(&self, key: Key, earlier: u32, image: &mut Image<'_, P>) {
        let draws = &mut key.draws(self.purpose().unwrap_or_default(), earlier);
        match self {
            Self::HorizontalFlip(flip) => flip.apply(draws, image),
            Self::VerticalFlip(flip) => flip.apply(draws, image),
            Self::AlternatingFlip(flip) => flip.apply(key, earlier, image),
            Self::RandomCrop(crop) => crop.apply(draws, image),
            Self::CenterCrop(crop) => crop.apply(image),
            Self::MovedWindow(window) => window.apply(draws, image),
            Self::ResizedCrop(crop) => crop.apply(draws, image),
            Self::Resize(resize) => resize.apply(image),
            Self::Rotation(rotation) => rotation.apply(draws, image),
            Self::Translation(translation) => translation.apply(draws, image),
            Self::ColorJitter(jitter) => jitter.apply(draws, image),
            Self::Cutout(cutout) => cutout.apply(draws, image),
        }
    }
}

/// Each kind is a transformation.
macro_rules! from_kind {
    ($($kind:ident),*) => {$(
        impl From<$kind> for Transformation {
            fn from(kind: $kind) -> Self {
                Self::$kind(kind)
            }
        }
    )*};
}

from_kind!(
    HorizontalFlip,
    VerticalFlip,
    AlternatingFlip,
    RandomCrop,
    CenterCrop,
    MovedWindow,
    ResizedCrop,
    Resize,
    Rotation,
    Translation,
    ColorJitter,
    Cutout
);
