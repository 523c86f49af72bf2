//! Whole numbers computed from variables.
//!
//! ```text
//! sum     = product {("+" | "-") product}
//! product = atom {("*" | "/") atom}
//! atom    = number | variable | "(" sum ")"
//! ```

use super::error::{FileProblem, Mistake, quoted};
use std::collections::HashMap;

/// The most bytes of an expression or a name.
pub(super) const MAX_TEXT: usize = 256;

/// The most parentheses in each other.
const MAX_PARENTHESES: usize = 32;

/// The variables that an expression can name.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scope<'s> {
    /// Those of the file.
    File(&'s HashMap<String, i64>),
    /// The counter of a repetition, which hides a variable of the same name around it.
    Counter { name: &'s str, value: i64, around: &'s Scope<'s> },
}

impl Scope<'_> {
    /// The value of `name`.
    ///
    /// # Errors
    /// All known names, if there is no variable of this name.
    fn value(&self, name: &str) -> Result<i64, Vec<&str>> {
        let (mut scope, mut counters) = (self, Vec::new());
        loop {
            match scope {
                Self::Counter { name: counter, value, .. } if *counter == name => return Ok(*value),
                Self::Counter { name: counter, around, .. } => {
                    counters.push(*counter);
                    scope = around;
                }
                Self::File(variables) => {
                    return variables.get(name).copied().ok_or_else(|| {
                        let mut known: Vec<&str> = variables.keys().map(String::as_str).collect();
                        known.sort_unstable();
                        known.extend(counters.into_iter().rev());
                        known
                    });
                }
            }
        }
    }

    /// The value of the expression `text`, which begins at byte `offset` of the file.
    pub(super) fn evaluate(&self, text: &str, offset: usize) -> Result<i64, Mistake> {
        let value = |name: &str, at: usize| {
            self.value(name).map_err(|known| Mistake::new(at, unknown("variable", name, &known)))
        };
        evaluate(text, offset, value)
    }

    /// `text` with the value of the expression in its place for each expression in braces: `layer{stage +
    /// 1}`. Doubled braces stand for themselves.
    pub(super) fn fill(&self, text: &str, offset: usize) -> Result<String, Mistake> {
        let problem = |at: usize, reason: &str| {
            let problem = FileProblem::Expression { expression: quoted(text), reason: reason.to_string() };
            Mistake::new(offset + at, problem)
        };
        let (mut filled, mut at) = (String::new(), 0);
        while let Some(brace) = text[at..].find(['{', '}']) {
            let brace = at + brace;
            filled += &text[at..brace];
            let rest = &text[brace..];
            if rest.starts_with("{{") || rest.starts_with("}}") {
                filled += &rest[..1];
                at = brace + 2;
            } else if rest.starts_with('}') {
                return Err(problem(brace, "a closing brace without an opening one"));
            } else {
                let end = rest.find('}').ok_or_else(|| problem(brace, "a brace that is not closed"))?;
                filled += &self.evaluate(&rest[1..end], offset + brace + 1)?.to_string();
                at = brace + end + 1;
            }
        }
        Ok(filled + &text[at..])
    }
}

/// Whether `name` can be that of a variable.
pub(super) fn is_variable(name: &str) -> bool {
    let is_word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_word && !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.len() <= MAX_TEXT
}

/// The mistake that `name` is not among `known`.
pub(super) fn unknown(what: impl Into<String>, name: &str, known: &[&str]) -> FileProblem {
    /// The most names that a message lists.
    const MOST: usize = 40;
    let nearest = crate::error::nearest(name, known);
    let known = match known {
        [] => "none".to_string(),
        [first @ .., _] if first.len() >= MOST => format!("{}, …", known[..MOST].join(", ")),
        _ => known.join(", "),
    };
    FileProblem::UnknownName { what: what.into(), name: quoted(name), known, nearest }
}

/// The value of the expression `text`, which begins at byte `offset` of the file, where `value` gives that of
/// a variable whose name stands at a byte of the file.
pub(super) fn evaluate(
    text: &str,
    offset: usize,
    value: impl FnMut(&str, usize) -> Result<i64, Mistake>,
) -> Result<i64, Mistake> {
    let mut parser = Parser { text, at: 0, offset, parentheses: 0, value };
    if text.len() > MAX_TEXT {
        return Err(parser.mistake(format!("it has more than {MAX_TEXT} bytes")));
    }
    let value = parser.sum()?;
    match parser.peek() {
        None => Ok(value),
        Some(_) => Err(parser.unexpected("an operator")),
    }
}

struct Parser<'t, F> {
    text: &'t str,
    at: usize,
    /// Where the text begins in the file.
    offset: usize,
    parentheses: usize,
    value: F,
}

impl<F: FnMut(&str, usize) -> Result<i64, Mistake>> Parser<'_, F> {
    fn mistake(&self, reason: impl Into<String>) -> Mistake {
        let problem = FileProblem::Expression { expression: quoted(self.text), reason: reason.into() };
        Mistake::new(self.offset + self.at, problem)
    }

    fn unexpected(&mut self, expected: &str) -> Mistake {
        let found = self.peek().map_or_else(|| "the end".to_string(), |found| format!("'{found}'"));
        self.mistake(format!("{expected} is expected instead of {found}"))
    }

    /// The next character that is no blank.
    fn peek(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.text[self.at..].chars().next()
    }

    /// Takes the next character if it is one of `wanted`.
    fn take(&mut self, wanted: &[char]) -> Option<char> {
        let next = self.peek().filter(|next| wanted.contains(next))?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn sum(&mut self) -> Result<i64, Mistake> {
        let mut value = self.product()?;
        while let Some(sign) = self.take(&['+', '-']) {
            let other = self.product()?;
            let sum = if sign == '+' { value.checked_add(other) } else { value.checked_sub(other) };
            value = sum.ok_or_else(|| self.mistake("it is too large"))?;
        }
        Ok(value)
    }

    fn product(&mut self) -> Result<i64, Mistake> {
        let mut value = self.atom()?;
        while let Some(sign) = self.take(&['*', '/']) {
            let other = self.atom()?;
            value = match (sign, value.checked_rem(other)) {
                ('*', _) => value.checked_mul(other).ok_or_else(|| self.mistake("it is too large"))?,
                (_, Some(0)) => value / other,
                (_, Some(_)) => {
                    return Err(self.mistake(format!("{value} / {other} is not a whole number")));
                }
                (_, None) => return Err(self.mistake(format!("{value} / {other} has no value"))),
            };
        }
        Ok(value)
    }

    fn atom(&mut self) -> Result<i64, Mistake> {
        if self.take(&['(']).is_some() {
            self.parentheses += 1;
            if self.parentheses > MAX_PARENTHESES {
                return Err(self.mistake(format!("more than {MAX_PARENTHESES} parentheses in each other")));
            }
            let value = self.sum()?;
            self.parentheses -= 1;
            return match self.take(&[')']) {
                Some(_) => Ok(value),
                None => Err(self.unexpected("')'")),
            };
        }
        self.peek();
        let rest = &self.text[self.at..];
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let word = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
        let value = if word.starts_with(|c: char| c.is_ascii_digit()) {
            word.parse().map_err(|_| self.mistake(format!("{word} is not a whole number below 2^63")))?
        } else if word.is_empty() {
            return Err(self.unexpected("a number, a variable or '('"));
        } else {
            (self.value)(word, self.offset + self.at)?
        };
        self.at += word.len();
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Result<i64, String> {
        let variables = HashMap::from([("width".to_string(), 16), ("depth".to_string(), 3)]);
        let file = Scope::File(&variables);
        let scope = Scope::Counter { name: "stage", value: 2, around: &file };
        scope.evaluate(text, 100).map_err(|mistake| format!("{}: {}", mistake.offset, mistake.problem))
    }

    #[test]
    fn expressions_have_the_value_of_arithmetic() {
        for (text, expected) in [
            ("7", 7),
            (" width*2 ", 32),
            ("1 + 2 * 3 - 4 / 2", 5),
            ("(1 + 2) * (3 - 4)", -3),
            ("10 - 3 - 2", 5),
            ("64 / 4 / 2", 8),
            ("width * stage + depth", 35),
            ("((((depth))))", 3),
            ("9223372036854775807", i64::MAX),
        ] {
            assert_eq!(value(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn mistakes_have_a_place_and_a_reason() {
        for (text, expected) in [
            ("", "100: '': a number, a variable or '(' is expected instead of the end"),
            ("2 +", "103: '2 +': a number, a variable or '(' is expected instead of the end"),
            ("2 % 3", "102: '2 % 3': an operator is expected instead of '%'"),
            ("-1", "100: '-1': a number, a variable or '(' is expected instead of '-'"),
            ("(1", "102: '(1': ')' is expected instead of the end"),
            ("2 widht", "102: '2 widht': an operator is expected instead of 'w'"),
            (
                "2 * widht",
                "104: unknown variable 'widht'; known are depth, width, stage; did you mean 'width'?",
            ),
            ("7 / 2", "105: '7 / 2': 7 / 2 is not a whole number"),
            ("1 / (2 - 2)", "111: '1 / (2 - 2)': 1 / 0 has no value"),
            ("3px", "100: '3px': 3px is not a whole number below 2^63"),
            ("9223372036854775807 * 2", "123: '9223372036854775807 * 2': it is too large"),
        ] {
            assert_eq!(value(text), Err(expected.to_string()), "{text}");
        }
        let deep = "(".repeat(33);
        assert!(value(&deep).unwrap_err().ends_with("more than 32 parentheses in each other"));
        assert!(value(&"1".repeat(257)).unwrap_err().ends_with("it has more than 256 bytes"));
    }

    #[test]
    fn braces_in_names_hold_expressions() {
        let variables = HashMap::from([("i".to_string(), 4)]);
        let fill = |text: &str| {
            Scope::File(&variables)
                .fill(text, 0)
                .map_err(|mistake| format!("{}: {}", mistake.offset, mistake.problem))
        };
        assert_eq!(fill("layer{i + 1}.{i}x"), Ok("layer5.4x".to_string()));
        assert_eq!(fill("{{i}}"), Ok("{i}".to_string()));
        assert_eq!(fill(""), Ok(String::new()));
        assert_eq!(fill("a}"), Err("1: 'a}': a closing brace without an opening one".to_string()));
        assert_eq!(fill("a{i"), Err("1: 'a{i': a brace that is not closed".to_string()));
        assert_eq!(fill("ü{j}"), Err("3: unknown variable 'j'; known are i".to_string()));
    }
}
