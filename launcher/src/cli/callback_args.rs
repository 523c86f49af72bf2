//! The options of callbacks and checkpoints. The comments are what `--help` shows.

use crate::cli::callback_plan::Name;
use crate::cli::checkpoint_plan::Every;
use crate::cli::parsers;
use clap::Args;
use isograd_model::RateRange;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct CallbackArgs {
    /// Turn on several of these with their usual parameters, separated by commas: early-stopping,
    /// reduce-lr-on-plateau, reduce-lr-every-nepochs, model-checkpoint (with --checkpoint), warm-up
    #[arg(long, visible_alias = "lr-schedulers", value_name = "NAMES", value_delimiter = ',')]
    #[arg(value_parser = Name::parse)]
    pub(crate) callbacks: Vec<Name>,
    /// Stop when a number has not become better for some epochs, and go back to the best parameters
    #[arg(long)]
    pub(crate) early_stopping: bool,
    /// What early stopping watches: loss or a metric; val_loss insists on validation samples, train_loss
    /// takes those of training [default: loss; of the validation if there is one]
    #[arg(long, value_name = "NAME")]
    pub(crate) early_stopping_metric: Option<String>,
    /// Epochs without an improvement after which to stop [default: 10]
    #[arg(long, value_name = "N", value_parser = parsers::count, allow_negative_numbers = true)]
    pub(crate) early_stopping_patience: Option<u32>,
    /// By how much a number must become better to count as better [default: 0]
    #[arg(long, value_name = "CHANGE", value_parser = parsers::nonnegative, allow_negative_numbers = true)]
    pub(crate) early_stopping_min_delta: Option<f64>,
    /// Reduce the learning rate when a number has not become better for some epochs
    #[arg(long)]
    pub(crate) reduce_lr_on_plateau: bool,
    /// What it watches, as --early-stopping-metric [default: loss]
    #[arg(long, value_name = "NAME")]
    pub(crate) reduce_lr_on_plateau_metric: Option<String>,
    /// What the learning rate is multiplied with [default: 0.1]
    #[arg(long, value_name = "FACTOR", value_parser = parsers::factor, allow_negative_numbers = true)]
    pub(crate) reduce_lr_on_plateau_factor: Option<f64>,
    /// Epochs without an improvement after which to reduce it [default: 5]
    #[arg(long, value_name = "N", value_parser = parsers::count, allow_negative_numbers = true)]
    pub(crate) reduce_lr_on_plateau_patience: Option<u32>,
    /// By how much a number must become better to count as better [default: 0]
    #[arg(long, value_name = "CHANGE", value_parser = parsers::nonnegative, allow_negative_numbers = true)]
    pub(crate) reduce_lr_on_plateau_min_delta: Option<f64>,
    /// The least learning rate [default: 0]
    #[arg(long, value_name = "RATE", value_parser = parsers::nonnegative, allow_negative_numbers = true)]
    pub(crate) reduce_lr_on_plateau_min_lr: Option<f64>,
    /// Reduce the learning rate after every N epochs
    #[arg(long, visible_alias = "reduce-lr-every-nepochs-nepochs", value_name = "N")]
    #[arg(value_parser = parsers::count, allow_negative_numbers = true)]
    pub(crate) reduce_lr_every: Option<u32>,
    /// What it is multiplied with [default: 0.1]
    #[arg(long, visible_alias = "reduce-lr-every-nepochs-factor", value_name = "FACTOR")]
    #[arg(value_parser = parsers::factor, allow_negative_numbers = true)]
    pub(crate) reduce_lr_every_factor: Option<f64>,
    /// The least learning rate [default: 0]
    #[arg(long, visible_alias = "reduce-lr-every-nepochs-min-lr", value_name = "RATE")]
    #[arg(value_parser = parsers::nonnegative, allow_negative_numbers = true)]
    pub(crate) reduce_lr_every_min_lr: Option<f64>,
    /// Stop after the first epoch in which the loss is at most this
    #[arg(long, visible_alias = "stop-at-loss-threshold", value_name = "NUMBER")]
    #[arg(value_parser = parsers::finite, allow_negative_numbers = true)]
    pub(crate) stop_at_loss: Option<f64>,
    /// What it watches, as --early-stopping-metric; an accuracy is to be at least the number [default: loss]
    #[arg(long, value_name = "NAME", requires = "stop_at_loss")]
    pub(crate) stop_at_loss_metric: Option<String>,
    /// Do not train, but print the loss of each step of one epoch in which the learning rate grows, as CSV,
    /// and the rate at which it falls fastest [FROM,TO: 1e-6,10]
    #[arg(long, value_name = "FROM,TO", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "1e-6,10", value_parser = parsers::rate_range)]
    pub(crate) find_lr: Option<RateRange>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckpointArgs {
    /// Write checkpoints to this folder, from which --resume goes on: last, best, and the newest ones
    #[arg(long, visible_alias = "model-checkpoint", value_name = "FOLDER")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// How often: 2epochs (or 2), 500steps, 10min [default: 1epoch]
    #[arg(long, visible_alias = "model-checkpoint-save-freq", value_name = "TIME", value_parser = Every::parse)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) checkpoint_every: Option<Every>,
    /// Checkpoints to keep beside the best one [default: 3]
    #[arg(long, value_name = "N", value_parser = parsers::count, allow_negative_numbers = true)]
    pub(crate) keep: Option<u32>,
    /// What makes a checkpoint the best one, as --early-stopping-metric [default: loss]
    #[arg(long, visible_alias = "model-checkpoint-metric", value_name = "NAME")]
    pub(crate) checkpoint_metric: Option<String>,
    /// Pause after this epoch: nothing is tested, the schedule stays that of --epochs, and --resume goes on
    #[arg(long, value_name = "EPOCH", value_parser = parsers::count, allow_negative_numbers = true)]
    pub(crate) pause_after: Option<u32>,
    /// Go on with the run in this folder, or with this one of its checkpoints, with the settings of its
    /// start; beside --resume only options that change no bit may differ, and more --epochs or --steps
    #[arg(long, value_name = "FOLDER")]
    pub(crate) resume: Option<PathBuf>,
}
