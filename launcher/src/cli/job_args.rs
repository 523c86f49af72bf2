//! The command line of jobs: ranks on this machine, on many, under Slurm.

use crate::cli::parsers::{self, Bind};
use crate::cli::plan::RankPlan;
use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, Subcommand};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

pub(super) const LOCAL_EXAMPLES: &str = "\
Examples:
  isograd local -n 4 train --global-batch-size 256
  isograd local -n 2 --bind none train --threads 2 --transport tcp
  isograd local -n 2 bench comm

The number of ranks changes the time, not the result, as long as --global-batch-size stays the same.";

pub(super) const SSH_EXAMPLES: &str = "\
Examples:
  isograd ssh hosts train --global-batch-size 1024
  isograd ssh --hostfile hosts -n 8 train --global-batch-size 1024
  isograd ssh -H localhost:2,user@node1:8 --dry-run train
  isograd hosts check --hostfile hosts

The hosts need an SSH server and a login without a password, nothing else: this program is copied
there. The first Ctrl-C ends the run after the current step, and writes what --save asks for; the
second ends it at once.";

// Constants, because brackets in a doc comment would be links.
const HOSTFILE_HELP: &str = "File with one host per line: [user@]host[:port] slots=N max_slots=N user= port= identity= iface= addr= \
                             cpus= workdir= env.K=V";
const HOST_HELP: &str = "Hosts, instead of a hostfile: [user@]host[:slots],…";
const PREFIX_HELP: &str = "Begin each line of output with [rank@host]: yes or no [default: yes; local: no]";

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
    /// Print what would be done, and do nothing else
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten, next_help_heading = "Login")]
    pub(crate) login: LoginArgs,
    #[command(flatten, next_help_heading = "Ranks")]
    pub(crate) job: JobArgs,
}

impl SshArgs {
    /// Whether no option names hosts: then the first word after the options should be a hostfile.
    pub(super) fn has_no_hosts(&self) -> bool {
        self.hosts.hostfile.is_none() && self.hosts.host.is_none()
    }
}

/// Which machines to use.
#[derive(Debug, Args)]
pub(crate) struct HostArgs {
    #[arg(long, value_name = "FILE", help = HOSTFILE_HELP)]
    pub(crate) hostfile: Option<PathBuf>,
    #[arg(short = 'H', long, value_name = "HOSTS", conflicts_with = "hostfile", help = HOST_HELP)]
    pub(crate) host: Option<String>,
    /// Use only these hosts, separated by commas
    #[arg(long, value_name = "HOSTS", value_delimiter = ',')]
    pub(crate) include: Vec<String>,
    /// Do not use these hosts, separated by commas
    #[arg(long, value_name = "HOSTS", value_delimiter = ',')]
    pub(crate) exclude: Vec<String>,
    /// Network interface for the data between hosts [default: any that works]
    #[arg(long, value_name = "NAME")]
    pub(crate) interface: Option<String>,
}

/// How to log in.
#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// Configuration of SSH, or none [default: ~/.ssh/config, then /etc/ssh/ssh_config]
    #[arg(long, value_name = "FILE")]
    pub(crate) ssh_config: Option<PathBuf>,
    /// File with the host keys to accept [default: from the SSH configuration, or ~/.ssh/known_hosts]
    #[arg(long, value_name = "FILE")]
    pub(crate) known_hosts: Option<PathBuf>,
    /// Seconds that a login may take, with all its tries
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parsers::timeout)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) connect_timeout: Duration,
    /// Folder on the remote hosts; copies of this program go to its subfolder isograd [default: their cache
    /// folder]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) cache: Option<PathBuf>,
}

impl LoginArgs {
    /// The same as words of a command line.
    pub(crate) fn words(&self) -> Vec<OsString> {
        let Self { ssh_config, known_hosts, connect_timeout, cache } = self;
        let seconds = OsString::from(connect_timeout.as_secs_f64().to_string());
        let option = |name: &str, value: &OsStr| {
            let mut word = OsString::from(name);
            word.push(value);
            word
        };
        let paths =
            [("--ssh-config=", ssh_config), ("--known-hosts=", known_hosts), ("--cache=", cache)].into_iter();
        let paths = paths.filter_map(|(name, path)| Some(option(name, path.as_ref()?.as_os_str())));
        paths.chain([option("--connect-timeout=", &seconds)]).collect()
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum HostsCommand {
    /// Log in to all machines, and measure them and the network between them
    Check(HostsCheckArgs),
}

#[derive(Debug, Args)]
pub(crate) struct HostsCheckArgs {
    /// File with the hosts, as --hostfile names it
    #[arg(value_name = "HOSTFILE", conflicts_with_all = ["hostfile", "host"])]
    pub(super) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) hosts: HostArgs,
    #[command(flatten)]
    pub(crate) login: LoginArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SlurmArgs {
    /// Number of machines
    #[arg(long, value_name = "N", default_value = "1", value_parser = parsers::count)]
    pub(crate) nodes: u32,
    /// Ranks on each machine
    #[arg(long, value_name = "N", default_value = "1", value_parser = parsers::count)]
    pub(crate) tasks_per_node: u32,
    /// Cores of each rank
    #[arg(long, value_name = "N", value_parser = parsers::count)]
    pub(crate) cpus_per_task: Option<u32>,
    /// Time limit in Slurm's notation: 30, 2:00:00, 1-12
    #[arg(long, value_name = "TIME", value_parser = parsers::slurm_word)]
    pub(crate) time: Option<String>,
    /// Slurm partition
    #[arg(long, value_name = "NAME", value_parser = parsers::slurm_word)]
    pub(crate) partition: Option<String>,
    /// Slurm account
    #[arg(long, value_name = "NAME", value_parser = parsers::slurm_word)]
    pub(crate) account: Option<String>,
    /// Name of the job
    #[arg(long, value_name = "NAME", default_value = "isograd", value_parser = parsers::slurm_word)]
    pub(crate) job_name: String,
    /// Write the script to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    #[arg(value_parser = PathBufValueParser::new().try_map(parsers::new_file))]
    pub(crate) script: Option<PathBuf>,
    /// Submit the script with sbatch
    #[arg(long)]
    pub(crate) submit: bool,
    /// What each rank runs: train, evaluate, run or bench, with its options
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub(crate) command: Vec<std::ffi::OsString>,
    /// How the ranks work together, as `command` says.
    #[arg(skip)]
    pub(crate) ranks: Option<RankPlan>,
}

/// What ranks run, and where their output goes.
#[derive(Debug, Args)]
pub(crate) struct JobArgs {
    /// Bind each rank to cores of its own, if there are enough: cores or none
    #[arg(long, value_name = "WHAT", default_value = "cores", value_parser = parsers::bind)]
    pub(crate) bind: Bind,
    /// Set this variable for the ranks: to its value here, or to VALUE
    #[arg(short = 'x', long, value_name = "NAME[=VALUE]")]
    pub(crate) export: Vec<String>,
    /// Set the variables in this file for the ranks, one NAME=VALUE per line
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
    /// What each rank runs: train, evaluate, run or bench, with its options
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub(crate) command: Vec<std::ffi::OsString>,
    /// How the ranks work together, as `command` says.
    #[arg(skip)]
    pub(crate) ranks: Option<RankPlan>,
}

#[derive(Debug, Args)]
pub(crate) struct AgentArgs {
    /// Send the SHA-256 of the program's file
    #[arg(long)]
    pub(crate) digest: bool,
    /// Run no ranks, but remove this folder at the end of standard input
    #[arg(long, value_name = "FOLDER")]
    pub(crate) remove: Option<PathBuf>,
}
