//! Text from outside in lines of this program.

/// `text` with its control characters as escapes, `\n` or `\u{1b}`: it can neither end a line nor command a terminal.
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
}
