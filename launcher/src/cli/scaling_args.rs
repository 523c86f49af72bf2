//! The command line of `isograd scaling`.

use crate::cli::job_args::LoginArgs;
use crate::cli::parsers;
use clap::Args;
use std::path::PathBuf;

pub(super) const SCALING_EXAMPLES: &str = "\
Examples:
  isograd scaling --ranks 1,2,4 train --model resnet20_cifar10 --dataset synthetic --epochs 3
  isograd scaling --ranks 1,2,4 --weak --repeat 5 --out weak train --epochs 3
  isograd scaling --hostfile hosts --ranks 4,8,16 train --epochs 3

A batch has as many samples at all numbers of ranks; with --weak, each rank has as many.";

#[derive(Debug, Args)]
pub(crate) struct ScalingArgs {
    /// Numbers of ranks, separated by commas
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', required = true, value_parser = parsers::ranks)]
    pub(crate) ranks: Vec<u32>,
    /// Times that each number of ranks is run; the median counts
    #[arg(long, value_name = "N", default_value = "3", value_parser = parsers::count)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) repeat: u32,
    /// Let the batch grow with the ranks
    #[arg(long)]
    pub(crate) weak: bool,
    /// Folder for scaling.html, scaling.csv and what each run printed; runs that are done there are not run
    /// again
    #[arg(long, value_name = "FOLDER", default_value = "scaling")]
    pub(crate) out: PathBuf,
    /// Run ranks on these hosts, instead of this machine alone
    #[arg(long, value_name = "FILE")]
    pub(crate) hostfile: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) login: LoginArgs,
    /// Network to predict hosts with: Gbit/s of each host [default: as measured over the hosts, or 10]
    #[arg(long, value_name = "NUMBER", value_parser = parsers::positive, allow_negative_numbers = true)]
    pub(crate) network_gbit: Option<f64>,
    /// Network to predict hosts with: microseconds of a message [default: as measured over the hosts, or 30]
    #[arg(long, value_name = "NUMBER", value_parser = parsers::positive, allow_negative_numbers = true)]
    pub(crate) network_latency_us: Option<f64>,
    /// train, with its options
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub(crate) command: Vec<std::ffi::OsString>,
}
