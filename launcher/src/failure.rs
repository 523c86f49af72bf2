//! What ends the program early, and how it says so.

use isograd_comm as comm;
use isograd_model as model;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};

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
    #[error("--load {source}")]
    Load { source: model::Error, path: PathBuf },
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
    /// A folder to meet in that cannot be made.
    #[error("cannot make a temporary folder for the ranks to meet: {0}")]
    Meeting(io::Error),
    /// Ranks that cannot be started.
    #[error("cannot start a rank: {0}")]
    Start(io::Error),
    /// Ranks that cannot be bound to cores.
    #[error("--bind cores: {0}")]
    Bind(io::Error),
    /// A rank that failed, and has said why.
    #[error("rank {rank} ended with {status}")]
    Rank { rank: usize, status: ExitStatus },
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

impl Failure {
    /// 2 for a command line without meaning, 1 for what failed.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage { .. } => ExitCode::from(2),
            // As a shell reports it.
            Self::Rank { status, .. } => {
                let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
                ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
            }
            Self::Stdout(_) if self.is_reader_gone() => ExitCode::from(READER_GONE),
            _ => ExitCode::from(1),
        }
    }

    /// Prints the `error:` line, with the number of the rank if there are several, and the `hint:` line if there is a way out. Nothing is printed when whoever read standard
    /// output has gone: that is how `isograd summary | head -1` ends.
    pub(crate) fn print(&self, rank: Option<usize>) {
        if self.is_reader_gone() {
            return;
        }
        let hint = self.hint().map_or_else(String::new, |hint| format!("hint: {hint}\n"));
        let rank = rank.map_or_else(String::new, |rank| format!("rank {rank}: "));
        // With standard error closed as well there is nobody left to tell.
        let _ = io::stderr().write_all(format!("error: {rank}{self}\n{hint}").as_bytes());
    }

    /// The way out, where there is one.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Usage { hint, .. } => hint.clone(),
            Self::Load { path, .. } if path.is_file() => {
                Some("--model, --dtype and --dataset must be those that the file was saved with".to_string())
            }
            Self::Diverged { good_epochs, save: Some(path), .. } => Some(match good_epochs {
                0 => format!("{} was not written: no epoch was completed", path.display()),
                epochs => format!("{} holds the parameters after epoch {epochs}", path.display()),
            }),
            _ => None,
        }
    }

    fn is_reader_gone(&self) -> bool {
        matches!(self, Self::Stdout(source) if source.kind() == io::ErrorKind::BrokenPipe)
    }
}
