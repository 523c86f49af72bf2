//! The command line of `isograd runs`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

pub(super) const RUNS_EXAMPLES: &str = "\
Examples:
  isograd runs                                Table of the runs in ./runs
  isograd runs runs --filter 'model=resnet20_cifar10 and val_acc>90' --sort -val_acc
  isograd runs --json | jq .val_loss
  isograd runs show runs/a runs/b             The settings in which they differ";

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct RunsArgs {
    #[command(subcommand)]
    pub(crate) what: Option<RunsCommand>,
    /// Folders with runs, at any depth up to four [default: runs]
    #[arg(value_name = "FOLDER")]
    pub(crate) folders: Vec<PathBuf>,
    /// Show only runs for which this holds: comparisons (= != < <= > >= and ~ for 'contains') of a key and a
    /// value, joined by 'and' and 'or'; 'and' binds closer
    #[arg(long, value_name = "CONDITION")]
    pub(crate) filter: Option<String>,
    /// Sort by this key; from the greatest value with a '-' in front [default: started]
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) sort: Option<String>,
    /// Print a JSON object for each run, with all keys
    #[arg(long, conflicts_with = "csv")]
    pub(crate) json: bool,
    /// Print CSV with all keys
    #[arg(long)]
    pub(crate) csv: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// Show the settings in which runs differ, and their figures side by side
    Show(RunsShowArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RunsShowArgs {
    /// Folders of runs
    #[arg(value_name = "RUN", required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// Also show what is equal
    #[arg(long)]
    pub(crate) all: bool,
}
