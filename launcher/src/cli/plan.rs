//! Plans: the command line turned into its meaning, once. A plan cannot hold options that contradict each
//! other.

use crate::cli::augment_plan::{AugmentPlan, InputPlan, PrefetchPlan};
use crate::cli::callback_plan::{CallbackPlan, Measured, Name};
use crate::cli::checkpoint_plan::CheckpointPlan;
use crate::cli::conv_plan::ConvPlan;
use crate::cli::dtype::Dtype;
use crate::cli::logging_plan::LoggingPlan;
use crate::cli::metric_plan::{self, ACCURACY, MetricPlan, TargetKind};
use crate::cli::network_plan::NetworkPlan;
use crate::cli::optimizer_plan::OptimizerPlan;
use crate::cli::parsers::{HistoryFile, Parallel};
use crate::cli::profile_plan::ProfilePlan;
use crate::cli::rate_factor::RateFactor;
use crate::cli::schedule_plan::SchedulePlan;
use crate::cli::source::Source;
use crate::cli::{ExecutionArgs, OptimizerArgs, RankArgs, SummaryArgs, TrainArgs};
use crate::failure::Failure;
use crate::system::count::count;
use isograd_comm::{Shares, Transport};
use isograd_kernels::Isa;
use isograd_model::loss::CategoricalCrossEntropy;
use isograd_model::metric::ConfusionMatrix;
use isograd_model::{Element, Loss, RateRange, TestTime, TrainConfig, Whitening, loss};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A training run.
#[derive(Debug)]
pub(crate) struct TrainPlan {
    pub(crate) model: NetworkPlan,
    pub(crate) source: Source,
    pub(crate) validation_split: f64,
    /// Each class has its share of the samples to validate on.
    pub(crate) stratify: bool,
    /// Validate on the test samples.
    pub(crate) test_as_validation: bool,
    /// Names of parameters that are not trained.
    pub(crate) freeze: Vec<String>,
    /// Batch normalisations take the statistics of the whole batch.
    pub(crate) sync_stats: bool,
    /// Cheap outputs are computed again in the backward pass.
    pub(crate) recompute: bool,
    /// The fewest threads that work on a shard together.
    pub(crate) threads_per_shard: usize,
    /// The first layer whitens the training samples.
    pub(crate) whitening: Option<Whitening>,
    pub(crate) augment: AugmentPlan,
    /// The views of samples in tests.
    pub(crate) test_time: TestTime,
    pub(crate) prefetch: Option<PrefetchPlan>,
    pub(crate) epochs: u32,
    pub(crate) steps: Option<u32>,
    /// Steps of an epoch, if they are not those that all samples fill.
    pub(crate) steps_per_epoch: Option<u32>,
    pub(crate) batch: Batch,
    pub(crate) accumulate: u32,
    pub(crate) seed: u64,
    pub(crate) loss: &'static str,
    pub(crate) label_smoothing: f64,
    pub(crate) metrics: Vec<MetricPlan>,
    pub(crate) optimizer: OptimizerPlan,
    /// Before it is scaled by the number of ranks.
    pub(crate) learning_rate: f64,
    pub(crate) scale_learning_rate: bool,
    pub(crate) rate_factors: Vec<RateFactor>,
    pub(crate) schedule: SchedulePlan,
    pub(crate) clip_norm: Option<f64>,
    pub(crate) ema: Option<f64>,
    pub(crate) callbacks: Vec<CallbackPlan>,
    /// Print the curve of a learning-rate range test in the place of training.
    pub(crate) find_lr: Option<RateRange>,
    pub(crate) checkpoint: Option<CheckpointPlan>,
    /// The run folder or the checkpoint to go on from.
    pub(crate) resume: Option<PathBuf>,
    /// The options that this is the plan of.
    pub(crate) words: Vec<OsString>,
    /// What was given and changes nothing, to be said.
    pub(crate) notes: Vec<String>,
    pub(crate) execution: Execution,
    pub(crate) ranks: RankPlan,
    pub(crate) load: Option<PathBuf>,
    pub(crate) save: Option<PathBuf>,
    pub(crate) logging: LoggingPlan,
    pub(crate) evaluate_before: bool,
    pub(crate) hash: bool,
    /// Record what the time goes into.
    pub(crate) profile: Option<ProfilePlan>,
}

impl TrainPlan {
    /// The epoch after which the run is to pause.
    pub(crate) fn pause_after(&self) -> Option<u32> {
        self.checkpoint.as_ref()?.pause_after
    }
}

/// The test of a saved network.
#[derive(Debug)]
pub(crate) struct EvaluatePlan {
    pub(crate) model: NetworkPlan,
    pub(crate) source: Source,
    /// The part of the training samples that the training has validated on: what is tested where the set has
    /// no test samples. 0 if another set is tested.
    pub(crate) validation_split: f64,
    pub(crate) stratify: bool,
    pub(crate) load: PathBuf,
    pub(crate) input: InputPlan,
    pub(crate) test_time: TestTime,
    pub(crate) loss: &'static str,
    pub(crate) per_class: bool,
    pub(crate) per_class_file: Option<HistoryFile>,
    pub(crate) execution: Execution,
    pub(crate) ranks: RankPlan,
}

/// The number of samples in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Batch {
    /// For each rank.
    PerRank(u32),
    /// For all ranks together.
    Global(u32),
}

/// Samples in each rank's part of a batch, by default.
const BATCH_SIZE: u32 = 64;

/// Samples in a shard, by default.
const SHARD_SIZE: usize = 32;

/// The loss that label smoothing is for.
const CROSS_ENTROPY: &str = "categorical_cross_entropy";

/// The part of the learning rate that a warm-up starts from, by default.
const WARM_UP_FACTOR: f64 = 0.01;
/// The epochs of a warm-up that is asked for among the callbacks, by default.
const WARM_UP_EPOCHS: f64 = 5.0;

/// The table of a network's layers.
#[derive(Debug)]
pub(crate) struct SummaryPlan {
    pub(crate) model: NetworkPlan,
    /// The data that the network is for; if there is none, what it was made for.
    pub(crate) source: Option<Source>,
    pub(crate) shard_size: usize,
    pub(crate) conv: ConvPlan,
    pub(crate) dtype: Dtype,
    pub(crate) recompute: bool,
    /// Print a network file in the place of the table.
    pub(crate) toml: bool,
}

/// How ranks work together.
#[derive(Debug, Clone)]
pub(crate) struct RankPlan {
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) transport: Transport,
    pub(crate) timeout: Duration,
    pub(crate) encrypt: bool,
    pub(crate) host: Option<String>,
    pub(crate) shared_memory: PathBuf,
    pub(crate) shards_per_rank: Option<Vec<usize>>,
    pub(crate) bucket_bytes: usize,
    pub(crate) overlap: bool,
    pub(crate) parallel: Parallel,
}

/// Threads, shards and arithmetic.
#[derive(Debug, Clone)]
pub(crate) struct Execution {
    pub(crate) threads: Option<usize>,
    pub(crate) shard_size: Option<usize>,
    pub(crate) dtype: Dtype,
    pub(crate) isa: Isa,
    pub(crate) conv: ConvPlan,
}

impl Execution {
    /// The samples in a shard of a batch. It depends on the batch alone, never on threads or ranks, so that
    /// the bits do not either. By default, a small batch has two shards, for two threads; whole vectors of
    /// samples are fast.
    pub(crate) fn shard_size(&self, batch_size: usize) -> usize {
        let half = batch_size.div_ceil(2).next_multiple_of(8);
        self.shard_size.unwrap_or(SHARD_SIZE.min(half)).min(batch_size)
    }
}

impl TrainPlan {
    /// The configuration of the trainer for `samples` training samples with such targets, and `world` ranks.
    /// Its metrics are those that it reports and, for the test of classes, the accuracy.
    pub(crate) fn config<T: Element>(
        &self,
        samples: usize,
        targets: TargetKind,
        world: usize,
    ) -> TrainConfig<T> {
        let batch_size = self.global_batch_size(samples, world);
        let batch_size = batch_size.saturating_mul(self.accumulate as usize).min(samples);
        let reported = self.reported(targets);
        let mut metrics: Vec<_> = reported.iter().map(MetricPlan::build).collect();
        let is_measured = reported.iter().any(|metric| metric.to_string() == ACCURACY);
        if targets == TargetKind::Classes && !is_measured {
            metrics.extend(targets.metrics());
        }
        TrainConfig {
            batch_size,
            shard_size: self.execution.shard_size(batch_size),
            threads_per_shard: self.threads_per_shard,
            optimizer: self.optimizer.build(),
            learning_rate: if self.scale_learning_rate {
                self.learning_rate * world as f64
            } else {
                self.learning_rate
            },
            schedule: self.schedule.build(self.warm_up_factor(world)),
            loss: build_loss(self.loss, self.label_smoothing),
            metrics,
            seed: self.seed,
            isa: self.execution.isa,
            clip_norm: self.clip_norm,
            ema: self.ema,
            max_steps: self.steps.map(u64::from),
            max_epochs: Some(self.epochs),
        }
    }

    /// The metrics that are reported beside the loss, of targets that are such.
    pub(crate) fn reported(&self, targets: TargetKind) -> Vec<MetricPlan> {
        match self.metrics.is_empty() {
            true => metric_plan::of_training(targets, self.loss),
            false => self.metrics.clone(),
        }
    }

    /// The samples of an epoch of `world` ranks, if it does not have all of them.
    pub(crate) fn epoch_samples(&self, world: usize) -> Option<usize> {
        let batch = self.global_batch_size(usize::MAX, world).saturating_mul(self.accumulate as usize);
        self.steps_per_epoch.map(|steps| batch.saturating_mul(steps as usize))
    }

    /// The part of the learning rate that a warm-up starts from unless it was given: of a scaled rate, what
    /// one rank alone would have.
    pub(crate) fn warm_up_factor(&self, world: usize) -> f64 {
        if self.scale_learning_rate { 1.0 / world as f64 } else { WARM_UP_FACTOR }
    }

    /// The samples in a batch of `world` ranks, for a training set of `samples`. A step takes `accumulate`
    /// batches.
    pub(crate) fn global_batch_size(&self, samples: usize, world: usize) -> usize {
        let batch_size = match self.batch {
            Batch::PerRank(samples) => (samples as usize).saturating_mul(world),
            Batch::Global(samples) => samples as usize,
        };
        batch_size.min(samples)
    }
}

impl EvaluatePlan {
    /// Whether the classes are told apart.
    pub(crate) fn is_per_class(&self) -> bool {
        self.per_class || self.per_class_file.is_some()
    }

    /// The configuration of a trainer that only evaluates `samples` samples with such targets.
    pub(crate) fn config<T: Element>(&self, samples: usize, targets: TargetKind) -> TrainConfig<T> {
        let Execution { shard_size, isa, .. } = self.execution;
        let shard_size = shard_size.unwrap_or(SHARD_SIZE).min(samples);
        let (loss, metrics) = (build_loss(self.loss, 0.0), targets.metrics());
        let mut config =
            TrainConfig { batch_size: shard_size, shard_size, loss, metrics, isa, ..TrainConfig::default() };
        if self.is_per_class() {
            config.metrics.push(Arc::new(ConfusionMatrix));
        }
        config
    }
}

/// The loss called `name`, which its parser knows. Only the cross-entropy of classes has smoothed labels.
fn build_loss<T: Element>(name: &str, smoothing: f64) -> Arc<dyn Loss<T>> {
    if smoothing > 0.0 {
        return Arc::new(CategoricalCrossEntropy { smoothing, ..CategoricalCrossEntropy::new() });
    }
    loss::by_name(name).expect("a name that was parsed")
}

impl RankPlan {
    /// The name of the network between hosts.
    pub(crate) fn network(&self) -> &'static str {
        if self.transport == Transport::Mpi { "MPI" } else { "TCP" }
    }

    /// The share of the shards that each of `world` ranks gets.
    pub(crate) fn shares(&self, world: usize) -> Result<Shares, Failure> {
        if self.parallel == Parallel::Sequential && world > 1 {
            let problem = format!("--parallel sequential is for one rank, but there are {world}");
            let hint = Some("--parallel data shares each batch among them".to_string());
            return Err(Failure::Usage { problem, hint });
        }
        let Some(weights) = &self.shards_per_rank else { return Ok(Shares::even(world)) };
        let usage = |problem| Failure::Usage { problem, hint: None };
        if weights.len() != world {
            let (numbers, ranks) = (count(weights.len(), "number"), count(world, "rank"));
            return Err(usage(format!("--shards-per-rank has {numbers} for {ranks}")));
        }
        Shares::new(weights).ok_or_else(|| usage("--shards-per-rank: no rank has any shard".to_string()))
    }
}

impl From<RankArgs> for RankPlan {
    fn from(args: RankArgs) -> Self {
        Self {
            key_file: args.key_file,
            transport: args.transport,
            timeout: args.timeout,
            encrypt: args.encrypt,
            host: args.host_name,
            shared_memory: args.shared_memory,
            shards_per_rank: args.shards_per_rank,
            bucket_bytes: args.bucket_bytes,
            overlap: !args.no_overlap,
            parallel: args.parallel,
        }
    }
}

impl TryFrom<Box<TrainArgs>> for TrainPlan {
    type Error = Failure;

    fn try_from(mut args: Box<TrainArgs>) -> Result<Self, Failure> {
        let origins = std::mem::take(&mut args.origins);
        Self::new(*args).map_err(|failure| origins.explain(failure))
    }
}

impl TrainPlan {
    fn new(args: TrainArgs) -> Result<Self, Failure> {
        let TrainArgs {
            network,
            data,
            validation_split,
            stratify,
            test_as_validation,
            freeze,
            sync_stats,
            recompute,
            threads_per_shard,
            whiten,
            input,
            augment,
            tta,
            prefetch,
            training,
            mut rate,
            optimizer,
            callbacks,
            checkpoints,
            logging,
            execution,
            ranks,
            output,
            // Taken out of the words before they were parsed.
            config: _,
            profile,
            words,
            notes,
            origins: _,
        } = args;
        let mut metrics = Vec::new();
        for metric in training.metrics {
            if !metrics.contains(&metric) {
                metrics.push(metric);
            }
        }
        let measured = Measured { loss: training.loss.loss, metrics: &metrics };
        let is_listed = |name: Name| callbacks.callbacks.contains(&name);
        if is_listed(Name::WarmUp) {
            rate.warm_up_epochs.get_or_insert(WARM_UP_EPOCHS);
        }
        let resume = checkpoints.resume.clone();
        let checkpoint = CheckpointPlan::new(checkpoints, is_listed(Name::ModelCheckpoint), measured)?;
        let folder = checkpoint.as_ref().map(|checkpoint| checkpoint.folder.as_path());
        let logging = LoggingPlan::new(logging, output.history, folder);
        let (find_lr, callbacks) = (callbacks.find_lr, CallbackPlan::all(callbacks, measured)?);
        let OptimizerArgs { optimizer, clip_norm, ema, given } = optimizer;
        let optimizer = optimizer.with(given)?;
        if training.label_smoothing > 0.0 && training.loss.loss != CROSS_ENTROPY {
            let loss = training.loss.loss;
            return Err(usage(format!("--label-smoothing is for the loss {CROSS_ENTROPY}, not for {loss}")));
        }
        let model = NetworkPlan::new(network.model)?;
        let augment = AugmentPlan::new(input, augment)?;
        Ok(Self {
            source: Source::new(data, &model)?.sized_for(&augment.input),
            model,
            validation_split,
            stratify,
            test_as_validation,
            freeze,
            sync_stats,
            recompute,
            threads_per_shard,
            whitening: whiten.plan(),
            augment,
            test_time: tta,
            prefetch: PrefetchPlan::new(&prefetch),
            epochs: training.epochs,
            steps: training.steps,
            steps_per_epoch: training.steps_per_epoch.filter(|steps| *steps > 0),
            batch: match training.global_batch_size {
                Some(samples) => Batch::Global(samples),
                None => Batch::PerRank(training.batch_size.unwrap_or(BATCH_SIZE)),
            },
            accumulate: training.accumulate,
            seed: training.seed,
            loss: training.loss.loss,
            label_smoothing: training.label_smoothing,
            metrics,
            optimizer,
            learning_rate: rate.learning_rate.unwrap_or(optimizer.default_learning_rate()),
            scale_learning_rate: rate.scale_learning_rate,
            rate_factors: std::mem::take(&mut rate.rate_factor),
            schedule: SchedulePlan::new(rate)?,
            clip_norm,
            ema,
            callbacks,
            find_lr,
            checkpoint,
            resume,
            words,
            notes,
            execution: execution.try_into()?,
            ranks: ranks.into(),
            load: output.load,
            save: output.save,
            logging,
            evaluate_before: output.evaluate,
            hash: output.hash,
            profile: ProfilePlan::new(profile),
        })
    }
}

impl TryFrom<SummaryArgs> for SummaryPlan {
    type Error = Failure;

    fn try_from(args: SummaryArgs) -> Result<Self, Failure> {
        let SummaryArgs { network, data, shard_size, conv, dtype, recompute, toml, config: _ } = args;
        let model = NetworkPlan::new(network.model)?;
        let has_data = data.is_given();
        let source = has_data.then(|| Source::new(data, &model)).transpose()?;
        let conv = dtype.conv(conv, Isa::best()).into();
        Ok(Self { model, source, shard_size, conv, dtype, recompute, toml })
    }
}

impl TryFrom<ExecutionArgs> for Execution {
    type Error = Failure;

    fn try_from(args: ExecutionArgs) -> Result<Self, Failure> {
        let ExecutionArgs { threads, shard_size, dtype, isa, conv } = args;
        let isa = isa.on_this_cpu().map_err(|problem| usage(format!("--isa: {problem}")))?;
        Ok(Self { threads, shard_size, dtype, isa, conv: dtype.conv(conv, isa).into() })
    }
}

fn usage(problem: String) -> Failure {
    Failure::Usage { problem, hint: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Arguments, Command};
    use clap::Parser;
    use isograd_model::optimizer::{Nadam, RmsProp, Sgd};

    fn plan(options: &[&str]) -> Result<TrainPlan, Failure> {
        let args = ["isograd", "train", "--dataset", "synthetic"].iter().chain(options);
        match Arguments::try_parse_from(args).unwrap().command {
            Command::Train(args) => args.try_into(),
            other => panic!("{other:?}"),
        }
    }

    fn message(options: &[&str]) -> String {
        plan(options).unwrap_err().to_string()
    }

    #[test]
    fn an_optimizer_takes_its_parameters_and_no_others() {
        let sgd = plan(&["--optimizer", "sgd", "--momentum", "0.5", "--nesterov"]).unwrap();
        let expected = Sgd { momentum: 0.5, nesterov: true, weight_decay: 0.0 };
        assert_eq!(sgd.optimizer, OptimizerPlan::Sgd(expected));
        let rmsprop = plan(&["--optimizer", "rmsprop", "--rho", "0.5", "--weight-decay", "0.1"]).unwrap();
        let expected = RmsProp { rho: 0.5, eps: 1e-7, weight_decay: 0.1 };
        assert_eq!(rmsprop.optimizer, OptimizerPlan::RmsProp(expected));
        let nadam = plan(&["--optimizer", "nadam", "--beta1", "0.5", "--epsilon", "0"]).unwrap();
        let expected = Nadam { beta1: 0.5, eps: 0.0, ..Nadam::default() };
        assert_eq!(nadam.optimizer, OptimizerPlan::Nadam(expected));
        assert_eq!(
            message(&["--optimizer", "sgd", "--beta2", "0.9"]),
            "--beta2 is not a parameter of the optimizer sgd, which has --momentum, --nesterov and --weight-decay"
        );
        assert!(message(&["--nesterov"]).starts_with("--nesterov is not a parameter of the optimizer adam"));
    }

    #[test]
    fn a_learning_rate_may_grow_with_the_ranks() {
        let config = |options: &[&str], world| {
            let config = plan(options).unwrap().config::<f32>(1000, TargetKind::Classes, world);
            (config.learning_rate, format!("{:?}", config.schedule))
        };
        let warm_up = |from: &str| format!("WarmUp {{ over: Epochs(2.0), from: {from}, then: Constant }}");
        assert_eq!(config(&[], 4), (0.001, "Constant".to_string()));
        assert_eq!(config(&["--scale-learning-rate"], 4), (0.004, "Constant".to_string()));
        assert_eq!(config(&["--warm-up-epochs", "2"], 4), (0.001, warm_up("0.01")));
        let scaled = ["--scale-learning-rate", "--learning-rate", "0.1", "--warm-up-epochs", "2"];
        assert_eq!(config(&scaled, 4), (0.4, warm_up("0.25")));
        assert_eq!(config(&[&scaled[..], &["--warm-up-factor", "0.5"]].concat(), 4), (0.4, warm_up("0.5")));
    }

    #[test]
    fn the_learning_rate_is_the_optimizers_unless_given() {
        let rate = |options: &[&str]| plan(options).unwrap().learning_rate;
        assert_eq!(rate(&[]), 0.001);
        assert_eq!(rate(&["--optimizer", "sgd"]), 0.01);
        assert_eq!(rate(&["--optimizer", "muon"]), 0.02);
        assert_eq!(rate(&["--optimizer", "lars"]), 0.02);
        assert_eq!(rate(&["--optimizer", "sgd", "--learning-rate", "0"]), 0.0);
    }

    #[test]
    fn batch_and_shard_are_no_larger_than_what_there_is() {
        let config = plan(&["--batch-size", "4000000000", "--shard-size", "4096"]).unwrap().config::<f32>(
            100,
            TargetKind::Classes,
            1,
        );
        assert_eq!((config.batch_size, config.shard_size), (100, 100));
        let config = plan(&["--batch-size", "16"]).unwrap().config::<f32>(100, TargetKind::Classes, 1);
        assert_eq!((config.batch_size, config.shard_size), (16, 8));
        let shard_size = |batch_size: usize| {
            let batch_size = batch_size.to_string();
            plan(&["--batch-size", &batch_size])
                .unwrap()
                .config::<f32>(1000, TargetKind::Classes, 1)
                .shard_size
        };
        assert_eq!([1, 7, 8, 9, 30, 48, 63, 64, 100].map(shard_size), [1, 7, 8, 8, 16, 24, 32, 32, 32]);
    }

    #[test]
    fn a_batch_is_per_rank_or_global() {
        let batch = |options: &[&str], world| {
            plan(options).unwrap().config::<f32>(10_000, TargetKind::Classes, world).batch_size
        };
        assert_eq!(batch(&[], 3), 192);
        assert_eq!(batch(&["--batch-size", "10"], 3), 30);
        assert_eq!(batch(&["--global-batch-size", "10"], 3), 10);
        assert_eq!(batch(&["--global-batch-size", "10", "--accumulate", "4"], 3), 40);
        assert_eq!(batch(&["--batch-size", "4294967295", "--accumulate", "4294967295"], 65_536), 10_000);
        let accumulated = plan(&["--global-batch-size", "10", "--accumulate", "4"]).unwrap();
        assert_eq!([accumulated.global_batch_size(100, 3), accumulated.global_batch_size(7, 3)], [10, 7]);
    }

    #[test]
    fn an_evaluation_has_no_larger_shard_than_there_are_samples() {
        let args = ["isograd", "evaluate", "--load", "x", "--dataset", "synthetic"];
        let plan: EvaluatePlan = match Arguments::try_parse_from(args).unwrap().command {
            Command::Evaluate(args) => (*args).try_into().unwrap(),
            other => panic!("{other:?}"),
        };
        let config = |samples| plan.config::<f32>(samples, TargetKind::Classes);
        let sizes = |samples| (config(samples).batch_size, config(samples).shard_size);
        assert_eq!((sizes(7), sizes(1000)), ((7, 7), (32, 32)));
    }

    #[test]
    fn the_accuracy_of_classes_is_always_measured() {
        let metrics = |names: &str| {
            let plan = plan(&["--metrics", names]).unwrap();
            let built = |targets| {
                let built = plan.config::<f32>(1, targets, 1).metrics;
                built.iter().map(|metric| metric.name().into_owned()).collect::<Vec<_>>()
            };
            (plan.metrics.clone(), built(TargetKind::Classes), built(TargetKind::Numbers))
        };
        let plans = |name| vec![MetricPlan::new(name).unwrap()];
        let both = ["regression_mae", ACCURACY].map(str::to_string).to_vec();
        let [mae, accuracy] = ["regression_mae", ACCURACY].map(|name| vec![name.to_string()]);
        assert_eq!(metrics("regression_mae,regression_mae"), (plans("regression_mae"), both, mae));
        assert_eq!(metrics(ACCURACY), (plans(ACCURACY), accuracy.clone(), accuracy));
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        assert_eq!(
            message(&["--dataset-train-path", "x"]),
            "--dataset-train-path: the synthetic data set reads no files"
        );
    }
}
