//! What can be wrong with a network file.

use super::expression::MAX_TEXT;
use super::tuning::MAX_TUNING_BYTES;
use super::{MAX_BYTES, MAX_COUNT, MAX_DEPTH, MAX_LAYERS};
use crate::error::{BuildError, suggest};
use crate::place::Place;
use isograd_kernels::conv::{Conv2dShape, ConvError};

/// Why a network file cannot be read, or a network cannot be written to one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// A mistake in the text.
    #[error("line {line}, column {column}: {problem}")]
    Text {
        /// The line, from 1.
        line: usize,
        /// The character in the line, from 1.
        column: usize,
        /// What is wrong there.
        problem: Box<FileProblem>,
    },
    /// A text that is too long.
    #[error("a network file can have {MAX_BYTES} bytes, this one has {bytes}")]
    TooLong {
        /// Its bytes.
        bytes: usize,
    },
    /// A text of choices that is too long.
    #[error("a file of choices can have {MAX_TUNING_BYTES} bytes, this one has {bytes}")]
    TooManyChoices {
        /// Its bytes.
        bytes: usize,
    },
    /// A layer that no network file can have: one of another crate, or an `Input` that is not the first
    /// layer.
    #[error("{place}: network files have no layer of this type")]
    Unwritable {
        /// Where the layer stands.
        place: Place,
    },
    /// A name that is too long to be written.
    #[error("{place}: in network files, names can have {MAX_TEXT} bytes, with braces doubled")]
    LongName {
        /// Where the layer stands.
        place: Place,
    },
    /// A network whose blocks are nested too deeply to be written.
    #[error("{place}: in network files, lists of layers can be {MAX_DEPTH} deep in each other")]
    TooDeep {
        /// Where the block stands.
        place: Place,
    },
}

/// A mistake in the text of a network file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FileProblem {
    /// The text is no TOML.
    #[error("{message}")]
    Syntax {
        /// What the parser says.
        message: String,
    },
    /// A value of another type than is expected.
    #[error("'{name}' must be {expected}, it is {found}")]
    Value {
        /// The option.
        name: String,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A name that is not known.
    #[error("unknown {what} '{name}'; known are {known}{}", suggest(.nearest))]
    UnknownName {
        /// The kind of thing that the name should be of.
        what: String,
        /// The name.
        name: String,
        /// All known names, separated by commas.
        known: String,
        /// The known name that is most similar, if one is similar at all.
        nearest: Option<String>,
    },
    /// An option that must be given.
    #[error("{what} needs '{option}'{}", instead.as_ref().map_or_else(String::new, |name| format!(", it has '{name}'")))]
    Missing {
        /// What needs the option: the type of a layer.
        what: String,
        /// The option.
        option: &'static str,
        /// An option of nearly the same name that is given.
        instead: Option<String>,
    },
    /// Two options that exclude each other.
    #[error("{what} takes '{first}' or '{second}', not both")]
    Conflict {
        /// What has the options: the type of a layer.
        what: String,
        /// One of them.
        first: &'static str,
        /// The other one.
        second: &'static str,
    },
    /// An arithmetic expression that has no value.
    #[error("'{expression}': {reason}")]
    Expression {
        /// The expression.
        expression: String,
        /// Why it has none.
        reason: String,
    },
    /// A number that is too large or too small.
    #[error("'{name}' must be from {least} to {MAX_COUNT}, it is {value}")]
    Count {
        /// The option.
        name: String,
        /// The least value.
        least: u64,
        /// The value.
        value: i64,
    },
    /// A convolution that cannot be, or a path that does not serve it.
    #[error(transparent)]
    Conv(ConvError),
    /// A shape for which paths are chosen twice.
    #[error("paths for {shape} are chosen a second time")]
    ChosenTwice {
        /// The shape.
        shape: Conv2dShape,
    },
    /// A file of a form that this version does not know.
    #[error("'format' is {found}, this version reads {known}")]
    Format {
        /// The form of the file.
        found: usize,
        /// The form that is known.
        known: usize,
    },
    /// Variables that are defined by each other.
    #[error("the variable '{name}' depends on itself")]
    Cycle {
        /// One of the variables.
        name: String,
    },
    /// Variables that are defined by each other in a chain that is too long.
    #[error("variables can depend on each other in chains of {MAX_DEPTH}, '{name}' is in a longer one")]
    LongChain {
        /// One of the variables.
        name: String,
    },
    /// Lists of layers that are nested too deeply.
    #[error("lists of layers can be {MAX_DEPTH} deep in each other")]
    TooDeep,
    /// A network with too many layers.
    #[error("a network can have {MAX_LAYERS} layers and paths, with all repetitions")]
    TooManyLayers,
    /// A layer that cannot be built.
    #[error("{place}: {reason}")]
    Build {
        /// Where the layer stands in the network, repetitions included.
        place: Place,
        /// What is wrong.
        reason: BuildError,
    },
}

/// A problem and the byte of the text where it is.
#[derive(Debug)]
pub(super) struct Mistake {
    pub(super) offset: usize,
    pub(super) problem: FileProblem,
}

impl Mistake {
    pub(super) fn new(offset: usize, problem: FileProblem) -> Self {
        Self { offset, problem }
    }

    /// The error for a mistake in `text`.
    pub(super) fn of(self, text: &str) -> FileError {
        // A place inside a character, which no parser should give, counts as that of the character.
        let mut end = self.offset.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &text[..end];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        FileError::Text {
            line: 1 + before.matches('\n').count(),
            column: 1 + before[line_start..].chars().count(),
            problem: Box::new(self.problem),
        }
    }
}

/// `text` as it can be quoted in a message: not longer than a line.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_lines_and_characters() {
        let text = "a\nbü\r\nc";
        let at = |offset: usize| match Mistake::new(offset, FileProblem::TooDeep).of(text) {
            FileError::Text { line, column, .. } => (line, column),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            [at(0), at(1), at(2), at(3), at(4), at(5)],
            [(1, 1), (1, 2), (2, 1), (2, 2), (2, 2), (2, 3)]
        );
        assert_eq!([at(7), at(8), at(99)], [(3, 1), (3, 2), (3, 2)]);
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(quoted("short"), "short");
        assert_eq!(quoted(&"ü".repeat(60)), "ü".repeat(60));
        assert_eq!(quoted(&"ü".repeat(61)), "ü".repeat(60) + "…");
    }
}
