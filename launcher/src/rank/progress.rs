//! The progress bar of an epoch, on standard error. It is shown if that is a terminal, or if a launcher shows
//! it on one.

use crate::cli::metric_plan::MetricPlan;
use crate::rank::report::scores;
use crate::system::status_line::StatusLine;
use crate::system::variables::PROGRESS;
use isograd_model::Progress;
use std::time::Duration;

/// Time between two drawings. Steps in between cost one comparison each.
const INTERVAL: Duration = Duration::from_millis(100);

/// A bar that is cleared when it is dropped.
#[derive(Debug)]
pub(crate) struct EpochBar<'a> {
    line: StatusLine,
    /// Which epoch it is, as `epoch 1/10`.
    title: String,
    samples: usize,
    metrics: &'a [MetricPlan],
    next: Duration,
}

impl<'a> EpochBar<'a> {
    /// A bar for epoch `epoch`, from 1, of `epochs` with `samples` samples each; `None` if there is no
    /// terminal.
    pub(crate) fn start(epoch: u32, epochs: u32, samples: usize, metrics: &'a [MetricPlan]) -> Option<Self> {
        let columns = std::env::var(PROGRESS).ok().and_then(|columns| columns.parse().ok());
        let line = columns.map(StatusLine::relayed).or_else(StatusLine::on_terminal)?;
        Some(Self { line, title: format!("epoch {epoch}/{epochs}"), samples, metrics, next: INTERVAL })
    }

    /// Draws the progress of the epoch, if the last drawing is long enough ago.
    pub(crate) fn show(&mut self, progress: &Progress<'_>) {
        if progress.elapsed < self.next {
            return;
        }
        self.next = progress.elapsed + INTERVAL;
        let rate = (progress.samples - progress.resumed_at) as f64 / progress.elapsed.as_secs_f64();
        let scores = scores("", progress.loss, self.metrics, progress.metrics);
        let message = format!("{rate:.1} samples/s, {scores}");
        let columns = self.line.columns();
        self.line.show(&with_bar(&self.title, [progress.samples, self.samples], &message, columns));
    }
}

/// `title`, a bar as wide as `columns` leave room for, `done/all` and `message`.
fn with_bar(title: &str, [done, all]: [usize; 2], message: &str, columns: usize) -> String {
    let counts = format!("{done}/{all} {message}");
    let width = columns.saturating_sub(title.chars().count() + counts.chars().count() + 2);
    let filled = (done * width).checked_div(all).unwrap_or(0).min(width);
    format!("{title} {}{} {counts}", "█".repeat(filled), "░".repeat(width - filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_the_line() {
        assert_eq!(with_bar("epoch 1/2", [30, 40], "fast", 29), "epoch 1/2 ██████░░ 30/40 fast");
        assert_eq!(with_bar("epoch 1/2", [40, 40], "fast", 29), "epoch 1/2 ████████ 40/40 fast");
        assert_eq!(with_bar("epoch 1/2", [0, 0], "", 20), "epoch 1/2 ░░░░░ 0/0 ");
        // Where there is no room for a bar, the numbers stay.
        assert_eq!(with_bar("epoch 1/2", [1, 40], "fast", 5), "epoch 1/2  1/40 fast");
    }
}
