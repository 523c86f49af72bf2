//! The options that say which data set is used and how it is read.

use crate::cli::address;
use crate::cli::parsers::{self, DatasetName};
use clap::Args;
use clap::builder::{PathBufValueParser, TypedValueParser};
use isograd_datasets::images::OnBadImage;
use isograd_datasets::table::{Missing, Targets};
use std::path::PathBuf;

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct DataArgs {
    /// Data set: mnist, fashion-mnist, kmnist, qmnist, emnist-letters (-digits, -balanced, -byclass,
    /// -bymerge, -mnist), cifar10, cifar100 (-coarse); synthetic, which fits any network; or a path, such as
    /// ./photos: a folder with a folder of images for each class, or with train/, val/ and test/ of them;
    /// .tar files of images; a .csv, .npz, .npy or .safetensors file. A program with the feature object-store
    /// downloads https://host/file, s3://bucket/file and s3://bucket/folder/ into the user's cache
    /// [default: mnist]
    #[arg(long, value_name = "NAME or PATH", value_parser = parsers::dataset)]
    pub(crate) dataset: Option<DatasetName>,
    /// Folder with the files of a data set that has a name, compressed or not (MNIST is built in)
    #[arg(long, value_name = "FOLDER", value_parser = PathBufValueParser::new().try_map(address::path))]
    pub(crate) dataset_train_path: Option<PathBuf>,
    /// Folder or file with the test samples, if they are elsewhere
    #[arg(long, value_name = "PATH", value_parser = PathBufValueParser::new().try_map(address::path))]
    pub(crate) dataset_test_path: Option<PathBuf>,
    /// Classes of IDX files: every label is below it [default: those of the data set]
    #[arg(long, value_name = "N", value_parser = parsers::classes, allow_negative_numbers = true)]
    pub(crate) classes: Option<usize>,
    /// Images: resize the shorter side to N pixels; --crop and --resized-crop take their parts of the whole
    /// image then, and without them, samples are the N x N pixels in the middle [default: images have one
    /// size]
    #[arg(long, value_name = "N", value_parser = parsers::side, allow_negative_numbers = true)]
    pub(crate) resize: Option<usize>,
    /// Images: one channel, the brightness, instead of three
    #[arg(long)]
    pub(crate) grey: bool,
    /// Images: what a file that cannot be decoded does: stop (the run) or skip (it; all files are checked at
    /// the first start) [default: stop]
    #[arg(long, value_name = "WHAT", value_parser = parsers::on_bad_image)]
    pub(crate) on_bad_image: Option<OnBadImage>,
    /// Tables: column of the targets, by its name or its number from 1 [default: the last one]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) label_column: Option<String>,
    /// Tables: what targets are: classes, numbers (for a regression) or auto (classes if they are texts or at
    /// most 100 different whole numbers) [default: auto]
    #[arg(long, value_name = "KIND", value_parser = parsers::targets)]
    pub(crate) targets: Option<Targets>,
    /// Tables: what a missing value is: error, mean (of its column) or a number [default: error]
    #[arg(long, value_name = "VALUE", value_parser = parsers::missing, allow_negative_numbers = true)]
    pub(crate) missing: Option<Missing>,
}

impl DataArgs {
    /// Whether any of the options is given.
    pub(crate) fn is_given(&self) -> bool {
        let Self {
            dataset,
            dataset_train_path,
            dataset_test_path,
            classes,
            resize: _,
            grey: _,
            on_bad_image: _,
            label_column: _,
            targets: _,
            missing: _,
        } = self;
        dataset.is_some()
            || dataset_train_path.is_some()
            || dataset_test_path.is_some()
            || classes.is_some()
            || self.of_images().is_some()
            || self.of_tables().is_some()
    }

    /// These options, and those of `other` that are not given here.
    pub(super) fn over(self, other: Self) -> Self {
        Self {
            dataset: self.dataset.or(other.dataset),
            dataset_train_path: self.dataset_train_path.or(other.dataset_train_path),
            dataset_test_path: self.dataset_test_path.or(other.dataset_test_path),
            classes: self.classes.or(other.classes),
            resize: self.resize.or(other.resize),
            grey: self.grey || other.grey,
            on_bad_image: self.on_bad_image.or(other.on_bad_image),
            label_column: self.label_column.or(other.label_column),
            targets: self.targets.or(other.targets),
            missing: self.missing.or(other.missing),
        }
    }

    /// An option that is given and applies to images alone.
    pub(super) fn of_images(&self) -> Option<&'static str> {
        let given = [
            ("--resize", self.resize.is_some()),
            ("--grey", self.grey),
            ("--on-bad-image", self.on_bad_image.is_some()),
        ];
        first(given)
    }

    /// An option that is given and applies to tables alone.
    pub(super) fn of_tables(&self) -> Option<&'static str> {
        let given = [
            ("--label-column", self.label_column.is_some()),
            ("--targets", self.targets.is_some()),
            ("--missing", self.missing.is_some()),
        ];
        first(given)
    }

    /// The options that say how files are read and are given, with their values.
    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        let side = |side: Option<usize>| side.map(|side| side.to_string());
        let missing = self.missing.map(|missing| match missing {
            Missing::Error => "error".to_string(),
            Missing::Mean => "mean".to_string(),
            Missing::Value(value) => format!("{value:?}"),
        });
        let rows = [
            ("resize", side(self.resize)),
            ("grey", self.grey.then(|| "true".to_string())),
            ("on-bad-image", self.on_bad_image.map(|answer| format!("{answer:?}").to_lowercase())),
            ("label-column", self.label_column.clone()),
            ("targets", self.targets.map(|targets| format!("{targets:?}").to_lowercase())),
            ("missing", missing),
        ];
        rows.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

fn first<const N: usize>(given: [(&'static str, bool); N]) -> Option<&'static str> {
    given.into_iter().find(|(_, is_given)| *is_given).map(|(option, _)| option)
}
