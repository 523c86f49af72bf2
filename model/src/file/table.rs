//! The options in a table of the file: typed, and with their places.

use super::MAX_COUNT;
use super::error::{FileProblem, Mistake, quoted};
use super::expression::{MAX_TEXT, Scope, unknown};
use crate::initializer::Initializer;
use crate::layer::{Sides, Size2};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// A value and its place.
pub(super) type Value<'t> = Spanned<DeValue<'t>>;

/// The options of a layer, or of another thing that a table of the file describes. Whoever reads them asks
/// for each option by its name, and then for the end, where an option that nobody asked for is a mistake.
#[derive(Debug)]
pub(super) struct Table<'t> {
    /// What the options are of, in messages: the type of the layer.
    pub(super) what: String,
    /// Where the table begins.
    pub(super) offset: usize,
    /// `None` for a layer without options.
    table: Option<&'t DeTable<'t>>,
    pub(super) scope: &'t Scope<'t>,
    asked: Vec<&'static str>,
}

impl<'t> Table<'t> {
    pub(super) fn new(
        what: &str,
        offset: usize,
        table: Option<&'t DeTable<'t>>,
        scope: &'t Scope<'t>,
    ) -> Self {
        Self { what: what.to_string(), offset, table, scope, asked: Vec::new() }
    }

    /// Option `name`, if it is given.
    pub(super) fn get(&mut self, name: &'static str) -> Option<&'t Value<'t>> {
        if !self.asked.contains(&name) {
            self.asked.push(name);
        }
        self.table?.get(name)
    }

    pub(super) fn needed(&mut self, name: &'static str) -> Result<&'t Value<'t>, Mistake> {
        self.get(name).ok_or_else(|| self.missing(name))
    }

    /// The mistake that `option` is not given, at the place of what may be meant by it.
    pub(super) fn missing(&self, option: &'static str) -> Mistake {
        /// How alike two names must be, from 0 to 1.
        const ALIKE: f64 = 0.9;
        let mut keys = self.table.into_iter().flat_map(|table| table.keys());
        let meant = keys.find(|key| strsim::jaro_winkler(key.get_ref(), option) > ALIKE);
        let offset = meant.map_or(self.offset, |key| key.span().start);
        let instead = meant.map(|key| quoted(key.get_ref()));
        Mistake::new(offset, FileProblem::Missing { what: self.what.clone(), option, instead })
    }

    /// Checks that all options have been asked for.
    pub(super) fn end(self) -> Result<(), Mistake> {
        let mut keys: Vec<_> = self.table.into_iter().flat_map(|table| table.keys()).collect();
        // The table has them in the order of the alphabet.
        keys.sort_by_key(|key| key.span().start);
        let mut names = keys.iter().map(|key| (key.span().start, key.get_ref().as_ref()));
        match names.find(|(_, name)| !self.asked.contains(name)) {
            None => Ok(()),
            Some((at, name)) => {
                Err(Mistake::new(at, unknown(format!("option of {}", self.what), name, &self.asked)))
            }
        }
    }

    /// A whole number of at least `least`: a number or an expression.
    pub(super) fn count(&mut self, name: &'static str, least: u64) -> Result<Option<usize>, Mistake> {
        self.get(name).map(|value| count(name, value, least, self.scope)).transpose()
    }

    pub(super) fn needed_count(&mut self, name: &'static str) -> Result<usize, Mistake> {
        count(name, self.needed(name)?, 0, self.scope)
    }

    /// One whole number, or `[height, width]`.
    pub(super) fn size(&mut self, name: &'static str) -> Result<Option<Size2>, Mistake> {
        self.get(name).map(|value| size(name, value, self.scope)).transpose()
    }

    pub(super) fn needed_size(&mut self, name: &'static str) -> Result<Size2, Mistake> {
        size(name, self.needed(name)?, self.scope)
    }

    /// One whole number, `[height, width]`, or `[top, bottom, left, right]`.
    pub(super) fn needed_sides(&mut self, name: &'static str) -> Result<Sides, Mistake> {
        let value = self.needed(name)?;
        match counts(name, value, self.scope)?[..] {
            [all] => Ok(all.into()),
            [h, w] => Ok([h, w].into()),
            [top, bottom, left, right] => Ok([top, bottom, left, right].into()),
            _ => {
                let expected = "one number, [height, width] or [top, bottom, left, right]";
                Err(wrong(name, expected, value))
            }
        }
    }

    /// A number, with or without a fraction.
    pub(super) fn number(&mut self, name: &'static str) -> Result<Option<f64>, Mistake> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = match value.get_ref() {
            DeValue::Float(number) => number.as_str().parse().ok(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse().ok(),
            _ => None,
        };
        number.map(Some).ok_or_else(|| wrong(name, "a number", value))
    }

    pub(super) fn switch(&mut self, name: &'static str) -> Result<Option<bool>, Mistake> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.get_ref() {
            DeValue::Boolean(switch) => Ok(Some(*switch)),
            _ => Err(wrong(name, "true or false", value)),
        }
    }

    pub(super) fn initializer(&mut self, name: &'static str) -> Result<Option<Initializer>, Mistake> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let text = text(name, "the name of an initializer", value)?;
        let unknown = |_| Mistake::new(value.span().start, unknown("initializer", text, &Initializer::NAMES));
        text.parse().map(Some).map_err(unknown)
    }

    /// The name of a layer, with the values of the expressions in it.
    pub(super) fn name(&mut self, name: &'static str) -> Result<Option<String>, Mistake> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let text = text(name, "a name", value)?;
        if text.len() > MAX_TEXT {
            return Err(wrong(name, format!("a name of at most {MAX_TEXT} bytes"), value));
        }
        self.scope.fill(text, inside(value, text)).map(Some)
    }
}

/// The whole number of at least `least` that `value` is or has as an expression.
pub(super) fn count(name: &str, value: &Value<'_>, least: u64, scope: &Scope<'_>) -> Result<usize, Mistake> {
    let number = integer(name, value, |text, offset| scope.evaluate(text, offset))?;
    match u64::try_from(number) {
        Ok(count) if (least..=MAX_COUNT).contains(&count) => Ok(count as usize),
        _ => {
            let problem = FileProblem::Count { name: name.to_string(), least, value: number };
            Err(Mistake::new(value.span().start, problem))
        }
    }
}

/// One whole number, or an array of some.
pub(super) fn counts(name: &str, value: &Value<'_>, scope: &Scope<'_>) -> Result<Vec<usize>, Mistake> {
    /// The most numbers that any option has.
    const MOST: usize = 4;
    match value.get_ref() {
        DeValue::Array(items) if (1..=MOST).contains(&items.len()) => {
            items.iter().map(|item| count(name, item, 0, scope)).collect()
        }
        DeValue::Array(_) => Err(wrong(name, "one number or a few", value)),
        _ => Ok(vec![count(name, value, 0, scope)?]),
    }
}

fn size(name: &str, value: &Value<'_>, scope: &Scope<'_>) -> Result<Size2, Mistake> {
    match counts(name, value, scope)?[..] {
        [both] => Ok(both.into()),
        [h, w] => Ok([h, w].into()),
        _ => Err(wrong(name, "one number or [height, width]", value)),
    }
}

/// The integer that `value` is, or that `evaluate` gives for its text and the place of that.
pub(super) fn integer(
    name: &str,
    value: &Value<'_>,
    evaluate: impl FnOnce(&str, usize) -> Result<i64, Mistake>,
) -> Result<i64, Mistake> {
    let expected = "a whole number or an expression such as \"2 * width\"";
    match value.get_ref() {
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_err(|_| wrong(name, expected, value))
        }
        DeValue::String(text) => evaluate(text, inside(value, text)),
        _ => Err(wrong(name, expected, value)),
    }
}

pub(super) fn text<'t>(name: &str, expected: &str, value: &'t Value<'t>) -> Result<&'t str, Mistake> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text),
        _ => Err(wrong(name, expected, value)),
    }
}

pub(super) fn array<'t>(
    name: &str,
    expected: &str,
    value: &'t Value<'t>,
) -> Result<&'t DeArray<'t>, Mistake> {
    match value.get_ref() {
        DeValue::Array(items) => Ok(items),
        _ => Err(wrong(name, expected, value)),
    }
}

/// Where `text`, the string that `value` is, begins in the file: behind a quotation mark, if it stands there
/// as it is.
fn inside(value: &Value<'_>, text: &str) -> usize {
    let span = value.span();
    if span.len() == text.len() + 2 { span.start + 1 } else { span.start }
}

/// The mistake that `value` is not what is expected.
pub(super) fn wrong(name: &str, expected: impl Into<String>, value: &Value<'_>) -> Mistake {
    let found = match value.get_ref() {
        DeValue::String(text) => format!("'{}'", quoted(text)),
        DeValue::Integer(number) => quoted(number.as_str()),
        DeValue::Float(number) => quoted(number.as_str()),
        DeValue::Boolean(switch) => switch.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(items) => format!("an array of {}", items.len()),
        DeValue::Table(_) => "a table".to_string(),
    };
    let (name, expected) = (name.to_string(), expected.into());
    Mistake::new(value.span().start, FileProblem::Value { name, expected, found })
}
