//! How samples are changed on the way to the network: what the options ask for.

use crate::cli::{AugmentArgs, InputArgs, PrefetchArgs};
use crate::failure::Failure;
use isograd_datasets::augment::{
    AlternatingFlip, CenterCrop, CutMix, Cutout, HorizontalFlip, Mixing, Mixup, MovedWindow, RandomCrop,
    Resize, ResizedCrop, Rotation, Transformation, Translation, VerticalFlip,
};
use isograd_datasets::{Dataset, Published};
use isograd_model::InputInfo;
use std::fmt;

/// Height and width of the window of `--crop-images`, by default.
const WINDOW: [usize; 2] = [16; 2];

/// Where the statistics of a normalization come from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum NormalizePlan {
    /// A data set that is known by name.
    Published(Published),
    /// The training samples.
    Computed,
    /// The command line: means and deviations.
    Given(Vec<f64>, Vec<f64>),
    /// A saved network: factors and addends for samples that are bytes, and for those that are floats.
    Saved { bytes: [Vec<f64>; 2], floats: [Vec<f64>; 2] },
}

impl NormalizePlan {
    /// That of a saved network.
    pub(super) fn of_saved(input: &InputInfo) -> Self {
        Self::Saved { bytes: input.of_bytes(), floats: input.of_floats() }
    }
}

/// What all samples go through, those of tests as well.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct InputPlan {
    size: Option<Size>,
    pub(crate) normalize: Option<NormalizePlan>,
}

/// The size that samples get, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Size {
    Crop([usize; 2]),
    Resized([usize; 2]),
}

/// What the training samples go through.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct AugmentPlan {
    pub(crate) input: InputPlan,
    /// All but what gives samples their size.
    changes: Vec<Transformation>,
    pub(crate) mixing: Option<Mixing>,
}

/// How training samples are read ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PrefetchPlan {
    /// How many at most.
    pub(crate) samples: u32,
    pub(crate) threads: usize,
}

impl PrefetchPlan {
    /// The plan of `args`, if they ask for one.
    pub(crate) fn new(args: &PrefetchArgs) -> Option<Self> {
        let threads = args.prefetch_threads.unwrap_or(1);
        args.prefetch.map(|samples| Self { samples, threads })
    }
}

impl InputPlan {
    /// The plan of `args`, which the parsers have checked.
    pub(crate) fn new(args: InputArgs) -> Self {
        let InputArgs { crop, resized_crop, normalize } = args;
        Self { size: crop.map(Size::Crop).or(resized_crop.map(Size::Resized)), normalize }
    }

    /// Takes statistics that a run has computed from what its checkpoint tells of its `input`. They are then
    /// those of its start, whatever has become of the samples, and nobody reads them all again.
    pub(crate) fn keep_computed(&mut self, input: Option<&InputInfo>) {
        if let (Some(NormalizePlan::Computed), Some(input)) = (&self.normalize, input) {
            self.normalize = Some(NormalizePlan::of_saved(input));
        }
    }

    /// The height and width that images are given, if they do not keep their own.
    pub(crate) fn size(&self) -> Option<[usize; 2]> {
        self.size.map(|size| match size {
            Size::Crop(size) | Size::Resized(size) => size,
        })
    }

    /// The size to which `--resized-crop` resizes.
    pub(super) fn resized_crop(&self) -> Option<[usize; 2]> {
        self.size.and_then(|size| match size {
            Size::Crop(_) => None,
            Size::Resized(size) => Some(size),
        })
    }

    /// What changes samples of `set` that are not trained on.
    pub(crate) fn in_tests(&self, set: &dyn Dataset) -> Option<Transformation> {
        let [_, h, w] = set.sample_shape();
        Some(match self.size? {
            Size::Crop(size) => CenterCrop { size }.into(),
            // Whole images have been resized to what the middle is taken of.
            Size::Resized(size) if set.parts().is_some() && size[0] <= h && size[1] <= w => {
                CenterCrop { size }.into()
            }
            Size::Resized(size) => Resize { size }.into(),
        })
    }

    fn in_training(&self) -> Option<Transformation> {
        Some(match self.size? {
            Size::Crop(size) => RandomCrop::of_size(size).into(),
            Size::Resized(size) => ResizedCrop::new(size).into(),
        })
    }

    /// The options and their values, as rows of a table.
    pub(crate) fn rows(&self) -> Vec<(&'static str, String)> {
        let size = self.size.map(|size| match size {
            Size::Crop([h, w]) => ("crop", format!("{h}x{w}")),
            Size::Resized([h, w]) => ("resized-crop", format!("{h}x{w}")),
        });
        let normalize = self.normalize.as_ref().map(|plan| ("normalize", plan.to_string()));
        size.into_iter().chain(normalize).collect()
    }
}

impl AugmentPlan {
    /// The changes in their order: parts of the image, mirrors, movements, colours, and then what is blotted
    /// out or mixed.
    pub(crate) fn new(input: InputArgs, args: AugmentArgs) -> Result<Self, Failure> {
        let AugmentArgs {
            flip,
            flip_prob,
            vertical_flip,
            alternating_flip,
            random_crop,
            crop_border,
            crop_images,
            crop_images_size,
            crop_images_prob,
            rotate,
            translate,
            color_jitter,
            cutout,
            mixup,
            cutmix,
        } = args;
        needs(flip, "--flip", &[("--flip-prob", flip_prob.is_some())])?;
        let window = [
            ("--crop-images-size", crop_images_size.is_some()),
            ("--crop-images-prob", crop_images_prob.is_some()),
        ];
        needs(crop_images, "--crop-images", &window)?;
        let half = |probability: Option<f64>| probability.unwrap_or(0.5);
        let size = crop_images_size.unwrap_or(WINDOW);
        let window = MovedWindow { size, probability: half(crop_images_prob) };
        let crop = random_crop.map(|padding| {
            RandomCrop { border: crop_border.unwrap_or_default(), ..RandomCrop::padded(padding) }.into()
        });
        let border = isograd_datasets::augment::Border::Zeros;
        let changes = [
            crop_images.then_some(window.into()),
            crop,
            flip.then_some(HorizontalFlip { probability: half(flip_prob) }.into()),
            alternating_flip.then_some(AlternatingFlip.into()),
            vertical_flip.then_some(VerticalFlip::default().into()),
            rotate.map(|degrees| Rotation { degrees }.into()),
            translate.map(|fraction| Translation { fraction, border }.into()),
            color_jitter.map(Transformation::ColorJitter),
            cutout.map(|size| Cutout { size }.into()),
        ];
        let [mixup, cutmix] = [mixup, cutmix];
        let mixing = match (mixup.map(|alpha| Mixup { alpha }), cutmix.map(|alpha| CutMix { alpha })) {
            (Some(mixup), Some(cutmix)) => Some(Mixing::Either(mixup, cutmix)),
            (Some(mixup), None) => Some(Mixing::Mixup(mixup)),
            (None, Some(cutmix)) => Some(Mixing::CutMix(cutmix)),
            (None, None) => None,
        };
        Ok(Self { input: InputPlan::new(input), changes: changes.into_iter().flatten().collect(), mixing })
    }

    /// What changes training samples, in order.
    pub(crate) fn transformations(&self) -> impl Iterator<Item = Transformation> + '_ {
        self.input.in_training().into_iter().chain(self.changes.iter().copied())
    }

    /// The options and their values, as rows of a table.
    pub(crate) fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = self.input.rows();
        rows.extend(self.changes.iter().map(row));
        match self.mixing {
            None => {}
            Some(Mixing::Mixup(mixup)) => rows.push(("mixup", format!("{:?}", mixup.alpha))),
            Some(Mixing::CutMix(cut_mix)) => rows.push(("cutmix", format!("{:?}", cut_mix.alpha))),
            Some(Mixing::Either(mixup, cut_mix)) => {
                rows.push(("mixup", format!("{:?} (every other sample)", mixup.alpha)));
                rows.push(("cutmix", format!("{:?} (every other sample)", cut_mix.alpha)));
            }
        }
        rows
    }
}

/// An option and its value.
fn row(change: &Transformation) -> (&'static str, String) {
    match change {
        Transformation::HorizontalFlip(flip) => ("flip", format!("{:?}", flip.probability)),
        Transformation::VerticalFlip(flip) => ("vertical-flip", format!("{:?}", flip.probability)),
        Transformation::AlternatingFlip(_) => ("alternating-flip", "every other epoch".to_string()),
        Transformation::RandomCrop(crop) => {
            ("random-crop", format!("{} pixels of {:?}", crop.padding, crop.border).to_lowercase())
        }
        Transformation::MovedWindow(window) => {
            let [h, w] = window.size;
            ("crop-images", format!("{h}x{w} at {:?}", window.probability))
        }
        Transformation::Rotation(rotation) => ("rotate", format!("{:?}", rotation.degrees)),
        Transformation::Translation(translation) => ("translate", format!("{:?}", translation.fraction)),
        Transformation::ColorJitter(jitter) => {
            let numbers = [jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue];
            ("color-jitter", numbers.map(|number| format!("{number:?}")).join(","))
        }
        Transformation::Cutout(cutout) => ("cutout", cutout.size.to_string()),
        other => unreachable!("no option gives {other:?}"),
    }
}

/// An error if one of `others` is given without `option`.
fn needs(is_given: bool, option: &str, others: &[(&str, bool)]) -> Result<(), Failure> {
    match others.iter().find(|(_, other)| *other && !is_given) {
        Some((other, _)) => Err(Failure::Usage { problem: format!("{other} needs {option}"), hint: None }),
        None => Ok(()),
    }
}

impl fmt::Display for NormalizePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Published(published) => f.write_str(published.name),
            Self::Computed => f.write_str("computed"),
            Self::Saved { .. } => f.write_str("as in training"),
            Self::Given(mean, std) => {
                let list = |numbers: &[f64]| {
                    numbers.iter().map(|number| format!("{number:?}")).collect::<Vec<_>>().join(",")
                };
                write!(f, "{}/{}", list(mean), list(std))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::plan::TrainPlan;
    use crate::cli::{Arguments, Command};
    use clap::Parser;

    fn plan(options: &str) -> Result<super::AugmentPlan, String> {
        let args =
            ["isograd", "train", "--dataset", "synthetic"].into_iter().chain(options.split_whitespace());
        match Arguments::try_parse_from(args).map_err(|error| error.to_string())?.command {
            Command::Train(args) => {
                TrainPlan::try_from(args).map(|plan| plan.augment).map_err(|failure| failure.to_string())
            }
            other => panic!("{other:?}"),
        }
    }

    fn table(options: &str) -> String {
        let rows = plan(options).unwrap().rows();
        rows.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn options_become_changes_in_one_order() {
        assert_eq!(table(""), "");
        assert_eq!(
            table("--cutout 8 --flip --random-crop 4 --rotate 15"),
            "random-crop 4 pixels of zeros; flip 0.5; rotate 15.0; cutout 8"
        );
        assert_eq!(
            table("--alternating-flip --random-crop 2 --crop-border reflect --translate 0.1 --vertical-flip"),
            "random-crop 2 pixels of reflect; alternating-flip every other epoch; vertical-flip 0.5; translate 0.1"
        );
        assert_eq!(
            table("--resized-crop 24x20 --color-jitter 0.4,0.4 --mixup 0.2 --cutmix 1 --normalize computed"),
            "resized-crop 24x20; normalize computed; color-jitter 0.4,0.4,0.0,0.0; mixup 0.2 (every other sample); \
             cutmix 1.0 (every other sample)"
        );
        assert_eq!(table("--crop 20 --normalize 0.5/0.25"), "crop 20x20; normalize 0.5/0.25");
    }

    /// The names and values of PyDTNN.
    #[test]
    fn the_prior_arts_options_mean_the_same() {
        assert_eq!(table("--flip-images=True --flip-images-prob 0.25"), "flip 0.25");
        assert_eq!(table("--flip-images=False --crop-images=1"), "crop-images 16x16 at 0.5");
        assert_eq!(
            table("--crop-images --crop-images-size 14 --crop-images-prob 1"),
            "crop-images 14x14 at 1.0"
        );
    }

    #[test]
    fn options_that_say_nothing_are_refused() {
        for (options, expected) in [
            ("--flip-prob 0.3", "--flip-prob needs --flip"),
            ("--crop-images-size 8", "--crop-images-size needs --crop-images"),
            ("--flip --alternating-flip", "cannot be used with"),
            ("--crop 8 --resized-crop 8", "cannot be used with"),
            ("--crop-border edge", "--random-crop <PADDING>"),
            ("--flip=maybe", "must be yes or no, it is 'maybe'"),
            ("--flip --flip-prob 1.5", "must be a number from 0 to 1, it is '1.5'"),
            ("--crop 0", "must be a number of pixels from 1 to 65536, or two as in 224x224, it is '0'"),
            ("--crop 3x", "it is '3x'"),
            ("--color-jitter 1,2,3,0.1,5", "must be one to four numbers"),
            ("--color-jitter -1", "must be one to four numbers"),
            ("--normalize cifar", "unknown statistics 'cifar'"),
            ("--normalize 0.5/0", "a deviation must be above 0, it is 0"),
            ("--normalize 0.5,0.4/0.1", "2 means and 1 deviation"),
        ] {
            let error = plan(options).unwrap_err();
            assert!(error.contains(expected), "{options}: {error}");
        }
    }
}
