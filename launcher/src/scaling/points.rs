//! Runs what is to be measured, and keeps what it printed.
//!
//! ```text
//! scaling/command                what is measured
//! scaling/ranks-2/comm/rank.0/stdout
//! scaling/ranks-2/1/rank.0/stdout
//! scaling/ranks-2/1/done         the run has ended well
//! scaling/ranks-2/1/joules       energy of the run, where the machine tells
//! ```

use super::energy::Energy;
use super::outcome::{Exchange, Outcome};
use crate::cli::{self, Command, Parsed, ScalingArgs};
use crate::failure::Failure;
use crate::output::Output;
use crate::system::cores::CoreLimits;
use crate::system::escape::one_line;
use crate::{local::start as start_local, remote::start as start_remote};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Samples of a batch, where the command does not say.
const BATCH_SIZE: u64 = 64;
/// Options of the command with files that runs would share.
const OF_FILES: [&str; 9] =
    ["resume", "checkpoint", "log", "save", "history", "tensorboard", "mlflow", "profile-out", "trace"];
/// Options that change what a batch is, or what the first rank prints.
const OF_OUTPUT: [&str; 4] = ["find-lr", "accumulate", "scale-learning-rate", "log-ranks"];
/// How the names of the folders of runs begin.
const RUNS: &str = "ranks-";
/// The file in the folder of a run that says that it has ended well.
const DONE: &str = "done";
/// What the time of a step goes into: the first rank prints it.
const PROFILE: &str = "--profile-out=-";

/// A number of ranks, with what was measured.
#[derive(Debug)]
pub(super) struct Point {
    pub(super) ranks: u32,
    pub(super) runs: Vec<Outcome>,
    /// Joules of the runs for which they are known.
    pub(super) joules: Vec<f64>,
    /// The exchange alone; of one rank there is none.
    pub(super) exchange: Option<Exchange>,
}

/// What was measured, and of which command.
#[derive(Debug)]
pub(super) struct Measurement {
    /// By rising numbers of ranks.
    pub(super) points: Vec<Point>,
    /// As words in a line.
    pub(super) command: String,
    /// How gradients are exchanged.
    pub(super) bucket_bytes: usize,
    pub(super) overlap: bool,
}

/// Runs all points of `args` that are not done.
pub(super) fn run_all(args: &ScalingArgs, out: &mut Output) -> Result<Measurement, Failure> {
    let mut ranks = args.ranks.clone();
    ranks.sort_unstable();
    ranks.dedup();
    let command = TrainCommand::new(args, &ranks)?;
    claim(args, &command)?;
    let mut points = Vec::new();
    for ranks in ranks {
        let folder = args.out.join(format!("{RUNS}{ranks}"));
        let mut point = Point { ranks, runs: Vec::new(), joules: Vec::new(), exchange: None };
        if ranks > 1 {
            let bench = ["bench", "comm"].map(OsString::from);
            let text =
                once(args, ranks, &bench, &folder.join("comm"), |text| Exchange::read(text).is_some(), out)?;
            point.exchange = Exchange::read(&text);
        }
        for number in 1..=args.repeat {
            let folder = folder.join(number.to_string());
            let words = command.words(ranks);
            let text = once(args, ranks, &words, &folder, |text| Outcome::read(text).is_some(), out)?;
            point.runs.push(Outcome::read(&text).expect("it was read before"));
            let joules = fs::read_to_string(folder.join("joules")).ok();
            point.joules.extend(joules.and_then(|text| text.trim().parse::<f64>().ok()));
        }
        points.push(point);
    }
    let TrainCommand { bucket_bytes, overlap, .. } = command;
    let words: Vec<_> = args.command.iter().map(|word| word.to_string_lossy()).collect();
    Ok(Measurement { points, command: one_line(&words.join(" ")), bucket_bytes, overlap })
}

/// The output of the first of `ranks` ranks that run `words`: as `folder` has it, if that is whole, or of a
/// new run.
fn once(
    args: &ScalingArgs,
    ranks: u32,
    words: &[OsString],
    folder: &Path,
    is_whole: impl Fn(&str) -> bool,
    out: &mut Output,
) -> Result<String, Failure> {
    let file = folder.join("rank.0").join("stdout");
    let done = folder.join(DONE);
    let read = || fs::read_to_string(&file).ok().filter(|text| is_whole(text));
    let name = folder.strip_prefix(&args.out).unwrap_or(folder).display().to_string();
    if let Some(text) = read().filter(|_| done.exists()) {
        out.line(&format!("{name}: done before"))?;
        return Ok(text);
    }
    let (start, energy) = (Instant::now(), Energy::now().filter(|_| args.hostfile.is_none()));
    let mut job: Vec<OsString> = vec!["isograd".into()];
    match &args.hostfile {
        None => job.extend(["local".into(), "-n".into(), ranks.to_string().into()]),
        Some(file) => {
            job.extend(["ssh".into(), "--hostfile".into(), file.into()]);
            job.extend(args.login.words());
            job.extend(["-n".into(), ranks.to_string().into()]);
        }
    }
    job.extend(["--quiet".into(), "--output".into(), folder.into()]);
    job.extend(words.iter().cloned());
    match cli::parse(job)? {
        Parsed::Command(command) => match *command {
            Command::Local(args) => start_local(args)?,
            Command::Ssh(args) => start_remote(*args, out)?,
            other => unreachable!("{other:?}"),
        },
        Parsed::Text(text) => return Err(usage(text)),
    }
    if let Some(joules) = energy.and_then(|energy| energy.joules_since()) {
        let path = folder.join("joules");
        fs::write(&path, format!("{joules}\n")).map_err(|source| failure(path, source))?;
    }
    out.line(&format!("{name}: {:.1} s", start.elapsed().as_secs_f64()))?;
    let text = read().ok_or_else(|| {
        usage(format!("the output of {name} is not that of a whole run: {}", file.display()))
    })?;
    fs::write(&done, "").map_err(|source| failure(done, source))?;
    Ok(text)
}

/// The command to measure, without its batch.
struct TrainCommand {
    options: Vec<OsString>,
    /// Samples of a batch at the fewest ranks.
    batch: u64,
    fewest: u32,
    is_weak: bool,
    bucket_bytes: usize,
    overlap: bool,
}

impl TrainCommand {
    fn new(args: &ScalingArgs, ranks: &[u32]) -> Result<Self, Failure> {
        let (Some(&fewest), Some(&most)) = (ranks.first(), ranks.last()) else {
            unreachable!("clap wants ranks")
        };
        let words = std::iter::once(OsString::from("isograd")).chain(args.command.iter().cloned());
        let train = match cli::parse(words)? {
            Parsed::Command(command) => match *command {
                Command::Train(train) => train,
                _ => return Err(usage("only train can be measured".to_string())),
            },
            Parsed::Text(_) => return Err(usage("train --help is no command to measure".to_string())),
        };
        let name = |word: &OsString| {
            let word = word.to_str()?.strip_prefix("--")?;
            Some(word.split('=').next().unwrap_or(word).replace('_', "-"))
        };
        let names: Vec<String> = train.words.iter().filter_map(name).collect();
        for name in &names {
            let reason = match name.as_str() {
                name if OF_FILES.contains(&name) => {
                    "the runs of a measurement keep nothing and go on from nothing"
                }
                name if OF_OUTPUT.contains(&name) => {
                    "a measurement sets the batch of a step, and reads what the first rank prints of each epoch"
                }
                _ => continue,
            };
            return Err(usage(format!("--{name}: {reason}")));
        }
        let per_rank = train.training.batch_size.map(|batch| u64::from(batch) * u64::from(fewest));
        let batch = train.training.global_batch_size.map(u64::from).or(per_rank);
        let mut options = vec![OsString::from("train")];
        let mut words = train.words.iter().cloned();
        while let Some(word) = words.next() {
            if matches!(name(&word).as_deref(), Some("batch-size" | "global-batch-size")) {
                // Its value is the next word, if it is no part of this one.
                if !word.to_string_lossy().contains('=') {
                    words.next();
                }
                continue;
            }
            options.push(word);
        }
        if !names.iter().any(|name| name == "threads") && args.hostfile.is_none() {
            // Else fewer ranks would have more threads, and nothing would grow.
            let threads = (CoreLimits::of_this_process().usable() / most as usize).max(1);
            options.push(format!("--threads={threads}").into());
        }
        let batch = batch.unwrap_or(BATCH_SIZE * u64::from(fewest));
        options.push(PROFILE.into());
        let (bucket_bytes, overlap) = (train.ranks.bucket_bytes, !train.ranks.no_overlap);
        Ok(Self { options, batch, fewest, is_weak: args.weak, bucket_bytes, overlap })
    }

    /// The words for `ranks` ranks.
    fn words(&self, ranks: u32) -> Vec<OsString> {
        let batch = match self.is_weak {
            true => self.batch * u64::from(ranks) / u64::from(self.fewest),
            false => self.batch,
        };
        let batch = OsString::from(format!("--global-batch-size={batch}"));
        self.options.iter().cloned().chain([batch]).collect()
    }
}

/// Notes in the folder what is measured, or checks that it is the same.
fn claim(args: &ScalingArgs, command: &TrainCommand) -> Result<(), Failure> {
    fs::create_dir_all(&args.out).map_err(|source| failure(args.out.clone(), source))?;
    let path = args.out.join("command");
    let hosts = args.hostfile.as_ref().map_or_else(String::new, |file| format!(" on {}", file.display()));
    let words: Vec<_> = command.options.iter().map(|word| word.to_string_lossy()).collect();
    let kind = if args.weak { "weak" } else { "strong" };
    let text =
        format!("{kind}, batch {} at {} ranks{hosts}\n{}\n", command.batch, command.fewest, words.join("\n"));
    match fs::read_to_string(&path) {
        Ok(old) if old == text => Ok(()),
        // Nothing was measured if the first run has failed.
        Ok(_) if is_anything_measured(&args.out) => Err(Failure::Usage {
            problem: format!("--out {}: it has the measurement of another command", args.out.display()),
            hint: Some("--out FOLDER names another folder".to_string()),
        }),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failure(path, error)),
        _ => fs::write(&path, text).map_err(|source| failure(path, source)),
    }
}

/// Whether any run in `out` has ended well.
fn is_anything_measured(out: &Path) -> bool {
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    let points = entries(out).filter(|entry| entry.file_name().to_string_lossy().starts_with(RUNS));
    points.flat_map(|point| entries(&point.path())).any(|run| run.path().join(DONE).exists())
}

pub(super) fn failure(path: PathBuf, source: io::Error) -> Failure {
    Failure::Write { option: "--out", path, source }
}

fn usage(problem: String) -> Failure {
    Failure::Usage { problem, hint: None }
}
