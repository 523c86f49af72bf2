//! Where samples come from.

use super::DataArgs;
use crate::cli::address::shown;
use crate::cli::augment_plan::InputPlan;
use crate::cli::network_plan::NetworkPlan;
use crate::cli::parsers::DatasetName;
use crate::failure::Failure;
use crate::system::cache_folder;
use isograd_datasets::images::{Fit, ImageOptions};
use isograd_datasets::open::{Format, Named, OpenOptions};
use isograd_datasets::table::TableOptions;
use isograd_datasets::{images::Colour, mnist};
use isograd_model::Shape;
use std::path::PathBuf;

/// Where samples come from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// The MNIST in this binary.
    #[cfg(feature = "bundled-mnist")]
    Bundled,
    /// Files of a data set that has a name.
    Named { name: &'static str, set: Named, path: PathBuf, test_path: Option<PathBuf> },
    /// Files of any format.
    Path(Box<PathSource>),
    /// Random images with a pattern, of the shape and the classes that the network was made for.
    Synthetic { sample_shape: [usize; 3], num_classes: usize },
}

/// Files whose format is found when they are read.
#[derive(Debug, Clone)]
pub(crate) struct PathSource {
    pub(crate) path: PathBuf,
    pub(crate) test_path: Option<PathBuf>,
    pub(crate) options: OpenOptions,
    /// An option that is given and applies to images alone.
    of_images: Option<&'static str>,
    /// The same of tables.
    of_tables: Option<&'static str>,
    /// The options that are given, with their values.
    given: Vec<(&'static str, String)>,
}

impl Source {
    /// The options in force, for the table of settings: those that say where the samples are and how they are
    /// read.
    pub(crate) fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = vec![("dataset", self.name())];
        match self {
            #[cfg(feature = "bundled-mnist")]
            Self::Bundled => (),
            Self::Named { name: _, set, path: train, test_path } => {
                rows.push(("dataset-train-path", shown(train)));
                rows.extend(test_path.as_ref().map(|test| ("dataset-test-path", shown(test))));
                rows.push(("classes", set.num_classes().to_string()));
            }
            Self::Path(source) => {
                rows.extend(source.test_path.as_ref().map(|test| ("dataset-test-path", shown(test))));
                rows.extend(source.given.iter().cloned());
            }
            Self::Synthetic { sample_shape: _, num_classes: _ } => (),
        }
        rows
    }

    /// The data set's name on the command line.
    pub(crate) fn name(&self) -> String {
        match self {
            #[cfg(feature = "bundled-mnist")]
            Self::Bundled => "mnist".to_string(),
            Self::Named { name, .. } => name.to_string(),
            Self::Path(source) => shown(&source.path),
            Self::Synthetic { .. } => "synthetic".to_string(),
        }
    }

    /// The name, unless it is that of files.
    pub(crate) fn set_name(&self) -> Option<String> {
        (!matches!(self, Self::Path(_))).then(|| self.name())
    }

    /// The data for the network `model`.
    pub(super) fn new(args: DataArgs, model: &NetworkPlan) -> Result<Self, Failure> {
        if args.classes.is_some() && args.dataset_train_path.is_none() {
            return Err(usage("--classes applies only to a data set in --dataset-train-path"));
        }
        let (of_images, of_tables) = (args.of_images(), args.of_tables());
        let default = DatasetName::Named("mnist", Named::by_name("mnist").expect("a name of the library"));
        let dataset = match args.dataset.clone().unwrap_or(default) {
            DatasetName::Path(path) if args.dataset_train_path.is_some() => {
                let path = shown(&path);
                return Err(usage(&format!("--dataset-train-path: --dataset {path} is a path already")));
            }
            DatasetName::Path(path) => {
                let (options, given) = (options(&args), args.rows());
                let test_path = args.dataset_test_path;
                let source = PathSource { path, test_path, options, of_images, of_tables, given };
                return Ok(Self::Path(Box::new(source)));
            }
            dataset => dataset,
        };
        if let Some(option) = of_images.or(of_tables) {
            return Err(usage(&format!("{option} applies only where --dataset is a path")));
        }
        let (train_path, test_path) = (args.dataset_train_path, args.dataset_test_path);
        match (dataset, train_path) {
            (DatasetName::Synthetic, None) if test_path.is_none() => {
                let (Shape { c, h, w }, num_classes) = model.made_for();
                Ok(Self::Synthetic { sample_shape: [c, h, w], num_classes })
            }
            (DatasetName::Synthetic, train_path) => {
                let option = if train_path.is_some() { "train" } else { "test" };
                Err(usage(&format!("--dataset-{option}-path: the synthetic data set reads no files")))
            }
            (DatasetName::Named(name, set), Some(path)) => {
                let set = with_classes(set, args.classes)?;
                Ok(Self::Named { name, set, path, test_path })
            }
            #[cfg(feature = "bundled-mnist")]
            (DatasetName::Named("mnist", _), None) if test_path.is_none() => Ok(Self::Bundled),
            (_, None) => Err(Failure::Usage {
                problem: "--dataset-train-path is missing: the data set is not built in".to_string(),
                hint: Some(
                    "give the folder with its files, such as train-images-idx3-ubyte.gz or data_batch_1.bin; \
                     Debian has those of Fashion-MNIST in /usr/share/datasets/fashion-mnist (package \
                     dataset-fashion-mnist); '--dataset synthetic' needs no files"
                        .to_string(),
                ),
            }),
            (DatasetName::Path(_), _) => unreachable!("paths have been taken"),
        }
    }
}

impl Source {
    /// The same, of images resized so that the shorter side has `side` pixels.
    pub(crate) fn resized(&self, side: usize) -> Self {
        let mut resized = self.clone();
        if let Self::Path(source) = &mut resized {
            source.options.images.fit.resize = Some(side);
        }
        resized
    }

    /// The same, of images resized so that the crops of `input` fit, unless --resize says how.
    pub(super) fn sized_for(mut self, input: &InputPlan) -> Self {
        if let (Self::Path(source), Some([h, w])) = (&mut self, input.resized_crop()) {
            source.options.images.fit.resize.get_or_insert(h.max(w));
        }
        self
    }
}

impl PathSource {
    /// Checks that the options are for the format that was found.
    pub(crate) fn check(&self, format: Format) -> Result<(), Failure> {
        let path = shown(&self.path);
        let (of_images, of_tables) = (
            self.of_images.filter(|_| !format.has_images()),
            self.of_tables.filter(|_| format != Format::Table),
        );
        let (option, kind) = match (of_images, of_tables) {
            (Some(option), _) => (option, "images"),
            (None, Some(option)) => (option, "tables"),
            (None, None) => return Ok(()),
        };
        Err(usage(&format!("{option} applies only to {kind}, --dataset {path} is {}", format.name())))
    }
}

/// The set `set` with another number of classes, if one is given: labels count from 0 then.
fn with_classes(set: Named, classes: Option<usize>) -> Result<Named, Failure> {
    match (set, classes) {
        (set, None) => Ok(set),
        (Named::Idx(set), Some(num_classes)) => {
            Ok(Named::Idx(mnist::Set { num_classes, first_label: 0, class_names: &[], ..set }))
        }
        (Named::Cifar(_), Some(_)) => Err(usage("--classes applies only to IDX files, CIFAR has its own")),
    }
}

/// How files are read.
fn options(args: &DataArgs) -> OpenOptions {
    OpenOptions {
        images: ImageOptions {
            fit: Fit { resize: args.resize, crop: None },
            colour: if args.grey { Colour::Grey } else { Colour::Rgb },
            on_bad_image: args.on_bad_image.unwrap_or_default(),
            cache_folder: cache_folder::find(),
        },
        table: TableOptions {
            label: args.label_column.clone(),
            targets: args.targets.unwrap_or_default(),
            missing: args.missing.unwrap_or_default(),
            ..TableOptions::default()
        },
        ..OpenOptions::default()
    }
}

fn usage(problem: &str) -> Failure {
    Failure::Usage { problem: problem.to_string(), hint: None }
}
