//! What the time of a training run goes into, and what limits it.
//!
//! A [`Profiler`] is handed to a trainer ([`Trainer::set_profiler`](crate::Trainer::set_profiler)), which
//! then notes how long each layer takes in each pass, and how long it reads samples, waits for other ranks
//! and updates parameters. [`Trainer::take_profile`](crate::Trainer::take_profile) gives the [`Profile`] of
//! all ranks: a table whose rows add up to the time of the run, one line that says what limits it, and, if
//! wanted, a trace of every span. Spans of your own come beside them: [`Profiler::span`].
//!
//! ```text
//! each worker -> recorder: totals by kind of work, events up to a fixed number     no lock, no allocation
//! own spans   -> profiler: by name, behind a lock                                  any thread
//! at the end: all ranks send their record to all others -> profile -> rows, limit, trace
//! ```
//!
//! No number of the training depends on any of it. Without a profiler, a layer's pass costs one branch more.
//!
//! ```
//! use isograd_datasets::Synthetic;
//! use isograd_model::{Network, Profiler, TrainConfig, Trainer, layer::*, layers};
//! let data = Synthetic { seed: 1, sample_shape: [1, 8, 8], num_classes: 4 }.samples(0..256)?;
//! let network = Network::<f32>::build(layers![Input::new(1, 8, 8), Flatten, Dense::new(4), Softmax])?;
//! let mut trainer = Trainer::new(network, TrainConfig::default())?;
//! let profiler = Profiler::new();
//! trainer.set_profiler(&profiler)?;
//! let span = profiler.span("first epoch");
//! trainer.train_epoch(&data, |_| ())?;
//! span.end();
//! let profile = trainer.take_profile()?.expect("a profiler was set");
//! println!("{profile}");
//! assert!(profile.rows().iter().any(|row| row.name.ends_with("Dense") && row.pass == "backward"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod clock;
mod costs;
mod limit;
mod named;
mod profiler;
mod record;
mod recorder;
mod rows;
mod step_parts;
mod table;
mod trace;

pub use limit::Limit;
pub use named::{NamedTotal, Span};
pub use profiler::Profiler;
pub use rows::{Profile, ProfileRow};
pub use step_parts::StepParts;
pub use trace::TraceSummary;

pub(crate) use clock::ClockPoint;
pub(crate) use costs::{Cost, StepCosts};
pub(crate) use record::{Lane, Record};
pub(crate) use recorder::{Phase, Recording, Total, Work};

/// The name of the span in which a trainer copies its state for a checkpoint.
pub(crate) const SNAPSHOT: &str = "checkpoint copy";
