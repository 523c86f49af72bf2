//! The user's folder for what can be computed again.

use std::env;
use std::path::PathBuf;

/// `isograd` in `XDG_CACHE_HOME`, or in `.cache` of the home folder; none if both are unknown.
pub(crate) fn find() -> Option<PathBuf> {
    let folder = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")));
    cache.map(|cache| cache.join("isograd"))
}
