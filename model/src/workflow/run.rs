//! Running the steps of a workflow.

use super::cache::Cache;
use super::component::{Component, Port};
use super::error::{WorkflowError, list};
use super::plan::{Plan, Source, Workflow};
use super::value::Values;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What a runner tells while it runs.
#[derive(Debug)]
pub enum Event<'e> {
    /// A step begins.
    Begin {
        /// Its name.
        step: &'e str,
    },
    /// The outputs of a step come from the cache.
    Cached {
        /// Its name.
        step: &'e str,
        /// Its outputs.
        outputs: &'e Values,
    },
    /// A step has ended, well or not.
    End {
        /// Its name.
        step: &'e str,
        /// How long it took.
        elapsed: Duration,
        /// Its outputs, if it ended well.
        outputs: Option<&'e Values>,
    },
}

/// How a workflow runs.
#[derive(Default)]
pub struct Runner<'r> {
    /// Where outputs are kept, and from where they are taken.
    pub cache: Option<&'r Cache>,
    /// Run all steps, though the cache has their outputs. What they give is kept.
    pub is_fresh: bool,
    /// Which steps run; all if `None`. What they need of others comes from the cache.
    pub selected: Option<Vec<bool>>,
    /// No step begins once this is set.
    pub stop: Option<Arc<AtomicBool>>,
    /// Is told what happens.
    pub observer: Option<&'r mut dyn FnMut(Event<'_>)>,
}

impl Runner<'_> {
    /// Checks `workflow`, runs its steps, and returns the outputs of the last one that ran.
    ///
    /// # Errors
    ///
    /// As [`Workflow::run`], and [`WorkflowError::NotCached`].
    pub fn run(&mut self, workflow: &mut Workflow, inputs: Values) -> Result<Values, WorkflowError> {
        let ports = inputs.iter().map(|(name, value)| Port::new(name, value.kind().clone()));
        let plan = workflow.plan(&ports.collect::<Vec<_>>())?;
        let mut done: Vec<Option<Values>> = vec![None; plan.steps.len()];
        let mut last = Values::new();
        for number in 0..plan.steps.len() {
            if self.needed_by(&plan, number).is_none() {
                continue;
            }
            let given = gather(&plan, number, &done, &inputs);
            let outputs = self.step(workflow, &plan, number, given)?;
            if self.is_selected(number) {
                last = outputs.clone();
            }
            done[number] = Some(outputs);
        }
        Ok(last)
    }

    /// For each step, whether its outputs would come from the cache, `None` where that depends on a step that
    /// runs. Nothing runs.
    ///
    /// # Errors
    ///
    /// As [`Workflow::plan`].
    pub fn foresee(&self, workflow: &Workflow) -> Result<Vec<Option<bool>>, WorkflowError> {
        let plan = workflow.plan(&[])?;
        let mut done: Vec<Option<Values>> = vec![None; plan.steps.len()];
        let mut foreseen = Vec::new();
        for (number, step) in plan.steps.iter().enumerate() {
            let is_known =
                step.sources.iter().all(|source| source.step.is_none_or(|step| done[step].is_some()));
            if !is_known {
                foreseen.push(None);
                continue;
            }
            let given = gather(&plan, number, &done, &Values::new());
            let component = &*workflow.steps[number].component;
            done[number] = self.cached(component, &step.name, &step.outputs, &given);
            foreseen.push(Some(done[number].is_some()));
        }
        Ok(foreseen)
    }

    fn is_selected(&self, number: usize) -> bool {
        self.selected.as_ref().is_none_or(|selected| selected[number])
    }

    /// The first step that is to run and needs this one: perhaps itself.
    fn needed_by(&self, plan: &Plan, number: usize) -> Option<usize> {
        if self.is_selected(number) {
            return Some(number);
        }
        let readers = (number + 1..plan.steps.len())
            .filter(|reader| plan.steps[*reader].sources.iter().any(|source| source.step == Some(number)));
        readers.filter_map(|reader| self.needed_by(plan, reader)).next()
    }

    fn cached(
        &self,
        component: &dyn Component,
        step: &str,
        ports: &[Port],
        inputs: &Values,
    ) -> Option<Values> {
        let outputs = self.cache?.get(step, &Cache::key(component, inputs)?, ports)?;
        component.is_intact(&outputs).then_some(outputs)
    }

    fn step(
        &mut self,
        workflow: &mut Workflow,
        plan: &Plan,
        number: usize,
        inputs: Values,
    ) -> Result<Values, WorkflowError> {
        let planned = &plan.steps[number];
        let (name, ports) = (planned.name.as_str(), &planned.outputs);
        let component = &mut *workflow.steps[number].component;
        let is_selected = self.is_selected(number);
        if self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(WorkflowError::Stopped { step: name.to_string() });
        }
        if !(self.is_fresh && is_selected)
            && let Some(outputs) = self.cached(component, name, ports, &inputs)
        {
            self.tell(Event::Cached { step: name, outputs: &outputs });
            return Ok(outputs);
        }
        if !is_selected {
            let reader = self.needed_by(plan, number).unwrap_or(number);
            let needed_by = plan.steps[reader].name.clone();
            return Err(WorkflowError::NotCached { step: name.to_string(), needed_by });
        }
        self.tell(Event::Begin { step: name });
        let start = Instant::now();
        let key = self.cache.and_then(|_| Cache::key(component, &inputs));
        let result = execute(component, name, ports, inputs);
        self.tell(Event::End { step: name, elapsed: start.elapsed(), outputs: result.as_ref().ok() });
        let outputs = result?;
        if let (Some(cache), Some(key)) = (self.cache, key) {
            cache.put(name, &key, &outputs)?;
        }
        Ok(outputs)
    }

    fn tell(&mut self, event: Event<'_>) {
        if let Some(observer) = &mut self.observer {
            observer(event);
        }
    }
}

/// The inputs of a step.
fn gather(plan: &Plan, number: usize, done: &[Option<Values>], inputs: &Values) -> Values {
    let step = &plan.steps[number];
    let value = |Source { step, port }: &Source| {
        let values = match step {
            Some(step) => done[*step].as_ref().expect("steps in front have run"),
            None => inputs,
        };
        values.iter().nth(*port).expect("outputs were checked").1.clone()
    };
    step.inputs.iter().map(|(name, _)| name.clone()).zip(step.sources.iter().map(value)).collect()
}

/// Runs a component, cleans up whatever happens, and checks what it gives.
fn execute(
    component: &mut dyn Component,
    step: &str,
    ports: &[Port],
    inputs: Values,
) -> Result<Values, WorkflowError> {
    let expected = component.inputs();
    let wrong = inputs.iter().find_map(|(name, value)| {
        let port = expected.iter().find(|port| port.name == name)?;
        (!port.kind.accepts(value.kind()))
            .then(|| format!("input '{name}': expected {}, given {value:?}", port.kind))
    });
    let result = match wrong {
        Some(problem) => Ok(Err(problem.into())),
        None => catch_unwind(AssertUnwindSafe(|| component.execute(inputs))),
    };
    component.cleanup();
    let step = step.to_string();
    let given = match result {
        Ok(Ok(values)) => values,
        Ok(Err(source)) => return Err(WorkflowError::Failed { step, source }),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(ToString::to_string);
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            return Err(WorkflowError::Panicked { step, message: text.unwrap_or_default() });
        }
    };
    let fits = |(port, (_, value)): (&Port, (&str, &super::Value))| port.kind.accepts(value.kind());
    if given.len() != ports.len() || !ports.iter().zip(given.iter()).all(fits) {
        let given: Vec<Port> =
            given.iter().map(|(name, value)| Port::new(name, value.kind().clone())).collect();
        return Err(WorkflowError::Outputs { step, expected: list(ports), given: list(&given) });
    }
    Ok(ports.iter().map(|port| port.name.clone()).zip(given.iter().map(|(_, value)| value.clone())).collect())
}

impl std::fmt::Debug for Runner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("cache", &self.cache).field("selected", &self.selected).finish()
    }
}
