//! Which number a callback watches.

use crate::error::Error;
use crate::metric::Direction;
use crate::train::{FitEpoch, Trainer};
use isograd_kernels::Element;

/// The number that a callback watches: that of the validation if there is one, and otherwise that of the
/// training samples.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Quantity {
    /// The loss, of which less is better.
    #[default]
    Loss,
    /// The metric of this name, whose [direction](crate::Metric::direction) is its own.
    Metric(String),
    /// The loss of the training samples, also where there is a validation.
    TrainLoss,
    /// The metric of this name, of the training samples, also where there is a validation.
    TrainMetric(String),
}

impl Quantity {
    /// The metric called `name`.
    pub fn metric(name: &str) -> Self {
        Self::Metric(name.to_string())
    }

    /// Checks that `trainer` measures it.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownName`].
    pub fn check<T: Element>(&self, trainer: &Trainer<T>) -> Result<(), Error> {
        self.find(trainer).map(|_| ())
    }

    /// Its value after an epoch of `trainer`, and which way is better.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownName`] when `trainer` does not measure it.
    pub fn of<T: Element>(&self, trainer: &Trainer<T>, epoch: &FitEpoch) -> Result<(f64, Direction), Error> {
        let validation = match self {
            Self::Loss | Self::Metric(_) => epoch.validation.as_ref(),
            Self::TrainLoss | Self::TrainMetric(_) => None,
        };
        let evaluation = validation.unwrap_or(&epoch.report.train);
        Ok(match self.find(trainer)? {
            None => (evaluation.loss, Direction::Lower),
            Some((index, direction)) => (evaluation.metrics[index], direction),
        })
    }

    /// Number and direction of the metric, if it is one.
    fn find<T: Element>(&self, trainer: &Trainer<T>) -> Result<Option<(usize, Direction)>, Error> {
        let (Self::Metric(name) | Self::TrainMetric(name)) = self else { return Ok(None) };
        let metrics = &trainer.config().metrics;
        match metrics.iter().position(|metric| metric.name() == *name) {
            Some(index) => Ok(Some((index, metrics[index].direction()))),
            None => {
                let known: Vec<_> = metrics.iter().map(|metric| metric.name()).collect();
                let known: Vec<&str> = known.iter().map(|name| &**name).collect();
                Err(Error::unknown_name("metric", name, &known))
            }
        }
    }
}
