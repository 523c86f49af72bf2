//! Where items come from.

use std::sync::{Mutex, PoisonError};

use super::error::{Cause, SourceError};

/// The beginning of a stream, which each run opens anew.
///
/// Every iterator that can be cloned is one: each run takes a clone. [`generator`] makes one of a function
/// that may fail, [`once`] one of an iterator that cannot be cloned.
pub trait Source: Send + Sync + 'static {
    /// What it gives.
    type Item: Send + 'static;
    /// The items; made in the thread of the source, where it stays.
    type Items: Iterator<Item = Result<Self::Item, Cause>>;

    /// Begins the stream, from its start.
    ///
    /// # Errors
    ///
    /// Ends the run.
    fn open(&self) -> Result<Self::Items, Cause>;

    /// The run is over: what [`Items`](Self::Items) waits for outside the pipeline, as for another program,
    /// should end. Called from another thread, perhaps when nothing is open.
    fn interrupt(&self) {}
}

impl<I> Source for I
where
    I: Iterator + Clone + Send + Sync + 'static,
    I::Item: Send + 'static,
{
    type Item = I::Item;
    type Items = std::iter::Map<I, fn(I::Item) -> Result<I::Item, Cause>>;

    fn open(&self) -> Result<Self::Items, Cause> {
        Ok(self.clone().map(Ok))
    }
}

/// A source whose items may be errors: each run calls `open`, which gives the iterator.
///
/// ```
/// use isograd_datasets::pipeline::{Pipeline, generator};
///
/// let readings = || Ok::<_, std::num::ParseIntError>(["1", "2", "x"].into_iter().map(str::parse::<u8>));
/// let failed = Pipeline::new().source("readings", generator(readings)).collect("numbers").build()?.run();
/// assert_eq!(failed.unwrap_err().to_string(), "stage readings at item 2: invalid digit found in string");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn generator<F>(open: F) -> Generator<F> {
    Generator { open }
}

/// See [`generator`].
#[derive(Clone, Debug)]
pub struct Generator<F> {
    open: F,
}

impl<F, I, T, E, E2> Source for Generator<F>
where
    F: Fn() -> Result<I, E2> + Send + Sync + 'static,
    I: Iterator<Item = Result<T, E>>,
    T: Send + 'static,
    E: Into<Cause>,
    E2: Into<Cause>,
{
    type Item = T;
    type Items = std::iter::Map<I, fn(Result<T, E>) -> Result<T, Cause>>;

    fn open(&self) -> Result<Self::Items, Cause> {
        let convert: fn(Result<T, E>) -> Result<T, Cause> = |item| item.map_err(Into::into);
        Ok((self.open)().map_err(Into::into)?.map(convert))
    }
}

/// A source that can be read once: a second run reports [`SourceError::Spent`].
pub fn once<I: Iterator>(items: I) -> Once<I> {
    Once { items: Mutex::new(Some(items)) }
}

/// See [`once`].
#[derive(Debug)]
pub struct Once<I> {
    items: Mutex<Option<I>>,
}

impl<I> Source for Once<I>
where
    I: Iterator + Send + 'static,
    I::Item: Send + 'static,
{
    type Item = I::Item;
    type Items = std::iter::Map<I, fn(I::Item) -> Result<I::Item, Cause>>;

    fn open(&self) -> Result<Self::Items, Cause> {
        let items = self.items.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(items.ok_or(SourceError::Spent)?.map(Ok))
    }
}
