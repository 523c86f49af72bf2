//! What users write: transforms, regulators and sinks.

use super::error::Cause;
use super::queue::Stopped;

/// The worker in which a stage's state is made and lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// The name of the stage.
    pub stage: String,
    /// The number of the worker, from 0.
    pub index: usize,
    /// The number of workers of the stage.
    pub count: usize,
}

/// A stage between others: takes items, emits items.
///
/// A value of this type belongs to one worker. It is made in the worker's thread (the place for what is to
/// happen once at the beginning), and dropped there however the run ends.
///
/// ```
/// use isograd_datasets::pipeline::{Cause, Outlet, Pipeline, Transform};
///
/// /// The mean of all values so far.
/// #[derive(Default)]
/// struct RunningMean { sum: f64, count: u32 }
///
/// impl Transform<f64> for RunningMean {
///     type Output = f64;
///
///     fn process(&mut self, value: f64, out: &mut Outlet<'_, f64>) -> Result<(), Cause> {
///         self.sum += value;
///         self.count += 1;
///         Ok(out.emit(self.sum / f64::from(self.count))?)
///     }
/// }
///
/// let mut out = Pipeline::new()
///     .source("values", [1.0, 2.0, 6.0].into_iter())
///     .transform("mean", |_| Ok(RunningMean::default()))
///     .collect("means")
///     .build()?
///     .run()?;
/// assert_eq!(out.take::<Vec<f64>>("means")?, [1.0, 1.5, 3.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Transform<I> {
    /// What it emits.
    type Output: Send + 'static;

    /// Handles an item and emits as many items as it likes: none makes it a filter.
    ///
    /// # Errors
    ///
    /// Ends the run, unless the stage [ignores](super::Stream::ignore) such errors. Then the item counts as
    /// skipped, and what was emitted for it stays emitted.
    fn process(&mut self, item: I, out: &mut Outlet<'_, Self::Output>) -> Result<(), Cause>;

    /// The stream has ended: emits what is left.
    ///
    /// # Errors
    ///
    /// Ends the run.
    fn finish(&mut self, out: &mut Outlet<'_, Self::Output>) -> Result<(), Cause> {
        let _ = out;
        Ok(())
    }
}

/// A description of how items are cut or gathered into other items. It makes a new [`Transform`] for each
/// run.
pub trait Regulator<I>: Send + Sync + 'static {
    /// What it emits.
    type Output: Send + 'static;
    /// What holds the items on the way.
    type State: Transform<I, Output = Self::Output>;

    /// A state that holds nothing.
    fn start(&self) -> Self::State;
}

/// The end of a stream: takes items and gives a result.
///
/// As a [`Transform`], it belongs to one worker, in whose thread it is made and dropped.
pub trait Sink<I> {
    /// What the run returns of it; `()` if nothing.
    type Result: Send + 'static;

    /// Handles an item.
    ///
    /// # Errors
    ///
    /// As [`Transform::process`].
    fn consume(&mut self, item: I) -> Result<(), Cause>;

    /// The stream has ended.
    ///
    /// # Errors
    ///
    /// Ends the run.
    fn finish(self) -> Result<Self::Result, Cause>;
}

/// Where a stage puts its items.
pub struct Outlet<'a, O> {
    put: &'a mut dyn FnMut(O) -> Result<(), Stopped>,
}

impl<'a, O> Outlet<'a, O> {
    pub(super) fn new(put: &'a mut dyn FnMut(O) -> Result<(), Stopped>) -> Self {
        Self { put }
    }

    /// Hands an item to the next stage. Waits while that has no room.
    ///
    /// # Errors
    ///
    /// [`Stopped`] when the run is over: return it, with `?`.
    pub fn emit(&mut self, item: O) -> Result<(), Stopped> {
        (self.put)(item)
    }
}

impl<O> std::fmt::Debug for Outlet<'_, O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outlet")
    }
}

/// A function as a transform.
pub(super) struct Function<F>(pub(super) F);

impl<I, O, E, F> Transform<I> for Function<F>
where
    F: FnMut(I) -> Result<O, E>,
    E: Into<Cause>,
    O: Send + 'static,
{
    type Output = O;

    fn process(&mut self, item: I, out: &mut Outlet<'_, O>) -> Result<(), Cause> {
        Ok(out.emit((self.0)(item).map_err(Into::into)?)?)
    }
}

/// A function that may emit nothing.
pub(super) struct Filter<F>(pub(super) F);

impl<I, O, F> Transform<I> for Filter<F>
where
    F: FnMut(I) -> Option<O>,
    O: Send + 'static,
{
    type Output = O;

    fn process(&mut self, item: I, out: &mut Outlet<'_, O>) -> Result<(), Cause> {
        Ok((self.0)(item).map_or(Ok(()), |kept| out.emit(kept))?)
    }
}

/// A function as a sink without a result.
pub(super) struct Each<F>(pub(super) F);

impl<I, E, F> Sink<I> for Each<F>
where
    F: FnMut(I) -> Result<(), E>,
    E: Into<Cause>,
{
    type Result = ();

    fn consume(&mut self, item: I) -> Result<(), Cause> {
        (self.0)(item).map_err(Into::into)
    }

    fn finish(self) -> Result<(), Cause> {
        Ok(())
    }
}

/// A value and a function that adds an item to it.
pub(super) struct Fold<A, F> {
    pub(super) value: A,
    pub(super) add: F,
}

impl<I, A, E, F> Sink<I> for Fold<A, F>
where
    A: Send + 'static,
    F: FnMut(&mut A, I) -> Result<(), E>,
    E: Into<Cause>,
{
    type Result = A;

    fn consume(&mut self, item: I) -> Result<(), Cause> {
        (self.add)(&mut self.value, item).map_err(Into::into)
    }

    fn finish(self) -> Result<A, Cause> {
        Ok(self.value)
    }
}
