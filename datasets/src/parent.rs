//! The set that an adapter reads from, owned or borrowed.

use std::fmt;
use std::ops::Deref;

use crate::Dataset;

/// A data set that another one changes on the way: [`Augmented`](crate::augment::Augmented),
/// [`Normalized`](crate::Normalized) and [`Prefetched`](crate::Prefetched) read from one.
///
/// A reference to a set is one, and a box with a set is one.
pub enum Parent<'a> {
    /// A set of the caller.
    Borrowed(&'a dyn Dataset),
    /// A set that has no other owner.
    Owned(Box<dyn Dataset + 'a>),
}

impl<'a> Deref for Parent<'a> {
    type Target = dyn Dataset + 'a;

    fn deref(&self) -> &(dyn Dataset + 'a) {
        match self {
            Self::Borrowed(set) => *set,
            Self::Owned(set) => &**set,
        }
    }
}

impl fmt::Debug for Parent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} samples of {:?}", self.len(), self.sample_shape())
    }
}

impl<'a, D: Dataset> From<&'a D> for Parent<'a> {
    fn from(set: &'a D) -> Self {
        Self::Borrowed(set)
    }
}

impl<'a> From<&'a dyn Dataset> for Parent<'a> {
    fn from(set: &'a dyn Dataset) -> Self {
        Self::Borrowed(set)
    }
}

impl<'a> From<Box<dyn Dataset + 'a>> for Parent<'a> {
    fn from(set: Box<dyn Dataset + 'a>) -> Self {
        Self::Owned(set)
    }
}
