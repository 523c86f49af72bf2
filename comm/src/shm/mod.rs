//! Shared memory between the ranks of a host: regions, and how their owners wake each other.

mod bell;
mod region;

pub(crate) use bell::{BELL_END, Bell, Patience};
pub use region::Buffer;
pub(crate) use region::{Carver, RawBuffer, Region, Ticket};
