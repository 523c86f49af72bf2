//! `isograd run`: the steps of a workflow file, one after the other.
//!
//! ```text
//! file/ -> tree of values -> steps/ (components by name) -> checked workflow
//!       -> the first rank runs the steps; the others wait in crew.rs for training, in which all take part
//! ```
//!
//! A step of ours does what a command does: its options are those of the command, and its plan is the same.

mod crew;
mod file;
mod results;
mod searched;
mod selection;
mod steps;

use crate::cli::RunArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::rank::identity::RankIdentity;
use crate::system::names;
use crew::Crew;
use file::{Content, Tree};
use isograd_model::workflow::{Event, Plan, Runner, Values, WorkflowError};
use results::Results;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use steps::{Pause, Steps};

pub(crate) use searched::SearchedFile;

/// The key of the steps, unless `--pipe` names another.
const WORKFLOW: &str = "workflow";
/// The section that `isograd sweep` reads.
const SWEEP: &str = "sweep";

/// Runs the workflow that `args` name.
pub(crate) fn start(args: RunArgs, out: &mut Output) -> Result<(), Failure> {
    let identity = RankIdentity::find(&args.ranks.clone().into(), out)?;
    if args.dry_run && !identity.is_first() {
        return Ok(());
    }
    let crew = Arc::new(Mutex::new(Crew::new(identity, args.ranks.clone().into())?));
    if !lock(&crew).is_first() {
        return lock(&crew).follow(out);
    }
    let result = run(&args, &crew, out);
    lock(&crew).end(result.as_ref().err());
    result
}

fn run(args: &RunArgs, crew: &Arc<Mutex<Crew>>, out: &mut Output) -> Result<(), Failure> {
    let mut root = file::read(&args.file)?;
    let mut copied = HashSet::new();
    for set in &args.set {
        copied.extend(file::change(&mut root, set)?);
    }
    check_pipe(&root, args)?;
    let (pipe, mut used) = file::interpolate(&root, &args.pipe)?;
    used.extend(copied);
    warn_of_unused(&root, args, &used);
    let results = Results::at(args.results.clone(), &args.file, &args.pipe);
    let pause = args.pause_after.map(|epoch| Pause::in_last_training(&pipe, epoch)).transpose()?;
    let steps = Steps::new(Arc::clone(crew), results.folder.clone(), args, pause.clone());
    let (mut workflow, origins) = steps.workflow(&args.pipe, &pipe)?;
    let plan = workflow.plan(&[]).map_err(|error| explain(error, &origins))?;
    let names: Vec<String> = workflow.names().map(str::to_string).collect();
    let selected = args.steps.as_deref().map(|text| selection::parse(text, &names)).transpose()?;
    let cache = results.cache();
    let runner = Runner {
        cache: Some(&cache),
        is_fresh: args.no_cache,
        selected: selected.clone(),
        ..Runner::default()
    };
    if args.dry_run {
        let foreseen = runner.foresee(&workflow).map_err(|error| explain(error, &origins))?;
        return out.text(&describe(&plan, &foreseen, selected.as_deref(), args.no_cache));
    }
    let _lock = results.open()?;
    {
        let mut crew = lock(crew);
        let is_collective = |(step, name): (usize, &String)| {
            selected.as_ref().is_none_or(|selected| selected[step]) && steps.is_collective(name)
        };
        crew.meet(names.iter().enumerate().filter(|step| is_collective(*step)).count())?;
    }
    let stop = lock(crew).stop();
    let mut printed = Ok(());
    let has_paused = || pause.as_ref().is_some_and(Pause::has_come);
    let mut tell = |event: Event<'_>| {
        let line = line_of(&event, has_paused());
        if printed.is_ok() {
            printed = out.line(&line);
        }
    };
    let mut runner = Runner { stop: Some(stop), observer: Some(&mut tell), ..runner };
    let result = runner.run(&mut workflow, Values::new());
    if has_paused() {
        return printed;
    }
    let result = result.map_err(|error| match error {
        WorkflowError::Stopped { .. } => lock(crew).stopped(),
        error => explain(error, &origins),
    });
    result?;
    printed
}

/// A mistake in a step, with its place; a failure of one of ours as it is.
fn explain(error: WorkflowError, origins: &[(String, String)]) -> Failure {
    // Of two steps of one name, the second one is the mistake.
    let place = |step: &str| origins.iter().rfind(|(name, _)| name == step).map(|(_, origin)| origin.clone());
    match error {
        WorkflowError::Failed { step, source } => match source.downcast::<Failure>() {
            Ok(failure) => *failure,
            Err(source) => Failure::Step { problem: format!("step '{step}': {source}") },
        },
        WorkflowError::Ports { ref step, .. } | WorkflowError::Twice { ref step } => {
            let hint = matches!(error, WorkflowError::Twice { .. })
                .then(|| "name: gives a step another name".to_string());
            let problem = place(step).map_or_else(|| error.to_string(), |place| format!("{place}: {error}"));
            Failure::Usage { problem, hint }
        }
        WorkflowError::NotCached { .. } => Failure::Usage {
            problem: format!("--steps: {error}"),
            hint: Some("a run of all steps makes them".to_string()),
        },
        error => Failure::Step { problem: error.to_string() },
    }
}

/// Refuses a `--pipe` that the file does not have, or that has no steps.
fn check_pipe(root: &Tree, args: &RunArgs) -> Result<(), Failure> {
    let file = args.file.display();
    match &root.content {
        Content::Table(entries) if entries.iter().any(|(key, ..)| *key == args.pipe) => Ok(()),
        _ => Err(Failure::Usage {
            problem: format!("{file}: {}", names::unknown("key", &args.pipe, &root.keys())),
            hint: Some("--pipe KEY names the key that has the steps".to_string()),
        }),
    }
}

/// A section that nothing refers to is perhaps misspelt. Lists may be other workflows.
fn warn_of_unused(root: &Tree, args: &RunArgs, used: &HashSet<String>) {
    let Content::Table(entries) = &root.content else { return };
    for (key, origin, tree) in entries {
        let is_known = *key == args.pipe || key == SWEEP || used.contains(key) || steps::is_pipe(tree);
        if !is_known {
            log::warn!("{origin}: no step of '{}' refers to '{key}'", args.pipe);
        }
    }
}

fn line_of(event: &Event<'_>, has_paused: bool) -> String {
    match event {
        Event::Begin { step } => format!("== {step}"),
        Event::Cached { step, .. } => format!("== {step}: nothing has changed, taken from an earlier run"),
        Event::End { step, elapsed, outputs } => {
            let how = match outputs {
                Some(_) => "done",
                None if has_paused => "paused",
                None => "failed",
            };
            format!("== {step}: {how} in {:.2} s", elapsed.as_secs_f64())
        }
    }
}

/// The plan as a table of text.
fn describe(plan: &Plan, foreseen: &[Option<bool>], selected: Option<&[bool]>, is_fresh: bool) -> String {
    let mut text = String::new();
    for (number, (step, foreseen)) in plan.steps.iter().zip(foreseen).enumerate() {
        let is_selected = selected.is_none_or(|selected| selected[number]);
        let what = match (is_selected, foreseen) {
            (false, _) => "not selected",
            (true, Some(true)) if !is_fresh => "taken from an earlier run",
            (true, None) if !is_fresh => "runs, unless its inputs turn out as in an earlier run",
            _ => "runs",
        };
        text += &format!("{number} {}: {what}\n", step.name);
        for (input, from) in &step.inputs {
            text += &format!("    takes {input} from {from}\n");
        }
        for port in &step.outputs {
            text += &format!("    gives {} ({})\n", port.name, port.kind);
        }
    }
    text
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
