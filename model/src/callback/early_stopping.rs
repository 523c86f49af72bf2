//! Early stopping.

use super::bytes::{Reader, put_elements, put_option};
use super::patience::Patience;
use super::{Callback, Decision, Quantity, check_epochs};
use crate::error::Error;
use crate::train::{FitEpoch, Trainer};
use isograd_kernels::Element;

/// Ends training when a number has not become better for some epochs in a row.
///
/// ```
/// use isograd_model::callback::{EarlyStopping, Quantity};
///
/// let stopping = EarlyStopping::<f32>::new(5).watch(Quantity::metric("f1")).restore_best();
/// ```
#[derive(Debug, Clone)]
pub struct EarlyStopping<T> {
    epochs: u32,
    patience: Patience,
    restores_best: bool,
    best: Option<Numbers<T>>,
}

/// Parameters and running statistics.
#[derive(Debug, Clone)]
struct Numbers<T> {
    params: Vec<T>,
    statistics: Vec<T>,
}

impl<T: Element> EarlyStopping<T> {
    /// Stops when the loss has not become better for `epochs` epochs in a row, at least 1.
    pub fn new(epochs: u32) -> Self {
        Self { epochs, patience: Patience::new(), restores_best: false, best: None }
    }

    /// Watches `quantity` instead of the loss.
    pub fn watch(mut self, quantity: Quantity) -> Self {
        self.patience.quantity = quantity;
        self
    }

    /// A value is better only if it is so by more than `change`, at least 0.
    pub fn least_change(mut self, change: f64) -> Self {
        self.patience.least_change = change;
        self
    }

    /// At the end of training, the state becomes that of the best epoch: of the averages if
    /// there are [any](crate::TrainConfig::ema), since they are what was evaluated.
    pub fn restore_best(mut self) -> Self {
        self.restores_best = true;
        self
    }

    /// The best value so far.
    pub fn best(&self) -> Option<f64> {
        self.patience.best()
    }
}

impl<T: Element> Callback<T> for EarlyStopping<T> {
    fn name(&self) -> &'static str {
        "EarlyStopping"
    }

    fn on_train_begin(&mut self, trainer: &mut Trainer<T>) -> Result<Decision, Error> {
        check_epochs("the patience of early stopping", self.epochs)?;
        self.patience.check(trainer)?;
        if let Some(best) = &self.best {
            best.check(trainer)?;
        }
        Ok(Decision::Go)
    }

    fn on_epoch_end(&mut self, trainer: &mut Trainer<T>, epoch: &FitEpoch) -> Result<Decision, Error> {
        let is_best = self.patience.take(trainer, epoch)?;
        if is_best && self.restores_best {
            let state = trainer.averaged_state().unwrap_or(trainer.state());
            let best = self.best.get_or_insert_with(Numbers::new);
            best.params.clear();
            best.params.extend_from_slice(state.params());
            best.statistics.clear();
            best.statistics.extend_from_slice(state.statistics());
        }
        Ok(Decision::stop_if(self.patience.waited >= self.epochs))
    }

    fn on_train_end(&mut self, trainer: &mut Trainer<T>) -> Result<(), Error> {
        if let Some(best) = self.best.as_ref().filter(|_| self.restores_best) {
            best.check(trainer)?;
            let state = trainer.state_mut();
            state.params_mut().copy_from_slice(&best.params);
            state.statistics_mut().copy_from_slice(&best.statistics);
        }
        Ok(())
    }

    fn state(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.patience.put(&mut bytes);
        put_option(&mut bytes, self.best.as_ref(), |bytes, best| {
            put_elements(bytes, &best.params);
            put_elements(bytes, &best.statistics);
        });
        bytes
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let (mut restored, mut reader) = (self.clone(), Reader::new("EarlyStopping", bytes));
        restored.patience.restore(&mut reader)?;
        restored.best = reader
            .option(|reader| Ok(Numbers { params: reader.elements()?, statistics: reader.elements()? }))?;
        reader.end()?;
        *self = restored;
        Ok(())
    }
}

impl<T: Element> Numbers<T> {
    fn new() -> Self {
        Self { params: Vec::new(), statistics: Vec::new() }
    }

    /// Checks that they are those of the network of `trainer`.
    fn check(&self, trainer: &Trainer<T>) -> Result<(), Error> {
        let (got, state) = ([self.params.len(), self.statistics.len()], trainer.state());
        if got == [state.params().len(), state.statistics().len()] {
            return Ok(());
        }
        let bytes = got.iter().sum::<usize>().saturating_mul(size_of::<T>());
        Err(Error::CallbackState { callback: "EarlyStopping", bytes })
    }
}
