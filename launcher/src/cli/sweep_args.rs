//! The command line of `isograd sweep`.

use crate::cli::job_args::LoginArgs;
use crate::cli::parsers;
use crate::system::names;
use clap::Args;
use std::path::PathBuf;

pub(super) const SWEEP_EXAMPLES: &str = "\
Examples:
  isograd sweep lr.toml --trials 16           Random search; results in runs/sweep-lr
  isograd sweep lr.toml --search grid
  isograd sweep lr.toml --search asha --trials 64 --jobs 4
  isograd sweep lr.toml --search tpe --trials 30 --hostfile hosts
  isograd runs runs/sweep-lr --sort val_loss

The file is one for 'train --config' with a section as this one:

  [sweep]
  metric = \"val_loss\"
  direction = \"min\"
  [sweep.values]
  learning_rate = { loguniform = [1e-4, 1e-1] }
  batch_size = { choice = [32, 64] }

After an interruption, even a kill, the same command goes on.";

/// How trials are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SearchName {
    Grid,
    Random,
    Asha,
    Tpe,
}

impl SearchName {
    const ALL: [(&str, Self); 4] =
        [("grid", Self::Grid), ("random", Self::Random), ("asha", Self::Asha), ("tpe", Self::Tpe)];

    fn parse(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text);
        let known = Self::ALL.map(|(name, _)| name);
        found.map(|(_, search)| *search).ok_or_else(|| names::unknown("search", text, &known))
    }

    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, search)| *search == self).expect("all have names").0
    }
}

#[derive(Debug, Args)]
pub(crate) struct SweepArgs {
    /// Configuration of train, or workflow, with a section 'sweep': TOML or YAML
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// grid: all combinations; random; asha: many short trials, of which the best go on; tpe: near the best
    /// ones so far
    #[arg(long, value_name = "NAME", default_value = "random", value_parser = SearchName::parse)]
    pub(crate) search: SearchName,
    /// Number of trials [default: 16; grid: all combinations]
    #[arg(long, value_name = "N", value_parser = parsers::count, allow_negative_numbers = true)]
    pub(crate) trials: Option<u32>,
    /// Seed of the values of trials; the seed of their training is that of the file
    #[arg(long, value_name = "N", default_value = "0")]
    pub(crate) seed: u64,
    /// Folder of the sweep [default: runs/sweep-NAME for NAME.toml]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
    /// Trials side by side; they change no result [default: one a core, or one a host]
    #[arg(long, value_name = "N", value_parser = parsers::count, allow_negative_numbers = true)]
    pub(crate) jobs: Option<u32>,
    /// Ranks of each trial
    #[arg(short = 'n', long, value_name = "N", default_value = "1", value_parser = parsers::ranks)]
    pub(crate) ranks: u32,
    /// Run the trials on these hosts, one at a time on each; they must share the folder of the sweep
    #[arg(long, value_name = "FILE")]
    pub(crate) hostfile: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) login: LoginArgs,
    /// asha, tpe: trials under way when the next one is chosen. The choice depends on it and not on --jobs,
    /// so that the same sweep has the same trials on any machine
    #[arg(long, value_name = "N", default_value = "4", value_parser = parsers::count)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) ahead: u32,
    /// asha: one of so many trials goes on, for so many times the epochs
    #[arg(long, value_name = "N", default_value = "3", value_parser = eta, allow_negative_numbers = true)]
    pub(crate) eta: u32,
    /// asha: epochs before the first choice
    #[arg(long, value_name = "N", default_value = "1", value_parser = parsers::count)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) min_epochs: u32,
    /// End the sweep when so many trials in a row have failed
    #[arg(long, value_name = "N", default_value = "5", value_parser = parsers::count)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) max_failures: u32,
    /// Run trials again that have failed before
    #[arg(long)]
    pub(crate) retry_failed: bool,
}

fn eta(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (2..=100).contains(number));
    number.ok_or_else(|| format!("must be a whole number from 2 to 100, it is '{text}'"))
}
