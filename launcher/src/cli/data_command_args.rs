//! The commands that look at data sets. The comments are what `--help` shows.

use crate::cli::augment_args::{AugmentArgs, InputArgs};
use crate::cli::config_args::ConfigArgs;
use crate::cli::parsers::{self, DatasetName};
use crate::cli::{DataArgs, NetworkArgs};
use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, Subcommand};
use std::path::PathBuf;

const SHOW_EXAMPLES: &str = "\
Examples:
  isograd data show mnist --augment rotate,cutout --out sheet.png
  isograd data show ./photos --resize 64 --random-crop 4 --flip --out sheet.png";

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Read all samples, and show classes, counts, mean and deviation
    Check(Box<DataCheckArgs>),
    /// Write samples, and what becomes of them in training, to an image
    #[command(after_help = SHOW_EXAMPLES)]
    Show(Box<DataShowArgs>),
}

/// Which data set.
#[derive(Debug, Args)]
pub(crate) struct DataSetArgs {
    /// Data set by name or path, as for --dataset [default: mnist]
    #[arg(value_name = "DATASET", value_parser = parsers::dataset)]
    pub(crate) name: Option<DatasetName>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DataCheckArgs {
    #[command(flatten)]
    pub(crate) set: DataSetArgs,
    #[command(flatten, next_help_heading = "Configuration")]
    pub(crate) config: ConfigArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DataShowArgs {
    #[command(flatten)]
    pub(crate) set: DataSetArgs,
    /// PNG file to write
    #[arg(long, value_name = "FILE")]
    #[arg(value_parser = PathBufValueParser::new().try_map(parsers::new_file))]
    pub(crate) out: PathBuf,
    // No option is called as one of training that means something else: configurations are for both.
    /// Samples to show, a row each
    #[arg(long, value_name = "N", default_value = "8", value_parser = parsers::pixels)]
    pub(crate) rows: usize,
    /// Epochs to show, a column each behind the sample as it is
    #[arg(long, value_name = "N", default_value = "8", value_parser = parsers::pixels)]
    pub(crate) columns: usize,
    /// Seed of the random changes
    #[arg(long, value_name = "N", default_value = "0", value_parser = parsers::seed)]
    pub(crate) sheet_seed: u64,
    /// Changes with usual numbers, separated by commas: flip, vertical-flip, alternating-flip, crop, rotate,
    /// translate, color-jitter, cutout, mixup or cutmix; the options below have others
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = parsers::change)]
    pub(crate) augment: Vec<&'static str>,
    #[command(flatten, next_help_heading = "Augmentation")]
    pub(crate) input: InputArgs,
    #[command(flatten)]
    pub(crate) changes: AugmentArgs,
    #[command(flatten, next_help_heading = "Configuration")]
    pub(crate) config: ConfigArgs,
}
