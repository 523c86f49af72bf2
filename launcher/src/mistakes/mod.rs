//! A network tried on samples of classes: which classes it takes for which, and the mistakes of which it is
//! surest, as small pictures.

mod surest;
mod test;
mod thumbnail;

use crate::system::escape::one_line;

pub(crate) use test::{Outcome, Tested, test};
pub(crate) use thumbnail::Thumbnail;

/// Why there is no result, in one line.
#[derive(Debug)]
pub(crate) struct Problem(pub(crate) String);

impl<E: std::error::Error> From<E> for Problem {
    fn from(error: E) -> Self {
        Self(one_line(&error.to_string()))
    }
}

/// A sample that was taken for another class than its own.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mistake {
    /// The sample in words, such as the name of its file.
    pub(crate) sample: String,
    pub(crate) class: u32,
    pub(crate) predicted: u32,
    /// The output of the network for the predicted class.
    pub(crate) output: f64,
    /// The output of the network for the class.
    pub(crate) output_of_class: f64,
    /// A small picture of it, if it is one.
    pub(crate) picture: Option<Thumbnail>,
}
