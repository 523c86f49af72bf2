//! Files that hold a key.

use std::path::PathBuf;

/// A key file or a meeting file that cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// Others may read or write the file.
    #[error("{} has mode {mode:04o}: a file with a key may be open to its owner only (chmod 600)", file.display())]
    Mode {
        /// The file.
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },

    /// The file belongs to another user.
    #[error("{} belongs to user {owner}, this process to user {user}", file.display())]
    Owner {
        /// The file.
        file: PathBuf,
        /// The file's owner.
        owner: u32,
        /// The user of this process.
        user: u32,
    },

    /// A folder, a pipe, a link or the like has the file's name.
    #[error("{} is no regular file", file.display())]
    Type {
        /// The file.
        file: PathBuf,
    },

    /// The file begins with a byte-order mark, as some editors write it.
    #[error("{}: it begins with a byte-order mark; save it as UTF-8 without one", file.display())]
    ByteOrderMark {
        /// The file.
        file: PathBuf,
    },

    /// The file holds something else.
    #[error("{} does not hold {expected}", file.display())]
    Content {
        /// The file.
        file: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
}
