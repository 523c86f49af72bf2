//! Splits a line of a hostfile into words with their columns.

/// A word, without its quotes, and the column of its first character, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) column: usize,
}

/// A problem, and its column.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) column: usize,
    pub(super) text: String,
}

impl Problem {
    pub(super) fn new(column: usize, text: impl Into<String>) -> Self {
        Self { column, text: text.into() }
    }
}

/// Splits a line at blanks. Between double quotes, blanks and `#` are part of a word, and `\"` and `\\` stand
/// for a quote and a backslash. A `#` at the beginning of a word begins a comment.
pub(super) fn words(line: &str) -> Result<Vec<Word>, Problem> {
    let mut words: Vec<Word> = Vec::new();
    let mut chars = line.chars().zip(1..).peekable();
    while let Some(&(first, column)) = chars.peek() {
        if first == '#' {
            break;
        }
        if first.is_whitespace() {
            chars.next();
            continue;
        }
        let mut text = String::new();
        while let Some((c, column)) = chars.next_if(|(c, _)| !c.is_whitespace()) {
            match c {
                '"' => quoted(&mut chars, column, &mut text)?,
                c if c.is_control() => return Err(Problem::new(column, "a control character")),
                c => text.push(c),
            }
        }
        words.push(Word { text, column });
    }
    Ok(words)
}

/// Reads the rest of a quotation that began at column `start`.
fn quoted(
    chars: &mut impl Iterator<Item = (char, usize)>,
    start: usize,
    text: &mut String,
) -> Result<(), Problem> {
    while let Some((c, column)) = chars.next() {
        match c {
            '"' => return Ok(()),
            '\\' => match chars.next() {
                Some((c @ ('"' | '\\'), _)) => text.push(c),
                _ => return Err(Problem::new(column, "a backslash must stand before \" or \\")),
            },
            '\0' => return Err(Problem::new(column, "a control character")),
            c => text.push(c),
        }
    }
    Err(Problem::new(start, "the closing quote is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Result<Vec<(String, usize)>, Problem> {
        words(line).map(|words| words.into_iter().map(|word| (word.text, word.column)).collect())
    }

    fn expected(words: &[(&str, usize)]) -> Result<Vec<(String, usize)>, Problem> {
        Ok(words.iter().map(|(text, column)| (text.to_string(), *column)).collect())
    }

    #[test]
    fn blanks_separate_and_quotations_hold_together() {
        assert_eq!(texts(" a\tb=c  # d"), expected(&[("a", 2), ("b=c", 4)]));
        assert_eq!(texts(r#"env.X="a # \"b\"" é=#"#), expected(&[(r#"env.X=a # "b""#, 1), ("é=#", 19)]));
        assert_eq!(texts("# all"), expected(&[]));
        assert_eq!(texts(r#""""#), expected(&[("", 1)]));
    }

    #[test]
    fn a_problem_has_its_column() {
        assert_eq!(texts(r#"ab "cd"#), Err(Problem::new(4, "the closing quote is missing")));
        assert_eq!(texts(r#""a\n""#), Err(Problem::new(3, "a backslash must stand before \" or \\")));
        assert_eq!(texts("a\u{1}"), Err(Problem::new(2, "a control character")));
    }
}
