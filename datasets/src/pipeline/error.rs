//! Why a pipeline could not be built, or did not run to its end.

use std::time::Duration;

use crate::count::Count;

/// The cause of an error in a stage: any error, from any thread.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a pipeline gave no results.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The graph of stages cannot work.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A run did not come to its end.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A data source cannot be opened.
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// Why a graph of stages cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// There is no stage at all.
    #[error("the pipeline has no stages")]
    Empty,

    /// Stages feed each other in a circle, and nothing bounds how often an item goes round.
    #[error("stages feed each other in a cycle without a bound: {}; use `cycle`", stages.join(" -> "))]
    CycleWithoutBound {
        /// The stages of the cycle; the first stands at the end again.
        stages: Vec<String>,
    },

    /// Nothing feeds a stage.
    #[error("stage {stage} has no upstream: nothing feeds inlet {inlet}")]
    NoUpstream {
        /// The stage.
        stage: String,
        /// The inlet that it reads.
        inlet: String,
    },

    /// Nothing reads what a stage emits.
    #[error("nothing reads the output of stage {stage}; end it with a sink")]
    NoDownstream {
        /// The stage.
        stage: String,
    },

    /// A stage with no worker.
    #[error("stage {stage} has 0 workers, expected at least 1")]
    NoWorkers {
        /// The stage.
        stage: String,
    },

    /// Several workers for a stage that can have one only.
    #[error("stage {stage} is a {kind} and can have 1 worker only, not {workers}")]
    OneWorker {
        /// The stage.
        stage: String,
        /// What it is.
        kind: &'static str,
        /// The number that was asked for.
        workers: usize,
    },

    /// A queue without room for an item.
    #[error("the buffer behind stage {stage} holds 0 items, expected at least 1")]
    NoBuffer {
        /// The stage before the queue.
        stage: String,
    },

    /// Two stages have one name.
    #[error("two stages have the name {stage}; results and errors need names that differ")]
    DuplicateName {
        /// The name.
        stage: String,
    },

    /// A cycle that lets no item in, or through.
    #[error(
        "cycle {stage} is bounded by {} and {}, expected at least 1 of each",
        Count::of(*rounds, "round"), Count::of(*inside, "item")
    )]
    EmptyBound {
        /// The cycle.
        stage: String,
        /// How many rounds an item may go.
        rounds: usize,
        /// How many items may be inside.
        inside: usize,
    },
}

/// Why a run did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A stage reported an error.
    #[error("stage {stage}{}: {cause}", At(*item))]
    Stage {
        /// The stage.
        stage: String,
        /// The number of the item in the stage's input, from 0; none before the first and after the last. For
        /// a source, the number of the item that it was to give.
        item: Option<u64>,
        /// What the stage said.
        cause: Cause,
    },

    /// A stage panicked.
    #[error("stage {stage}{} panicked: {message}", At(*item))]
    Panic {
        /// The stage.
        stage: String,
        /// The number of the item, as in [`RunError::Stage`].
        item: Option<u64>,
        /// The message of the panic.
        message: String,
    },

    /// The inputs of a join have different lengths.
    #[error("stage {stage}: input {short} ended after {}, but input {long} goes on", Count(*items, "item"))]
    UnequalInputs {
        /// The join.
        stage: String,
        /// The input that ended, from 0.
        short: usize,
        /// An input with more items, from 0.
        long: usize,
        /// The number of items that all inputs had.
        items: u64,
    },

    /// All stages wait for each other.
    #[error(
        "all stages wait for each other; the queues behind {} are full: give them larger buffers",
        stages.join(" and ")
    )]
    Stalled {
        /// The stages whose queues have no room left.
        stages: Vec<String>,
    },

    /// The caller cancelled the run.
    #[error("the pipeline has been cancelled")]
    Cancelled,

    /// The run was not over in time.
    #[error("the pipeline has not ended within {limit:?}; {busy}")]
    Deadline {
        /// The time that it had.
        limit: Duration,
        /// What the stages were doing.
        busy: String,
    },

    /// A pipeline is started while it runs.
    #[error("the pipeline is running already")]
    Running,

    /// The operating system gives no thread.
    #[error("cannot start a thread for stage {stage}: {reason}")]
    Thread {
        /// The stage.
        stage: String,
        /// What the system said.
        reason: std::io::Error,
    },

    /// A result is asked for that the run does not have.
    #[error("sink {sink} has no result{}", OneOf(sinks))]
    NoResult {
        /// The name that was asked for.
        sink: String,
        /// The sinks whose results are still there.
        sinks: Vec<String>,
    },

    /// A result is asked for as another type than it has.
    #[error("the result of sink {sink} has type {got}, not {expected}")]
    ResultType {
        /// The sink.
        sink: String,
        /// The type of its result.
        got: &'static str,
        /// The type that was asked for.
        expected: &'static str,
    },
}

/// Why a data source cannot be opened or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The operating system, a server or the decoder of gzip failed.
    #[error("cannot read {file}: {reason}")]
    Io {
        /// The file, or the address.
        file: String,
        /// What went wrong.
        reason: std::io::Error,
    },

    /// A file that is to hold what is read cannot be written.
    #[error("cannot write {file}: {reason}")]
    Write {
        /// The file.
        file: String,
        /// What went wrong.
        reason: std::io::Error,
    },

    /// A pattern that no file fits.
    #[error("no file matches {pattern}")]
    NoFiles {
        /// The pattern.
        pattern: String,
    },

    /// A pattern with a wildcard in the name of a folder.
    #[error(
        "pattern {pattern} has a wildcard in the name of a folder; only the name of the file may have one"
    )]
    FolderPattern {
        /// The pattern.
        pattern: String,
    },

    /// A stream of records that is not a whole number of them.
    #[error("{origin} ends within a record: {} after the last whole record of {record_bytes} bytes", Count::of(*rest_bytes, "byte"))]
    CutRecord {
        /// The file or command.
        origin: String,
        /// The length of a record.
        record_bytes: usize,
        /// The bytes that are left.
        rest_bytes: usize,
    },

    /// A command that cannot be started.
    #[error("cannot start `{command}`: {reason}")]
    Spawn {
        /// The command.
        command: String,
        /// What the system said.
        reason: std::io::Error,
    },

    /// A command that failed.
    #[error("`{command}` ended with {status} after {}{}", Count(*stdout_bytes, "byte"), Said(stderr))]
    Command {
        /// The command.
        command: String,
        /// How it ended, in the words of the system.
        status: String,
        /// How much it had written.
        stdout_bytes: u64,
        /// The end of what it said on its standard error.
        stderr: String,
    },

    /// A line of a CSV file that cannot be used.
    #[error("{file}, line {line}: {problem}")]
    Csv {
        /// The file.
        file: String,
        /// The line on which the record begins, from 1.
        line: u64,
        /// What is wrong.
        problem: String,
    },

    /// A source that can be read once is read again.
    #[error("this source can be read once only")]
    Spent,
}

/// ` at item 7`, or nothing.
struct At(Option<u64>);

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |item| write!(f, " at item {item}"))
    }
}

/// `; it said: …`, or nothing.
struct Said<'a>(&'a str);

impl std::fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.0.trim();
        if text.is_empty() { Ok(()) } else { write!(f, "; it said: {text}") }
    }
}

/// `; there are results of a, b`.
struct OneOf<'a>(&'a [String]);

impl std::fmt::Display for OneOf<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            [] => f.write_str("; no results are left"),
            names => write!(f, "; there are results of {}", names.join(", ")),
        }
    }
}
