//! Objects of HTTP servers and S3-compatible stores as a source: see [`chunk_objects`].
//!
//! ```text
//! ChunkObjects, ChunkObject, Download  --have-->  Connection: a runtime with one thread, a client
//! Download: Read  <--pieces, bounded--  Fetch: a task there, which goes on where a body breaks off
//! ```

mod address;
mod connection;
mod download;
mod error;
mod fetch;
mod mirror;
mod objects;
mod options;
mod version;

pub use address::{Address, AddressError};
pub use error::StoreError;
pub use mirror::mirror;
pub use objects::{ChunkObject, ChunkObjects, RecordObjects, chunk_objects};
pub use options::StoreOptions;
