//! From layers to a text.

use super::error::FileError;
use super::expression::MAX_TEXT;
use super::types::TYPES;
use super::{BLOCKS, MAX_DEPTH};
use crate::error::Error;
use crate::layer::{Block, Layer, Layers, OptionValue, Options, Sides, Size2};
use crate::place::Place;
use isograd_kernels::Element;
use std::fmt::Write;

/// The text of the network that `layers` describe.
pub(super) fn write<T: Element>(layers: Layers<T>) -> Result<String, Error> {
    let mut layers = layers.into_iter();
    let mut writer = Writer { text: String::new(), place: Place::root(), depth: 0 };
    match layers.next() {
        Some(layer) if layer.kind() == "Input" => writer.input(layer)?,
        found => return Err(Error::NoInput { found: found.map_or("missing", |layer| layer.kind()) }),
    }
    writer.text += "layers = ";
    writer.list(layers, None, 1)?;
    writer.text.push('\n');
    Ok(writer.text)
}

struct Writer {
    text: String,
    place: Place,
    depth: usize,
}

/// A layer without its wrappers.
struct Unwrapped<T> {
    name: Option<String>,
    frozen: bool,
    /// What the layer is made of, if it is a block.
    block: Option<Block<T>>,
    layer: Box<dyn Layer<T>>,
}

fn unwrap<T: Element>(mut layer: Box<dyn Layer<T>>) -> Unwrapped<T> {
    let (mut name, mut frozen) = (None, false);
    loop {
        match layer.take_block() {
            Some(Block::Named(given, inner)) => (name, layer) = (Some(given), inner),
            Some(Block::Frozen(inner)) => (frozen, layer) = (true, inner),
            block => return Unwrapped { name, frozen, block, layer },
        }
    }
}

impl Writer {
    fn input<T: Element>(&mut self, layer: Box<dyn Layer<T>>) -> Result<(), Error> {
        let Unwrapped { name, layer, .. } = unwrap(layer);
        self.place.enter(None, 0, layer.kind(), name.clone());
        let options = layer.options().ok_or_else(|| self.unwritable())?;
        let shape = options.iter().find(|(name, _)| *name == "shape").map(|(_, shape)| value(shape));
        let shape = shape.ok_or_else(|| self.unwritable())?;
        self.text = match name {
            Some(name) => format!("input = {{ shape = {shape}, name = {} }}\n", self.name(&name)?),
            None => format!("input = {shape}\n"),
        };
        self.place.leave();
        Ok(())
    }

    /// Writes a list of layers, the first of which is number `first` of the list, in path `path` of the
    /// current block if that has paths.
    fn list<T: Element>(
        &mut self,
        layers: impl ExactSizeIterator<Item = Box<dyn Layer<T>>>,
        path: Option<usize>,
        first: usize,
    ) -> Result<(), Error> {
        if layers.len() == 0 {
            self.text += "[]";
            return Ok(());
        }
        if self.depth == MAX_DEPTH {
            return Err(FileError::TooDeep { place: self.place.clone() }.into());
        }
        self.open();
        for (index, layer) in layers.enumerate() {
            let layer = unwrap(layer);
            self.line();
            self.place.enter(path, first + index, layer.layer.kind(), layer.name.clone());
            self.layer(layer)?;
            self.place.leave();
            self.text.push(',');
        }
        self.close();
        Ok(())
    }

    fn layer<T: Element>(&mut self, layer: Unwrapped<T>) -> Result<(), Error> {
        let Unwrapped { name, frozen, block, layer } = layer;
        let kind = layer.kind();
        let options = layer.options().filter(|_| is_known(kind, block.as_ref()));
        let options = options.ok_or_else(|| self.unwritable())?;
        let mut fields: Vec<String> = vec![format!("type = \"{kind}\"")];
        if let Some(name) = name {
            fields.push(format!("name = {}", self.name(&name)?));
        }
        fields.extend(frozen.then(|| "frozen = true".to_string()));
        fields.extend(fields_of(&options));
        match block {
            None if fields.len() == 1 => write!(self.text, "\"{kind}\"").expect("a string takes all"),
            None => write!(self.text, "{{ {} }}", fields.join(", ")).expect("a string takes all"),
            Some(block) => {
                write!(self.text, "{{ {}, ", fields.join(", ")).expect("a string takes all");
                self.block(kind, block)?;
                self.text += " }";
            }
        }
        Ok(())
    }

    fn block<T: Element>(&mut self, kind: &str, block: Block<T>) -> Result<(), Error> {
        match block {
            Block::Sequence(layers) => {
                self.text += "layers = ";
                self.list(layers.into_iter(), None, 0)
            }
            Block::Addition(paths) if kind == "Residual" => {
                let names = ["layers", "projection"];
                for (number, (layers, name)) in paths.into_iter().zip(names).enumerate() {
                    if number > 0 && layers.is_empty() {
                        continue;
                    }
                    self.text += if number > 0 { ", " } else { "" };
                    write!(self.text, "{name} = ").expect("a string takes all");
                    self.list(layers.into_iter(), Some(number), 0)?;
                }
                Ok(())
            }
            Block::Addition(paths) | Block::Concatenation(paths) => {
                self.text += "paths = ";
                if paths.is_empty() {
                    self.text += "[]";
                    return Ok(());
                }
                self.open();
                for (number, layers) in paths.into_iter().enumerate() {
                    self.line();
                    self.list(layers.into_iter(), Some(number), 0)?;
                    self.text.push(',');
                }
                self.close();
                Ok(())
            }
            Block::Named(..) | Block::Frozen(_) => unreachable!("wrappers have been taken off"),
        }
    }

    /// A name as a string of TOML in which braces stand for themselves.
    fn name(&self, name: &str) -> Result<String, Error> {
        let name = name.replace('{', "{{").replace('}', "}}");
        if name.len() > MAX_TEXT {
            return Err(FileError::LongName { place: self.place.clone() }.into());
        }
        let mut text = String::from('"');
        for character in name.chars() {
            match character {
                '"' | '\\' => text.extend(['\\', character]),
                c if c.is_control() => write!(text, "\\u{:04X}", u32::from(c)).expect("a string takes all"),
                c => text.push(c),
            }
        }
        Ok(text + "\"")
    }

    fn unwritable(&self) -> Error {
        FileError::Unwritable { place: self.place.clone() }.into()
    }

    fn open(&mut self) {
        self.text.push('[');
        self.depth += 1;
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.line();
        self.text.push(']');
    }

    /// Begins a line.
    fn line(&mut self) {
        write!(self.text, "\n{:1$}", "", 4 * self.depth).expect("a string takes all");
    }
}

/// Whether a file can have a layer of type `kind`, or a block of this type that is made as ours are.
fn is_known<T>(kind: &str, block: Option<&Block<T>>) -> bool {
    match block {
        None => TYPES.contains(&kind),
        Some(block) => {
            let kinds: &[&str] = match block {
                Block::Sequence(_) => &["Sequence"],
                Block::Addition(paths) if paths.len() == 2 => &["Residual", "Addition"],
                Block::Addition(_) => &["Addition"],
                Block::Concatenation(_) => &["Concatenation"],
                Block::Named(..) | Block::Frozen(_) => &[],
            };
            kinds.contains(&kind) && BLOCKS.contains(&kind)
        }
    }
}

pub(super) fn fields_of(options: &Options) -> impl Iterator<Item = String> {
    options.iter().map(|(name, option)| format!("{name} = {}", value(option)))
}

fn value(value: &OptionValue) -> String {
    match value {
        OptionValue::Count(count) => count.to_string(),
        // Debug gives the shortest decimal that is read back to the same number; TOML has no capitals in it.
        OptionValue::Number(number) => format!("{number:?}").to_lowercase(),
        OptionValue::Switch(switch) => switch.to_string(),
        OptionValue::Size(Size2 { h, w }) if h == w => h.to_string(),
        OptionValue::Size(Size2 { h, w }) => array(&[*h, *w]),
        OptionValue::Sides(Sides { top, bottom, left, right }) => match [*top, *bottom, *left, *right] {
            [top, bottom, left, right] if top == bottom && left == right && top == left => top.to_string(),
            [top, bottom, left, right] if top == bottom && left == right => array(&[top, left]),
            sides => array(&sides),
        },
        OptionValue::Dims(dims) => match dims[..] {
            [one] => one.to_string(),
            _ => array(dims),
        },
        OptionValue::Initializer(initializer) => format!("\"{initializer}\""),
    }
}

fn array(counts: &[usize]) -> String {
    format!("[{}]", counts.iter().map(usize::to_string).collect::<Vec<_>>().join(", "))
}
