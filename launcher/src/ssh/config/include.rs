//! The files that an `Include` line names.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::ssh::pattern::matches;
use crate::system::escape::excerpt;

/// The files that `pattern` names, in the order of their names: below `home` if it begins with `~/`, below
/// `folder` if it is relative.
///
/// # Errors
/// The pattern is of a kind that is not supported.
pub(super) fn files(pattern: &str, home: &Path, folder: &Path) -> Result<Vec<PathBuf>, String> {
    let (base, rest) = match (pattern.strip_prefix("~/"), pattern.strip_prefix('/')) {
        (Some(rest), _) => (home, rest),
        (None, Some(rest)) => (Path::new("/"), rest),
        (None, None) => (folder, pattern),
    };
    if pattern.is_empty() || rest.contains('[') || (pattern.starts_with('~') && base != home) {
        return Err(format!("Include '{}': expected a file; supported are ~/, * and ?", excerpt(pattern)));
    }
    let mut found = vec![base.to_path_buf()];
    for name in rest.split('/').filter(|name| !name.is_empty()) {
        if name.contains(['*', '?']) {
            found = found.iter().flat_map(|folder| entries(folder, name)).collect();
        } else {
            found.iter_mut().for_each(|path| path.push(name));
        }
    }
    found.retain(|path| path.exists());
    Ok(found)
}

/// The entries of a folder that match. Names that begin with a dot only match a pattern that does; a folder
/// that cannot be read has no entries, as for `ssh`.
fn entries(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let is_wanted = |name: &[u8]| {
        (pattern.starts_with('.') || !name.starts_with(b".")) && matches(pattern.as_bytes(), name)
    };
    let mut names: Vec<_> = names.filter(|name| is_wanted(name.as_bytes())).collect();
    names.sort();
    names.iter().map(|name| folder.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_within_a_folder() {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().join("h*me");
        for file in ["h*me/b.d/2", "h*me/b.d/10", "h*me/b.d/.x", "h*me/c.d/1", "home/b.d/3", "ssh/one"] {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = |pattern: &str| -> Vec<String> {
            let files = files(pattern, &home, &root.path().join("ssh")).unwrap();
            let name = |path: &PathBuf| path.strip_prefix(root.path()).unwrap().display().to_string();
            files.iter().map(name).collect()
        };
        assert_eq!(found("~/?.d/*"), ["h*me/b.d/10", "h*me/b.d/2", "h*me/c.d/1"]);
        assert_eq!(found("~/b.d/.*"), ["h*me/b.d/.x"]);
        assert_eq!(found(&format!("{}/home/*/3", root.path().display())), ["home/b.d/3"]);
        assert_eq!(found("one"), ["ssh/one"]);
        assert_eq!(found("../ssh//on?"), ["ssh/../ssh/one"]);
        assert_eq!(found("nothing"), Vec::<String>::new());
        assert_eq!(found("one/*"), Vec::<String>::new());
        for pattern in ["", "~other/config", "[a-z]*"] {
            assert!(files(pattern, &home, root.path()).is_err(), "{pattern}");
        }
    }
}
