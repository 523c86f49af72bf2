//! The choices of a tuner: which path each convolution of a network takes, as it was measured.

use super::error::{FileError, FileProblem, Mistake};
use super::expression::{Scope, unknown};
use super::table::{Table, array, counts, text, wrong};
use super::write::fields_of;
use crate::layer::{ConvTable, Options};
use isograd_kernels::Size2;
use isograd_kernels::conv::{Conv2dShape, Path, Paths};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use toml::de::{DeTable, DeValue};

/// The most bytes of such a file: programs take it as one word of their command line, too.
pub const MAX_TUNING_BYTES: usize = 100_000;

/// The form of the file.
const FORMAT: usize = 1;

/// The names of the passes, in the order of [`Paths::each`].
const PASSES: [&str; 3] = ["forward", "input_gradient", "weight_gradient"];

/// Paths of convolutions that were measured to be fast, and what they were measured on.
///
/// The paths are a part of the arithmetic: results of others differ by rounding. Where the choices are used
/// does not change the bits; where they were measured says only how fast they may be expected to be.
///
/// ```
/// use isograd_model::file::Tuning;
/// let text = r#"
///     format = 1
///     version = "0.1.0"
///     model = "my-net"
///     machine = "a CPU"
///     isa = "avx2"
///     dtype = "float32"
///     threads = 2
///     batch_size = 64
///     shard_size = 32
///     convolutions = [
///         { input = [16, 8, 8], filters = 16, kernel = 3, padding = 1, forward = "winograd4",
///           input_gradient = "direct", weight_gradient = "im2col" },
///     ]
/// "#;
/// let tuning = Tuning::parse(text)?;
/// assert_eq!(Tuning::parse(&tuning.to_toml())?, tuning);
/// # Ok::<(), isograd_model::file::FileError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tuning {
    /// The version of the program that measured.
    pub version: String,
    /// The network.
    pub model: String,
    /// The model of the CPU.
    pub machine: String,
    /// The name of the instruction-set level.
    pub isa: String,
    /// The name of the element type.
    pub dtype: String,
    /// The threads that measured at the same time.
    pub threads: usize,
    /// The samples of a batch.
    pub batch_size: usize,
    /// The samples of a shard.
    pub shard_size: usize,
    /// The choices.
    pub table: ConvTable,
}

impl Tuning {
    /// Reads a text that [`to_toml`](Self::to_toml) has written, or a user.
    ///
    /// # Errors
    ///
    /// [`FileError::Text`] with line and column of the first mistake, [`FileError::TooManyChoices`].
    pub fn parse(text: &str) -> Result<Self, FileError> {
        if text.len() > MAX_TUNING_BYTES {
            return Err(FileError::TooManyChoices { bytes: text.len() });
        }
        let syntax = |error: toml::de::Error| {
            let offset = error.span().map_or(0, |span| span.start);
            Mistake::new(offset, FileProblem::Syntax { message: error.message().to_string() }).of(text)
        };
        let document = DeTable::parse(text).map_err(syntax)?;
        read(document.get_ref()).map_err(|mistake| mistake.of(text))
    }

    /// As a text in TOML, a convolution a line.
    pub fn to_toml(&self) -> String {
        let Self { version, model, machine, isa, dtype, threads, batch_size, shard_size, table } = self;
        let mut text = format!("format = {FORMAT}\n");
        for (name, value) in
            [("version", version), ("model", model), ("machine", machine), ("isa", isa), ("dtype", dtype)]
        {
            text += &format!("{name} = {}\n", quoted(value));
        }
        for (name, value) in [("threads", threads), ("batch_size", batch_size), ("shard_size", shard_size)] {
            text += &format!("{name} = {value}\n");
        }
        text += "convolutions = [\n";
        for (shape, paths) in table.iter() {
            text += &format!("    {{ {} }},\n", entry(shape, paths));
        }
        text + "]\n"
    }

    /// The SHA-256 of the choices alone, in hexadecimal digits: equal for texts that choose the same.
    pub fn digest(&self) -> String {
        let mut entries: Vec<String> = self.table.iter().map(|(shape, paths)| entry(shape, paths)).collect();
        entries.sort_unstable();
        let digest = Sha256::digest(entries.join("\n"));
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// `value`, which is one line, as a string of TOML.
fn quoted(value: &str) -> String {
    let plain = value.replace(char::is_control, " ");
    format!("\"{}\"", plain.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The line of a convolution.
fn entry(shape: &Conv2dShape, paths: &Paths) -> String {
    let Conv2dShape { c, h, w, f, kh, kw, stride, padding, dilation, groups } = *shape;
    let options = Options::new()
        .with("input", vec![c, h, w])
        .with("filters", f)
        .with("kernel", Size2 { h: kh, w: kw })
        .with_unless("stride", stride, Size2::from(1))
        .with_unless("padding", padding, Size2::from(0))
        .with_unless("dilation", dilation, Size2::from(1))
        .with_unless("groups", groups, 1);
    let paths = PASSES.iter().zip(paths.each()).map(|(pass, path)| format!("{pass} = \"{}\"", path.name()));
    fields_of(&options).chain(paths).collect::<Vec<_>>().join(", ")
}

fn read(document: &DeTable<'_>) -> Result<Tuning, Mistake> {
    let none = HashMap::new();
    let scope = Scope::File(&none);
    let mut table = Table::new("a file of choices", 0, Some(document), &scope);
    let format = table.needed_count("format")?;
    if format != FORMAT {
        let offset = table.needed("format")?.span().start;
        return Err(Mistake::new(offset, FileProblem::Format { found: format, known: FORMAT }));
    }
    let (version, model) = (string(&mut table, "version")?, string(&mut table, "model")?);
    let machine = string(&mut table, "machine")?;
    let (isa, dtype) = (string(&mut table, "isa")?, string(&mut table, "dtype")?);
    let threads = table.needed_count("threads")?;
    let (batch_size, shard_size) = (table.needed_count("batch_size")?, table.needed_count("shard_size")?);
    let list = array("convolutions", "a list of convolutions", table.needed("convolutions")?)?;
    let mut choices = ConvTable::new();
    for value in list {
        let offset = value.span().start;
        let DeValue::Table(options) = value.get_ref() else {
            return Err(wrong("convolutions", "a list of convolutions", value));
        };
        let mut table = Table::new("a convolution", offset, Some(options), &scope);
        let (shape, paths) = convolution(&mut table, offset)?;
        table.end()?;
        if choices.get(&shape).is_some() {
            return Err(Mistake::new(offset, FileProblem::ChosenTwice { shape }));
        }
        choices.set(shape, paths).map_err(|error| Mistake::new(offset, FileProblem::Conv(error)))?;
    }
    table.end()?;
    Ok(Tuning { version, model, machine, isa, dtype, threads, batch_size, shard_size, table: choices })
}

/// A text of one line, as it can be shown in a message.
fn string(table: &mut Table<'_>, name: &'static str) -> Result<String, Mistake> {
    const LONGEST: usize = 200;
    let value = table.needed(name)?;
    let found = text(name, "a text", value)?;
    match found.len() <= LONGEST && !found.contains(char::is_control) {
        true => Ok(found.to_string()),
        false => Err(wrong(name, format!("a line of at most {LONGEST} bytes"), value)),
    }
}

/// The shape and the paths of the convolution that `table` describes, which begins at byte `offset`.
fn convolution(table: &mut Table<'_>, offset: usize) -> Result<(Conv2dShape, Paths), Mistake> {
    let input = table.needed("input")?;
    let [c, h, w] = counts("input", input, table.scope)?[..] else {
        return Err(wrong("input", "[channels, height, width]", input));
    };
    let (f, kernel) = (table.needed_count("filters")?, table.needed_size("kernel")?);
    let mut size = |name, usual: usize| Ok(table.size(name)?.unwrap_or(Size2::from(usual)));
    let [stride, padding, dilation] = [size("stride", 1)?, size("padding", 0)?, size("dilation", 1)?];
    let groups = table.count("groups", 1)?.unwrap_or(1);
    let shape = Conv2dShape { c, h, w, f, kh: kernel.h, kw: kernel.w, stride, padding, dilation, groups };
    let usual = Paths::by_shape(&shape).map_err(|error| Mistake::new(offset, FileProblem::Conv(error)))?;
    let mut path = |name| {
        let value = table.needed(name)?;
        let found = text(name, "the name of a path", value)?;
        let known = Path::ALL.map(Path::name);
        let path = Path::ALL.into_iter().find(|path| path.name() == found);
        path.ok_or_else(|| Mistake::new(value.span().start, unknown("path", found, &known)))
    };
    let [forward, input_gradient, weight_gradient] = PASSES;
    Ok((
        shape,
        Paths {
            forward: path(forward)?,
            input_gradient: path(input_gradient)?,
            weight_gradient: path(weight_gradient)?,
            // Choices are measured with full shards: passes over few samples are as without them.
            ..usual
        },
    ))
}
