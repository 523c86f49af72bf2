//! The command line. The comments are what `--help` shows.

use crate::cli::augment_args::{AugmentArgs, InputArgs, PrefetchArgs};
use crate::cli::callback_args::{CallbackArgs, CheckpointArgs};
use crate::cli::config::Origins;
use crate::cli::config_args::ConfigArgs;
use crate::cli::conv_plan::ConvArgs;
use crate::cli::data_args::DataArgs;
use crate::cli::data_command_args::DataCommand;
use crate::cli::dtype::{self, Dtype};
use crate::cli::job_args::{
    AgentArgs, HostsCommand, LOCAL_EXAMPLES, LocalArgs, SSH_EXAMPLES, SlurmArgs, SshArgs,
};
use crate::cli::logging_args::LoggingArgs;
use crate::cli::metric_plan::MetricPlan;
use crate::cli::network_plan::ModelName;
use crate::cli::optimizer_plan::OptimizerPlan;
use crate::cli::parsers::{self, HistoryFile, IsaName, Parallel};
use crate::cli::profile_args::ProfileArgs;
use crate::cli::rate_factor::RateFactor;
use crate::cli::report_args::{REPORT_EXAMPLES, ReportArgs};
use crate::cli::run_args::{RUN_EXAMPLES, RunArgs};
use crate::cli::runs_args::{RUNS_EXAMPLES, RunsArgs};
use crate::cli::scaling_args::{SCALING_EXAMPLES, ScalingArgs};
use crate::cli::schedule_plan;
use crate::cli::sweep_args::{SWEEP_EXAMPLES, SweepArgs};
use crate::cli::tune_plan::{TUNE_EXAMPLES, TuneArgs};
use crate::cli::use_args::{
    EXPORT_EXAMPLES, ExportArgs, IMPORT_EXAMPLES, ImportArgs, PREDICT_EXAMPLES, PredictArgs,
};
use crate::cli::whiten_plan::WhitenArgs;
use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use isograd_comm::{Settings, Transport};
use isograd_model::TestTime;
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  isograd train                               Train simplecnn on the built-in MNIST
  isograd train --epochs 20 --validation-split 0.1 --save digits.safetensors
  isograd evaluate --load digits.safetensors  Test the saved network
  isograd predict --load digits.safetensors digit.png
  isograd models                              List all networks
  isograd summary --model resnet20            Show the layers of a network
  isograd summary --model resnet20 --toml > my-net.toml
  isograd train --model my-net.toml           Train a network of your own
  isograd train --dataset ./photos --model resnet18 --resize 256 --crop 224
                                              Train on images, a folder of them for each class
  isograd local -n 2 train                    Train on two ranks of this machine
  isograd ssh hosts train                     Train on all machines of the hostfile 'hosts'

Options can also be spelled with underscores: --batch_size 64.";

const TRAIN_EXAMPLES: &str = "\
Examples:
  isograd train --optimizer sgd --momentum 0.9 --nesterov --learning-rate 0.05
  isograd train --optimizer adamw --schedule cosine --warm-up-epochs 1 --ema 0.99
  isograd train --steps 30 --hash --threads 1
  isograd train --dataset fashion-mnist --dataset-train-path FOLDER --history run.csv
  isograd train --validation-split 0.1 --early-stopping --checkpoint runs/a
  isograd train --resume runs/a               Go on after an interruption, with the same bits

--threads changes the time, not the result: with the same --isa and --global-batch-size, a run
gives the same bits on any number of threads, ranks and hosts.";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  isograd completions bash > ~/.local/share/bash-completion/completions/isograd
  isograd completions zsh > ~/.zfunc/_isograd     with fpath+=~/.zfunc before compinit in ~/.zshrc
  isograd completions fish > ~/.config/fish/completions/isograd.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  isograd man train | man -l -
  isograd man --folder ~/.local/share/man/man1";

/// Train neural networks on CPUs: with the same --isa, the same bits on any number of threads, ranks and
/// hosts
#[derive(Debug, Parser)]
#[command(name = "isograd", version, after_help = EXAMPLES, arg_required_else_help = false)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train a network and test it
    #[command(after_help = TRAIN_EXAMPLES)]
    Train(Box<TrainArgs>),
    /// Test a saved network
    Evaluate(Box<EvaluateArgs>),
    /// Predict the classes, or the values, of images and arrays
    #[command(after_help = PREDICT_EXAMPLES)]
    Predict(Box<PredictArgs>),
    /// Run the steps of a workflow file
    #[command(after_help = RUN_EXAMPLES)]
    Run(Box<RunArgs>),
    /// Write a trained network for other programs
    #[command(after_help = EXPORT_EXAMPLES)]
    Export(Box<ExportArgs>),
    /// Read the parameters of another program
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(Box<ImportArgs>),
    /// Show the layers of a network
    Summary(Box<SummaryArgs>),
    /// Measure the paths of a network's convolutions, and write down the fastest for --tuned
    #[command(after_help = TUNE_EXAMPLES)]
    Tune(Box<TuneArgs>),
    /// Show runs on one page: curves, confusion matrix, worst mistakes, settings
    #[command(after_help = REPORT_EXAMPLES)]
    Report(Box<ReportArgs>),
    /// List all networks
    Models,
    /// List, filter and compare runs by their logs
    #[command(after_help = RUNS_EXAMPLES)]
    Runs(RunsArgs),
    /// Look at the samples of a data set
    Data {
        #[command(subcommand)]
        what: DataCommand,
    },
    /// Run a command on several ranks of this machine
    #[command(after_help = LOCAL_EXAMPLES)]
    Local(LocalArgs),
    /// Run a command on ranks of several machines, over SSH
    #[command(after_help = SSH_EXAMPLES)]
    Ssh(Box<SshArgs>),
    /// Train with several numbers of ranks, and compare their speed
    #[command(after_help = SCALING_EXAMPLES)]
    Scaling(ScalingArgs),
    /// Search for the best values of options: trials side by side, by grid, random, ASHA or TPE
    #[command(after_help = SWEEP_EXAMPLES)]
    Sweep(Box<SweepArgs>),
    /// Check the machines of a hostfile
    Hosts {
        #[command(subcommand)]
        what: HostsCommand,
    },
    /// Write a batch script for Slurm
    Slurm(Box<SlurmArgs>),
    /// Run the ranks of one host, as the launcher says through standard input
    #[command(hide = true)]
    Agent(AgentArgs),
    /// List the recipes that come with this program, or print one of them
    Recipes(RecipesArgs),
    /// Print a script that lets a shell complete commands and options
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions(CompletionsArgs),
    /// Print a page of the manual
    #[command(after_help = MAN_EXAMPLES)]
    Man(ManArgs),
    /// Make a key file, which ranks on several hosts need to find each other
    Keygen(KeygenArgs),
    /// Measure this machine
    Bench {
        #[command(subcommand)]
        what: BenchCommand,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RecipesArgs {
    /// Print this recipe, as a file for --config
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell: bash, zsh, fish, elvish or powershell
    #[arg(value_name = "SHELL", value_parser = parsers::shell)]
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The page of this command, such as train or hosts check
    #[arg(value_name = "COMMAND", conflicts_with = "folder")]
    pub(crate) command: Vec<String>,
    /// Write all pages to this folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct KeygenArgs {
    /// File to write the key to; only you can read it
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Time the all-reduce between the ranks, for vectors from 4 B to 64 MiB
    Comm(BenchCommArgs),
}

#[derive(Debug, Args)]
pub(crate) struct BenchCommArgs {
    /// Longest vector to reduce
    #[arg(long, value_name = "BYTES", default_value = "67108864", value_parser = parsers::bytes)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) max_bytes: usize,
    #[command(flatten)]
    pub(crate) ranks: RankArgs,
}

/// How ranks find each other and exchange data.
#[derive(Debug, Clone, Args)]
pub(crate) struct RankArgs {
    /// File with the job's key, for ranks on several hosts (see keygen) [default: the file that
    /// ISOGRAD_KEY_FILE names]
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// How ranks exchange data: auto (shared memory on a host, TCP between hosts), shm, tcp or mpi
    #[arg(long, value_name = "NAME", default_value = "auto", value_parser = parsers::transport)]
    pub(crate) transport: Transport,
    /// Seconds to wait for other ranks, at the start and in each operation
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = parsers::timeout)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) timeout: Duration,
    /// Encrypt all data between hosts
    #[arg(long)]
    pub(crate) encrypt: bool,
    /// Name of this host: ranks with equal names share memory [default: detected]
    #[arg(long, value_name = "NAME")]
    pub(crate) host_name: Option<String>,
    /// Folder for the memory that the ranks of a host share
    #[arg(long, value_name = "FOLDER", default_value = Settings::SHARED_MEMORY)]
    pub(crate) shared_memory: PathBuf,
    /// How many shards each rank gets in proportion to the others, separated by commas [default: equally
    /// many]
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', value_parser = parsers::weight)]
    pub(crate) shards_per_rank: Option<Vec<usize>>,
    /// Sum up gradients in buckets of at least this many bytes
    #[arg(long, value_name = "BYTES", default_value = "1048576", value_parser = parsers::bytes)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) bucket_bytes: usize,
    /// Sum up gradients after the backward pass, not during it
    #[arg(long, visible_alias = "blocking-mpi")]
    pub(crate) no_overlap: bool,
    /// Insist on one rank (sequential), or let there be any number of them (data)
    #[arg(long, value_name = "HOW", default_value = "data", value_parser = parsers::parallel)]
    pub(crate) parallel: Parallel,
}

#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    #[command(flatten, next_help_heading = "Network and data")]
    pub(crate) network: NetworkArgs,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Fraction of the training samples, taken from the end, to validate on after each epoch
    #[arg(long, value_name = "FRACTION", default_value = "0.0", value_parser = parsers::share)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) validation_split: f64,
    /// Validate on random samples, of each class its share. This reads each sample once before training
    #[arg(long, requires = "validation_split")]
    pub(crate) stratify: bool,
    /// Validate on the test samples
    #[arg(long, conflicts_with = "validation_split")]
    pub(crate) test_as_validation: bool,
    /// Leave the parameters with these names as they are; '*' stands for any characters. Layers without other
    /// parameters work as in use
    #[arg(long, value_name = "PATTERN")]
    pub(crate) freeze: Vec<String>,
    /// Let batch normalisation take its statistics over the whole batch, over all shards and ranks, in the
    /// place of each shard's
    #[arg(long)]
    pub(crate) sync_stats: bool,
    /// Compute outputs of batch normalisations again in the backward pass instead of keeping them: less
    /// memory for a little time, and the same bits
    #[arg(long)]
    pub(crate) recompute: bool,
    /// Let at least N threads work on each shard together: fewer shards are in memory at a time, which costs
    /// a little time and changes no bit; it does nothing with --sync-stats
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = parsers::threads)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) threads_per_shard: usize,
    #[command(flatten)]
    pub(crate) whiten: WhitenArgs,
    #[command(flatten, next_help_heading = "Augmentation")]
    pub(crate) input: InputArgs,
    #[command(flatten)]
    pub(crate) augment: AugmentArgs,
    /// Test-time augmentation: test the mean of the outputs for several views of each sample: none, flip
    /// (two: mirrored left and right) or flip-translate (six: moved by one pixel, too)
    #[arg(long, value_name = "VIEWS", default_value = "none", value_parser = parsers::test_time)]
    pub(crate) tta: TestTime,
    #[command(flatten)]
    pub(crate) prefetch: PrefetchArgs,
    #[command(flatten, next_help_heading = "Training")]
    pub(crate) training: TrainingArgs,
    #[command(flatten, next_help_heading = "Learning rate")]
    pub(crate) rate: RateArgs,
    #[command(flatten, next_help_heading = "Optimizer")]
    pub(crate) optimizer: OptimizerArgs,
    #[command(flatten, next_help_heading = "Callbacks")]
    pub(crate) callbacks: CallbackArgs,
    #[command(flatten, next_help_heading = "Checkpoints")]
    pub(crate) checkpoints: CheckpointArgs,
    #[command(flatten, next_help_heading = "Logs")]
    pub(crate) logging: LoggingArgs,
    #[command(flatten, next_help_heading = "Execution")]
    pub(crate) execution: ExecutionArgs,
    #[command(flatten, next_help_heading = "Ranks")]
    pub(crate) ranks: RankArgs,
    #[command(flatten, next_help_heading = "Files and output")]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    #[command(flatten, next_help_heading = "Configuration")]
    pub(crate) config: ConfigArgs,
    /// The options, as they were given, with those of configurations.
    #[arg(skip)]
    pub(crate) words: Vec<std::ffi::OsString>,
    /// What was given and changes nothing.
    #[arg(skip)]
    pub(crate) notes: Vec<String>,
    /// Where the options stand that configurations have given.
    #[arg(skip)]
    pub(crate) origins: Origins,
}

#[derive(Debug, Args)]
pub(crate) struct EvaluateArgs {
    /// Trained network: the folder of a run, which stands for its best checkpoint or else its newest; a
    /// checkpoint in it; or a file that `train --save` has written. What a checkpoint tells of its training
    /// (network, data, their size and normalisation, loss) need not be given
    #[arg(long, value_name = "FILE")]
    pub(crate) load: PathBuf,
    /// Show precision, recall and F1 of each class, and the confusion matrix
    #[arg(long)]
    pub(crate) per_class: bool,
    /// Write them to this file: CSV (.csv) with the columns class, name, samples, predicted, precision,
    /// recall, f1 and as_0, as_1 and so on, or JSON (.json)
    #[arg(long, value_name = "FILE")]
    #[arg(value_parser = PathBufValueParser::new().try_map(parsers::history))]
    pub(crate) per_class_file: Option<HistoryFile>,
    /// Network, by name ('isograd models' lists all) or in a .toml file [default: what the file says]
    #[arg(long, value_name = "NAME", value_parser = parsers::model, help_heading = "Network and data")]
    pub(crate) model: Option<ModelName>,
    #[command(flatten, next_help_heading = "Network and data")]
    pub(crate) data: DataArgs,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    /// Test-time augmentation, as for train [default: that of the training]
    #[arg(long, value_name = "VIEWS", value_parser = parsers::test_time)]
    pub(crate) tta: Option<TestTime>,
    /// Loss, as for train [default: that of the training]
    #[arg(long, visible_alias = "loss-func", value_name = "NAME", value_parser = parsers::loss)]
    pub(crate) loss: Option<&'static str>,
    #[command(flatten, next_help_heading = "Execution")]
    pub(crate) execution: ExecutionArgs,
    #[command(flatten, next_help_heading = "Ranks")]
    pub(crate) ranks: RankArgs,
    #[command(flatten, next_help_heading = "Configuration")]
    pub(crate) config: ConfigArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SummaryArgs {
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Samples of a shard, whose memory is shown
    #[arg(long, value_name = "N", default_value = "32", value_parser = parsers::shard_size)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) shard_size: usize,
    #[command(flatten)]
    pub(crate) conv: ConvArgs,
    /// Type of numbers, as for train: float32 (f32), float64 (f64) or bfloat16 (bf16)
    #[arg(long, value_name = "NAME", default_value = "float32", value_parser = dtype::parse)]
    pub(crate) dtype: Dtype,
    /// Show the memory that training takes with 'train --recompute'
    #[arg(long, conflicts_with = "toml")]
    pub(crate) recompute: bool,
    /// Print the network as a file for --model instead, to start one of your own
    #[arg(long, conflicts_with_all = ["shard_size", "conv", "conv_precision", "tuned", "dtype"])]
    pub(crate) toml: bool,
    #[command(flatten, next_help_heading = "Configuration")]
    pub(crate) config: ConfigArgs,
}

#[derive(Debug, Args)]
pub(crate) struct NetworkArgs {
    /// Network, by name ('isograd models' lists all) or in a .toml file; or the text of such a file
    #[arg(long, value_name = "NAME", default_value = "simplecnn", value_parser = parsers::model)]
    pub(crate) model: ModelName,
}

#[derive(Debug, Args)]
pub(crate) struct LossArgs {
    /// Loss: categorical_cross_entropy (cce), binary_cross_entropy (bce), mean_squared_error (mse),
    /// mean_absolute_error (mae), huber or categorical_hinge (hinge)
    #[arg(long, visible_alias = "loss-func", value_name = "NAME", value_parser = parsers::loss)]
    #[arg(default_value = "categorical_cross_entropy")]
    pub(crate) loss: &'static str,
}

#[derive(Debug, Args)]
pub(crate) struct TrainingArgs {
    /// Passes over the training samples
    #[arg(long, visible_alias = "num-epochs", value_name = "N", default_value = "10", value_parser = parsers::count)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) epochs: u32,
    /// Stop after N steps, if the epochs have more
    #[arg(long, value_name = "N", value_parser = parsers::count, allow_negative_numbers = true)]
    pub(crate) steps: Option<u32>,
    /// Steps of an epoch: it has the first samples that fill them, again and again if there are too few
    /// [default: 0, which is all samples once]
    #[arg(long, value_name = "N", value_parser = parsers::number, allow_negative_numbers = true)]
    pub(crate) steps_per_epoch: Option<u32>,
    /// Samples in each rank's part of a batch; a batch is at most the whole training set [default: 64]
    #[arg(long, value_name = "N", value_parser = parsers::count, allow_negative_numbers = true)]
    pub(crate) batch_size: Option<u32>,
    /// Samples in a batch, all ranks together, instead of --batch-size
    #[arg(long, value_name = "N", value_parser = parsers::count, allow_negative_numbers = true)]
    #[arg(conflicts_with = "batch_size")]
    pub(crate) global_batch_size: Option<u32>,
    /// Batches whose gradients are accumulated for one step
    #[arg(long, value_name = "K", default_value = "1", value_parser = parsers::count)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) accumulate: u32,
    /// Seed of all random numbers
    #[arg(long, value_name = "N", default_value = "0", value_parser = parsers::seed)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) loss: LossArgs,
    /// categorical_cross_entropy: the part of each target that all classes share equally
    #[arg(long, value_name = "FRACTION", default_value = "0.0", value_parser = parsers::probability)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) label_smoothing: f64,
    /// Metrics to report beside the loss, separated by commas: categorical_accuracy (acc), categorical_hinge
    /// (hin), categorical_mse (cat_mse), categorical_mae (cat_mae), regression_mse (mse), regression_mae
    /// (mae), top_5_accuracy (top5, and so on for other numbers), precision (prec), recall (rec), f1,
    /// confusion_matrix (conf; its diagonal) [default: the accuracy of classes; of numbers, the loss' own]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = parsers::metric)]
    pub(crate) metrics: Vec<MetricPlan>,
}

#[derive(Debug, Args)]
pub(crate) struct RateArgs {
    /// Learning rate; schedules start from it [default: 0.001; lamb: 0.002; sgd: 0.01;
    /// lars, muon: 0.02]
    #[arg(long, value_name = "RATE", value_parser = parsers::nonnegative, allow_negative_numbers = true)]
    pub(crate) learning_rate: Option<f64>,
    /// Multiply the learning rate by the number of ranks, as their batches add up to a larger one
    #[arg(long, conflicts_with = "global_batch_size")]
    pub(crate) scale_learning_rate: bool,
    /// Multiply the learning rate of the parameters whose names match PATTERN, in which '*' stands for any
    /// characters; weight decay changes with it, where it is decoupled
    #[arg(long, value_name = "PATTERN=FACTOR", value_parser = RateFactor::parse)]
    pub(crate) rate_factor: Vec<RateFactor>,
    /// Schedule of the learning rate: constant, step, multi-step, exponential, polynomial, cosine or
    /// one-cycle
    #[arg(long, value_name = "NAME", default_value = "constant", value_parser = schedule_plan::Kind::from_name)]
    pub(crate) schedule: schedule_plan::Kind,
    /// Raise the learning rate with every step of the first N epochs
    #[arg(long, value_name = "N", value_parser = parsers::positive, allow_negative_numbers = true)]
    pub(crate) warm_up_epochs: Option<f64>,
    /// Part of the learning rate that the warm-up starts from [default: 0.01; with --scale-learning-rate: 1
    /// over the number of ranks]
    #[arg(long, value_name = "FACTOR", value_parser = parsers::nonnegative, requires = "warm_up_epochs")]
    #[arg(allow_negative_numbers = true)]
    pub(crate) warm_up_factor: Option<f64>,
    /// step: epochs between two decays [default: 30]
    #[arg(long, value_name = "N", value_parser = parsers::positive, allow_negative_numbers = true)]
    pub(crate) step_size: Option<f64>,
    /// multi-step: epochs after which the learning rate decays, separated by commas
    #[arg(long, value_name = "EPOCHS", value_delimiter = ',', value_parser = parsers::positive)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) milestones: Option<Vec<f64>>,
    /// step, multi-step, exponential: factor of a decay [default: 0.1; exponential, each epoch: 0.95]
    #[arg(long, value_name = "FACTOR", value_parser = parsers::positive, allow_negative_numbers = true)]
    pub(crate) gamma: Option<f64>,
    /// polynomial: exponent of the part of training that is left [default: 1]
    #[arg(long, value_name = "NUMBER", value_parser = parsers::nonnegative, allow_negative_numbers = true)]
    pub(crate) power: Option<f64>,
    /// cosine: learning rate at the end [default: 0]
    #[arg(long, value_name = "RATE", value_parser = parsers::nonnegative, allow_negative_numbers = true)]
    pub(crate) min_learning_rate: Option<f64>,
    /// one-cycle: part of training in which the learning rate rises [default: 0.3]
    #[arg(long, value_name = "FRACTION", value_parser = parsers::share, allow_negative_numbers = true)]
    pub(crate) pct_start: Option<f64>,
    /// one-cycle: learning rate over the first one [default: 25]
    #[arg(long, value_name = "NUMBER", value_parser = parsers::positive, allow_negative_numbers = true)]
    pub(crate) div_factor: Option<f64>,
    /// one-cycle: first learning rate over the last one [default: 10000]
    #[arg(long, value_name = "NUMBER", value_parser = parsers::positive, allow_negative_numbers = true)]
    pub(crate) final_div_factor: Option<f64>,
}

#[derive(Debug, Args)]
pub(crate) struct OptimizerArgs {
    /// Optimizer: sgd, rmsprop, adam, nadam, adamw, lars, lamb or muon
    #[arg(long, value_name = "NAME", default_value = "adam", value_parser = OptimizerPlan::from_name)]
    pub(crate) optimizer: OptimizerPlan,
    /// Clip gradients to this global norm
    #[arg(long, value_name = "NORM", value_parser = parsers::positive, allow_negative_numbers = true)]
    pub(crate) clip_norm: Option<f64>,
    /// Test and save exponential moving averages of the parameters, which keep this part of their value in
    /// each step, such as 0.999
    #[arg(long, value_name = "DECAY", value_parser = parsers::share, allow_negative_numbers = true)]
    pub(crate) ema: Option<f64>,
    #[command(flatten)]
    pub(crate) given: HyperParameters,
}

/// Parameters of optimizers; each optimizer has some of them.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct HyperParameters {
    /// sgd, lars, muon: momentum coefficient [default: 0.9; muon: 0.95]
    #[arg(long, value_name = "COEFFICIENT", value_parser = parsers::share, allow_negative_numbers = true)]
    pub(crate) momentum: Option<f64>,
    /// sgd: Nesterov momentum (muon always has it)
    #[arg(long)]
    pub(crate) nesterov: bool,
    /// rmsprop: decay rate of the mean of squared gradients [default: 0.9]
    #[arg(long, value_name = "RATE", value_parser = parsers::share, allow_negative_numbers = true)]
    pub(crate) rho: Option<f64>,
    /// adam, nadam, adamw, lamb, and muon for biases and normalisations: decay rate of the first moment
    /// estimate [default: 0.9]
    #[arg(long, value_name = "RATE", value_parser = parsers::share, allow_negative_numbers = true)]
    pub(crate) beta1: Option<f64>,
    /// As --beta1, of the second moment estimate [default: 0.999; muon: 0.95]
    #[arg(long, value_name = "RATE", value_parser = parsers::share, allow_negative_numbers = true)]
    pub(crate) beta2: Option<f64>,
    /// Added to the denominator for numerical stability; not of sgd and lars [default: 1e-7; adamw: 1e-8;
    /// lamb: 1e-6; muon: 1e-10]
    #[arg(long, value_name = "NUMBER", value_parser = parsers::nonnegative, allow_negative_numbers = true)]
    pub(crate) epsilon: Option<f64>,
    /// Weight decay, decoupled but in lars and lamb [default: 0; adamw, lamb: 0.01; lars: 0.0005]
    #[arg(long, visible_alias = "decay", value_name = "RATE", value_parser = parsers::nonnegative)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) weight_decay: Option<f64>,
    /// adamw, lars, lamb: do not spare biases and normalisations from weight decay and from layer-wise rates
    #[arg(long)]
    pub(crate) decay_all: bool,
    /// lars: how far a step at learning rate 1 moves a layer, relative to its norm [default: 0.02]
    #[arg(long, value_name = "NUMBER", value_parser = parsers::nonnegative, allow_negative_numbers = true)]
    pub(crate) trust_coefficient: Option<f64>,
    /// muon: Newton-Schulz iterations [default: 5]
    #[arg(long, value_name = "N", value_parser = parsers::count, allow_negative_numbers = true)]
    pub(crate) ns_steps: Option<u32>,
    /// muon: learning rate of biases and normalisations, whose optimizer is adamw, over that of weights
    /// [default: 0.015]
    #[arg(long, value_name = "NUMBER", value_parser = parsers::nonnegative, allow_negative_numbers = true)]
    pub(crate) adamw_rate: Option<f64>,
}

#[derive(Debug, Args)]
pub(crate) struct ExecutionArgs {
    /// Threads of each rank, at most four for each core; they do not change the result [default: its share of
    /// the cores]
    #[arg(long, value_name = "N", value_parser = parsers::threads, allow_negative_numbers = true)]
    pub(crate) threads: Option<usize>,
    /// Samples in a shard, which one thread works on, or several if there are many more threads than shards
    /// [default: 32, or half of a smaller batch than 64, rounded up to a multiple of 8]
    #[arg(long, value_name = "N", value_parser = parsers::shard_size, allow_negative_numbers = true)]
    pub(crate) shard_size: Option<usize>,
    /// Type of numbers: float32 (f32), float64 (f64), or bfloat16 (bf16): float32 with activations and their
    /// gradients stored as bfloat16s in training, to take less memory
    #[arg(long, value_name = "NAME", default_value = "float32", value_parser = dtype::parse)]
    pub(crate) dtype: Dtype,
    /// Instruction-set level: auto, portable, avx2, avx512 or neon
    #[arg(long, value_name = "NAME", default_value = "auto", value_parser = parsers::isa)]
    pub(crate) isa: IsaName,
    #[command(flatten)]
    pub(crate) conv: ConvArgs,
}

#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// Start from the parameters in this file, or in this folder of a checkpoint; the optimizer starts cold
    #[arg(long, value_name = "FILE")]
    pub(crate) load: Option<PathBuf>,
    /// Write the parameters, or their averages, to this file (safetensors) after every epoch with a finite
    /// loss
    #[arg(long, value_name = "FILE")]
    #[arg(value_parser = PathBufValueParser::new().try_map(parsers::new_file))]
    pub(crate) save: Option<PathBuf>,
    /// Write a row for each epoch to this file: CSV (.csv) or JSON lines (.jsonl, .json); `step` counts from
    /// the start of training
    #[arg(long, value_name = "FILE")]
    #[arg(value_parser = PathBufValueParser::new().try_map(parsers::history))]
    pub(crate) history: Option<HistoryFile>,
    /// Also test before training
    #[arg(long)]
    pub(crate) evaluate: bool,
    /// Print the SHA-256 of the parameters at the end
    #[arg(long)]
    pub(crate) hash: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    /// Longer lines are broken at any word.
    #[test]
    fn examples_fit_the_lines_of_the_help() {
        fn check(command: &clap::Command) {
            let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in text.lines() {
                assert!(line.chars().count() <= 100, "{}: {line}", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Arguments::command());
    }

    #[test]
    fn other_names_of_options_mean_the_same() {
        let parse = |options: &[&str]| {
            let args = ["isograd", "train"].iter().chain(options);
            match Arguments::try_parse_from(args).unwrap().command {
                Command::Train(args) => args,
                other => panic!("{other:?}"),
            }
        };
        let args = parse(&[
            "--num-epochs",
            "3",
            "--loss-func",
            "mean_squared_error",
            "--decay",
            "0.5",
            "--seed",
            "7",
        ]);
        assert_eq!((args.training.epochs, args.training.seed), (3, 7));
        assert_eq!(args.training.loss.loss, "mean_squared_error");
        assert_eq!(args.optimizer.given.weight_decay, Some(0.5));
        let metrics = parse(&["--metrics", "categorical_mse,regression_mae"]).training.metrics;
        assert_eq!(metrics, ["categorical_mse", "regression_mae"].map(|name| MetricPlan::new(name).unwrap()));
    }
}
