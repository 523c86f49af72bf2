//! A line of `~/.ssh/config`, taken apart as OpenSSH does it.
//!
//! ```text
//! line = [keyword (blanks | [blanks] "=" [blanks]) {word}] [# comment]
//! ```
//!
//! Words are separated by blanks. Single and double quotes hold a word together, and a backslash stands for
//! the quote, the backslash or, outside of quotes, the blank that follows it.

/// A line's keyword, in lower case, and its words; nothing for a line that has only a comment or nothing.
///
/// # Errors
/// A quotation does not end.
pub(super) fn parse(line: &str) -> Result<Option<(String, Vec<String>)>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let end = line.find(|letter: char| letter == '=' || letter.is_whitespace()).unwrap_or(line.len());
    let rest = line[end..].trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    Ok(Some((line[..end].to_ascii_lowercase(), words(rest)?)))
}

fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut letters = text.trim_start().chars().peekable();
    // A comment begins where a word would: a '#' within a word belongs to it.
    while letters.peek().is_some_and(|first| *first != '#') {
        let (mut word, mut quote) = (String::new(), None);
        while let Some(letter) = letters.next_if(|letter| quote.is_some() || !is_blank(*letter)) {
            match letter {
                '\\' => {
                    let is_escaped =
                        |next: &char| "'\"\\".contains(*next) || (quote.is_none() && *next == ' ');
                    word.push(letters.next_if(is_escaped).unwrap_or('\\'));
                }
                '"' | '\'' if quote.is_none() => quote = Some(letter),
                _ if quote == Some(letter) => quote = None,
                _ => word.push(letter),
            }
        }
        if let Some(quote) = quote {
            return Err(format!("a quotation does not end: {quote} is missing"));
        }
        words.push(word);
        while letters.next_if(|letter| is_blank(*letter)).is_some() {}
    }
    Ok(words)
}

fn is_blank(letter: char) -> bool {
    letter == ' ' || letter == '\t'
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(line: &str) -> Option<(String, Vec<String>)> {
        parse(line).unwrap_or_else(|problem| panic!("{line}: {problem}"))
    }

    #[test]
    fn lines_are_taken_apart() {
        let some = |keyword: &str, words: &[&str]| {
            Some((keyword.to_string(), words.iter().map(|word| word.to_string()).collect::<Vec<_>>()))
        };
        assert_eq!(parsed("  "), None);
        assert_eq!(parsed("\t# Host a"), None);
        assert_eq!(parsed("PORT=1"), some("port", &["1"]));
        assert_eq!(parsed("Port == 1 # one"), some("port", &["=", "1"]));
        assert_eq!(parsed("Host \"a b\" c#d 'e' \"\" # f"), some("host", &["a b", "c#d", "e", ""]));
        assert_eq!(parsed(r#"User a\ b\"c "d\ e\\" x"y z""#), some("user", &[r#"a b"c"#, r"d\ e\", "xy z"]));
        assert!(parse("User \"a").is_err() && parse("User a 'b\"").is_err());
    }

    proptest! {
        #[test]
        fn quoted_words_come_back(words in prop::collection::vec("[ -~é\t]{0,8}", 0..4)) {
            let quoted = |word: &String| format!("\"{}\"", word.replace('\\', r"\\").replace('"', "\\\""));
            let line = format!("Key = {} # end", words.iter().map(quoted).collect::<Vec<_>>().join("\t "));
            prop_assert_eq!(parsed(&line), Some(("key".to_string(), words)));
        }

        #[test]
        fn no_line_is_too_odd(line in "\\PC{0,40}") {
            let _ = parse(&line);
        }
    }
}
