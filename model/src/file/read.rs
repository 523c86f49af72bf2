//! From a text to layers.

use super::error::{FileError, FileProblem, Mistake};
use super::expression::{Scope, is_variable, unknown};
use super::table::{Table, Value, array, count, counts, text, wrong};
use super::types::{self, TYPES};
use super::{BLOCKS, MAX_BYTES, MAX_DEPTH, MAX_LAYERS};
use crate::layer::{Addition, Concatenation, Frozen, Input, Layer, Layers, Named, Residual, Sequence};
use crate::layers;
use isograd_kernels::Element;
use std::collections::HashMap;
use toml::de::{DeTable, DeValue};

/// What is said of a list of layers that is none.
const LIST: &str = "a list of layers, such as [{ type = \"Dense\", outputs = 10 }, \"Softmax\"]";

/// The layers of a file, and where each of them begins in the text, by its position in the network.
#[derive(Debug)]
pub(super) struct Contents<T> {
    pub(super) layers: Layers<T>,
    pub(super) offsets: HashMap<String, usize>,
}

/// Reads a network file.
pub(super) fn read<T: Element>(text: &str) -> Result<Contents<T>, FileError> {
    if text.len() > MAX_BYTES {
        return Err(FileError::TooLong { bytes: text.len() });
    }
    let mistake = |error: toml::de::Error| {
        let offset = error.span().map_or(0, |span| span.start);
        Mistake::new(offset, FileProblem::Syntax { message: error.message().to_string() })
    };
    let document = DeTable::parse(text).map_err(mistake).map_err(|mistake| mistake.of(text))?;
    let mut reader = Reader { entries: 0, depth: 0, place: Vec::new(), offsets: HashMap::new() };
    let layers = reader.network(document.get_ref()).map_err(|mistake| mistake.of(text))?;
    Ok(Contents { layers, offsets: reader.offsets })
}

struct Reader {
    /// The layers, paths and repetitions so far.
    entries: usize,
    /// The lists around the current one.
    depth: usize,
    /// The position of the current layer in each list from the network's own to its own, with paths between.
    place: Vec<usize>,
    offsets: HashMap<String, usize>,
}

impl Reader {
    fn network<T: Element>(&mut self, document: &DeTable<'_>) -> Result<Layers<T>, Mistake> {
        let none = HashMap::new();
        let without_variables = Scope::File(&none);
        let mut table = Table::new("a network file", 0, Some(document), &without_variables);
        let variables = table.get("variables").map(super::variables::evaluate_all).transpose()?;
        let variables = variables.unwrap_or_default();
        let scope = Scope::File(&variables);
        let input = self.input(table.needed("input")?, &scope)?;
        let list = table.needed("layers")?;
        table.end()?;
        let mut layers: Layers<T> = vec![input];
        self.list(list, "layers", &scope, &mut layers)?;
        Ok(layers)
    }

    /// The input: the shape of a sample, or a table with the shape and a name.
    fn input<T: Element>(
        &mut self,
        value: &Value<'_>,
        scope: &Scope<'_>,
    ) -> Result<Box<dyn Layer<T>>, Mistake> {
        self.offsets.insert("0".to_string(), value.span().start);
        let (shape, name) = match value.get_ref() {
            DeValue::Table(options) => {
                let mut table = Table::new("input", value.span().start, Some(options), scope);
                let (shape, name) = (table.needed("shape")?, table.name("name")?);
                table.end()?;
                (shape, name)
            }
            _ => (value, None),
        };
        let input = match counts("input", shape, scope)?[..] {
            [features] => Input::vector(features),
            [c, h, w] => Input::new(c, h, w),
            _ => {
                return Err(wrong("input", "a number of features or [channels, height, width]", shape));
            }
        };
        Ok(match name {
            Some(name) => Box::new(Named::boxed(name, Box::new(input))),
            None => Box::new(input),
        })
    }

    /// Counts a layer, a path or a repetition.
    fn enter(&mut self, offset: usize) -> Result<(), Mistake> {
        self.entries += 1;
        if self.entries > MAX_LAYERS { Err(Mistake::new(offset, FileProblem::TooManyLayers)) } else { Ok(()) }
    }

    /// Adds the layers of the list `value`, which is the option `name`, to `layers`.
    fn list<T: Element>(
        &mut self,
        value: &Value<'_>,
        name: &str,
        scope: &Scope<'_>,
        layers: &mut Layers<T>,
    ) -> Result<(), Mistake> {
        let entries = array(name, LIST, value)?;
        if self.depth == MAX_DEPTH {
            return Err(Mistake::new(value.span().start, FileProblem::TooDeep));
        }
        self.depth += 1;
        for entry in entries.iter() {
            self.enter(entry.span().start)?;
            match entry.get_ref() {
                DeValue::Table(table) if table.contains_key("repeat") => {
                    let table = Table::new("a repetition", entry.span().start, Some(table), scope);
                    self.repetition(table, layers)?;
                }
                DeValue::Table(options) => {
                    let mut table = Table::new("a layer", entry.span().start, Some(options), scope);
                    let kind = text("type", "the name of a type", table.needed("type")?)?;
                    let offset = table.needed("type")?.span().start;
                    table.what = kind.to_string();
                    self.layer(kind, offset, table, layers)?;
                }
                DeValue::String(kind) => {
                    let offset = entry.span().start;
                    self.layer(kind, offset, Table::new(kind, offset, None, scope), layers)?;
                }
                _ => return Err(wrong(name, LIST, entry)),
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Adds the layers of a list as often as it says.
    fn repetition<T: Element>(
        &mut self,
        mut table: Table<'_>,
        layers: &mut Layers<T>,
    ) -> Result<(), Mistake> {
        let scope = table.scope;
        let times = count("repeat", table.needed("repeat")?, 0, scope)?;
        let expected = "the name of a variable: letters, digits and underscores";
        let index = table.get("index").map(|value| match text("index", expected, value)? {
            name if is_variable(name) => Ok(name),
            _ => Err(wrong("index", expected, value)),
        });
        let index = index.transpose()?;
        let list = table.needed("layers")?;
        table.end()?;
        for number in 0..times {
            self.enter(list.span().start)?;
            let counter = index.map(|name| Scope::Counter { name, value: number as i64, around: scope });
            self.list(list, "layers", counter.as_ref().unwrap_or(scope), layers)?;
        }
        Ok(())
    }

    /// Adds the layer or block of type `kind`, a word at byte `offset`.
    fn layer<T: Element>(
        &mut self,
        kind: &str,
        offset: usize,
        mut table: Table<'_>,
        layers: &mut Layers<T>,
    ) -> Result<(), Mistake> {
        self.place.push(layers.len());
        let place = self.place.iter().map(usize::to_string).collect::<Vec<_>>().join(".");
        self.offsets.insert(place, table.offset);
        table.get("type");
        let (name, frozen) = (table.name("name")?, table.switch("frozen")?);
        let mut layer: Box<dyn Layer<T>> = match kind {
            "Sequence" => Box::new(Sequence::new(self.sublist(&mut table, "layers", None)?)),
            "Residual" => {
                let block = Residual::new(self.sublist(&mut table, "layers", Some(0))?);
                match table.get("projection") {
                    Some(list) => {
                        let mut projection = layers![];
                        self.path(list, "projection", Some(1), table.scope, &mut projection)?;
                        Box::new(block.projection(projection))
                    }
                    None => Box::new(block),
                }
            }
            "Addition" => Box::new(Addition::new(self.paths(&mut table)?)),
            "Concatenation" => Box::new(Concatenation::new(self.paths(&mut table)?)),
            "Input" => return Err(Mistake::new(offset, input_inside())),
            _ => match types::layer(kind, &mut table)? {
                Some(layer) => layer,
                None => {
                    let known: Vec<&str> = TYPES.into_iter().chain(BLOCKS).collect();
                    return Err(Mistake::new(offset, unknown("type", kind, &known)));
                }
            },
        };
        table.end()?;
        self.place.pop();
        if frozen == Some(true) {
            layer = Box::new(Frozen::boxed(layer));
        }
        if let Some(name) = name {
            layer = Box::new(Named::boxed(name, layer));
        }
        layers.push(layer);
        Ok(())
    }

    /// The layers of a block's option `name`.
    fn sublist<T: Element>(
        &mut self,
        table: &mut Table<'_>,
        name: &'static str,
        path: Option<usize>,
    ) -> Result<Layers<T>, Mistake> {
        let mut layers = Vec::new();
        self.path(table.needed(name)?, name, path, table.scope, &mut layers)?;
        Ok(layers)
    }

    /// Adds the layers of a list, which is path `path` of the current block if that has paths.
    fn path<T: Element>(
        &mut self,
        list: &Value<'_>,
        name: &str,
        path: Option<usize>,
        scope: &Scope<'_>,
        layers: &mut Layers<T>,
    ) -> Result<(), Mistake> {
        self.enter(list.span().start)?;
        self.place.extend(path);
        self.list(list, name, scope, layers)?;
        if path.is_some() {
            self.place.pop();
        }
        Ok(())
    }

    /// The paths of a block.
    fn paths<T: Element>(&mut self, table: &mut Table<'_>) -> Result<Vec<Layers<T>>, Mistake> {
        let expected = "a list of paths, each of which is a list of layers";
        let lists = array("paths", expected, table.needed("paths")?)?;
        let mut paths = Vec::new();
        for (number, list) in lists.iter().enumerate() {
            let mut layers = Vec::new();
            self.path(list, "paths", Some(number), table.scope, &mut layers)?;
            paths.push(layers);
        }
        Ok(paths)
    }
}

/// The mistake that an input stands among the layers.
fn input_inside() -> FileProblem {
    FileProblem::Value {
        name: "type".to_string(),
        expected: "that of a layer behind the input, whose shape is 'input = …' at the top of the file"
            .to_string(),
        found: "'Input'".to_string(),
    }
}
