//! Cutting chunks into mini-batches, and gathering items into chunks.

use std::marker::PhantomData;

use super::error::Cause;
use super::stage::{Outlet, Regulator, Transform};

/// What can be cut and put together: a number of rows.
pub trait Chunk: Send + 'static {
    /// The number of rows.
    fn rows(&self) -> usize;

    /// Takes off all rows from `at` on and returns them. `at` is below [`rows`](Self::rows).
    fn split_off(&mut self, at: usize) -> Self;

    /// Puts the rows of `next` behind its own.
    ///
    /// # Errors
    ///
    /// If the two do not fit together.
    fn append(&mut self, next: Self) -> Result<(), Cause>;

    /// Gives back the memory that cuts have left unused. Otherwise the first mini-batch of a large chunk
    /// would keep the memory of the chunk.
    fn shrink(&mut self) {}
}

impl<T: Send + 'static> Chunk for Vec<T> {
    fn rows(&self) -> usize {
        self.len()
    }

    fn split_off(&mut self, at: usize) -> Self {
        Vec::split_off(self, at)
    }

    fn append(&mut self, mut next: Self) -> Result<(), Cause> {
        Vec::append(self, &mut next);
        Ok(())
    }

    fn shrink(&mut self) {
        self.shrink_to_fit();
    }
}

/// A [`Regulator`] that makes chunks of `rows` rows of chunks of any size. What is left at the end of the
/// stream is the last, smaller chunk; nothing is dropped.
///
/// While a chunk is cut, its rows are in memory twice at most.
///
/// ```
/// use isograd_datasets::pipeline::{Pipeline, Rebatch};
///
/// let mut out = Pipeline::new()
///     .source("chunks", [vec![1_u32, 2, 3, 4, 5], vec![6], vec![7, 8]].into_iter())
///     .regulate("mini-batches", Rebatch::new(3))
///     .collect("batches")
///     .build()?
///     .run()?;
/// assert_eq!(out.take::<Vec<Vec<u32>>>("batches")?, [vec![1, 2, 3], vec![4, 5, 6], vec![7, 8]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Rebatch {
    rows: usize,
}

impl Rebatch {
    /// Chunks of `rows` rows.
    ///
    /// # Panics
    ///
    /// If `rows` is 0.
    pub fn new(rows: usize) -> Self {
        assert!(rows > 0, "chunks of 0 rows");
        Self { rows }
    }
}

impl<C: Chunk> Regulator<C> for Rebatch {
    type Output = C;
    type State = Rest<C>;

    fn start(&self) -> Rest<C> {
        Rest { rows: self.rows, parts: Vec::new(), rows_held: 0 }
    }
}

/// The rows of a [`Rebatch`] that do not fill a chunk yet.
#[derive(Debug)]
pub struct Rest<C> {
    rows: usize,
    /// Put together only when there are enough, so that each row is moved once.
    parts: Vec<C>,
    rows_held: usize,
}

impl<C: Chunk> Rest<C> {
    fn hold(&mut self, part: C) {
        if part.rows() > 0 {
            self.rows_held += part.rows();
            self.parts.push(part);
        }
    }

    /// Emits what is held, if anything is.
    fn emit(&mut self, out: &mut Outlet<'_, C>) -> Result<(), Cause> {
        self.rows_held = 0;
        let mut parts = self.parts.drain(..);
        let Some(mut whole) = parts.next() else { return Ok(()) };
        parts.try_for_each(|part| whole.append(part))?;
        Ok(out.emit(whole)?)
    }
}

impl<C: Chunk> Transform<C> for Rest<C> {
    type Output = C;

    fn process(&mut self, chunk: C, out: &mut Outlet<'_, C>) -> Result<(), Cause> {
        let mut first = chunk;
        let (rows, missing) = (first.rows(), self.rows - self.rows_held);
        // Cut from the back: a cut moves all that lies behind it, which is a piece and not the whole rest.
        let cuts = (missing..rows).step_by(self.rows).rev();
        let mut pieces: Vec<C> = cuts.map(|cut| first.split_off(cut)).collect();
        if !pieces.is_empty() {
            first.shrink();
        }
        let is_enough = rows >= missing;
        self.hold(first);
        if is_enough {
            self.emit(out)?;
        }
        while let Some(piece) = pieces.pop() {
            self.hold(piece);
            if self.rows_held == self.rows {
                self.emit(out)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Outlet<'_, C>) -> Result<(), Cause> {
        self.emit(out)
    }
}

/// A [`Regulator`] that makes a `Vec` of each `items` items. The last one is smaller if they do not come out
/// even.
#[derive(Clone, Copy, Debug)]
pub struct Gather {
    items: usize,
}

impl Gather {
    /// Groups of `items`.
    ///
    /// # Panics
    ///
    /// If `items` is 0.
    pub fn new(items: usize) -> Self {
        assert!(items > 0, "groups of 0 items");
        Self { items }
    }
}

impl<T: Send + 'static> Regulator<T> for Gather {
    type Output = Vec<T>;
    type State = Group<T>;

    fn start(&self) -> Group<T> {
        Group { items: self.items, group: Vec::new() }
    }
}

/// The items of a [`Gather`] that are not a whole group yet.
#[derive(Debug)]
pub struct Group<T> {
    items: usize,
    group: Vec<T>,
}

impl<T: Send + 'static> Transform<T> for Group<T> {
    type Output = Vec<T>;

    fn process(&mut self, item: T, out: &mut Outlet<'_, Vec<T>>) -> Result<(), Cause> {
        self.group.push(item);
        if self.group.len() == self.items {
            out.emit(std::mem::take(&mut self.group))?;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Outlet<'_, Vec<T>>) -> Result<(), Cause> {
        if !self.group.is_empty() {
            out.emit(std::mem::take(&mut self.group))?;
        }
        Ok(())
    }
}

/// A [`Regulator`] that emits the parts of each item one by one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Split;

impl<I> Regulator<I> for Split
where
    I: IntoIterator + Send + 'static,
    I::Item: Send + 'static,
{
    type Output = I::Item;
    type State = Parts<I>;

    fn start(&self) -> Parts<I> {
        Parts { kind: PhantomData }
    }
}

/// The state of a [`Split`]: nothing is held back.
#[derive(Debug)]
pub struct Parts<I> {
    kind: PhantomData<fn(I)>,
}

impl<I> Transform<I> for Parts<I>
where
    I: IntoIterator,
    I::Item: Send + 'static,
{
    type Output = I::Item;

    fn process(&mut self, item: I, out: &mut Outlet<'_, I::Item>) -> Result<(), Cause> {
        Ok(item.into_iter().try_for_each(|part| out.emit(part))?)
    }
}
