//! What tells one state of an object from another.

use object_store::ObjectMeta;
use serde::{Deserialize, Serialize};

/// The state of an object, as a server tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Version {
    pub(super) bytes: u64,
    e_tag: Option<String>,
    /// The time of the last change in seconds of the epoch: lists have more digits than headers. 0 if it is
    /// not known.
    modified: i64,
}

impl Version {
    pub(super) fn of(meta: &ObjectMeta) -> Self {
        // Lists of some stores leave out the quotes.
        let e_tag = meta.e_tag.as_ref().map(|tag| tag.trim_matches('"').to_string());
        Self { bytes: meta.size, e_tag, modified: meta.last_modified.timestamp() }
    }

    /// Whether both can be of one state.
    pub(super) fn fits(&self, other: &Self) -> bool {
        let is_same = match (&self.e_tag, &other.e_tag) {
            (Some(tag), Some(other)) => tag == other,
            _ => self.modified == other.modified,
        };
        is_same && self.bytes == other.bytes
    }

    /// Whether another state would have another version, as far as servers keep their word.
    pub(super) fn is_telling(&self) -> bool {
        self.e_tag.is_some() || self.modified != 0
    }

    /// The tag for `If-Match`, which takes no weak one.
    pub(super) fn strong_tag(&self) -> Option<String> {
        let tag = self.e_tag.as_ref().filter(|tag| !tag.starts_with("W/"))?;
        Some(format!("\"{tag}\""))
    }
}
