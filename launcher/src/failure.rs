//! What ends the program early, and how it says so.

use crate::system::escape::one_line;
use crate::system::signals;
use isograd_comm as comm;
use isograd_model as model;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Why the program ends without having done what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A command line without meaning.
    #[error("{problem}")]
    Usage { problem: String, hint: Option<String> },
    /// Data that cannot be used.
    #[error("{option}: {source}")]
    Data { option: &'static str, source: isograd_datasets::Error },
    /// Training and test set do not belong together.
    #[error("--dataset-train-path: training samples are {train:?}, test samples are {test:?}")]
    TestShape { train: [usize; 3], test: [usize; 3] },
    /// Network, data and configuration do not fit together.
    #[error(transparent)]
    Model(#[from] model::Error),
    /// Parameters that cannot be loaded.
    #[error("--load {0}")]
    Load(model::Error),
    /// Parameters that were loaded, and with which nothing can be computed.
    #[error("--load {}: {problem}", path.display())]
    Unusable { path: PathBuf, problem: String },
    /// Parameters that were trained, and with which the test cannot be computed.
    #[error("the test: {0}")]
    Test(model::Error),
    /// Parameters that cannot be saved.
    #[error("--save {0}")]
    Save(model::Error),
    /// A file that cannot be written.
    #[error("{option} {}: cannot write: {source}", path.display())]
    Write { option: &'static str, path: PathBuf, source: io::Error },
    /// Training that ran out of the range of numbers.
    #[error("{problem}")]
    Diverged { problem: String, good_epochs: u32, save: Option<PathBuf> },
    /// Ranks that do not work together.
    #[error(transparent)]
    Ranks(#[from] comm::Error),
    /// A key that cannot be read.
    #[error("--key-file: {0}")]
    KeyFile(comm::Error),
    /// An agent that cannot be started on this machine.
    #[error("cannot start an agent: {0}")]
    Start(io::Error),
    /// Logins that cannot be prepared.
    #[error("{problem}")]
    Logins { problem: String, hint: Option<String> },
    /// Hosts that do not take part.
    #[error("{}", describe_lost(losses))]
    LostHosts { losses: Vec<(String, Loss)> },
    /// Hosts that do not reach each other.
    #[error("the hosts do not all reach each other; {matrix}")]
    Unreachable { matrix: String },
    /// A random number that the system does not give.
    #[error("cannot make a key: {0}")]
    Random(io::Error),
    /// A host that was lost, or cannot do its part.
    #[error("host {host}: {problem}")]
    Host { host: String, problem: String },
    /// A rank that failed, and has said why.
    #[error("rank {rank} on {host} ended with {end}")]
    Rank { rank: u32, host: String, end: String, exit_code: u8 },
    /// A rank for which all others waited in vain.
    #[error("rank {rank} on {host} was silent while the others waited for it, and had to be killed")]
    SilentRank { rank: u32, host: String },
    /// A run that was asked to end, and the parameters that it saved.
    #[error("stopped by {name}")]
    Stopped { name: String, exit_code: u8, saved: Option<PathBuf> },
    /// An agent whose ranks ran when its launcher closed the connection or fell silent.
    #[error("the launcher has gone: its ranks were ended")]
    Orphaned,
    /// A batch script that cannot be submitted.
    #[error("--submit: sbatch: {0}")]
    Submit(io::Error),
    /// Signals that the system does not let a program wait for.
    #[error("cannot wait for signals: {0}")]
    Signals(io::Error),
    /// A rank that was not told where to meet the others.
    #[error("standard input does not tell where the ranks meet: {0}")]
    Summons(io::Error),
    /// An all-reduce that does not add up.
    #[error("element {index} of an allreduce is {got} instead of {expected}")]
    WrongSum { index: usize, got: f32, expected: f32 },
    /// Threads that the system does not give.
    #[error("--threads {threads}: cannot start them: {source}")]
    Threads { threads: usize, source: rayon::ThreadPoolBuildError },
    /// Standard output that cannot be written.
    #[error("cannot write to standard output: {0}")]
    Stdout(io::Error),
}

/// What a shell reports of a program that SIGPIPE has ended: 128 + 13.
const READER_GONE: u8 = 141;
/// The exit code of a rank that ends because another one has.
pub(crate) const CONSEQUENCE: u8 = 3;

impl Failure {
    /// A run that a signal has ended.
    pub(crate) fn stopped_by(signal: i32) -> Self {
        Self::stopped(signals::name(signal), signal, None)
    }

    /// As a shell reports it.
    pub(crate) fn stopped(name: String, signal: i32, saved: Option<PathBuf>) -> Self {
        Self::Stopped { name, exit_code: u8::try_from(128 + signal).unwrap_or(1), saved }
    }

    /// 2 for a command line without meaning, 1 for what failed; where an agent looks after the
    /// ranks, [`CONSEQUENCE`] for what failed because another rank did.
    pub(crate) fn exit_code(&self, has_agent: bool) -> ExitCode {
        match self {
            Self::Usage { .. } => ExitCode::from(2),
            Self::Rank { exit_code, .. } | Self::Stopped { exit_code, .. } => ExitCode::from(*exit_code),
            _ if has_agent && self.is_consequence() => ExitCode::from(CONSEQUENCE),
            Self::Stdout(_) if self.is_reader_gone() => ExitCode::from(READER_GONE),
            _ => ExitCode::from(1),
        }
    }

    /// Prints the `error:` line, with the number of the rank if there are several, and the `hint:` line if there is a way out.
    /// Nothing is printed when whoever read standard output has gone: that is how `isograd summary | head -1` ends.
    pub(crate) fn print(&self, rank: Option<usize>) {
        // All ranks stop for the same reason.
        let is_told = matches!(self, Self::Stopped { .. }) && rank.is_some_and(|rank| rank > 0);
        if self.is_reader_gone() || is_told {
            return;
        }
        let hint = self.hint().map_or_else(String::new, |hint| format!("hint: {}\n", one_line(&hint)));
        let rank = rank.map_or_else(String::new, |rank| format!("rank {rank}: "));
        // With standard error closed as well there is nobody left to tell.
        let _ = io::stderr().write_all(format!("error: {rank}{}\n{hint}", self.message()).as_bytes());
    }

    /// What went wrong: on one line, whatever names of files and the like hold; lists of hosts have more of them.
    fn message(&self) -> String {
        let text = self.to_string();
        match self {
            Self::LostHosts { .. } | Self::Unreachable { .. } => {
                text.split('\n').map(one_line).collect::<Vec<_>>().join("\n")
            }
            _ => one_line(&text),
        }
    }

    /// The way out, where there is one.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Usage { hint, .. } | Self::Logins { hint, .. } => hint.clone(),
            Self::Load(model::Error::Checkpoint { source, .. }) if source.is_mismatch() => {
                Some("--model, --dtype and --dataset must be those that the file was saved with".to_string())
            }
            Self::Stopped { saved: Some(path), .. } => {
                Some(format!("{} holds the parameters after that step", path.display()))
            }
            Self::Ranks(error) | Self::Model(model::Error::Ranks(error)) => rank_hint(error),
            Self::LostHosts { losses } => match losses.as_slice() {
                [(_, loss)] => loss.hint.clone(),
                _ => None,
            },
            Self::Unreachable { .. } => Some(
                "iface=NAME or addr=ADDRESS in the hostfile, or --interface NAME, says where a host is reached; \
                 'isograd hosts check' shows more"
                    .to_string(),
            ),
            Self::Diverged { good_epochs, save: Some(path), .. } => Some(match good_epochs {
                0 => format!("{} was not written: no epoch ended well", path.display()),
                epochs => format!("{} holds the parameters after epoch {epochs}", path.display()),
            }),
            _ => None,
        }
    }

    /// Whether another rank is the reason, which says more.
    fn is_consequence(&self) -> bool {
        let (Self::Ranks(error) | Self::Model(model::Error::Ranks(error))) = self else { return false };
        error.is_consequence()
    }

    fn is_reader_gone(&self) -> bool {
        matches!(self, Self::Stdout(source) if source.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// The way out of a failure of ranks, where there is one.
fn rank_hint(error: &comm::Error) -> Option<String> {
    match error {
        comm::Error::SharedMemory(comm::SharedMemoryError::Full { .. }) => {
            Some("--shared-memory FOLDER names another folder; with --transport tcp the ranks need none".to_string())
        }
        comm::Error::File(comm::FileError::Owner { .. } | comm::FileError::Type { .. }) => Some(
            "XDG_RUNTIME_DIR=FOLDER, or MASTER_ADDR and MASTER_PORT with --key-file, lets the ranks meet elsewhere"
                .to_string(),
        ),
        _ => None,
    }
}

/// Why a host does not take part, or not any more, and the way out, where there is one.
#[derive(Debug)]
pub(crate) struct Loss {
    pub(crate) problem: String,
    pub(crate) hint: Option<String>,
}

impl From<String> for Loss {
    fn from(problem: String) -> Self {
        Self { problem, hint: None }
    }
}

/// One host on the line of the error; of several, each on a line of its own with its way out.
fn describe_lost(losses: &[(String, Loss)]) -> String {
    if let [(host, loss)] = losses {
        return format!("host {host}: {}", loss.problem);
    }
    let mut text = format!("{} hosts cannot take part", losses.len());
    for (host, Loss { problem, hint }) in losses {
        text += &format!("\n  host {host}: {}", one_line(problem));
        text += &hint.as_ref().map_or_else(String::new, |hint| format!("\n    hint: {}", one_line(hint)));
    }
    text
}
