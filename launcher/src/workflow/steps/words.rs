//! Options of commands, from values and from files.

use crate::cli::config::table::{self, Given};
use crate::cli::config::{CommandOptions, Origins};
use crate::cli::{self, Command, Parsed, conv_plan};
use crate::failure::Failure;
use isograd_kernels::Isa;
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// The command that `words` are, which begin with its name.
pub(super) fn parse(words: &[String]) -> Result<Command, Failure> {
    let program = std::iter::once("isograd").chain(words.iter().map(String::as_str)).map(OsString::from);
    match cli::parse(program)? {
        Parsed::Command(command) => Ok(*command),
        Parsed::Text(text) => Err(Failure::Step { problem: format!("no options, but: {text}") }),
    }
}

/// Words of a command line as text, which orders and keys are.
fn texts(words: Vec<OsString>) -> Result<Vec<String>, Failure> {
    let text = |word: OsString| {
        word.into_string().map_err(|word| Failure::Step { problem: format!("{word:?} is not UTF-8") })
    };
    words.into_iter().map(text).collect()
}

/// The options `given` of the command `name` as words, with a tuner's choices in the place of their file, and
/// where the options stand.
pub(super) fn of_command(name: &str, given: &[Given]) -> Result<(Vec<String>, Origins), Failure> {
    let (words, origins) = table::words(name, given)?;
    let options = CommandOptions::of_any(name).expect("the name of a command");
    let words = conv_plan::with_text(&options, words).map_err(|failure| origins.explain(failure))?;
    Ok((texts(words)?, origins))
}

/// A text that differs where `words` do, or the files that they name as a network or its parameters.
pub(super) fn with_files(words: &[String]) -> String {
    const READ: [&str; 2] = ["--model=", "--load="];
    let paths = words.iter().filter_map(|word| READ.iter().find_map(|name| word.strip_prefix(name)));
    let stamps: Vec<String> = paths.map(Path::new).filter(|path| path.exists()).map(stamp).collect();
    format!("{words:?} {stamps:?}")
}

/// The options of a data set for `command`, without those that it does not have.
pub(super) fn of_dataset(dataset: &Json, command: &str) -> Vec<String> {
    let options = dataset.get("options").and_then(Json::as_array).into_iter().flatten();
    let name = |word: &str| word.trim_start_matches('-').split('=').next().unwrap_or_default().to_string();
    let words = options.filter_map(Json::as_str).map(str::to_string);
    words.filter(|word| table::has_option(command, &name(word))).collect()
}

/// A text that differs where the program, or its instruction-set level, does.
pub(super) fn program() -> String {
    format!("isograd {} {}", env!("CARGO_PKG_VERSION"), Isa::best())
}

/// A text that differs where the files at `path` do: by their names, lengths and times.
pub(super) fn stamp(path: &Path) -> String {
    let mut lines = Vec::new();
    add(path, &mut lines);
    lines.sort();
    short(&lines.join("\n"))
}

fn add(path: &Path, lines: &mut Vec<String>) {
    let Ok(meta) = std::fs::metadata(path) else { return };
    if meta.is_dir() {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        return entries.for_each(|entry| add(&entry.path(), lines));
    }
    let time = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    lines.push(format!("{} {} {:?}", path.display(), meta.len(), time.unwrap_or_default()));
}

/// The first digits of the SHA-256 of `text`.
pub(super) fn short(text: &str) -> String {
    Sha256::digest(text).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// The SHA-256 of a file.
pub(super) fn digest(path: &Path) -> std::io::Result<String> {
    let mut digest = Sha256::new();
    std::io::copy(&mut std::fs::File::open(path)?, &mut digest)?;
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Numbers by name; those that JSON cannot hold are null.
pub(super) fn record(figures: Vec<(String, f64)>) -> Json {
    Json::Object(figures.into_iter().map(|(name, value)| (name, Json::from(value))).collect::<Map<_, _>>())
}
