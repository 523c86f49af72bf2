//! Augmented sets as their users see them: the same bits for whoever reads, targets, failures, memory.

use isograd_datasets::augment::{
    AlternatingFlip, Augmented, Border, ColorJitter, CutMix, Cutout, HorizontalFlip, Mixing, Mixup,
    MovedWindow, RandomCrop, ResizedCrop, Rotation, Transformation, Translation, VerticalFlip,
};
use isograd_datasets::{
    Arrays, Dataset, Normalization, Pixels, ReadError, Request, Sample, SampleBuffer, Synthetic, Target,
};

const SHAPE: [usize; 3] = [3, 12, 10];

fn everything() -> Vec<Transformation> {
    vec![
        MovedWindow { size: [8, 8], probability: 0.5 }.into(),
        RandomCrop { border: Border::Reflect, ..RandomCrop::padded(3) }.into(),
        HorizontalFlip::default().into(),
        VerticalFlip { probability: 0.25 }.into(),
        AlternatingFlip.into(),
        Rotation { degrees: 20.0 }.into(),
        Translation { fraction: 0.2, border: Border::Edge }.into(),
        ColorJitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 }.into(),
        Cutout { size: 4 }.into(),
        ResizedCrop::new([7, 9]).into(),
        HorizontalFlip::default().into(),
    ]
}

fn bytes() -> Arrays<'static> {
    Synthetic { seed: 1, sample_shape: SHAPE, num_classes: 4 }.samples(0..40).unwrap()
}

/// The same samples as floats from 0 to 1.
fn floats() -> Arrays<'static> {
    let set = bytes();
    let of_sample =
        |index| set.sample(index).pixels.bytes().unwrap().iter().map(|byte| f32::from(*byte) / 255.0);
    let pixels: Vec<f32> = (0..set.len()).flat_map(of_sample).collect();
    Arrays::from_f32(pixels, set.labels().to_vec(), SHAPE, 4).unwrap()
}

/// Pixels and target, as bits.
fn bits(sample: Sample<'_>) -> (Vec<u32>, Vec<u32>) {
    let of_floats = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect();
    let pixels = match sample.pixels {
        Pixels::U8(bytes) => bytes.iter().map(|byte| u32::from(*byte)).collect(),
        Pixels::F32(values) => of_floats(values),
    };
    match sample.target {
        Target::Class(class) => (pixels, vec![class]),
        Target::Values(values) => (pixels, of_floats(values)),
    }
}

fn read(set: &dyn Dataset, index: usize, epoch: u32) -> (Vec<u32>, Vec<u32>) {
    bits(set.read(Request { index, epoch }, &mut SampleBuffer::new()).unwrap())
}

/// Whoever reads, in whatever order, however often, and into whatever buffer.
#[test]
fn a_sample_depends_on_seed_epoch_and_index_alone() {
    let (bytes, floats) = (bytes(), floats());
    let either = Mixing::Either(Mixup { alpha: 0.4 }, CutMix { alpha: 1.0 });
    for parent in [&bytes, &floats] {
        let plain = Augmented::new(parent, 7, everything()).unwrap();
        let mixed = Augmented::new(parent, 7, everything()).unwrap().with_mixing(either).unwrap();
        for set in [&plain, &mixed] {
            let reference: Vec<_> =
                (0..3).flat_map(|epoch| (0..40).map(move |index| read(set, index, epoch))).collect();
            let mut buffer = SampleBuffer::new();
            for place in (0..120).rev().chain([5, 5, 77, 5]) {
                let request = Request { index: place % 40, epoch: place as u32 / 40 };
                assert_eq!(bits(set.read(request, &mut buffer).unwrap()), reference[place], "{request:?}");
            }
            let from_threads: Vec<_> = std::thread::scope(|scope| {
                let part = |first: usize| {
                    move || (first..first + 30).map(|p| read(set, p % 40, p as u32 / 40)).collect()
                };
                let threads: Vec<_> =
                    [0, 30, 60, 90].map(|first| scope.spawn::<_, Vec<_>>(part(first))).into();
                threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(from_threads, reference);
            let differ = (0..40).filter(|index| reference[*index].0 != reference[40 + index].0).count();
            assert_eq!(differ, 40, "samples differ from epoch to epoch");
            for (index, sample) in reference.iter().enumerate().take(40) {
                assert_ne!(sample.0, reference[(index + 1) % 40].0);
            }
        }
        let other = Augmented::new(parent, 8, everything()).unwrap();
        assert!((0..40).all(|index| read(&other, index, 0) != read(&plain, index, 0)));
    }
}

#[test]
fn one_kind_more_changes_the_numbers_of_no_other() {
    let set = Arrays::from_u8(vec![0, 255], vec![0], [1, 1, 2], 1).unwrap();
    let few = Augmented::new(&set, 7, [HorizontalFlip::default().into()]).unwrap();
    let more =
        [Translation { fraction: 0.0, border: Border::Zeros }.into(), HorizontalFlip::default().into()];
    let more = Augmented::new(&set, 7, more).unwrap();
    let twice = Augmented::new(&set, 7, [HorizontalFlip::default().into(); 2]).unwrap();
    let of = |set: &Augmented<'_>| (0..200).map(|epoch| read(set, 0, epoch).0).collect::<Vec<_>>();
    assert_eq!(of(&few), of(&more));
    // Two flips with the same numbers would undo each other.
    let flips = of(&twice).into_iter().filter(|pixels| pixels[0] == 255).count();
    assert!((64..136).contains(&flips), "{flips} of 200 are flipped once");
}

#[test]
fn what_a_set_says_of_its_samples_is_true() {
    let set = bytes();
    let augmented = Augmented::new(&set, 7, everything()).unwrap();
    assert_eq!((augmented.len(), augmented.sample_shape(), augmented.num_classes()), (40, [3, 7, 9], 4));
    assert_eq!((augmented.target_values(), augmented.normalization()), (None, set.normalization()));
    for index in 0..40 {
        let (pixels, target) = read(&augmented, index, 0);
        assert_eq!((pixels.len(), target), (3 * 7 * 9, vec![set.labels()[index]]));
    }
    let owned = Augmented::new(Box::new(bytes()) as Box<dyn Dataset>, 7, everything()).unwrap();
    assert_eq!(read(&owned, 3, 1), read(&augmented, 3, 1));
}

#[test]
fn mixed_targets_are_shares_of_classes() {
    let set = bytes();
    for mixing in [Mixing::Mixup(Mixup { alpha: 1.0 }), Mixing::CutMix(CutMix { alpha: 1.0 })] {
        let mixed = Augmented::new(&set, 7, []).unwrap().with_mixing(mixing).unwrap();
        assert_eq!((mixed.num_classes(), mixed.target_values()), (4, Some(4)));
        let mut partners = [0; 4];
        for place in 0..400 {
            let (index, epoch) = (place % 40, place as u32 / 40);
            let target: Vec<f32> = read(&mixed, index, epoch).1.into_iter().map(f32::from_bits).collect();
            let total: f32 = target.iter().sum();
            assert!((total - 1.0).abs() < 1e-6 && target.iter().all(|share| (0.0..=1.0).contains(share)));
            let own = set.labels()[index] as usize;
            assert!(
                target.iter().enumerate().filter(|(class, share)| *class != own && **share > 0.0).count()
                    <= 1
            );
            let other = target.iter().enumerate().find(|(class, share)| *class != own && **share > 0.0);
            partners[other.map_or(own, |(class, _)| class)] += 1;
        }
        // Classes are equally frequent: 100 each, with a deviation below 9.
        assert!(partners.iter().all(|count| (60..140).contains(count)), "{partners:?}");
    }
}

#[test]
fn targets_of_numbers_are_mixed_as_well() {
    let set =
        Arrays::from_f32_with_values(vec![0.0, 1.0], vec![10.0, -1.0, 20.0, -2.0], [1, 1, 1], 2).unwrap();
    let mixed =
        Augmented::new(&set, 7, []).unwrap().with_mixing(Mixing::Mixup(Mixup { alpha: 1.0 })).unwrap();
    assert_eq!((mixed.target_values(), mixed.num_classes()), (Some(2), 0));
    for epoch in 0..50 {
        let mut buffer = SampleBuffer::new();
        let Sample { pixels, target } = mixed.read(Request { index: 0, epoch }, &mut buffer).unwrap();
        // The pixel is the share of the other sample.
        let share = pixels.floats().unwrap()[0];
        let Target::Values(values) = target else { panic!("a class") };
        assert!((values[0] - (10.0 + 10.0 * share)).abs() < 1e-5 && (values[1] + 1.0 + share).abs() < 1e-6);
    }
}

#[test]
fn cutout_fills_with_what_normalisation_makes_0() {
    let mean = Normalization::from_mean_std(&[0.5, 0.2, 0.8], &[0.2; 3]).unwrap();
    let set = bytes().with_normalization(mean).unwrap();
    let augmented = Augmented::new(&set, 7, [Cutout { size: 100 }.into()]).unwrap();
    let (pixels, _) = read(&augmented, 0, 0);
    let means: Vec<u32> = pixels.chunks(120).map(|plane| plane[0]).collect();
    assert_eq!(means, [128, 51, 204]);
}

/// A set that breaks its promises, or cannot be read.
struct Broken(Sample<'static>, usize, Normalization);

impl Dataset for Broken {
    fn len(&self) -> usize {
        2
    }

    fn sample_shape(&self) -> [usize; 3] {
        [1, 1, 2]
    }

    fn num_classes(&self) -> usize {
        2
    }

    fn normalization(&self) -> &Normalization {
        &self.2
    }

    fn read<'a>(&'a self, request: Request, _: &'a mut SampleBuffer) -> Result<Sample<'a>, ReadError> {
        match request.index == self.1 {
            true => Ok(self.0),
            false => Err(ReadError::new("the disk is gone")),
        }
    }
}

#[test]
fn failures_of_the_parent_are_those_of_the_sample() {
    let sample =
        |pixels: &'static [u8], class| Sample { pixels: Pixels::U8(pixels), target: Target::Class(class) };
    let message = |set: &dyn Dataset, mixing: Option<Mixing>, index| {
        let set = Augmented::new(set, 1, [HorizontalFlip::default().into()]).unwrap();
        let set = match mixing {
            Some(mixing) => set.with_mixing(mixing).unwrap(),
            None => set,
        };
        let mut messages: Vec<String> = (0..8)
            .filter_map(|epoch| set.read(Request { index, epoch }, &mut SampleBuffer::new()).err())
            .map(|error| error.to_string())
            .collect();
        messages.sort();
        messages.dedup();
        messages
    };
    let identity = || Normalization::identity(1);
    let fine = Broken(sample(&[1, 2], 0), 1, identity());
    assert_eq!(message(&fine, None, 0), ["the disk is gone"]);
    assert!(message(&fine, None, 1).is_empty());
    let mixup = Some(Mixing::Mixup(Mixup { alpha: 1.0 }));
    assert_eq!(message(&fine, mixup, 1), ["sample 0, which is mixed into it: the disk is gone"]);
    assert_eq!(
        message(&Broken(sample(&[1, 2, 3], 0), 1, identity()), None, 1),
        ["sample 1 has 3 values, expected 2 for sample shape [1, 1, 2]"]
    );
    assert_eq!(
        message(&Broken(sample(&[1, 2], 2), 0, identity()), None, 0),
        ["label 2 of sample 0 is out of range for 2 classes"]
    );
}

#[test]
fn a_transformation_that_does_not_fit_is_named() {
    let set = bytes();
    let message = |list: &[Transformation]| Augmented::new(&set, 7, list.to_vec()).unwrap_err().to_string();
    assert_eq!(
        message(&[RandomCrop::of_size([6, 6]).into(), RandomCrop::of_size([8, 8]).into()]),
        "the random crop takes 8x8 pixels, but the image has 6x6"
    );
    assert_eq!(
        message(&[HorizontalFlip { probability: 1.5 }.into()]),
        "the probability of the horizontal flip is 1.5, expected at least 0 and at most 1"
    );
}
