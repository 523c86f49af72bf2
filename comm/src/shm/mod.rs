//! Shared memory between the ranks of a host: regions, how their owners wake each other, and how they notice that one is gone.

mod process;
mod region;
mod waker;

pub(crate) use process::Process;
pub use region::Buffer;
pub(crate) use region::{Carver, RawBuffer, Region, RegionHandle};
pub(crate) use waker::{SpinPolicy, WAKER_END, Waker};
