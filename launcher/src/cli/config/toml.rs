//! TOML as nodes.

use super::node::{Entry, Mistake, Node, Position, Value};
use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue};

/// Reads a file. Keys are in the order in which they stand there.
pub(super) fn read(text: &str) -> Result<Node, Mistake> {
    let document = DeTable::parse(text).map_err(|error| {
        let span = error.span().unwrap_or_default();
        let problem = match (error.message(), text.get(span.clone())) {
            ("duplicate key", Some(key)) => format!("'{key}' is given twice"),
            (problem, _) => problem.replace('\n', ", "),
        };
        Mistake { at: Position::of(text, span.start), problem }
    })?;
    let value = Value::Table(entries(text, document.get_ref())?);
    Ok(Node { value, at: Position { line: 1, column: 1 } })
}

/// Reads one value.
pub(super) fn read_value(text: &str) -> Option<Value> {
    let line = format!("x = {text}");
    let document = DeTable::parse(&line).ok()?;
    let [entry] = entries(&line, document.get_ref()).ok()?.try_into().ok()?;
    Some(entry.node.value)
}

fn entries(text: &str, table: &DeTable<'_>) -> Result<Vec<Entry>, Mistake> {
    // The table has them in the order of the alphabet.
    let mut keys: Vec<_> = table.iter().collect();
    keys.sort_by_key(|(key, _)| key.span().start);
    let entry = |(key, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
        let at = Position::of(text, key.span().start);
        Ok(Entry { key: key.get_ref().to_string(), at, node: node(text, value)? })
    };
    keys.into_iter().map(entry).collect()
}

fn node(text: &str, value: &Spanned<DeValue<'_>>) -> Result<Node, Mistake> {
    let at = Position::of(text, value.span().start);
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Boolean(switch) => Value::Switch(*switch),
        DeValue::Integer(number) if number.radix() == 10 => Value::Number(number.as_str().to_string()),
        DeValue::Integer(number) => {
            let decimal = i64::from_str_radix(number.as_str(), number.radix()).map_err(|_| Mistake {
                at,
                problem: format!("{} is too large for a whole number", number.as_str()),
            })?;
            Value::Number(decimal.to_string())
        }
        DeValue::Float(number) => Value::Number(number.as_str().to_string()),
        DeValue::Datetime(time) => Value::Text(time.to_string()),
        DeValue::Array(items) => {
            Value::List(items.iter().map(|item| node(text, item)).collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => Value::Table(entries(text, table)?),
    };
    Ok(Node { value, at })
}
