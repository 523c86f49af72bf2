//! Commands that look at data sets: `isograd data`.

pub(crate) mod check;
pub(crate) mod show;
