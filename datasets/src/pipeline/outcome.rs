//! What comes of a run.

use std::any::Any;
use std::collections::BTreeMap;

use super::error::{PipelineError, RunError};
use super::monitor::Monitor;

/// By stage and worker.
pub(super) type Results = BTreeMap<(usize, usize), Kept>;

/// The result of a worker of a sink.
pub(super) struct Kept {
    type_name: &'static str,
    value: Box<dyn Any + Send>,
}

impl Kept {
    pub(super) fn new<R: Send + 'static>(result: R) -> Self {
        Self { type_name: std::any::type_name::<R>(), value: Box::new(result) }
    }
}

/// What a run that came to its end has given.
pub struct Outcome {
    names: Vec<String>,
    results: Results,
    monitor: Monitor,
}

impl Outcome {
    pub(super) fn new(names: Vec<String>, results: Results, monitor: Monitor) -> Self {
        Self { names, results, monitor }
    }

    /// Takes the result of the sink `name`. Where a sink has several workers, each call takes that of the
    /// next.
    ///
    /// # Errors
    ///
    /// [`RunError::NoResult`] if there is no such sink or all its results have been taken;
    /// [`RunError::ResultType`] if its results have another type.
    pub fn take<R: 'static>(&mut self, name: &str) -> Result<R, PipelineError> {
        let stage = self.names.iter().position(|other| other == name);
        let next = self.results.iter().find(|((other, _), _)| Some(*other) == stage);
        let (key, got) = (next.map(|(key, _)| *key), next.map(|(_, kept)| kept.type_name));
        let is_right = next.is_some_and(|(_, kept)| kept.value.is::<R>());
        let kept = key.filter(|_| is_right).and_then(|key| self.results.remove(&key));
        kept.and_then(|kept| kept.value.downcast().ok()).map(|result| *result).ok_or_else(|| {
            let (sink, expected) = (name.to_owned(), std::any::type_name::<R>());
            if let Some(got) = got {
                return RunError::ResultType { sink, got, expected }.into();
            }
            let mut sinks: Vec<String> = self.results.keys().map(|key| self.names[key.0].clone()).collect();
            sinks.dedup();
            RunError::NoResult { sink, sinks }.into()
        })
    }

    /// What each stage did with the time.
    pub fn monitor(&self) -> &Monitor {
        &self.monitor
    }
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outcome").field("monitor", &self.monitor).finish_non_exhaustive()
    }
}
