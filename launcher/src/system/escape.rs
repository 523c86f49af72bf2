//! Makes text from outside fit into a line of this program's output.

/// Escapes control characters, as `\n` or `\u{1b}`, so that `text` can neither end a line nor command a
/// terminal.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    line
}

/// The beginning of a text from a file, for an error: one line of at most 80 characters.
pub(crate) fn excerpt(text: &str) -> String {
    const MOST: usize = 80;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", one_line(&text[..end])),
        None => one_line(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_nothing_else_is() {
        assert_eq!(one_line("a\nerror: b\x1b[2J\u{9b}\t"), "a\\nerror: b\\u{1b}[2J\\u{9b}\\t");
        for text in ["", "it's \"quoted\" \\n", "größer – 日本"] {
            assert_eq!(one_line(text), text);
        }
    }

    #[test]
    fn errors_quote_the_beginning_of_a_long_line() {
        assert_eq!(excerpt("a\nb"), "a\\nb");
        assert_eq!(excerpt(&"é".repeat(80)), "é".repeat(80));
        assert_eq!(excerpt(&"é".repeat(1000)), "é".repeat(80) + "…");
    }
}
