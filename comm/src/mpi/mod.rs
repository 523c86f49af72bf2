//! MPI as the network between ranks: MPI has started them, numbers them, and carries the streams of their
//! links.

#[expect(unsafe_code, reason = "buffers that MPI reads and writes while this process does other things")]
mod flight;
mod session;
mod stream;

pub use session::Mpi;
pub(crate) use stream::MpiStream;
