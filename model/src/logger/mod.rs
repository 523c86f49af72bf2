//! Loggers: where the numbers of a run go, as a file, a server or a screen.
//!
//! ```text
//! trainer --Progress, FitEpoch--> Loggers --Record--> each Logger, as often and at those ranks as it is for
//! ```
//!
//! A [`Logger`] takes [`Record`]s: the start of a run, steps, epochs, tests, images and the end. [`Loggers`]
//! holds several and is an [`Observer`](crate::Observer), so that
//! [`fit_observed`](crate::Trainer::fit_observed) writes steps and epochs to all of them. A logger that fails
//! is taken out with one warning, and training goes on. [`RunLog`] writes JSON lines, and [`LoggedRun`] reads
//! them, for `isograd runs` and `isograd report`.
//!
//! ```
//! use isograd_datasets::Synthetic;
//! use isograd_model::logger::{Frequency, LogError, Logger, Loggers, RankSet, Record};
//! use isograd_model::{Network, TrainConfig, Trainer, layer::*, layers};
//! use std::borrow::Cow;
//! use std::sync::mpsc::{Sender, channel};
//!
//! /// Passes on the loss of every epoch.
//! #[derive(Debug)]
//! struct Losses(Sender<f64>);
//!
//! impl Logger for Losses {
//!     fn name(&self) -> Cow<'_, str> {
//!         "losses".into()
//!     }
//!
//!     fn log(&mut self, record: &Record) -> Result<(), LogError> {
//!         if let Record::Epoch(epoch) = record {
//!             self.0.send(epoch.loss)?;
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let data = Synthetic { seed: 1, sample_shape: [1, 8, 8], num_classes: 4 }.samples(0..256)?;
//! let network = Network::<f32>::build(layers![Input::new(1, 8, 8), Flatten, Dense::new(4), Softmax])?;
//! let mut trainer = Trainer::new(network, TrainConfig::default())?;
//! let (sender, losses) = channel();
//! let mut loggers = Loggers::new(0);
//! loggers.add(Losses(sender), Frequency::Epoch, &RankSet::First);
//! let epochs = trainer.fit_observed(&data, None, 3, &mut [], &mut loggers)?;
//! let expected: Vec<f64> = epochs.iter().map(|epoch| epoch.report.train.loss).collect();
//! assert_eq!(losses.try_iter().collect::<Vec<_>>(), expected);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod logged_run;
mod loggers;
mod record;
mod run_log;
mod when;

pub use logged_run::{LoggedEnd, LoggedEpoch, LoggedRun, LoggedStart, LoggedStep, LoggedTest, RunState};
pub(crate) use logged_run::{is_locked, unlock};
pub use loggers::Loggers;
pub use record::{EpochRecord, ImageRecord, Record, RunEnd, RunStart, StepRecord, TestRecord};
pub use run_log::RunLog;
pub use when::{Frequency, RankSet};

use std::borrow::Cow;
use std::fmt::Debug;

/// Why a logger fails.
pub type LogError = Box<dyn std::error::Error + Send + Sync>;

/// Where the numbers of a run go.
///
/// It is called on the training thread, so it must not wait: one that talks to a server passes the records on
/// to a thread of its own. What it does changes no bit of training.
pub trait Logger: Debug + Send {
    /// Its name, in warnings.
    fn name(&self) -> Cow<'_, str>;

    /// Takes a record. One that it has no use for is to be ignored.
    ///
    /// # Errors
    ///
    /// When it cannot write: it is not called again.
    fn log(&mut self, record: &Record) -> Result<(), LogError>;

    /// Writes what is still held back, when the run has ended.
    ///
    /// # Errors
    ///
    /// When it cannot write.
    fn finish(&mut self) -> Result<(), LogError> {
        Ok(())
    }
}
