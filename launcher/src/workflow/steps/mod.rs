//! From a workflow file to components: the steps of a pipe, and the components that are given.

mod data;
mod model;
mod options;
mod outside;
mod trainer;
mod words;

use super::crew::Crew;
use super::file::{Content, Tree};
use super::lock;
use crate::cli::RunArgs;
use crate::cli::config::node::Value;
use crate::failure::Failure;
use crate::output::Output;
use crate::system::names;
use isograd_model::workflow::{Registry, Type, Workflow};
use options::Options;
use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A data set: the options that name it, and how its samples are changed.
fn dataset() -> Type {
    Type::named("dataset")
}

/// A trained network: where it is.
fn model() -> Type {
    Type::named("model")
}

/// What all components know.
#[derive(Clone)]
struct Surroundings {
    crew: Arc<Mutex<Crew>>,
    results: PathBuf,
    /// Nothing of an earlier run counts.
    is_fresh: bool,
    /// Threads of a training whose step does not say.
    threads: Option<u32>,
    pause: Option<Pause>,
}

/// Where a workflow pauses.
#[derive(Clone)]
pub(super) struct Pause {
    /// The step of the training.
    step: String,
    after_epoch: u32,
    /// Is set when it has paused there.
    is_over: Arc<AtomicBool>,
}

impl Pause {
    /// In the last training of the steps in `pipe`, after the epoch `after_epoch`.
    pub(super) fn in_last_training(pipe: &Tree, after_epoch: u32) -> Result<Self, Failure> {
        let (step, _) = last_training(pipe)?;
        Ok(Self { step, after_epoch, is_over: Arc::default() })
    }

    /// Whether the training has paused there.
    pub(super) fn has_come(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// The name and the epochs of the last training of the steps in `pipe`, if it can pause after each epoch.
pub(super) fn last_training(pipe: &Tree) -> Result<(String, u32), Failure> {
    let last = describe(pipe)?.into_iter().rfind(|described| described.component == TRAINER);
    let no_training = || super::file::mistake(&pipe.origin, "no step of the workflow is a trainer");
    let Described { name, options, .. } = last.ok_or_else(no_training)?;
    Ok((name, trainer::epochs(options)?))
}

impl Surroundings {
    fn output(&self) -> Output {
        let mut out = Output::default();
        let crew = lock(&self.crew);
        if crew.identity().world > 1 {
            out.set_rank(crew.identity().rank);
        }
        out
    }
}

/// Makes the steps of a workflow.
pub(super) struct Steps {
    registry: Registry<Options, Failure>,
    /// The names of steps in which all ranks take part.
    collective: RefCell<Vec<String>>,
}

/// The keys of a step that are no options of its component.
const NAME: &str = "name";
const COMPONENT: &str = "component";
const FROM: &str = "from";

/// The component in which all ranks take part.
const TRAINER: &str = "trainer";

impl Steps {
    pub(super) fn new(
        crew: Arc<Mutex<Crew>>,
        results: PathBuf,
        args: &RunArgs,
        pause: Option<Pause>,
    ) -> Self {
        let (is_fresh, threads) = (args.no_cache, args.threads);
        let around = Surroundings { crew, results, is_fresh, threads, pause };
        let mut registry = Registry::new();
        registry.register("getter", data::Getter::new);
        registry.register("splitter", data::Splitter::new);
        registry.register("processor", data::Processor::new);
        registry.register("adapter", outside::adapter);
        let stop = lock(&around.crew).stop();
        registry.register("command", move |options| outside::command(options, Arc::clone(&stop)));
        let of = |around: &Surroundings| around.clone();
        let (to_train, to_test) = (of(&around), of(&around));
        registry.register(TRAINER, move |options| trainer::Trainer::new(options, of(&to_train)));
        registry.register("evaluator", move |options| model::Evaluator::new(options, of(&to_test)));
        registry.register("saver", model::Saver::new);
        let (to_predict, to_report) = (of(&around), of(&around));
        registry.register("predictor", move |options| model::Predictor::new(options, of(&to_predict)));
        registry.register("report", move |options| model::Report::new(options, of(&to_report)));
        Self { registry, collective: RefCell::default() }
    }

    /// The workflow that `pipe` describes, and where each of its steps stands.
    pub(super) fn workflow(
        &self,
        name: &str,
        pipe: &Tree,
    ) -> Result<(Workflow, Vec<(String, String)>), Failure> {
        let described = describe(pipe)?;
        if described.is_empty() {
            return Err(super::file::mistake(&pipe.origin, &format!("'{name}' has no steps")));
        }
        let (mut workflow, mut origins) = (Workflow::new(name), Vec::new());
        for Described { name, component, wires, options } in described {
            origins.push((name.clone(), options.origin.to_string()));
            let place = options.origin.clone();
            let made = self.registry.make(&component, options);
            let made = made.ok_or_else(|| {
                super::file::mistake(&place, &names::unknown("component", &component, &self.registry.names()))
            })?;
            if component == TRAINER {
                self.collective.borrow_mut().push(name.clone());
            }
            workflow = workflow.boxed(name, made?, wires);
        }
        Ok((workflow, origins))
    }

    /// Whether all ranks take part in the step called `name`.
    pub(super) fn is_collective(&self, name: &str) -> bool {
        self.collective.borrow().iter().any(|collective| collective == name)
    }
}

/// Whether a top-level value may be the steps of a workflow: a list of components.
pub(super) fn is_pipe(tree: &Tree) -> bool {
    matches!(&tree.content, Content::List(items) if items.iter().all(|item| match &item.content {
        Content::Leaf(Value::Text(_)) => true,
        Content::Table(entries) => entries.len() == 1,
        _ => false,
    }))
}

/// A step as the file has it.
struct Described {
    name: String,
    component: String,
    wires: Option<Vec<(String, String)>>,
    options: Options,
}

/// The steps of a list, or of a table by name.
fn describe(pipe: &Tree) -> Result<Vec<Described>, Failure> {
    let wrong = |tree: &Tree, problem: &str| super::file::mistake(&tree.origin, problem);
    match &pipe.content {
        Content::List(items) => items
            .iter()
            .map(|item| match &item.content {
                Content::Leaf(Value::Text(component)) => {
                    step(component, Options::new(component, item.origin.clone(), None)?)
                }
                Content::Table(entries) if entries.len() == 1 => {
                    let (component, origin, body) = &entries[0];
                    step(component, Options::new(component, origin.clone(), Some(body))?)
                }
                _ => Err(wrong(item, "a step of a list must be a component, or a component with its options, as '- trainer: {epochs: 3}'")),
            })
            .collect(),
        Content::Table(entries) => entries
            .iter()
            .map(|(name, origin, body)| step(name, Options::new(name, origin.clone(), Some(body))?))
            .collect(),
        Content::Leaf(value) => {
            Err(wrong(pipe, &format!("expected a list or a table of steps, found {}", value.describe())))
        }
    }
}

fn step(key: &str, mut options: Options) -> Result<Described, Failure> {
    let component = options.text(COMPONENT)?.unwrap_or_else(|| key.to_string());
    let name = options.text(NAME)?.unwrap_or_else(|| key.to_string());
    let wires = match options.take(FROM) {
        None => None,
        Some(from) => Some(wires(&from)?),
    };
    options.step.clone_from(&name);
    Ok(Described { name, component, wires, options })
}

fn wires(from: &Tree) -> Result<Vec<(String, String)>, Failure> {
    let wrong = |tree: &Tree| super::file::mistake(&tree.origin, "'from' must be as {model: trainer.model}");
    let Content::Table(entries) = &from.content else { return Err(wrong(from)) };
    entries
        .iter()
        .map(|(input, _, source)| Ok((input.clone(), source.scalar().ok_or_else(|| wrong(source))?)))
        .collect()
}
