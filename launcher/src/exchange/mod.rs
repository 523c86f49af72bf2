//! Networks and parameters for other programs, and parameters of theirs.

pub(crate) mod export;
pub(crate) mod import;
