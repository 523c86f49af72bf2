//! Failures: what ends the program early, the lines that it prints then, and its exit code.

use crate::system::escape::one_line;
use crate::system::signals;
use isograd_comm as comm;
use isograd_datasets::{self as datasets, ArrayError, ImageError, SampleError};
use isograd_model::{self as model, CheckpointError};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Why the program did not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A command line that cannot be carried out.
    #[error("{problem}")]
    Usage { problem: String, hint: Option<String> },
    /// A step of a workflow that failed.
    #[error("{problem}")]
    Step { problem: String },
    /// Data that cannot be used.
    #[error("{option}: {source}")]
    Data { option: &'static str, source: datasets::Error },
    /// Data that cannot be downloaded.
    #[cfg(feature = "object-store")]
    #[error("{option}: {source}")]
    Download { option: &'static str, source: datasets::pipeline::SourceError },
    /// A data set with files that cannot be used, which have been listed.
    #[error("{broken} of {files} files cannot be decoded")]
    BrokenFiles { broken: usize, files: usize },
    /// Data that cannot be read for its digest.
    #[error("--dataset: cannot read {reason}")]
    Digest { reason: datasets::ReadError },
    /// Network, data and configuration do not fit together.
    #[error(transparent)]
    Model(#[from] model::Error),
    /// A network file that cannot be used.
    #[error("--model {}: {problem}", path.display())]
    NetworkFile { path: PathBuf, problem: String },
    /// Parameters that cannot be loaded.
    #[error("--load {0}")]
    Load(model::Error),
    /// Parameters that were loaded, but give no finite numbers.
    #[error("--load {}: {problem}", path.display())]
    Unusable { path: PathBuf, problem: String },
    /// Parameters of another program that are not those of the network.
    #[error("{error}")]
    Import { error: Box<model::Error>, hint: Option<String> },
    /// Inputs that cannot be predicted, each of which has been named.
    #[error("{failed} of {total} inputs cannot be predicted")]
    Inputs { failed: usize, total: usize },
    /// Parameters that were trained, but give no finite test loss.
    #[error("the test: {0}")]
    Test(model::Error),
    /// Parameters that cannot be saved.
    #[error("--save {0}")]
    Save(model::Error),
    /// A checkpoint that cannot be written at the start of a run.
    #[error("--checkpoint {0}")]
    Checkpoint(model::Error),
    /// A checkpoint that a run cannot go on from.
    #[error("--resume {0}")]
    Resume(model::Error),
    /// Ranks that have met, and differ in what they are to do.
    #[error("{problem}")]
    Differ { problem: String },
    /// A file that cannot be written.
    #[error("{option} {}: cannot write: {source}", path.display())]
    Write { option: &'static str, path: PathBuf, source: io::Error },
    /// Training whose loss or parameters became infinite or NaN.
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
    /// Logins that cannot start, such as for a mistake in the SSH configuration.
    #[error("{problem}")]
    Logins { problem: String, hint: Option<String> },
    /// Hosts that do not take part.
    #[error("{}", describe_lost(losses))]
    LostHosts { losses: Vec<(String, HostFailure)> },
    /// Hosts that do not reach each other.
    #[error("the hosts do not all reach each other{}", matrix.as_ref().map_or_else(String::new, |text| format!("; {text}")))]
    Unreachable {
        /// Who reached whom, if that is not printed already.
        matrix: Option<String>,
    },
    /// The system gives no random numbers.
    #[error("cannot make a key: {0}")]
    Random(io::Error),
    /// A host that was lost, or cannot run its ranks.
    #[error("host {host}: {problem}")]
    Host { host: String, problem: String },
    /// A rank that failed, and has printed why.
    #[error("rank {rank} on {host} ended with {end}")]
    Rank { rank: u32, host: String, end: String, exit_code: u8 },
    /// A rank for which all others waited in vain.
    #[error("rank {rank} on {host} was silent while the others waited for it, and had to be killed")]
    SilentRank { rank: u32, host: String },
    /// A run that a signal ended, and the parameters that it saved.
    #[error("stopped by {name}")]
    Stopped { name: String, exit_code: u8, saved: Option<Saved> },
    /// An agent whose ranks ran when its launcher closed the connection or fell silent.
    #[error("the launcher has ended or fallen silent, so its ranks were killed")]
    Orphaned,
    /// A batch script that cannot be submitted.
    #[error("--submit: sbatch: {0}")]
    Submit(io::Error),
    /// The system does not let this program wait for signals.
    #[error("cannot wait for signals: {0}")]
    Signals(io::Error),
    /// A rank that its agent has not told where to meet the others.
    #[error("cannot read from standard input where the ranks meet: {0}")]
    MeetingPoint(io::Error),
    /// An all-reduce with a wrong sum.
    #[error("element {index} of an allreduce is {got} instead of {expected}")]
    WrongSum { index: usize, got: f32, expected: f32 },
    /// Threads that the system does not start.
    #[error("--threads {threads}: cannot start them: {source}")]
    Threads { threads: usize, source: rayon::ThreadPoolBuildError },
    /// Threads that read ahead, which the system does not start.
    #[error("--prefetch-threads {threads}: cannot start them: {source}")]
    PrefetchThreads { threads: usize, source: io::Error },
    /// Standard output that cannot be written.
    #[error("cannot write to standard output: {0}")]
    Stdout(io::Error),
}

/// What a run that was stopped has left.
#[derive(Debug)]
pub(crate) enum Saved {
    /// A file with its parameters.
    Parameters(PathBuf),
    /// A folder with a checkpoint of its last step.
    Checkpoint(PathBuf),
}

/// The exit code that a shell reports for a program that SIGPIPE has ended: 128 + 13.
const READER_GONE: u8 = 141;
/// The exit code of a rank that ends because another one has.
pub(crate) const CONSEQUENCE: u8 = 3;

impl Failure {
    /// A run that `signal` has ended.
    pub(crate) fn stopped_by(signal: i32) -> Self {
        Self::stopped(signals::name(signal), signal, None)
    }

    /// The same with a text that names it; the exit code is the one that a shell reports.
    pub(crate) fn stopped(name: String, signal: i32, saved: Option<Saved>) -> Self {
        Self::Stopped { name, exit_code: u8::try_from(128 + signal).unwrap_or(1), saved }
    }

    /// 2 for a bad command line, 1 for other failures. A rank of an agent ends with [`CONSEQUENCE`] if
    /// another rank is the reason.
    pub(crate) fn exit_code(&self, has_agent: bool) -> ExitCode {
        match self {
            Self::Usage { .. } => ExitCode::from(2),
            Self::Rank { exit_code, .. } | Self::Stopped { exit_code, .. } => ExitCode::from(*exit_code),
            _ if has_agent && self.is_consequence() => ExitCode::from(CONSEQUENCE),
            Self::Stdout(_) if self.is_reader_gone() => ExitCode::from(READER_GONE),
            _ => ExitCode::from(1),
        }
    }

    /// Prints the `error:` line, with the number of the rank if there are several, and the `hint:` line if
    /// there is a way out. When the reader of standard output has closed it, as in `isograd summary | head
    /// -1`, nothing is printed.
    pub(crate) fn print(&self, rank: Option<usize>) {
        // All ranks stop for the same reason, and rank 0 prints it.
        let is_told = matches!(self, Self::Stopped { .. }) && rank.is_some_and(|rank| rank > 0);
        if self.is_reader_gone() || is_told {
            return;
        }
        let hint = self.hint().map_or_else(String::new, |hint| format!("hint: {}\n", one_line(&hint)));
        let rank = rank.map_or_else(String::new, |rank| format!("rank {rank}: "));
        // Where standard error is closed, too, the exit code must do.
        let _ = io::stderr().write_all(format!("error: {rank}{}\n{hint}", self.message()).as_bytes());
    }

    /// The problem on one line, whatever the names of files in it contain. A list of hosts has a line for
    /// each.
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
            Self::Usage { hint, .. } | Self::Logins { hint, .. } | Self::Import { hint, .. } => hint.clone(),
            Self::Load(model::Error::Checkpoint { reason, .. }) => load_hint(reason),
            Self::Data {
                source: datasets::Error::Array(ArrayError::LabelOutOfRange { label, .. }), ..
            } => Some(label_hint(*label)),
            Self::Data { source: datasets::Error::Image(error), .. } => image_hint(error),
            Self::BrokenFiles { .. } => Some(SKIP_HINT.to_string()),
            Self::Model(model::Error::Data(model::DataError::Sample(SampleError::Read { reason, .. }))) => {
                reason.is_bad_image().then(|| SKIP_HINT.to_string())
            }
            Self::Stopped { saved: Some(Saved::Parameters(path)), .. } => {
                Some(format!("{} holds the parameters after that step", path.display()))
            }
            Self::Stopped { saved: Some(Saved::Checkpoint(folder)), .. } => {
                Some(format!("isograd train --resume {} goes on after that step", folder.display()))
            }
            Self::Checkpoint(model::Error::Folder { reason, .. }) => match **reason {
                model::FolderError::InUse => Some("--checkpoint FOLDER names another folder".to_string()),
                _ => None,
            },
            Self::Resume(model::Error::Folder { reason, .. }) => match **reason {
                model::FolderError::OtherRun(_) => Some(
                    "a run goes on with the data and the program that it was started with; --load FILE starts a new one"
                        .to_string(),
                ),
                _ => None,
            },
            Self::Model(model::Error::Data(model::DataError::TargetKind { are_values: true, .. })) => Some(
                "--loss mse, mae or huber and --metrics mse or mae take numbers; --targets classes reads a table's \
                 targets as classes"
                    .to_string(),
            ),
            Self::Ranks(error) | Self::Model(model::Error::Ranks(error)) => rank_hint(error),
            Self::LostHosts { losses } => match losses.as_slice() {
                [(_, loss)] => loss.hint.clone(),
                _ => None,
            },
            Self::Unreachable { matrix } => {
                let more = if matrix.is_some() { "; 'isograd hosts check' shows more" } else { "" };
                Some(format!(
                    "iface=NAME or addr=ADDRESS in the hostfile, or --interface NAME, says where a host is reached{more}"
                ))
            }
            Self::Diverged { good_epochs, save: Some(path), .. } => Some(match good_epochs {
                0 => format!("{} was not written: no epoch ended well", path.display()),
                epochs => format!("{} holds the parameters after epoch {epochs}", path.display()),
            }),
            _ => None,
        }
    }

    /// Whether the failure of another rank caused this one: then the other rank's message is the one to read.
    fn is_consequence(&self) -> bool {
        match self {
            Self::Ranks(error) | Self::Model(model::Error::Ranks(error)) => error.is_consequence(),
            Self::Model(error) => matches!(error, model::Error::Data(model::DataError::OfAnotherRank)),
            _ => false,
        }
    }

    fn is_reader_gone(&self) -> bool {
        matches!(self, Self::Stdout(source) if source.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// The way out where a file holds the parameters of another network, unless the error says it already.
fn load_hint(reason: &CheckpointError) -> Option<String> {
    if matches!(reason, CheckpointError::UnknownNetwork { .. }) {
        return Some("--model NAME says which network it is".to_string());
    }
    let is_prefix = matches!(reason, CheckpointError::OtherTensors { prefix: Some(_), .. });
    (reason.is_mismatch() && !is_prefix).then(|| {
        "--model, --dtype, --dataset and --classes must be those that the file was saved with".to_string()
    })
}

/// The way out where a file of images is broken.
const SKIP_HINT: &str = "--on-bad-image skip leaves out such files and lists them";

/// The way out where images cannot be used, where there is one.
fn image_hint(error: &ImageError) -> Option<String> {
    let hint = match error {
        ImageError::Sizes { .. } => "--resize N makes all images N x N pixels",
        ImageError::Image { .. } => SKIP_HINT,
        _ => return None,
    };
    Some(hint.to_string())
}

/// The way out where a label is not below the number of classes.
fn label_hint(label: u32) -> String {
    /// The largest label of the sets of EMNIST.
    const EMNIST: u32 = 61;
    let of_emnist =
        "; --dataset emnist-letters, -balanced, -bymerge or -byclass knows the classes of EMNIST's sets";
    let more = if label <= EMNIST { of_emnist } else { "" };
    format!("--classes is the number of classes, every label is below it{more}")
}

/// The way out of a failure of ranks, where there is one.
fn rank_hint(error: &comm::Error) -> Option<String> {
    match error {
        comm::Error::SharedMemory(
            comm::SharedMemoryError::Full { .. } | comm::SharedMemoryError::Refused { .. },
        ) => {
            Some("--shared-memory FOLDER names another folder; with --transport tcp the ranks need none".to_string())
        }
        comm::Error::File(comm::FileError::Owner { .. } | comm::FileError::Type { .. }) => Some(
            "XDG_RUNTIME_DIR=FOLDER, or MASTER_ADDR and MASTER_PORT with --key-file, lets the ranks meet elsewhere"
                .to_string(),
        ),
        _ => None,
    }
}

/// Why a host cannot take part any more, and the way out, where there is one.
#[derive(Debug)]
pub(crate) struct HostFailure {
    pub(crate) problem: String,
    pub(crate) hint: Option<String>,
}

impl From<String> for HostFailure {
    fn from(problem: String) -> Self {
        Self { problem, hint: None }
    }
}

/// One host fits the line of the error; several have a line each, with a hint of their own.
fn describe_lost(losses: &[(String, HostFailure)]) -> String {
    if let [(host, loss)] = losses {
        return format!("host {host}: {}", loss.problem);
    }
    let mut text = format!("{} hosts cannot take part", losses.len());
    for (host, HostFailure { problem, hint }) in losses {
        text += &format!("\n  host {host}: {}", one_line(problem));
        text += &hint.as_ref().map_or_else(String::new, |hint| format!("\n    hint: {}", one_line(hint)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_fit_their_errors() {
        let tensors = |prefix: Option<&str>| CheckpointError::OtherTensors {
            missing: vec!["a".to_string()],
            missing_count: 1,
            unexpected: vec!["module.a".to_string()],
            unexpected_count: 1,
            prefix: prefix.map(str::to_string),
        };
        assert_eq!(load_hint(&tensors(Some("module."))), None);
        assert!(load_hint(&tensors(None)).unwrap().starts_with("--model, "));
        assert_eq!(load_hint(&CheckpointError::Read(io::ErrorKind::NotFound.into())), None);
        assert_eq!(image_hint(&ImageError::Crop { crop: 9, resize: 8 }), None);
        assert_eq!(image_hint(&ImageError::NoClasses { folder: "x".into() }), None);
        assert!(label_hint(26).ends_with("knows the classes of EMNIST's sets"));
        assert_eq!(label_hint(255), "--classes is the number of classes, every label is below it");
    }
}
