//! What ends the program early, and how it says so.

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
            Self::Stdout(_) if self.is_reader_gone() => ExitCode::from(READER_GONE),
            _ => ExitCode::from(1),
        }
    }

    /// Prints the `error:` line, and the `hint:` line if there is a way out. Nothing is printed when whoever read standard
    /// output has gone: that is how `isograd summary | head -1` ends.
    pub(crate) fn print(&self) {
        if self.is_reader_gone() {
            return;
        }
        let hint = self.hint().map_or_else(String::new, |hint| format!("hint: {hint}\n"));
        // With standard error closed as well there is nobody left to tell.
        let _ = write!(io::stderr(), "error: {self}\n{hint}");
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
