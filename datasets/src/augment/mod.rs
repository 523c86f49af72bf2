//! Augmentation: samples changed at random on the way to the network, in other ways in each epoch.
//!
//! ```text
//! sample = read(index)
//! for each transformation: sample = transformation(sample, numbers of (seed, epoch, index, transformation))
//! ```
//!
//! Whoever reads a sample, on whatever thread, however often and in whatever order, gets the same bits: no
//! number depends on anything else. Transformations of one kind that come several times draw different
//! numbers, and one that is added or left out changes the numbers of no other kind.
//!
//! Images of bytes stay bytes and those of floats floats, `[C, H, W]`, not normalised; where the formula of a
//! transformation gives no whole byte, the nearest one is taken. A sample that no transformation changes is
//! not copied, and no read allocates once its buffer has grown to what it needs.

mod alternating_flip;
mod augmented;
mod beta;
mod border;
mod color_jitter;
mod crop;
mod cutout;
mod draws;
mod error;
mod flip;
mod image;
mod mixing;
mod moved_window;
mod resample;
mod resize;
mod rotate;
mod transformation;
mod translate;

pub use alternating_flip::AlternatingFlip;
pub use augmented::Augmented;
pub use border::Border;
pub use color_jitter::ColorJitter;
pub use crop::{CenterCrop, RandomCrop};
pub use cutout::Cutout;
pub use error::AugmentError;
pub use flip::{HorizontalFlip, VerticalFlip};
pub use mixing::{CutMix, Mixing, Mixup};
pub use moved_window::MovedWindow;
pub use resize::{Resize, ResizedCrop};
pub use rotate::Rotation;
pub use transformation::Transformation;
pub use translate::Translation;
