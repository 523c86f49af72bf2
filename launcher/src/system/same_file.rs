//! Tells whether two names are names of one file.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The most links in a row that Linux follows.
const MOST_LINKS: usize = 40;

/// Whether two paths lead to one file, through links or by different names of its folder. The file need not
/// exist yet.
pub(crate) fn are_one(a: &Path, b: &Path) -> bool {
    let node = |path: &Path| path.metadata().ok().map(|file| (file.dev(), file.ino()));
    match (node(a), node(b)) {
        (None, None) => place(a).is_some_and(|place_of_a| Some(place_of_a) == place(b)),
        (a, b) => a == b,
    }
}

/// Where a file that does not exist yet would be created: links are followed, and its folder's real path is
/// taken.
fn place(path: &Path) -> Option<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder.to_path_buf(),
            _ => PathBuf::from("."),
        };
        match path.read_link() {
            Ok(target) => path = folder.join(target),
            Err(_) => return Some(folder.canonicalize().ok()?.join(path.file_name()?)),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn names_of_one_file_are_told_from_others() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("inner")).unwrap();
        symlink(at("inner"), at("way")).unwrap();
        symlink("net.st", at("link")).unwrap();
        symlink("loop", at("loop")).unwrap();
        let pairs = [
            ("net.st", "net.st", true),
            ("net.st", "inner/../net.st", true),
            ("inner/a.csv", "way/./a.csv", true),
            ("net.st", "link", true),
            ("net.st", "a.csv", false),
            ("a.csv", "inner/a.csv", false),
            ("missing/a", "missing/a", false),
            ("loop", "loop", false),
        ];
        let check = |pairs: &[(&str, &str, bool)]| {
            for (a, b, expected) in pairs {
                assert_eq!(are_one(&at(a), &at(b)), *expected, "{a} and {b}");
            }
        };
        check(&pairs);
        // The same when the files are there; and names that only a link makes one.
        fs::write(at("net.st"), "").unwrap();
        fs::write(at("inner/a.csv"), "").unwrap();
        fs::hard_link(at("net.st"), at("hard")).unwrap();
        check(&pairs);
        check(&[("net.st", "hard", true), ("inner/a.csv", "hard", false)]);
    }

    #[test]
    fn a_bare_name_is_in_the_current_folder() {
        assert!(are_one(Path::new("no-such-file.csv"), Path::new("./no-such-file.csv")));
    }
}
