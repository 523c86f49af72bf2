//! The variables of a file, which can be defined by each other.

use super::MAX_DEPTH;
use super::error::{FileProblem, Mistake};
use super::expression::{evaluate, is_variable, unknown};
use super::table::{Value, integer, wrong};
use std::collections::HashMap;
use toml::de::{DeTable, DeValue};

/// The values of the variables that the table `value` defines.
pub(super) fn evaluate_all(value: &Value<'_>) -> Result<HashMap<String, i64>, Mistake> {
    let DeValue::Table(table) = value.get_ref() else {
        return Err(wrong("variables", "a table", value));
    };
    let mut definitions = Definitions { table, values: HashMap::new(), open: Vec::new() };
    for key in table.keys() {
        let name = key.get_ref();
        if !is_variable(name) {
            let expected = "made of letters, digits and underscores, and begin with no digit";
            let found = format!("'{}'", super::error::quoted(name));
            let problem = FileProblem::Value {
                name: "the name of a variable".to_string(),
                expected: expected.to_string(),
                found,
            };
            return Err(Mistake::new(key.span().start, problem));
        }
        definitions.value(name, key.span().start)?;
    }
    Ok(definitions.values)
}

struct Definitions<'t> {
    table: &'t DeTable<'t>,
    values: HashMap<String, i64>,
    /// The variables that are being evaluated, each for the sake of the one before it.
    open: Vec<&'t str>,
}

impl<'t> Definitions<'t> {
    /// The value of `name`, which is asked for at byte `at`.
    fn value(&mut self, name: &str, at: usize) -> Result<i64, Mistake> {
        if let Some(value) = self.values.get(name) {
            return Ok(*value);
        }
        let Some((key, value)) = self.table.get_key_value(name) else {
            let known: Vec<&str> = self.table.keys().map(|key| key.get_ref().as_ref()).collect();
            return Err(Mistake::new(at, unknown("variable", name, &known)));
        };
        if self.open.contains(&name) {
            return Err(Mistake::new(key.span().start, FileProblem::Cycle { name: name.to_string() }));
        }
        if self.open.len() == MAX_DEPTH {
            return Err(Mistake::new(key.span().start, FileProblem::LongChain { name: name.to_string() }));
        }
        self.open.push(key.get_ref());
        let value =
            integer(name, value, |text, offset| evaluate(text, offset, |other, at| self.value(other, at)))?;
        self.open.pop();
        self.values.insert(name.to_string(), value);
        Ok(value)
    }
}
