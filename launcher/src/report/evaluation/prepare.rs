//! From a checkpoint to a network and samples: the settings of the run, as a rank that goes on with it would
//! take them.

use super::{Evaluation, Samples};
use crate::cli::augment_plan::NormalizePlan;
use crate::cli::dtype::Dtype;
use crate::cli::parsers::IsaName;
use crate::cli::plan::TrainPlan;
use crate::cli::saved_settings::{SETTINGS, SavedSettings};
use crate::cli::{Command, Parsed, TrainArgs, parse};
use crate::failure::Failure;
use crate::mistakes::{self, Problem, Tested};
use crate::rank::data::without_test;
use crate::rank::network::{build, load_state};
use crate::rank::views;
use crate::system::cores::CoreLimits;
use isograd_datasets::{Dataset, Normalization};
use isograd_model::{Element, RunFolder, RunInfo};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The link to the best checkpoint of a run.
const BEST: &str = "best";
/// Options that name files to write: a test writes none, and their folders may be gone.
const FILES: [&str; 2] = ["--save=", "--history="];

/// The checkpoint to test: the given one, the best one of the run, or the last one.
pub(super) fn choose(folder: &Path, given: Option<&Path>) -> Result<PathBuf, Problem> {
    if let Some(given) = given {
        return Ok(given.to_path_buf());
    }
    let all = RunFolder::checkpoints(folder)?;
    let best = std::fs::canonicalize(folder.join(BEST)).ok();
    let is_best = |path: &PathBuf| best.is_some() && std::fs::canonicalize(path).ok() == best;
    let found = all.iter().find(|path| is_best(path)).or(all.first());
    found.cloned().ok_or_else(|| Problem("the run has no checkpoint".to_string()))
}

/// The name of a checkpoint.
pub(super) fn name(checkpoint: &Path) -> String {
    checkpoint.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Tests `checkpoint`.
pub(super) fn test(
    checkpoint: &Path,
    samples: &Samples,
    threads: Option<usize>,
) -> Result<Evaluation, Problem> {
    let threads = threads.unwrap_or_else(|| CoreLimits::of_this_process().usable());
    let (plan, note) = plan(checkpoint, samples)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|source| Failure::Threads { threads, source })?;
    pool.install(|| match plan.execution.dtype {
        Dtype::F32 | Dtype::Bf16 => test_as::<f32>(checkpoint, &plan, note),
        Dtype::F64 => test_as::<f64>(checkpoint, &plan, note),
    })
}

/// The plan of the run that wrote `checkpoint`, and what differs from it here.
fn plan(checkpoint: &Path, samples: &Samples) -> Result<(TrainPlan, Option<String>), Problem> {
    let info = RunInfo::read(checkpoint)?;
    let Some(settings) = info.notes.get(SETTINGS) else {
        return Err(Problem(format!("{}: it is no checkpoint of this program", checkpoint.display())));
    };
    let mut saved = SavedSettings::parse(settings);
    saved.words.retain(|word| !FILES.iter().any(|option| word.starts_with(option)));
    let mut args = saved.merge(given(checkpoint, samples)?)?;
    let mut note = None;
    if let (Err(problem), IsaName::Level(level)) = (args.execution.isa.on_this_cpu(), args.execution.isa) {
        note = Some(format!("tested without {level}, with which it was trained: {problem}"));
        args.execution.isa = IsaName::Auto;
    }
    let mut plan = TrainPlan::try_from(Box::new(args))?;
    plan.augment.input.keep_computed(info.input.as_ref());
    Ok((plan, note))
}

/// The arguments of a run that goes on from `checkpoint` with these samples.
fn given(checkpoint: &Path, samples: &Samples) -> Result<TrainArgs, Failure> {
    let option = |name: &str, path: &Path| {
        let mut word = OsString::from(name);
        word.push(path);
        word
    };
    let mut words: Vec<OsString> = ["isograd", "train"].map(OsString::from).to_vec();
    words.push(option("--resume=", checkpoint));
    words.extend(samples.train.iter().map(|path| option("--dataset-train-path=", path)));
    words.extend(samples.test.iter().map(|path| option("--dataset-test-path=", path)));
    match parse(words)? {
        Parsed::Command(command) => match *command {
            Command::Train(args) => Ok(*args),
            other => unreachable!("the command was train, not {other:?}"),
        },
        Parsed::Text(text) => unreachable!("no help was asked for: {text}"),
    }
}

fn test_as<T: Element>(
    checkpoint: &Path,
    plan: &TrainPlan,
    note: Option<String>,
) -> Result<Evaluation, Problem> {
    let input = &plan.augment.input;
    // Only what is computed from the training samples needs them, and is not told by an older checkpoint.
    let is_computed = matches!(input.normalize, Some(NormalizePlan::Computed));
    if !is_computed && let Ok(test) = plan.source.load_test() {
        let normalization = views::normalization(input, &*test)?;
        return test_on::<T>(checkpoint, plan, note, ("test", &*test), normalization.as_ref());
    }
    let samples = plan.source.load()?;
    let parts = samples.parts(plan.validation_split, plan.stratify)?;
    let part = if samples.each().any(|(name, _)| name == "test") { "test" } else { "validation" };
    let normalization = views::normalization(input, &parts.train)?;
    let test = samples.test(&parts).ok_or_else(without_test)?;
    test_on::<T>(checkpoint, plan, note, (part, test), normalization.as_ref())
}

fn test_on<T: Element>(
    checkpoint: &Path,
    plan: &TrainPlan,
    note: Option<String>,
    (part, samples): (&str, &dyn Dataset),
    normalization: Option<&Normalization>,
) -> Result<Evaluation, Problem> {
    let view = views::in_tests(&plan.augment.input, samples, normalization)?;
    if view.target_values().is_some() {
        return Err(Problem("the targets are numbers, not classes".to_string()));
    }
    let network = build::<T>(&plan.model, &plan.execution.conv, &*view, false)?;
    let state = load_state(checkpoint, &plan.model.name(), &network)?;
    let classes = view.num_classes().max(network.output_shape().elements());
    let (isa, test_time) = (plan.execution.isa, plan.test_time);
    let tested = Tested { network: &network, state: &state, isa, test_time, set: &*view };
    let outcome = mistakes::test(&tested)?;
    Ok(Evaluation {
        checkpoint: name(checkpoint),
        part: part.to_string(),
        classes,
        class_names: view.class_names().to_vec(),
        counts: outcome.counts,
        has_probabilities: outcome.has_probabilities,
        mistakes: outcome.mistakes.into_iter().map(Into::into).collect(),
        note,
    })
}
