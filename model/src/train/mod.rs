//! The data-parallel trainer: shards on threads, their gradients summed in one fixed tree, one optimizer
//! step.
//!
//! ```text
//! step: cut the batch into shards by position; each worker owns a contiguous range of them
//!       in parallel over workers, for each shard of the worker:
//!           gather its samples, forward, loss, backward into a gradient buffer
//!           join finished buffers that are siblings in the tree
//!       in parallel over ranges of the parameters: finish the tree, update
//! ```
//!
//! The cut, the tree and every kernel are the same whatever the number of workers: so are the bits.

#[cfg(not(feature = "ranks"))]
mod alone;
mod buckets;
mod config;
mod cut;
mod division;
mod error;
mod evaluate;
mod fit;
mod gather;
mod lockstep;
mod observer;
mod open_epoch;
mod partial_sums;
mod profiling;
#[cfg(feature = "ranks")]
mod ranks;
mod rate_range;
mod report;
mod restore;
mod snapshot;
mod step;
mod upcoming;
mod update;
mod update_memory;
mod whitening;
mod worker;

pub use config::TrainConfig;
pub use error::{DataError, NonFinite};
pub use fit::FitEpoch;
pub use observer::Observer;
#[cfg(feature = "ranks")]
pub use ranks::Ranks;
pub use rate_range::{RatePoint, RateRange};
pub use report::{EpochReport, Evaluation, Progress};
pub use snapshot::Snapshot;
pub use whitening::{WhitenError, Whitened, Whitening};

pub(crate) use snapshot::RunState;

use crate::error::Error;
use crate::layer::Mode;
use crate::memory::{self, Aligned};
use crate::metric::Metric;
use crate::network::{Network, State};
use crate::profile::Recording;
use crate::shape::Shape;
#[cfg(not(feature = "ranks"))]
use alone as ranks;
use buckets::Buckets;
use cut::Cut;
use division::Division;
use gather::Source;
use isograd_datasets::Dataset;
use isograd_kernels::Element;
use lockstep::Lockstep;
use open_epoch::OpenEpoch;
use partial_sums::PartialSums;
use profiling::Profiling;
use ranks::{Buffer, Exchange, private_buffer};
use report::{ShardSums, SumLayout};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use step::Pending;
use update_memory::UpdateMemory;
use worker::Worker;

/// Trains a network.
///
/// Work is spread over the threads of the rayon pool that the trainer is used in: all cores by default;
/// inside `pool.install(…)`, the threads of that pool. At most as many threads work at a time as the pool of
/// [`new`](Self::new) had.
///
/// ```
/// use isograd_datasets::Synthetic;
/// use isograd_model::{Network, TrainConfig, Trainer, layer::*, layers};
/// let data = Synthetic { seed: 1, sample_shape: [1, 8, 8], num_classes: 4 }.samples(0..256)?;
/// let network = Network::<f32>::build(layers![Input::new(1, 8, 8), Flatten, Dense::new(4), Softmax])?;
/// let mut trainer = Trainer::new(network, TrainConfig { learning_rate: 0.01, ..TrainConfig::default() })?;
/// for _ in 0..5 {
///     trainer.train_epoch(&data, |_| ())?;
/// }
/// assert!(trainer.evaluate(&data)?.metrics[0] > 90.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Trainer<T> {
    network: Network<T>,
    state: State<T>,
    update_memory: UpdateMemory<T>,
    config: TrainConfig<T>,
    buckets: Buckets,
    division: Division,
    workers: Vec<Worker<T>>,
    /// What layers prepare for all shards of a step or an evaluation.
    prepared: Aligned<T>,
    /// For networks whose layers share sums over all shards.
    lockstep: Option<Lockstep>,
    /// The other ranks, if there are any.
    exchange: Option<Exchange<T>>,
    pending: Pending,
    sums: ShardSums,
    sum_layout: SumLayout,
    order: Vec<u32>,
    epoch: u32,
    step: u64,
    open_epoch: OpenEpoch,
    /// A callback of `fit` has ended training; also in a snapshot that was restored.
    is_ended: bool,
    stop_request: Option<Arc<AtomicBool>>,
    is_stopped: bool,
    profiling: Option<Profiling>,
    /// Notes steps, updates and evaluations.
    recording: Recording,
}

impl<T: Element> Trainer<T> {
    /// A trainer of `network`, with the initial state that the configuration's seed gives.
    ///
    /// # Errors
    ///
    /// When a number of the configuration is outside its range, when the network's output is not what the
    /// loss takes ([`LastLayerError`](crate::LastLayerError)), or when there is no memory.
    pub fn new(network: Network<T>, config: TrainConfig<T>) -> Result<Self, Error> {
        Self::set_up(network, config, None)
    }

    /// As [`new`](Self::new), together with the trainers of other ranks, which must have equal networks and
    /// configurations, train on equal data, and make the same calls. The batch size is that of all ranks
    /// together.
    ///
    /// # Errors
    ///
    /// As `new`; and when the ranks cannot work together.
    #[cfg(feature = "ranks")]
    pub fn with_ranks(network: Network<T>, config: TrainConfig<T>, ranks: Ranks) -> Result<Self, Error> {
        Self::set_up(network, config, Some(ranks).filter(|ranks| !ranks.is_alone()))
    }

    /// A trainer together with those of other ranks, if there are any.
    fn set_up(
        network: Network<T>,
        config: TrainConfig<T>,
        ranks: Option<ranks::Ranks>,
    ) -> Result<Self, Error> {
        config.check()?;
        network.check_loss(&*config.loss)?;
        let outputs = network.output_shape().elements();
        config.loss.check(outputs)?;
        config.metrics.iter().try_for_each(|metric| metric.check(outputs))?;
        let sum_layout = SumLayout::new(&config.metrics, outputs);
        let state = network.initial_state(config.seed)?;
        let shards = config.batch_size.div_ceil(config.shard_len());
        let lockstep = Lockstep::new(&network);
        // Shards that wait for each other are all in memory, however many threads work on each.
        let of_shard = if lockstep.is_some() { 1 } else { config.threads_per_shard };
        let division = Division::new(rayon::current_num_threads(), of_shard);
        let workers = division.workers();
        let most = ranks.as_ref().map_or(shards, |ranks| ranks.most_shards(shards));
        let of_worker = most.div_ceil(workers);
        let threads = division.threads_of_shard(most);
        // How many shards of a worker are under way at a time, and how many sums of gradients it keeps.
        let (at_once, capacity) = match &lockstep {
            Some(_) => (of_worker.max(1), of_worker),
            None => (1, PartialSums::<T>::capacity(of_worker, shards)),
        };
        let update_memory = UpdateMemory::new(&network, &*config.optimizer, config.ema.is_some())?;
        let helpers = workers.saturating_sub(most);
        let (count, lanes) = (workers * at_once, ((workers - helpers) * threads + helpers) * at_once);
        let memory_plan =
            network.plan_memory(config.shard_len(), &[Mode::Train, Mode::Eval], count, lanes)?;
        let prepared = network.prepared_memory(&[Mode::Train, Mode::Eval])?;
        let (buckets, exchange, buffers) = if let Some(ranks) = ranks {
            if u32::try_from(shards).is_err() {
                let (name, expected) = ("the number of shards of a step", "below 2^32 among several ranks");
                return Err(Error::OutOfRange { name, expected, value: shards.to_string() });
            }
            let buckets = Buckets::new(&network, ranks.bucket_bytes());
            let (exchange, buffers) = Exchange::new(ranks, &buckets, shards, division, capacity)?;
            (buckets, Some(exchange), buffers)
        } else {
            let buckets = Buckets::new(&network, usize::MAX);
            let count = workers * capacity;
            let len = buckets.lengths().sum::<usize>() as u128;
            memory::check(
                || format!("{count} sums of gradients"),
                count as u128 * len * size_of::<T>() as u128,
            )?;
            let node = || buckets.lengths().map(private_buffer).collect();
            let buffers = (0..workers).map(|_| (0..capacity).map(|_| node()).collect()).collect();
            (buckets, None, buffers)
        };
        let worker = |(index, buffers): (usize, Vec<Vec<Buffer<T>>>)| {
            let is_helper = division.shards_of(index, most).is_empty();
            let threads = if is_helper { 1 } else { threads };
            Worker::new(&network, &memory_plan, at_once, threads, PartialSums::new(buffers))
        };
        Ok(Self {
            update_memory,
            division,
            workers: buffers.into_iter().enumerate().map(worker).collect(),
            prepared,
            lockstep,
            buckets,
            exchange,
            network,
            state,
            config,
            pending: Pending::default(),
            sums: ShardSums::default(),
            open_epoch: OpenEpoch::new(&sum_layout),
            sum_layout,
            order: Vec::new(),
            epoch: 0,
            step: 0,
            is_ended: false,
            stop_request: None,
            is_stopped: false,
            profiling: None,
            recording: Recording::default(),
        })
    }

    /// Network, state and configuration, as of a trained network that is to be used, or to be trained in
    /// another way. What the optimizer keeps and averages go.
    pub fn into_parts(self) -> (Network<T>, State<T>, TrainConfig<T>) {
        (self.network, self.state, self.config)
    }

    /// The network.
    pub fn network(&self) -> &Network<T> {
        &self.network
    }

    /// Parameters and running statistics as they are now.
    pub fn state(&self) -> &State<T> {
        &self.state
    }

    /// Parameters and running statistics, to replace them, as by those of a checkpoint. What the optimizer
    /// keeps stays as it is: 0 before the first step; see
    /// [`Optimizer::slots`](crate::Optimizer::slots). Averages begin anew.
    pub fn state_mut(&mut self) -> &mut State<T> {
        self.update_memory.restart_average();
        &mut self.state
    }

    /// The exponential moving averages of parameters and running statistics, which evaluation uses; `None`
    /// without [`TrainConfig::ema`].
    ///
    /// After the first step they are the parameters themselves, then each step makes them `decay * average +
    /// (1 - decay) * parameters`, as PyTorch's `AveragedModel` with `get_ema_multi_avg_fn` does. Before the
    /// first step, they are [`state`](Self::state).
    pub fn averaged_state(&self) -> Option<&State<T>> {
        self.config.ema.map(|_| self.update_memory.averaged().unwrap_or(&self.state))
    }

    /// The configuration.
    pub fn config(&self) -> &TrainConfig<T> {
        &self.config
    }

    /// Sets the base learning rate, of which the schedule makes that of each step to come.
    ///
    /// # Errors
    ///
    /// When it is negative, infinite or NaN.
    pub fn set_learning_rate(&mut self, learning_rate: f64) -> Result<(), Error> {
        config::check_learning_rate(learning_rate)?;
        self.config.learning_rate = learning_rate;
        Ok(())
    }

    /// Epochs done so far.
    pub fn epochs(&self) -> u32 {
        self.epoch
    }

    /// Goes on as after `epochs` epochs: they give the order of the samples, the random numbers, and the
    /// place in the schedule. [`steps`](Self::steps) stays as it is.
    pub fn set_epoch(&mut self, epochs: u32) {
        self.open_epoch.close();
        self.epoch = epochs;
    }

    /// Steps done so far.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// Samples that are done of an epoch that was interrupted, or that [`fit`](Self::fit) is in; 0 between
    /// two epochs.
    pub fn position(&self) -> usize {
        self.open_epoch.position
    }

    /// Whether a callback has ended training: in the calls of an [`Observer`], and after the
    /// [`restore`](Self::restore) of such a state, where [`fit`](Self::fit) trains no further.
    pub fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Whether [`TrainConfig::max_steps`] or [`TrainConfig::max_epochs`] have been done, or training was
    /// stopped.
    pub fn is_finished(&self) -> bool {
        let TrainConfig { max_steps, max_epochs, .. } = self.config;
        let is_at_end =
            max_steps.is_some_and(|max| self.step >= max) || max_epochs.is_some_and(|max| self.epoch >= max);
        self.is_stopped || is_at_end
    }

    /// Ends training after the step in which `request` becomes true, at this rank or at any other: all ranks
    /// end after the same step, with the same state.
    pub fn stop_on(&mut self, request: Arc<AtomicBool>) {
        self.stop_request = Some(request);
    }

    /// Whether training ended on a [request](Self::stop_on).
    pub fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Broadcasts the state of rank 0 to all ranks. What the optimizer keeps stays as it is; averages begin
    /// anew.
    ///
    /// # Errors
    ///
    /// When a rank is lost.
    pub fn broadcast_state(&mut self) -> Result<(), Error> {
        self.update_memory.restart_average();
        if let Some(exchange) = &mut self.exchange {
            exchange.broadcast(&mut self.state.params)?;
            exchange.broadcast(&mut self.state.statistics)?;
        }
        Ok(())
    }

    /// Returns when all ranks have called it.
    ///
    /// # Errors
    ///
    /// When a rank is lost.
    pub fn wait_for_ranks(&mut self) -> Result<(), Error> {
        if let Some(exchange) = &mut self.exchange {
            exchange.barrier()?;
        }
        Ok(())
    }

    /// `value` of each rank, by its number: numbers that ranks report, such as times and bytes.
    ///
    /// # Errors
    ///
    /// When a rank is lost.
    pub fn gather(&mut self, value: f64) -> Result<Vec<f64>, Error> {
        let Some(exchange) = &mut self.exchange else { return Ok(vec![value]) };
        let values = exchange.gather(value)?;
        Ok(values)
    }

    /// Tells the other ranks, if there are any, that this rank ends, and why.
    pub fn abort(&mut self, cause: &str) {
        if let Some(exchange) = &mut self.exchange {
            exchange.abort(cause);
        }
    }

    /// This rank's shards of a pass of `shards`.
    fn own_shards(&self, shards: usize) -> std::ops::Range<usize> {
        self.exchange.as_ref().map_or(0..shards, |exchange| exchange.own(shards))
    }

    /// Checks that the network can take the samples of `dataset`, and prepares to read them. Equal data are
    /// accepted or refused alike by all ranks, so none of them waits for another one that has ended.
    fn source<'d>(&self, dataset: &'d dyn Dataset) -> Result<Source<'d, T>, Error> {
        let [c, h, w] = dataset.sample_shape();
        let (network, sample) = (self.network.input_shape(), Shape::image(c, h, w));
        if network != sample {
            return Err(DataError::SampleShape { network, dataset: sample }.into());
        }
        let outputs = self.network.output_shape().elements();
        self.check_targets(dataset, outputs)?;
        let samples = dataset.len();
        if samples == 0 {
            return Err(DataError::NoSamples.into());
        }
        if u32::try_from(samples).is_err() {
            return Err(DataError::TooManySamples { samples }.into());
        }
        Ok(Source::new(dataset)?)
    }

    /// Checks that the loss and the metrics take the targets of `dataset`.
    fn check_targets(&self, dataset: &dyn Dataset, outputs: usize) -> Result<(), DataError> {
        let TrainConfig { loss, metrics, .. } = &self.config;
        let classes = dataset.num_classes();
        let are_values = dataset.target_values().is_some();
        let are_shares = are_values && classes > 0;
        let takes = |classes, values, shares| match are_values {
            false => classes,
            true => values || are_shares && shares,
        };
        if !takes(loss.takes_classes(), loss.takes_values(), loss.takes_shares()) {
            return Err(DataError::TargetKind { what: loss.name().to_string(), are_values });
        }
        let refuses = |metric: &&Arc<dyn Metric<T>>| {
            !takes(metric.takes_classes(), metric.takes_values(), metric.takes_shares())
        };
        if let Some(metric) = metrics.iter().find(refuses) {
            let what = format!("the metric {}", metric.name());
            return Err(DataError::TargetKind { what, are_values });
        }
        if let Some(values) = dataset.target_values().filter(|values| *values != outputs) {
            return Err(DataError::TargetLength { outputs, values });
        }
        if !are_values && loss.most_classes(outputs) < classes {
            return Err(DataError::TooFewOutputs { outputs, classes });
        }
        Ok(())
    }

    /// Checks that no layer gets a shard that is too small for it in a full batch of a data set of `samples`.
    fn check_shards(&self, samples: usize) -> Result<(), Error> {
        let needed = self.network.least_samples();
        let batch_size = self.config.batch_size.min(samples);
        let shard_size = self.config.shard_len();
        let smallest = |shard_len| Cut { samples: batch_size, shard_len, least: needed }.smallest();
        if smallest(shard_size) >= needed {
            return Ok(());
        }
        // Two shards of this size can share what they have, since the rest of a batch has at least one
        // sample.
        let enough = (needed..2 * needed).find(|shard_len| smallest(*shard_len) >= needed);
        let (place, smallest) = (self.network.layer_of_least_samples().clone(), smallest(shard_size));
        Err(Error::ShardTooSmall { place, needed, batch_size, shard_size, smallest, enough })
    }
}
