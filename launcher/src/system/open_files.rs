//! How many files and connections this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Allows as many as the system permits this user. The usual limit is a thousand, for programs that call `select`; an agent needs a
/// few for each rank, and the first rank one for each other. What this process starts inherits it.
pub(crate) fn raise_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // A system that names no maximum may refuse it: then the limit stays what it was.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
