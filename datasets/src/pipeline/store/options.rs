//! How objects are read.

use std::fmt;
use std::time::Duration;

/// How objects of a store are read.
#[derive(Clone)]
pub struct StoreOptions {
    /// How far a download may be ahead of its reader, in bytes; 8 MiB. With some 64 KiB that are on their
    /// way, that is the memory that a download takes.
    pub read_ahead_bytes: usize,
    /// How often in a row a download may break off, or be refused for now; 8. A megabyte without a break
    /// begins a new row.
    pub retries: u32,
    /// The pause after the first break; 100 ms. The next ones are twice as long each, up to 10 seconds.
    pub pause: Duration,
    /// The time in which a server must send something; 30 seconds.
    pub timeout: Duration,
    /// Names and values that say where a store is and who may read it: see
    /// [`with_variables`](Self::with_variables).
    pub variables: Vec<(String, String)>,
}

impl StoreOptions {
    /// With the variables of the environment that name an S3-compatible store and the credentials for it:
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`, `AWS_ENDPOINT_URL`
    /// and the others that [`object_store::aws::AmazonS3ConfigKey`] lists. `AWS_SKIP_SIGNATURE=true` reads
    /// public buckets. Without any, the metadata service of the cloud's machine is asked. Other variables are
    /// left out.
    pub fn with_variables(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let of_store = variables.into_iter().filter(|(name, _)| name.starts_with("AWS_"));
        self.variables.extend(of_store);
        self
    }
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            read_ahead_bytes: 8 << 20,
            retries: 8,
            pause: Duration::from_millis(100),
            timeout: Duration::from_secs(30),
            variables: Vec::new(),
        }
    }
}

impl fmt::Debug for StoreOptions {
    /// Without the variables, which have secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { read_ahead_bytes, retries, pause, timeout, variables: _ } = self;
        f.debug_struct("StoreOptions")
            .field("read_ahead_bytes", read_ahead_bytes)
            .field("retries", retries)
            .field("pause", pause)
            .field("timeout", timeout)
            .finish_non_exhaustive()
    }
}
