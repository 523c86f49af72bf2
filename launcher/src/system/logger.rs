//! Prints what this program and its libraries log, on standard error.

use crate::system::escape::one_line;
use log::{LevelFilter, Log, Metadata, Record};
use std::io::{self, Write};

/// The variable with the least severe level to print: `error`, `warn`, `info`, `debug`, `trace` or `off`.
const LEVEL: &str = "RUST_LOG";

struct StandardError;

impl Log for StandardError {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let level = record.level().as_str().to_lowercase();
            let line = format!("{level}: {}\n", one_line(&record.args().to_string()));
            // One write, as other ranks may write to the same terminal. If it fails, there is nowhere to say
            // so.
            let _ = io::stderr().write_all(line.as_bytes());
        }
    }

    fn flush(&self) {}
}

/// Starts to print: warnings and errors, or what the environment asks for.
///
/// # Panics
///
/// When called twice.
pub(crate) fn install() {
    let level = std::env::var(LEVEL).ok().and_then(|level| level.parse().ok());
    log::set_max_level(level.unwrap_or(LevelFilter::Warn));
    log::set_logger(&StandardError).expect("the program has one logger");
}
