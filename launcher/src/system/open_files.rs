//! The limit of open files and connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit to the most that the system permits this user. The usual limit is 1024, for the sake of
/// programs that call `select`. An agent needs several files for each rank, and rank 0 a connection to each
/// other rank. Child processes inherit the limit.
pub(crate) fn raise_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // A system without a maximum may refuse this. Then the limit stays what it was.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
