//! Words for a POSIX shell, in commands that we show.

use std::env;
use std::path::Path;

/// `word` as one word of a shell.
pub(crate) fn quote(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+=:@%,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_string()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// `path` as one word of a shell, with `~` for the home folder.
pub(crate) fn quote_path(path: &Path) -> String {
    match env::home_dir().and_then(|home| path.strip_prefix(home).ok().map(Path::to_path_buf)) {
        Some(rest) => format!("~/{}", quote(&rest.to_string_lossy())),
        None => quote(&path.to_string_lossy()),
    }
}
