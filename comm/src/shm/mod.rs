//! Shared memory between the ranks of a host: regions, how their owners wake each other, and how they notice that one is gone.

mod bell;
mod process;
mod region;

pub(crate) use bell::{BELL_END, Bell, Patience};
pub(crate) use process::Process;
pub use region::Buffer;
pub(crate) use region::{Carver, RawBuffer, Region, Ticket};
