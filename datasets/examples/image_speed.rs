//! How fast a thread decodes and augments images: random parts resized to 224 x 224, half of them mirrored.
//!
//! Run it with `cargo run --release -p isograd-datasets --example image_speed -- FOLDER`, where `FOLDER` has
//! a folder of images for each class.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use isograd_datasets::augment::{Augmented, CenterCrop, HorizontalFlip, ResizedCrop, Transformation};
use isograd_datasets::images::{Fit, ImageFolder, ImageOptions};
use isograd_datasets::{Dataset, Request, SampleBuffer};

const SIZE: [usize; 2] = [224, 224];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("expected the folder of the images")?;
    let fit = Fit { resize: Some(256), crop: None };
    let set = ImageFolder::open(Path::new(&folder), &ImageOptions { fit, ..ImageOptions::default() })?;
    let training = vec![ResizedCrop::new(SIZE).into(), HorizontalFlip::default().into()];
    measure("training (resized crop, flip)", &set, training)?;
    measure("test (resize 256, centre crop)", &set, vec![CenterCrop { size: SIZE }.into()])
}

/// Prints the images a second of three epochs.
fn measure(
    name: &str,
    set: &ImageFolder,
    changes: Vec<Transformation>,
) -> Result<(), Box<dyn std::error::Error>> {
    let (samples, mut buffer) = (Augmented::new(set, 1, changes)?, SampleBuffer::new());
    for epoch in 0..3 {
        let begin = Instant::now();
        for index in 0..samples.len() {
            black_box(samples.read(Request { index, epoch }, &mut buffer)?);
        }
        println!("{name}: {:.0} images/s", samples.len() as f64 / begin.elapsed().as_secs_f64());
    }
    Ok(())
}
