//! The options that say where other options come from. The comments are what `--help` shows.

use clap::Args;
use std::path::PathBuf;

/// These are taken out of the command line before it is parsed: [`config`](super::config) puts what they
/// stand for in their place.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ConfigArgs {
    /// Read options from this file, TOML (.toml) or YAML (.yaml, .yml): names as of options, such as
    /// learning_rate = 0.1, in sections or not. Options of the command line replace those of the file, and
    /// those of later files those of earlier ones
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Vec<PathBuf>,
    /// Set an option, as a file does: learning_rate=0.1 or optimizer.learning_rate=0.1
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Start from the options of a recipe that comes with this program ('isograd recipes' lists all)
    #[arg(long, value_name = "NAME")]
    pub(crate) recipe: Option<String>,
    /// Print all options in effect, as a file for --config, and do nothing else
    #[arg(long)]
    pub(crate) print_config: bool,
}
