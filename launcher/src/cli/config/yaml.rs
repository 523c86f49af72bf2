//! YAML as nodes: one document of mappings, sequences and scalars, read event by event, so that each value
//! has its place. Anchors can be used; tags and keys that are no scalars are refused.

use super::node::{Entry, Mistake, Node, Position, Value};
use granit_parser::{Event, Parser, ScalarStyle, Span};
use std::collections::HashMap;

/// The most nodes of a file: aliases of aliases could take all memory.
const MAX_NODES: usize = 1_000_000;
/// How deep mappings and sequences can be in each other; as in TOML.
const MAX_DEPTH: usize = 80;

/// Reads a file. Keys are in the order in which they stand there.
pub(crate) fn read(text: &str) -> Result<Node, Mistake> {
    let mut reader =
        Reader { events: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0, depth: 0 };
    let mut root = None;
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => (),
            Event::StreamEnd => break,
            event if root.is_none() => root = Some(reader.node(event, span)?),
            _ => return Err(mistake(span, "a configuration is one document, here begins a second one")),
        }
    }
    let at = Position { line: 1, column: 1 };
    // An empty file is one empty value.
    match root {
        None | Some(Node { value: Value::Null, .. }) => Ok(Node { value: Value::Table(Vec::new()), at }),
        Some(node @ Node { value: Value::Table(_), .. }) => Ok(node),
        Some(Node { value, at }) => {
            Err(Mistake { at, problem: format!("expected keys with values, found {}", value.describe()) })
        }
    }
}

struct Reader<'t> {
    events: Parser<'t, granit_parser::StrInput<'t>>,
    /// The nodes that aliases stand for, with the number of nodes in each.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    /// The mappings and sequences around the current node.
    depth: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), Mistake> {
        match self.events.next() {
            Some(event) => event.map_err(|error| {
                let at = Position { line: error.marker().line(), column: error.marker().col() + 1 };
                Mistake { at, problem: error.info() }
            }),
            None => {
                let problem = "the file ends too early".to_string();
                Err(Mistake { at: Position { line: 1, column: 1 }, problem })
            }
        }
    }

    /// The node that begins with `event`.
    fn node(&mut self, event: Event<'t>, span: Span) -> Result<Node, Mistake> {
        let (at, before) = (position(span), self.nodes);
        self.nodes += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(mistake(span, &format!("values can be {MAX_DEPTH} deep in each other")));
        }
        let (value, anchor) = match event {
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, _, Some(_))
            | Event::MappingStart(_, _, Some(_)) => {
                return Err(mistake(span, "tags mean nothing here"));
            }
            Event::Scalar(text, style, anchor, None) => (scalar(&text, style), anchor),
            Event::SequenceStart(_, anchor, None) => (Value::List(self.items()?), anchor),
            Event::MappingStart(_, anchor, None) => (Value::Table(self.entries()?), anchor),
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor) else {
                    return Err(mistake(span, "this alias stands for a value that it is a part of"));
                };
                self.nodes += size;
                let value = if self.nodes > MAX_NODES { Value::Null } else { node.value.clone() };
                (value, 0)
            }
            _ => return Err(mistake(span, "expected a value")),
        };
        if self.nodes > MAX_NODES {
            return Err(mistake(span, &format!("a configuration can have {MAX_NODES} values")));
        }
        self.depth -= 1;
        let node = Node { value, at };
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before));
        }
        Ok(node)
    }

    fn items(&mut self) -> Result<Vec<Node>, Mistake> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, span) => items.push(self.node(event, span)?),
            }
        }
    }

    fn entries(&mut self) -> Result<Vec<Entry>, Mistake> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (key, at) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(entries),
                (Event::Scalar(text, ..), span) => (text.to_string(), position(span)),
                (_, span) => return Err(mistake(span, "expected a name")),
            };
            if let Some(first) = entries.iter().find(|entry| entry.key == key) {
                let problem = format!("'{key}' is given twice, first in {}", first.at);
                return Err(Mistake { at, problem });
            }
            let (event, span) = self.next()?;
            let node = self.node(event, span)?;
            entries.push(Entry { key, at, node });
        }
    }
}

fn position(span: Span) -> Position {
    Position { line: span.start.line(), column: span.start.col() + 1 }
}

fn mistake(span: Span, problem: &str) -> Mistake {
    Mistake { at: position(span), problem: problem.to_string() }
}

/// What a scalar is by the core schema of YAML 1.2: `yes` and `no` are texts.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::Text(text.to_string());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Switch(true),
        "false" | "False" | "FALSE" => Value::Switch(false),
        _ if super::is_number(text) => Value::Number(text.to_string()),
        _ => Value::Text(text.to_string()),
    }
}
