//! Commands that look at data sets: `isograd data`.

pub(crate) mod check;
mod sheet;
pub(crate) mod show;
