//! Augmentation of images of CIFAR's and ImageNet's sizes, by one thread: images per second.
//!
//! A run reads every image once, for another epoch than the run before.

use isograd_benches::{Suite, Work};
use isograd_datasets::augment::{
    Augmented, ColorJitter, Cutout, HorizontalFlip, Mixing, Mixup, RandomCrop, ResizedCrop, Rotation,
    Transformation,
};
use isograd_datasets::{Arrays, Dataset, Request, SampleBuffer, Synthetic};
use std::hint::black_box;

const CIFAR: [usize; 3] = [3, 32, 32];
const IMAGENET: [usize; 3] = [3, 375, 500];

fn images(sample_shape: [usize; 3], count: usize) -> Arrays<'static> {
    let sequence = Synthetic { seed: 1, sample_shape, num_classes: 10 };
    sequence.samples(0..count as u64).expect("images")
}

fn augment(
    suite: &mut Suite,
    name: &str,
    images: &Arrays<'_>,
    changes: &[Transformation],
    mix: Option<Mixing>,
) {
    let Some(isa) = suite.levels().first().copied() else { return };
    suite.kernel(isa, name, Work::Samples(images.len()), || {
        let set = Augmented::new(images, 1, changes.iter().copied()).expect("they fit");
        let set = match mix {
            Some(mixing) => set.with_mixing(mixing).expect("an alpha"),
            None => set,
        };
        let mut buffer = SampleBuffer::new();
        let pixels = |epoch, buffer: &mut SampleBuffer| {
            let sample = set.read(Request { index: 0, epoch }, buffer).expect("a sample in memory");
            sample.pixels.bytes().expect("bytes").to_vec()
        };
        assert_eq!(pixels(3, &mut buffer), pixels(3, &mut SampleBuffer::new()), "{name}: other bits");
        let mut epoch = 0;
        move || {
            epoch += 1;
            for index in 0..images.len() {
                black_box(set.read(Request { index, epoch }, &mut buffer).expect("a sample in memory"));
            }
        }
    });
}

fn main() {
    let mut suite = Suite::new("augment");
    let (small, large) = (images(CIFAR, 1024), images(IMAGENET, 16));
    let (flip, crop) = (HorizontalFlip::default().into(), RandomCrop::padded(4).into());
    let jitter = ColorJitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 };
    augment(&mut suite, "cifar flip and crop", &small, &[flip, crop], None);
    augment(
        &mut suite,
        "cifar flip, crop and cutout",
        &small,
        &[flip, crop, Cutout { size: 8 }.into()],
        None,
    );
    augment(&mut suite, "cifar rotation", &small, &[Rotation { degrees: 15.0 }.into()], None);
    augment(&mut suite, "cifar colours", &small, &[jitter.into()], None);
    let mixup = Some(Mixing::Mixup(Mixup { alpha: 0.2 }));
    augment(&mut suite, "cifar flip, crop and mixup", &small, &[flip, crop], mixup);
    let resized = ResizedCrop::new([224, 224]).into();
    augment(&mut suite, "375x500 to 224x224, flip", &large, &[resized, flip], None);
    suite.finish();
}
