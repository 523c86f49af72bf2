//! Options of how samples are changed on the way to the network. The comments are what `--help` shows.

use crate::cli::augment_plan::NormalizePlan;
use crate::cli::parsers;
use clap::Args;
use isograd_datasets::augment::{Border, ColorJitter};

/// What all samples go through, those of tests as well.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct InputArgs {
    /// Use windows of SIZE pixels, 'HEIGHTxWIDTH' or one number for both: in training at random places,
    /// otherwise the one in the middle
    #[arg(long, value_name = "SIZE", value_parser = parsers::size, conflicts_with = "resized_crop")]
    pub(crate) crop: Option<[usize; 2]>,
    /// Resize to SIZE: in training a random part of 8 to 100 % of the area and of an aspect from 3:4 to 4:3,
    /// otherwise all, or, of images with --resize, the middle
    #[arg(long, value_name = "SIZE", value_parser = parsers::size)]
    pub(crate) resized_crop: Option<[usize; 2]>,
    /// Subtract the mean of each channel, and divide by its deviation: those of imagenet, cifar10, cifar100,
    /// mnist or fashion-mnist, those computed of the training samples, or as MEANS/DEVIATIONS numbers on the
    /// scale from 0 to 1, such as 0.5,0.4,0.4/0.2,0.2,0.2 [default: scale to 0..1 alone]
    #[arg(long, value_name = "STATISTICS", value_parser = parsers::normalize)]
    pub(crate) normalize: Option<NormalizePlan>,
}

/// Random changes of the training samples.
#[derive(Debug, Clone, Args)]
pub(crate) struct AugmentArgs {
    /// Mirror samples at random, left and right
    #[arg(long, visible_alias = "flip-images", value_name = "YES", value_parser = parsers::switch)]
    #[arg(num_args = 0..=1, require_equals = true, default_value = "no", default_missing_value = "yes")]
    #[arg(hide_default_value = true, hide_possible_values = true)]
    pub(crate) flip: bool,
    /// How likely a sample is mirrored in an epoch [default: 0.5]
    #[arg(long, visible_alias = "flip-images-prob", value_name = "PROBABILITY")]
    #[arg(value_parser = parsers::probability, allow_negative_numbers = true)]
    pub(crate) flip_prob: Option<f64>,
    /// Mirror half of the samples at random, top and bottom
    #[arg(long)]
    pub(crate) vertical_flip: bool,
    /// Mirror each sample in every other epoch, left and right
    #[arg(long, conflicts_with_all = ["flip", "flip_prob"])]
    pub(crate) alternating_flip: bool,
    /// Surround samples with PADDING pixels, and take a window at a random place of it, as large as the
    /// sample
    #[arg(long, value_name = "PADDING", value_parser = parsers::pixels)]
    pub(crate) random_crop: Option<usize>,
    /// What samples are surrounded with: zeros, reflect or edge [default: zeros]
    #[arg(long, value_name = "NAME", value_parser = parsers::border, requires = "random_crop")]
    pub(crate) crop_border: Option<Border>,
    /// Keep a random window, moved to a random place on black
    #[arg(long, value_name = "YES", value_parser = parsers::switch)]
    #[arg(num_args = 0..=1, require_equals = true, default_value = "no", default_missing_value = "yes")]
    #[arg(hide_default_value = true, hide_possible_values = true)]
    pub(crate) crop_images: bool,
    /// Height and width of that window [default: 16]
    #[arg(long, value_name = "SIZE", value_parser = parsers::size)]
    pub(crate) crop_images_size: Option<[usize; 2]>,
    /// How likely a sample is changed so in an epoch [default: 0.5]
    #[arg(long, value_name = "PROBABILITY", value_parser = parsers::probability)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) crop_images_prob: Option<f64>,
    /// Turn samples by up to DEGREES to each side
    #[arg(long, value_name = "DEGREES", value_parser = parsers::nonnegative, allow_negative_numbers = true)]
    pub(crate) rotate: Option<f64>,
    /// Move samples by up to this part of their height and width
    #[arg(long, value_name = "FRACTION", value_parser = parsers::probability, allow_negative_numbers = true)]
    pub(crate) translate: Option<f64>,
    /// Change brightness, contrast and saturation by up to these parts, and turn the hue by up to that part
    /// of the circle, such as 0.4,0.4,0.4,0.1; the last ones can be left out
    #[arg(long, value_name = "NUMBERS", value_parser = parsers::color_jitter, allow_negative_numbers = true)]
    pub(crate) color_jitter: Option<ColorJitter>,
    /// Blot out a square of SIZE pixels at a random place
    #[arg(long, value_name = "SIZE", value_parser = parsers::pixels)]
    pub(crate) cutout: Option<usize>,
    /// Mix samples and their targets with others, in parts of the distribution Beta(ALPHA, ALPHA)
    #[arg(long, value_name = "ALPHA", value_parser = parsers::positive, allow_negative_numbers = true)]
    pub(crate) mixup: Option<f64>,
    /// Put windows of other samples into samples, in parts of the distribution Beta(ALPHA, ALPHA); with
    /// --mixup, half of the samples get one and half the other
    #[arg(long, value_name = "ALPHA", value_parser = parsers::positive, allow_negative_numbers = true)]
    pub(crate) cutmix: Option<f64>,
}

/// How samples are read ahead.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PrefetchArgs {
    /// Read up to N training samples ahead of the threads that train; for samples that are read from files
    /// [default: none]
    #[arg(long, value_name = "N", value_parser = parsers::count, allow_negative_numbers = true)]
    pub(crate) prefetch: Option<u32>,
    /// Threads that read samples ahead; they do not change the result [default: 1]
    #[arg(long, value_name = "N", value_parser = parsers::threads, requires = "prefetch")]
    #[arg(allow_negative_numbers = true)]
    pub(crate) prefetch_threads: Option<usize>,
}
