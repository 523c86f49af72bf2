//! The commands that use networks and exchange them. The comments are what `--help` shows.

use crate::cli::config_args::ConfigArgs;
use crate::cli::conv_plan::ConvArgs;
use crate::cli::network_plan::ModelName;
use crate::cli::parsers::{self, IsaName};
use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, ValueEnum};
use isograd_model::TestTime;
use std::path::PathBuf;

pub(crate) const PREDICT_EXAMPLES: &str = "\
Examples:
  isograd predict --load runs/a cat.jpg dog.png photos/
  isograd predict --load digits.safetensors --top 3 --json digits.npz > digits.jsonl

CSV has the columns input, index, rank, class, name and score, a row for each of the top classes;
of a regression, the columns input, index, output and value. JSON lines have input, index and top,
a list of class, name and score; of a regression, input, index and values. index counts the samples
of a file of arrays from 0 and is empty (null) for an image. A score is a probability where the
network gives some.";

pub(crate) const EXPORT_EXAMPLES: &str = "\
Examples:
  isograd export --load runs/a --format onnx model.onnx
  isograd export --load runs/a --format safetensors weights.safetensors   For PyTorch";

pub(crate) const IMPORT_EXAMPLES: &str = "\
Examples:
  isograd import resnet18.safetensors --model resnet18_imagenet --save start.safetensors
  isograd import resnet18.safetensors --model resnet18 --classes 10 --partial --save ten.safetensors";

/// Where a trained network is.
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// Trained network: the folder of a run, which stands for its best checkpoint or else its newest; a
    /// checkpoint in it; or a file that `train --save` has written
    #[arg(long, value_name = "PATH")]
    pub(crate) load: PathBuf,
    /// Network, by name or in a .toml file [default: what the file says]
    #[arg(long, value_name = "NAME", value_parser = parsers::model)]
    pub(crate) model: Option<ModelName>,
}

#[derive(Debug, Args)]
pub(crate) struct PredictArgs {
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    /// What to predict: images (JPEG, PNG, WebP, BMP), folders of them, and .npz, .npy, .safetensors and IDX
    /// files of samples
    #[arg(value_name = "INPUT", required = true)]
    pub(crate) inputs: Vec<PathBuf>,
    /// Show the K likeliest classes
    #[arg(long, value_name = "K", default_value = "1", value_parser = parsers::count)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) top: u32,
    /// Print JSON lines, an object for each sample
    #[arg(long, conflicts_with = "csv")]
    pub(crate) json: bool,
    /// Print CSV, a row for each class of each sample
    #[arg(long)]
    pub(crate) csv: bool,
    /// Test-time augmentation: predict by the mean of the outputs for several views of each sample: none,
    /// flip or flip-translate [default: that of the training]
    #[arg(long, value_name = "VIEWS", value_parser = parsers::test_time)]
    pub(crate) tta: Option<TestTime>,
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    #[arg(value_parser = PathBufValueParser::new().try_map(parsers::new_file))]
    pub(crate) out: Option<PathBuf>,
    /// Threads; they do not change the result [default: the cores]
    #[arg(long, value_name = "N", value_parser = parsers::threads, allow_negative_numbers = true)]
    pub(crate) threads: Option<usize>,
    /// Instruction-set level: auto, portable, avx2, avx512 or neon
    #[arg(long, value_name = "NAME", default_value = "auto", value_parser = parsers::isa)]
    pub(crate) isa: IsaName,
    #[command(flatten)]
    pub(crate) conv: ConvArgs,
    #[command(flatten, next_help_heading = "Configuration")]
    pub(crate) config: ConfigArgs,
}

/// Formats of other programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// Network and parameters, for ONNX runtimes (opset 19)
    Onnx,
    /// Parameters by name, as PyTorch has them
    Safetensors,
    /// Parameters by name, for numpy
    Npz,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    /// Format [default: by the name of the file]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<ExportFormat>,
    /// onnx: leave out a softmax or a sigmoid at the end
    #[arg(long)]
    pub(crate) logits: bool,
    /// File to write
    #[arg(value_name = "FILE")]
    #[arg(value_parser = PathBufValueParser::new().try_map(parsers::new_file))]
    pub(crate) file: PathBuf,
    #[command(flatten, next_help_heading = "Configuration")]
    pub(crate) config: ConfigArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Parameters by name in a safetensors file, such as a state dictionary of PyTorch
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Network, by name ('isograd models' lists all) or in a .toml file
    #[arg(long, value_name = "NAME", value_parser = parsers::model)]
    pub(crate) model: ModelName,
    /// Classes of a network that has a name [default: those that it was made for]
    #[arg(long, value_name = "N", value_parser = parsers::classes, allow_negative_numbers = true)]
    pub(crate) classes: Option<usize>,
    /// Take what matches: other parameters of the network get initial values, other tensors of the file are
    /// left out
    #[arg(long)]
    pub(crate) partial: bool,
    /// Seed of the initial values
    #[arg(long, value_name = "N", default_value = "0", value_parser = parsers::seed)]
    #[arg(allow_negative_numbers = true, requires = "partial")]
    pub(crate) seed: u64,
    /// File to write, for --load of the other commands
    #[arg(long, value_name = "FILE")]
    #[arg(value_parser = PathBufValueParser::new().try_map(parsers::new_file))]
    pub(crate) save: PathBuf,
    #[command(flatten, next_help_heading = "Configuration")]
    pub(crate) config: ConfigArgs,
}
