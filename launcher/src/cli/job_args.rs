//! The command line of jobs: ranks on this machine, on many, under Slurm.

use crate::cli::parsers::{self, Bind};
use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

pub(super) const LOCAL_EXAMPLES: &str = "\
Examples:
  isograd local -n 4 train --global-batch-size 256
  isograd local -n 2 --bind none train --threads 2 --transport tcp
  isograd local -n 2 bench comm

The number of ranks changes the time and not the result, if --global-batch-size stays the same.";

pub(super) const SSH_EXAMPLES: &str = "\
Examples:
  isograd ssh --hostfile hosts train --global-batch-size 1024
  isograd ssh -H localhost:2,user@node1:8 --dry-run train
  isograd hosts check --hostfile hosts

The hosts need an SSH server and a login without a password, nothing else: this program is copied there.
Ctrl-C once ends the run after the step under way, with what --save asks for; twice at once ends it immediately.";

// Help that is no documentation: brackets would be links there.
const HOSTFILE_HELP: &str = "File with a host a line: [user@]host[:port] slots=N max_slots=N user= port= identity= iface= addr= \
                             cpus= workdir= env.K=V";
const HOST_HELP: &str = "Hosts, instead of a hostfile: [user@]host[:slots],…";
const PREFIX_HELP: &str = "Whether lines begin with [rank@host]: yes or no [default: yes; local: no]";

#[derive(Debug, Args)]
pub(crate) struct LocalArgs {
    /// Number of ranks
    #[arg(short = 'n', long, value_name = "N", value_parser = parsers::ranks)]
    pub(crate) ranks: u32,
    #[command(flatten)]
    pub(crate) job: JobArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SshArgs {
    #[command(flatten, next_help_heading = "Hosts")]
    pub(crate) hosts: HostArgs,
    /// Number of ranks [default: all slots]
    #[arg(short = 'n', long, value_name = "N", value_parser = parsers::count)]
    pub(crate) ranks: Option<u32>,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten, next_help_heading = "Login")]
    pub(crate) login: LoginArgs,
    #[command(flatten, next_help_heading = "Ranks")]
    pub(crate) job: JobArgs,
}

/// Which machines.
#[derive(Debug, Args)]
pub(crate) struct HostArgs {
    #[arg(long, value_name = "FILE", help = HOSTFILE_HELP)]
    pub(crate) hostfile: Option<PathBuf>,
    #[arg(short = 'H', long, value_name = "HOSTS", conflicts_with = "hostfile", help = HOST_HELP)]
    pub(crate) host: Option<String>,
    /// These hosts alone, separated by commas
    #[arg(long, value_name = "HOSTS", value_delimiter = ',')]
    pub(crate) include: Vec<String>,
    /// Not these hosts
    #[arg(long, value_name = "HOSTS", value_delimiter = ',')]
    pub(crate) exclude: Vec<String>,
    /// Network interface at which hosts reach each other [default: what works]
    #[arg(long, value_name = "NAME")]
    pub(crate) interface: Option<String>,
}

/// How to log in.
#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// Configuration of SSH [default: ~/.ssh/config, then /etc/ssh/ssh_config]
    #[arg(long, value_name = "FILE")]
    pub(crate) ssh_config: Option<PathBuf>,
    /// Host keys that are accepted [default: what the configuration says, ~/.ssh/known_hosts]
    #[arg(long, value_name = "FILE")]
    pub(crate) known_hosts: Option<PathBuf>,
    /// Seconds that a login may take, with all its tries
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parsers::timeout)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) connect_timeout: Duration,
    /// Folder of the remote hosts in whose subfolder isograd copies of this program lie [default: their cache folder]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) cache: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HostsCommand {
    /// Log in everywhere, and measure machines and the network between them
    Check(HostsCheckArgs),
}

#[derive(Debug, Args)]
pub(crate) struct HostsCheckArgs {
    #[command(flatten)]
    pub(crate) hosts: HostArgs,
    #[command(flatten)]
    pub(crate) login: LoginArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SlurmArgs {
    /// Machines
    #[arg(long, value_name = "N", default_value = "1", value_parser = parsers::count)]
    pub(crate) nodes: u32,
    /// Ranks on each
    #[arg(long, value_name = "N", default_value = "1", value_parser = parsers::count)]
    pub(crate) tasks_per_node: u32,
    /// Cores of each rank
    #[arg(long, value_name = "N", value_parser = parsers::count)]
    pub(crate) cpus_per_task: Option<u32>,
    /// Limit of time, as Slurm writes it: 30, 2:00:00, 1-12
    #[arg(long, value_name = "TIME", value_parser = parsers::slurm_word)]
    pub(crate) time: Option<String>,
    /// Partition
    #[arg(long, value_name = "NAME", value_parser = parsers::slurm_word)]
    pub(crate) partition: Option<String>,
    /// Account
    #[arg(long, value_name = "NAME", value_parser = parsers::slurm_word)]
    pub(crate) account: Option<String>,
    /// Name of the job
    #[arg(long, value_name = "NAME", default_value = "isograd", value_parser = parsers::slurm_word)]
    pub(crate) job_name: String,
    /// Write the script to this file, instead of standard output
    #[arg(long, value_name = "FILE")]
    #[arg(value_parser = PathBufValueParser::new().try_map(parsers::new_file))]
    pub(crate) script: Option<PathBuf>,
    /// Hand the script to sbatch
    #[arg(long)]
    pub(crate) submit: bool,
    /// What each rank runs: train, evaluate or bench, with its options
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub(crate) command: Vec<std::ffi::OsString>,
}

/// What ranks run, and what becomes of their output.
#[derive(Debug, Args)]
pub(crate) struct JobArgs {
    /// Whether each rank keeps to cores of its own, as far as there are enough: cores or none
    #[arg(long, value_name = "WHAT", default_value = "cores", value_parser = parsers::bind)]
    pub(crate) bind: Bind,
    /// Give the ranks this variable, with its value here or with another one
    #[arg(short = 'x', long, value_name = "NAME[=VALUE]")]
    pub(crate) export: Vec<String>,
    /// Give the ranks the variables of this file, NAME=VALUE a line
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,
    /// Write what each rank prints to FOLDER/rank.N/stdout and FOLDER/rank.N/stderr
    #[arg(long, value_name = "FOLDER")]
    pub(crate) output: Option<PathBuf>,
    /// Show only what ranks write to standard error
    #[arg(long)]
    pub(crate) quiet: bool,
    /// Show only what this rank prints
    #[arg(long, value_name = "RANK")]
    pub(crate) only_rank: Option<u32>,
    #[arg(long, value_name = "WHETHER", value_parser = parsers::yes, help = PREFIX_HELP)]
    pub(crate) prefix: Option<bool>,
    /// What each rank runs: train, evaluate or bench, with its options
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub(crate) command: Vec<std::ffi::OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct AgentArgs {
    /// Tell the SHA-256 of the program's file
    #[arg(long)]
    pub(crate) digest: bool,
}
