//! The command `run`. The comments are what `--help` shows.

use crate::cli::RankArgs;
use crate::cli::parsers;
use clap::Args;
use std::path::PathBuf;

pub(super) const RUN_EXAMPLES: &str = "\
Examples:
  isograd run mnist.yaml --dry-run            Show the steps, and which are done already
  isograd run mnist.yaml --set training.epochs=3 --steps 0..3
  isograd run mnist.yaml --set +training.momentum=0.9 --set ~training.seed
  isograd local -n 2 run mnist.yaml           Train on two ranks; other steps run on the first
  isograd ssh --hostfile hosts run mnist.yaml

A step whose inputs, options and program have not changed is not run again.";

const SET_HELP: &str = "Change the file before it is read further: training.epochs=3 replaces a value that is there, \
                        +key=value adds one, ++key=value does either, ~key deletes. Values are YAML; steps of a list \
                        are named, or counted from 0";

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Workflow file (.yaml, .yml)
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[arg(long, value_name = "KEY=VALUE", help = SET_HELP)]
    pub(crate) set: Vec<String>,
    /// Run these steps alone: 0..2 (the first two), 2.., or names and numbers separated by commas. What they
    /// need of others comes from earlier runs
    #[arg(long, value_name = "STEPS")]
    pub(crate) steps: Option<String>,
    /// The key of the file that has the steps
    #[arg(long, value_name = "KEY", default_value = "workflow")]
    pub(crate) pipe: String,
    /// Folder for what the steps write [default: runs/ and the name of FILE without its ending]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) results: Option<PathBuf>,
    /// Run all steps again, whatever earlier runs have done
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Pause in the last training after this epoch: no step behind it runs, and the same command goes on,
    /// with a later epoch or without this option
    #[arg(long, value_name = "EPOCH", value_parser = parsers::count, allow_negative_numbers = true)]
    #[arg(conflicts_with_all = ["no_cache", "steps"])]
    pub(crate) pause_after: Option<u32>,
    /// Threads of each training of a rank, where its step does not say; they change no bit
    #[arg(long, value_name = "N", value_parser = parsers::count, allow_negative_numbers = true)]
    pub(crate) threads: Option<u32>,
    /// Print the steps with their inputs and outputs, and do nothing else
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten, next_help_heading = "Ranks")]
    pub(crate) ranks: RankArgs,
}
