//! One stream a pair of ranks: frames in order, over TCP in the clear or in Noise records, or over MPI.

mod frame;
mod inbound;
mod link;
mod memory;
mod outbound;
mod sealed;
mod stream;
#[cfg(test)]
mod tests;

pub(crate) use frame::{Frame, FrameKind, PROTOCOL, Tag};
pub(crate) use link::{Link, close_all, sleep};
pub(crate) use memory::{Incoming, Memory};
pub(crate) use stream::{AnyStream, Socket, Stream};
