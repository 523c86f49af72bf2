//! The one algorithm of all collectives: reduce-scatter by slice owner in tree order, then all-gather.
//! `ALGORITHMS.md` in the crate's folder gives its steps and its bytes on the wire.

mod bucket;
mod engine;
mod exchange;
mod failure;
mod frames;
mod operation;
mod sources;
mod topology;
mod wait;

pub(crate) use bucket::{Call, Rule};
pub(crate) use engine::{Engine, LocalRank};
pub(crate) use exchange::{Exchange, Neighbour, Plan};
pub(crate) use operation::{OPERATION_END, SHORT_COUNTER, short_call};
pub(crate) use topology::{SLICE_ELEMENTS, Slices, Topology, owners};
pub(crate) use wait::Goal;
