//! Memory that the ranks of a host share: regions, how a rank wakes the others, and how it notices that a
//! process has ended.

mod process;
mod region;
mod waker;

pub(crate) use process::Process;
pub use region::Buffer;
pub(crate) use region::{Carver, RawBuffer, Region, RegionHandle};
pub(crate) use waker::{SpinPolicy, WAKER_END, Waker};
