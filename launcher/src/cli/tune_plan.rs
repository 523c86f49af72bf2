//! `isograd tune`: its options, and what they mean.

use crate::cli::augment_args::InputArgs;
use crate::cli::augment_plan::InputPlan;
use crate::cli::config_args::ConfigArgs;
use crate::cli::conv_plan::ConvArgs;
use crate::cli::data_args::DataArgs;
use crate::cli::dtype::{self, Dtype};
use crate::cli::network_plan::{ModelName, NetworkPlan};
use crate::cli::parsers::{self, IsaName};
use crate::cli::plan::Execution;
use crate::cli::source::Source;
use crate::cli::{ExecutionArgs, conv_plan};
use crate::failure::Failure;
use clap::Args;
use clap::builder::{PathBufValueParser, TypedValueParser};
use std::path::PathBuf;

pub(crate) const TUNE_EXAMPLES: &str = "\
Examples:
  isograd tune resnet20                       Writes resnet20.tuned.toml
  isograd train --model resnet20 --dataset ./cifar10 --tuned resnet20.tuned.toml
  isograd tune resnet18 --dataset ./photos --resize 256 --crop 224 --batch-size 128

The paths of convolutions round differently. A run keeps its choices in its checkpoints, and has the
same bits wherever they are used, also on other machines; there, others may be faster.";

/// The options. The comments are what `--help` shows.
#[derive(Debug, Args)]
pub(crate) struct TuneArgs {
    /// Network, by name ('isograd models' lists all) or in a .toml file
    #[arg(value_name = "MODEL", value_parser = parsers::model)]
    pub(crate) model: ModelName,
    /// Samples in each rank's part of a batch, as for train
    #[arg(long, value_name = "N", default_value = "64", value_parser = parsers::count)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) batch_size: u32,
    /// File to write; a file of choices that is there already is replaced [default: MODEL.tuned.toml]
    #[arg(long, value_name = "FILE")]
    #[arg(value_parser = PathBufValueParser::new().try_map(parsers::new_file))]
    pub(crate) out: Option<PathBuf>,
    /// Threads that measure at the same time, as many as are to train [default: the cores]
    #[arg(long, value_name = "N", value_parser = parsers::threads, allow_negative_numbers = true)]
    pub(crate) threads: Option<usize>,
    /// Samples in a shard, as for train [default: as for train]
    #[arg(long, value_name = "N", value_parser = parsers::shard_size, allow_negative_numbers = true)]
    pub(crate) shard_size: Option<usize>,
    /// Type of numbers: float32 (f32), float64 (f64), or bfloat16 (bf16): float32 with activations and their
    /// gradients stored as bfloat16s in training, to take less memory
    #[arg(long, value_name = "NAME", default_value = "float32", value_parser = dtype::parse)]
    pub(crate) dtype: Dtype,
    /// Instruction-set level: auto, portable, avx2, avx512 or neon
    #[arg(long, value_name = "NAME", default_value = "auto", value_parser = parsers::isa)]
    pub(crate) isa: IsaName,
    #[command(flatten, next_help_heading = "Network and data")]
    pub(crate) data: DataArgs,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    #[command(flatten, next_help_heading = "Configuration")]
    pub(crate) config: ConfigArgs,
}

/// What is measured.
#[derive(Debug)]
pub(crate) struct TunePlan {
    pub(crate) model: NetworkPlan,
    /// The data that the network is for; if there is none, what it was made for.
    pub(crate) source: Option<Source>,
    pub(crate) input: InputPlan,
    pub(crate) batch_size: usize,
    pub(crate) execution: Execution,
    pub(crate) out: PathBuf,
}

impl TryFrom<TuneArgs> for TunePlan {
    type Error = Failure;

    fn try_from(args: TuneArgs) -> Result<Self, Failure> {
        let TuneArgs { model, batch_size, out, threads, shard_size, dtype, isa, data, input, config: _ } =
            args;
        let model = NetworkPlan::new(model)?;
        let input = InputPlan::new(input);
        let source = data.is_given().then(|| Source::new(data, &model)).transpose()?;
        let conv = ConvArgs::default();
        let out = out.unwrap_or_else(|| PathBuf::from(format!("{}.tuned.toml", model.name())));
        // What cannot be written is found before anything is measured.
        let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            let problem = format!("--out {}: there is no folder {}", out.display(), folder.display());
            return Err(Failure::Usage { problem, hint: None });
        }
        // What is there and is no file of choices is not this command's to replace.
        if out.exists()
            && let Err(problem) = conv_plan::read(&out)
        {
            return Err(Failure::Usage {
                problem: format!("--out {}: it is there and is no file of choices: {problem}", out.display()),
                hint: None,
            });
        }
        Ok(Self {
            source: source.map(|source| source.sized_for(&input)),
            model,
            input,
            batch_size: batch_size as usize,
            execution: ExecutionArgs { threads, shard_size, dtype, isa, conv }.try_into()?,
            out,
        })
    }
}

impl TunePlan {
    /// The samples in a shard, as of a training with such batches.
    pub(crate) fn shard_size(&self) -> usize {
        self.execution.shard_size(self.batch_size)
    }
}
