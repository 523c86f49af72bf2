//! A copy of everything that the next step of a training run depends on.

use super::{TrainConfig, Trainer};
use crate::callback::Callback;
use crate::error::Error;
use crate::layer::Tensor;
use crate::memory::{self, Aligned};
use crate::network::{Network, PlainLayer, PlainStep, State};
use isograd_kernels::{Element, Isa};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::Debug;

/// A copy of everything that the next step of a training run depends on: parameters and running statistics,
/// what the optimizer keeps, averages, the states of callbacks, epoch, step, the place in the epoch and the
/// sums over the samples before it. Nothing in it depends on ranks, threads or transports.
///
/// It shares nothing with the trainer, so another thread can [write](Self::write) it while training goes on.
/// Training stands still only for the copy.
///
/// ```
/// use isograd_datasets::Synthetic;
/// use isograd_model::{Network, RunInfo, TrainConfig, Trainer, layer::*, layers};
///
/// let data = Synthetic { seed: 1, sample_shape: [1, 8, 8], num_classes: 4 }.samples(0..256)?;
/// let network = || Network::<f32>::build(layers![Input::new(1, 8, 8), Flatten, Dense::new(4), Softmax]);
/// let mut trainer = Trainer::new(network()?, TrainConfig::default())?;
/// trainer.train_epoch(&data, |_| ())?;
/// let folder = tempfile::tempdir()?;
/// let (checkpoint, info) = (folder.path().join("first"), RunInfo::new("dense"));
/// let snapshot = trainer.snapshot(&[])?;
/// let writer = std::thread::spawn({
///     let (checkpoint, info) = (checkpoint.clone(), info.clone());
///     move || snapshot.write(&checkpoint, &info)
/// });
/// trainer.train_epoch(&data, |_| ())?;
/// writer.join().expect("no panic")?;
///
/// let mut resumed = Trainer::new(network()?, TrainConfig::default())?;
/// resumed.resume(&checkpoint, &info, &mut [])?;
/// resumed.train_epoch(&data, |_| ())?;
/// assert_eq!(resumed.state().params_sha256(), trainer.state().params_sha256());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Snapshot<T> {
    pub(crate) state: State<T>,
    /// Each slot of all parameters.
    pub(crate) slots: Vec<Aligned<T>>,
    /// With meaning only if a step is in it.
    pub(crate) average: Option<State<T>>,
    pub(crate) run: RunState,
    pub(crate) tensors: Tensors,
    /// What a run must have in common with this one to go on with it: names and values.
    pub(crate) facts: Vec<(String, String)>,
    isa: Isa,
}

/// What the numbers of a snapshot belong to.
#[derive(Debug)]
pub(crate) struct Tensors {
    pub(crate) parameters: Vec<Tensor>,
    pub(crate) statistics: Vec<Tensor>,
    /// The number of slots that the optimizer keeps for each parameter.
    pub(crate) slots: Vec<usize>,
}

/// Where a run is, and what it has added up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunState {
    /// Epochs that have ended.
    pub(crate) epoch: u32,
    pub(crate) step: u64,
    /// Samples of the open epoch that are done, of `epoch_samples`; 0 between two epochs.
    pub(crate) position: usize,
    pub(crate) epoch_samples: usize,
    /// Of the open epoch, the loss first; as bits.
    #[serde(skip)]
    pub(crate) sums: Vec<u64>,
    /// Steps that are in the averages.
    pub(crate) average_steps: u64,
    /// The base learning rate, which callbacks change.
    #[serde(with = "text")]
    pub(crate) learning_rate: f64,
    pub(crate) is_ended: bool,
    pub(crate) callbacks: Vec<CallbackBytes>,
}

/// The state of a callback.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct CallbackBytes {
    pub(crate) name: String,
    #[serde(skip)]
    pub(crate) bytes: Vec<u8>,
}

impl RunState {
    /// What is not in the table: the sums, then the states of callbacks, each behind its length in bytes.
    pub(crate) fn numbers(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut put = |part: &[u8]| {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part);
        };
        put(&self.sums.iter().flat_map(|sum| sum.to_le_bytes()).collect::<Vec<u8>>());
        self.callbacks.iter().for_each(|callback| put(&callback.bytes));
        bytes
    }

    /// Sets what is not in the table; `None` if `bytes` are not [`numbers`](Self::numbers).
    pub(crate) fn set_numbers(&mut self, mut bytes: &[u8]) -> Option<()> {
        let mut take = || {
            let (len, rest) = bytes.split_first_chunk()?;
            let (part, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
            bytes = rest;
            Some(part)
        };
        let (sums, []) = take()?.as_chunks() else { return None };
        self.sums = sums.iter().map(|sum| u64::from_le_bytes(*sum)).collect();
        for callback in &mut self.callbacks {
            callback.bytes = take()?.to_vec();
        }
        bytes.is_empty().then_some(())
    }
}

/// Numbers as the shortest text that is read back as the same number, which JSON readers do not promise.
mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{value:?}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| D::Error::custom(format!("'{text}' is no number")))
    }
}

impl<T: Element> Trainer<T> {
    /// A copy of everything that the next step depends on, with the states of `callbacks`, which are those
    /// of [`fit`](Self::fit).
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub fn snapshot(&self, callbacks: &[&mut dyn Callback<T>]) -> Result<Snapshot<T>, Error> {
        let mut snapshot = Snapshot::zeroed(self)?;
        self.snapshot_into(callbacks, &mut snapshot);
        Ok(snapshot)
    }

    /// As [`snapshot`](Self::snapshot), in the memory of an earlier snapshot of this trainer.
    ///
    /// # Panics
    ///
    /// When it is that of another network.
    pub fn snapshot_into(&self, callbacks: &[&mut dyn Callback<T>], snapshot: &mut Snapshot<T>) {
        snapshot.state.assert_fits(&self.network);
        let _span = self.snapshot_span();
        copy(&self.state, &mut snapshot.state);
        for (to, from) in snapshot.slots.iter_mut().zip(&self.update_memory.slots) {
            to.copy_from(from);
        }
        if let (Some(to), Some(from)) = (&mut snapshot.average, self.update_memory.averaged()) {
            copy(from, to);
        }
        let state = |callback: &&mut dyn Callback<T>| CallbackBytes {
            name: callback.name().to_string(),
            bytes: callback.state(),
        };
        let open = &self.open_epoch;
        snapshot.run = RunState {
            epoch: self.epoch,
            step: self.step,
            position: open.position,
            epoch_samples: open.samples,
            sums: open.sums.values.iter().map(|value| value.to_bits()).collect(),
            average_steps: self.update_memory.average.as_ref().map_or(0, |average| average.steps),
            learning_rate: self.config.learning_rate,
            is_ended: self.is_ended,
            callbacks: callbacks.iter().map(state).collect(),
        };
    }
}

/// Overwrites `to` with `from`.
pub(super) fn copy<T: Element>(from: &State<T>, to: &mut State<T>) {
    to.params.copy_from(&from.params);
    to.statistics.copy_from(&from.statistics);
}

impl<T: Element> Snapshot<T> {
    /// A snapshot for `trainer` without contents.
    pub(crate) fn zeroed(trainer: &Trainer<T>) -> Result<Self, Error> {
        let Trainer { network, config, update_memory, .. } = trainer;
        let len = network.parameter_count();
        let slots = &update_memory.slots;
        let elements = (slots.len() + 2) as u128 * (len + network.statistics_count()) as u128;
        memory::check(|| "a copy of the run".to_string(), elements * size_of::<T>() as u128)?;
        let average = update_memory.average.as_ref().map(|_| State::zeroed(network)).transpose()?;
        Ok(Self {
            state: State::zeroed(network)?,
            slots: slots.iter().map(|_| Aligned::zeroed(len)).collect(),
            average,
            run: RunState::default(),
            tensors: Tensors {
                parameters: network.parameters().to_vec(),
                statistics: network.statistics().to_vec(),
                slots: update_memory.plans.iter().map(|plan| plan.slots).collect(),
            },
            facts: facts(network, config),
            isa: config.isa,
        })
    }

    /// Epochs that had ended.
    pub fn epochs(&self) -> u32 {
        self.run.epoch
    }

    /// Steps that had been done.
    pub fn steps(&self) -> u64 {
        self.run.step
    }

    /// Samples that were done of the epoch that was open; 0 between two epochs.
    pub fn position(&self) -> usize {
        self.run.position
    }

    /// The name of the first tensor with an infinite value or a NaN.
    pub(crate) fn first_non_finite(&self) -> Option<&str> {
        self.state.first_non_finite_of([&self.tensors.parameters, &self.tensors.statistics], self.isa)
    }
}

/// What the bits of a run depend on, apart from its data: names and values. The learning rate is not among
/// it, because callbacks change it: a snapshot has that of its step.
pub(super) fn facts<T: Element>(network: &Network<T>, config: &TrainConfig<T>) -> Vec<(String, String)> {
    let TrainConfig {
        batch_size,
        shard_size,
        threads_per_shard: _,
        optimizer,
        learning_rate: _,
        schedule,
        loss,
        metrics,
        seed,
        isa,
        clip_norm,
        ema,
        max_steps,
        max_epochs,
    } = config;
    let element = if network.has_bfloat16_values() { "bfloat16 in memory" } else { T::NAME };
    let mut facts =
        vec![("element type".to_string(), element.to_string()), ("network".to_string(), describe(network))];
    let mut fact = |name: &str, value: &dyn Debug| facts.push((name.to_string(), format!("{value:?}")));
    fact("batch size", batch_size);
    fact("shard size", shard_size);
    fact("optimizer", optimizer);
    fact("schedule", schedule);
    fact("loss", loss);
    fact("metrics", metrics);
    fact("seed", seed);
    fact("norm to clip gradients to", clip_norm);
    fact("decay of the averages", ema);
    if schedule.needs_end() {
        // Its rates depend on where the run ends.
        fact("number of epochs, which the schedule spans,", max_epochs);
        fact("number of steps, which the schedule spans,", max_steps);
    }
    facts.push(("instruction-set level".to_string(), isa.to_string()));
    facts
}

/// The number of the network's parameters, and a digest of all that its tensors, its summary and the options
/// of its layers tell.
fn describe<T: Element>(network: &Network<T>) -> String {
    let mut digest = Sha256::new_with_prefix(network.summary());
    for tensor in network.parameters().iter().chain(network.statistics()) {
        let Tensor { name, dims, frozen, momentum, rate_factor, .. } = tensor;
        digest.update(format!("{name} {dims:?} {frozen} {momentum:?}\n"));
        if *rate_factor != 1.0 {
            digest.update(format!("rate {rate_factor:?}\n"));
        }
    }
    for step in network.plain_steps() {
        if let PlainStep::Layer(PlainLayer { layer, place, .. }) = step {
            digest.update(format!("{place} {:?}\n", layer.options()));
        }
    }
    for place in network.places_of_shared_sums() {
        digest.update(format!("{place} shares sums\n"));
    }
    let digest: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("one of {} parameters (sha256:{digest})", network.parameter_count())
}
