//! Limits that several modules need.

/// The most ranks that a group can have.
pub(crate) const MAX_WORLD: usize = 1 << 16;
