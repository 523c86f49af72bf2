//! Quotes words for a POSIX shell.

use std::env;
use std::path::Path;

/// Quotes `word`, so that a shell reads it as one word.
pub(crate) fn quote(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+=:@%,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_string()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Quotes `path` in the same way, but leaves a leading `~` to the shell, which replaces it by the home
/// folder.
pub(crate) fn quote_path(path: &Path) -> String {
    match env::home_dir().and_then(|home| path.strip_prefix(home).ok().map(Path::to_path_buf)) {
        Some(rest) => format!("~/{}", quote(&rest.to_string_lossy())),
        None => quote(&path.to_string_lossy()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    fn assert_read_back(word: &str) {
        let line = format!("printf %s {}", quote(word));
        let printed = Command::new("sh").args(["-c", &line]).output().expect("a shell").stdout;
        assert_eq!(String::from_utf8_lossy(&printed), word, "{line}");
    }

    #[test]
    fn a_shell_reads_quoted_words_back() {
        for word in
            ["", "plain-1.2:3", "two words", "it's", "$HOME `id` \\ \"x\" *", "~", "a\nb", "[node1]:2222"]
        {
            assert_read_back(word);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(50))]

        #[test]
        fn any_word_survives(word in "[ -~\t\né]{0,20}") {
            assert_read_back(&word);
        }
    }
}
