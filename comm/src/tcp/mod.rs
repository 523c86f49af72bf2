//! One TCP stream a pair of ranks: frames in order, proven at its start, in the clear or in Noise records.

mod frame;
mod inbound;
mod link;
mod outbound;
mod sealed;
#[cfg(test)]
mod tests;

pub(crate) use frame::{Frame, Kind, PROTOCOL, Tag};
pub(crate) use link::{Incoming, Link, Memory};
