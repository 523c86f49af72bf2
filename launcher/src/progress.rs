//! The progress bar of an epoch, on standard error when that is a terminal.

use crate::report::scores;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use isograd_model::{Metric, Progress};
use std::io::IsTerminal;
use std::time::Duration;

/// Time between two drawings. Between them a step costs one comparison.
const INTERVAL: Duration = Duration::from_millis(100);

/// The bar's own limit of drawings a second. Each new position and each new message is one: 20 in all, of which none is to be
/// dropped.
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
    /// A bar for epoch `epoch`, from 1, of `epochs` with `samples` samples each; `None` without a terminal.
    pub(crate) fn start(epoch: u32, epochs: u32, samples: usize, metrics: &'a [Metric]) -> Option<Self> {
        if !std::io::stderr().is_terminal() {
            return None;
        }
        let target = ProgressDrawTarget::stderr_with_hz(LIMIT_HZ);
        let style = ProgressStyle::with_template(TEMPLATE).expect("the template is well-formed");
        let bar = ProgressBar::with_draw_target(Some(samples as u64), target)
            .with_style(style)
            .with_prefix(format!("epoch {epoch}/{epochs}"));
        Some(Self { bar, metrics, next: INTERVAL })
    }

    /// Draws how far the epoch is, if the last time is long enough ago.
    pub(crate) fn show(&mut self, progress: &Progress<'_>) {
        if progress.elapsed < self.next {
            return;
        }
        self.next = progress.elapsed + INTERVAL;
        let rate = progress.samples[0] as f64 / progress.elapsed.as_secs_f64();
        let scores = scores("", progress.loss, self.metrics, progress.metrics);
        self.bar.set_position(progress.samples[0] as u64);
        self.bar.set_message(format!("{rate:.1} samples/s, {scores}"));
    }
}

impl Drop for EpochBar<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
