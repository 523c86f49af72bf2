//! The progress bar of an epoch, on standard error. It is shown if that is a terminal, or if a launcher shows
//! it on one.

use crate::rank::report::scores;
use crate::system::variables::PROGRESS;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use isograd_model::{Metric, Progress};
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Time between two drawings. Steps in between cost one comparison each.
const INTERVAL: Duration = Duration::from_millis(100);

/// The bar's own limit of drawings per second. It draws for each new position and each new message, 20 times
/// per second in all, and must drop none.
const LIMIT_HZ: u8 = 40;

const TEMPLATE: &str = "{prefix} {wide_bar} {pos}/{len} {msg}";

/// A bar that is cleared when it is dropped.
#[derive(Debug)]
pub(crate) struct EpochBar<'a> {
    bar: ProgressBar,
    metrics: &'a [Metric],
    next: Duration,
}

impl<'a> EpochBar<'a> {
    /// A bar for epoch `epoch`, from 1, of `epochs` with `samples` samples each; `None` if there is no
    /// terminal.
    pub(crate) fn start(epoch: u32, epochs: u32, samples: usize, metrics: &'a [Metric]) -> Option<Self> {
        let columns = std::env::var(PROGRESS).ok().and_then(|columns| columns.parse().ok());
        let target = match columns {
            Some(columns) => ProgressDrawTarget::term_like_with_hz(Box::new(Relayed::new(columns)), LIMIT_HZ),
            None if io::stderr().is_terminal() => ProgressDrawTarget::stderr_with_hz(LIMIT_HZ),
            None => return None,
        };
        let style = ProgressStyle::with_template(TEMPLATE).expect("the template is well-formed");
        let bar = ProgressBar::with_draw_target(Some(samples as u64), target)
            .with_style(style)
            .with_prefix(format!("epoch {epoch}/{epochs}"));
        Some(Self { bar, metrics, next: INTERVAL })
    }

    /// Draws the progress of the epoch, if the last drawing is long enough ago.
    pub(crate) fn show(&mut self, progress: &Progress<'_>) {
        if progress.elapsed < self.next {
            return;
        }
        self.next = progress.elapsed + INTERVAL;
        let rate = progress.samples as f64 / progress.elapsed.as_secs_f64();
        let scores = scores("", progress.loss, self.metrics, progress.metrics);
        self.bar.set_position(progress.samples as u64);
        self.bar.set_message(format!("{rate:.1} samples/s, {scores}"));
    }
}

impl Drop for EpochBar<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// The terminal of the launcher. For the launcher, a line that ends with a carriage return replaces the line
/// before.
#[derive(Debug)]
struct Relayed {
    columns: u16,
    line: Mutex<String>,
}

impl Relayed {
    fn new(columns: u16) -> Self {
        Self { columns, line: Mutex::default() }
    }

    fn change(&self, change: impl FnOnce(&mut String)) -> io::Result<()> {
        change(&mut self.line.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }
}

/// A bar has one line, so the cursor need not move.
impl TermLike for Relayed {
    fn width(&self) -> u16 {
        self.columns
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.change(|line| line.push_str(text))
    }

    fn clear_line(&self) -> io::Result<()> {
        self.change(String::clear)
    }

    fn flush(&self) -> io::Result<()> {
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        io::stderr().write_all(format!("{}\r", line.trim_end()).as_bytes())
    }
}
