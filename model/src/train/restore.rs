//! Goes on from a snapshot or a checkpoint, at all ranks.

use super::report::Sums;
use super::snapshot::{CallbackBytes, RunState, copy, facts};
use super::{DataError, Snapshot, Trainer};
use crate::callback::Callback;
use crate::checkpoint::{ResumeError, RunInfo};
use crate::error::Error;
use isograd_kernels::Element;
use std::path::Path;

impl<T: Element> Trainer<T> {
    /// Writes a checkpoint to the new folder `folder`: a [`snapshot`](Self::snapshot) that is
    /// [written](Snapshot::write) at once. Among several ranks, only one should do so.
    ///
    /// # Errors
    ///
    /// As those two.
    pub fn save(
        &self,
        folder: &Path,
        info: &RunInfo,
        callbacks: &[&mut dyn Callback<T>],
    ) -> Result<(), Error> {
        self.snapshot(callbacks)?.write(folder, info)
    }

    /// Goes on from the checkpoint in `folder`, with the bits of a run that was never interrupted, at any
    /// number of ranks and threads. Rank 0 alone reads it; all ranks must make the call.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::read`] and [`restore`](Self::restore).
    pub fn resume(
        &mut self,
        folder: &Path,
        info: &RunInfo,
        callbacks: &mut [&mut dyn Callback<T>],
    ) -> Result<(), Error> {
        if !self.is_first() {
            return self.restore(None, callbacks);
        }
        match Snapshot::read(folder, info, self) {
            Ok(snapshot) => self.restore(Some(&snapshot), callbacks),
            Err(error) => {
                self.abort(&error.to_string());
                Err(error)
            }
        }
    }

    /// Goes on from `snapshot`: all ranks do from that of rank 0, and those of other ranks are not looked
    /// at. The learning rate becomes that of the snapshot, and `callbacks`, of which there must be the same
    /// in the same order, get their states.
    ///
    /// If the snapshot was taken in the middle of an epoch, the next call of [`fit`](Self::fit) or
    /// [`train_epoch`](Self::train_epoch) goes on there, and reports the whole epoch.
    ///
    /// # Errors
    ///
    /// [`Error::Resume`] when the run of the snapshot had another network or configuration, or other
    /// callbacks; those of [`Callback::restore`]; and when a rank is lost. The trainer is then of no use.
    ///
    /// # Panics
    ///
    /// When rank 0 has no snapshot.
    pub fn restore(
        &mut self,
        snapshot: Option<&Snapshot<T>>,
        callbacks: &mut [&mut dyn Callback<T>],
    ) -> Result<(), Error> {
        let mut run = RunState::default();
        if self.is_first() {
            let snapshot = snapshot.expect("rank 0 has the snapshot");
            if let Err(error) = self.check_snapshot(snapshot) {
                self.abort(&error.to_string());
                return Err(error);
            }
            copy(&snapshot.state, &mut self.state);
            for (to, from) in self.update_memory.slots.iter_mut().zip(&snapshot.slots) {
                to.copy_from(from);
            }
            if let (Some(to), Some(from)) = (&mut self.update_memory.average, &snapshot.average) {
                copy(from, &mut to.state);
            }
            run = snapshot.run.clone();
        }
        self.share(&mut run)?;
        self.take_run(run, callbacks)
    }

    fn is_first(&self) -> bool {
        self.exchange.as_ref().is_none_or(|exchange| exchange.is_first())
    }

    /// Checks that `snapshot` is that of a run with this network and this configuration.
    fn check_snapshot(&self, snapshot: &Snapshot<T>) -> Result<(), Error> {
        let expected = facts(&self.network, &self.config);
        ResumeError::compare(&snapshot.facts, &expected).map_err(Error::Resume)?;
        let sums = snapshot.run.sums.len();
        if sums == self.open_epoch.sums.values.len() {
            return Ok(());
        }
        let (what, expected) = ("number of sums".to_string(), self.open_epoch.sums.values.len().to_string());
        Err(Error::Resume(ResumeError { what, found: sums.to_string(), expected }))
    }

    /// Overwrites all numbers and `run` with those of rank 0.
    fn share(&mut self, run: &mut RunState) -> Result<(), Error> {
        let Some(exchange) = &mut self.exchange else { return Ok(()) };
        let mut bytes = if exchange.is_first() { encode(run) } else { Vec::new() };
        exchange.broadcast_bytes(&mut bytes, 0)?;
        *run = decode(&bytes).expect("what rank 0 has encoded");
        exchange.broadcast(&mut self.state.params)?;
        exchange.broadcast(&mut self.state.statistics)?;
        for slot in &mut self.update_memory.slots {
            exchange.broadcast(slot)?;
        }
        if let Some(average) = self.update_memory.average.as_mut().filter(|_| run.average_steps > 0) {
            exchange.broadcast(&mut average.state.params)?;
            exchange.broadcast(&mut average.state.statistics)?;
        }
        Ok(())
    }

    /// Becomes what `run` says, with `callbacks`.
    fn take_run(&mut self, run: RunState, callbacks: &mut [&mut dyn Callback<T>]) -> Result<(), Error> {
        let RunState {
            epoch,
            step,
            position,
            epoch_samples,
            sums,
            average_steps,
            learning_rate,
            is_ended,
            callbacks: states,
        } = run;
        let list = |names: Vec<&str>| if names.is_empty() { "none".to_string() } else { names.join(", ") };
        let found = list(states.iter().map(|state| state.name.as_str()).collect());
        let expected = list(callbacks.iter().map(|callback| callback.name()).collect());
        if found != expected {
            return Err(Error::Resume(ResumeError {
                what: "list of callbacks".to_string(),
                found,
                expected,
            }));
        }
        for (callback, CallbackBytes { bytes, .. }) in callbacks.iter_mut().zip(&states) {
            callback.restore(bytes)?;
        }
        if position > epoch_samples || (position < epoch_samples && position % self.config.batch_size != 0) {
            return Err(DataError::OtherEpoch { begun: position, samples: epoch_samples }.into());
        }
        self.set_learning_rate(learning_rate)?;
        (self.epoch, self.step, self.is_ended, self.is_stopped) = (epoch, step, is_ended, false);
        (self.open_epoch.position, self.open_epoch.samples) = (position, epoch_samples);
        let values = sums.into_iter().map(f64::from_bits).collect();
        self.open_epoch.sums = Sums { samples: position, values };
        if let Some(average) = &mut self.update_memory.average {
            average.steps = average_steps;
        }
        Ok(())
    }
}

/// `run` as bytes: a table in JSON behind its length, then the numbers.
fn encode(run: &RunState) -> Vec<u8> {
    let table = serde_json::to_vec(run).expect("a table of names and numbers");
    [&(table.len() as u64).to_le_bytes(), table.as_slice(), &run.numbers()].concat()
}

/// What [`encode`] has made bytes of.
fn decode(bytes: &[u8]) -> Option<RunState> {
    let (len, rest) = bytes.split_first_chunk()?;
    let (table, numbers) = rest.split_at_checked(u64::from_le_bytes(*len) as usize)?;
    let mut run: RunState = serde_json::from_slice(table).ok()?;
    run.set_numbers(numbers)?;
    Some(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_travels_whole() {
        let callback = |bytes: &[u8]| CallbackBytes { name: "Own".to_string(), bytes: bytes.to_vec() };
        let run = RunState {
            epoch: 3,
            step: u64::MAX,
            position: 20,
            epoch_samples: 50,
            sums: vec![f64::NAN.to_bits(), (0.1f64 + 0.2).to_bits()],
            average_steps: 7,
            learning_rate: 0.1 + 0.2,
            is_ended: true,
            callbacks: vec![callback(&[]), callback(&[1, 2, 3])],
        };
        let bytes = encode(&run);
        assert_eq!(decode(&bytes), Some(run));
        assert_eq!(decode(&bytes[..bytes.len() - 1]), None);
    }
}
