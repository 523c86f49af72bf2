//! The environment variables of launchers.

use crate::launcher::Launcher;

/// Environment variables that do not say which rank this process is.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum VariablesError {
    /// One of several variables that belong together is absent.
    #[error("{present} is set, but {missing} is not")]
    Missing {
        /// One that is set.
        present: String,
        /// The one that is absent.
        missing: String,
    },

    /// A variable has an impossible value.
    #[error("{name}={value}: expected {expected}")]
    Value {
        /// The variable.
        name: String,
        /// Its value.
        value: String,
        /// The possible values.
        expected: String,
    },

    /// The plain variables (`RANK`, `WORLD_SIZE`, …) are incomplete or differ from those of the launcher that
    /// started this process. If the plain ones counted, each process of the launcher could take itself for
    /// the only one.
    #[error(
        "contradictory variables: {plain}, but {launcher} has set {started}: unset {unset}; or, if they are right, unset \
         {or_unset}"
    )]
    Contradiction {
        /// The plain variables that are set, with their values.
        plain: String,
        /// The launcher.
        launcher: Launcher,
        /// The launcher's variables that are set, with their values.
        started: String,
        /// The names of the former, separated by blanks.
        unset: String,
        /// The names of the latter, separated by blanks.
        or_unset: String,
    },
}
