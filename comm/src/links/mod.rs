//! One stream a pair of ranks: frames in order, over TCP in the clear or in Noise records, or over MPI.

mod frame;
mod inbound;
mod link;
mod outbound;
mod sealed;
mod stream;
#[cfg(test)]
mod tests;

pub(crate) use frame::{Frame, FrameKind, PROTOCOL, Tag};
pub(crate) use link::{Incoming, Link, Memory, close_all, sleep};
pub(crate) use stream::{AnyStream, Socket, Stream};
