//! The law of the house, between ranks: the same run gives the same bits on any number of ranks, however they
//! exchange data.

use crate::common::{branching, in_pool, simplecnn_with_dropout_and_batch_norm, synchronised};
use crate::data_errors::Decoding;
use crate::training::optimizers;
use isograd_comm::{Communicator, Meeting, Place, Settings, Shares, Transport};
use isograd_datasets::{Arrays, Synthetic};
use isograd_model::metric::{CategoricalAccuracy, ConfusionMatrix, F1};
use isograd_model::optimizer::Sgd;
use isograd_model::schedule::{Cosine, WarmUp};
use isograd_model::{Error, Evaluation, Network, NonFinite, Progress, Ranks, TrainConfig, Trainer};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};

const STEPS: u64 = 30;
const SHARDS: usize = 8;
const SHARD_SIZE: usize = 5;

/// How ranks reach each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Over {
    SharedMemory,
    Tcp,
    /// Shared memory within hosts of two ranks, TCP between them.
    Both,
}

/// A group, and what its ranks do.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) network: fn() -> Network<f32>,
    over: Over,
    threads: usize,
    overlap: bool,
    shares: Shares,
    bucket_bytes: usize,
}

impl Group {
    pub(crate) fn new(over: Over, threads: usize, overlap: bool, world: usize) -> Self {
        // Small buckets, so that there are several.
        let network = simplecnn_with_dropout_and_batch_norm;
        Self { network, over, threads, overlap, shares: Shares::even(world), bucket_bytes: 4096 }
    }
}

#[derive(Debug, PartialEq, Clone)]
struct Outcome {
    params_sha256: String,
    statistics: Vec<f32>,
    epochs: Vec<Evaluation>,
    evaluation: Evaluation,
}

fn config() -> TrainConfig {
    TrainConfig {
        batch_size: SHARDS * SHARD_SIZE,
        shard_size: SHARD_SIZE,
        seed: 42,
        max_steps: Some(STEPS),
        metrics: vec![Arc::new(CategoricalAccuracy), Arc::new(F1), Arc::new(ConfusionMatrix)],
        ..TrainConfig::default()
    }
}

/// Steps of 40, 40 and 16 samples. The last step has shards of 5, 5, 3 and 3: one sample would be too few for
/// a batch normalisation.
fn data() -> Arrays<'static> {
    Synthetic { seed: 3, sample_shape: [1, 28, 28], num_classes: 10 }.samples(0..96).expect("a data set")
}

fn train(mut trainer: Trainer<f32>) -> Result<Outcome, Error> {
    let data = data();
    let mut epochs = Vec::new();
    while !trainer.is_finished() {
        epochs.push(trainer.train_epoch(&data, |_| ())?.train);
    }
    let evaluation = trainer.evaluate(&data)?;
    let (state, steps) = (trainer.state(), trainer.steps());
    assert_eq!(Some(steps), trainer.config().max_steps);
    let (params_sha256, statistics) = (state.params_sha256(), state.statistics().to_vec());
    Ok(Outcome { params_sha256, statistics, epochs, evaluation })
}

fn alone(config: TrainConfig) -> Outcome {
    in_pool(1, || train_in_pool(config))
}

/// Trains on the threads of the current pool.
fn train_in_pool(config: TrainConfig) -> Outcome {
    let trainer = Trainer::new(simplecnn_with_dropout_and_batch_norm(), config).expect("a trainer");
    train(trainer).expect("finite losses")
}

/// What each rank of a group gets.
fn together(group: &Group, config: &TrainConfig) -> Vec<Outcome> {
    each_rank(group, config, |_, trainer| train(trainer))
}

/// What `work` of each rank returns, by rank.
pub(crate) fn each_rank<R: Send>(
    group: &Group,
    config: &TrainConfig,
    work: impl Fn(usize, Trainer<f32>) -> Result<R, Error> + Sync,
) -> Vec<R> {
    let work = &work;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let world = group.shares.world_size();
    let run = |rank: usize| {
        let place = Place::File(folder.path().join("meeting"));
        let mut settings = Settings::new(Meeting::new(place, rank, world));
        match group.over {
            Over::SharedMemory => settings.transport = Transport::SharedMemory,
            Over::Tcp => settings.transport = Transport::Tcp,
            Over::Both => settings.host = Some(format!("host {}", rank / 2)),
        }
        let communicator = Communicator::join(&settings)?;
        let Group { shares, bucket_bytes, overlap, .. } = group.clone();
        let ranks = Ranks { communicator, shares, bucket_bytes, overlap };
        let network = (group.network)();
        in_pool(group.threads, || work(rank, Trainer::with_ranks(network, config.clone(), ranks)?))
    };
    std::thread::scope(|scope| {
        let ranks: Vec<_> = (0..world).map(|rank| scope.spawn(move || run(rank))).collect();
        let outcomes = ranks.into_iter().map(|rank| rank.join().expect("no rank panics"));
        outcomes.map(|outcome| outcome.unwrap_or_else(|error| panic!("{group:?}: {error}"))).collect()
    })
}

fn assert_law(group: &Group, config: &TrainConfig, expected: &Outcome) {
    for (rank, outcome) in together(group, config).iter().enumerate() {
        assert_eq!(outcome, expected, "rank {rank} of {group:?}");
    }
}

#[test]
fn any_number_of_ranks_gives_the_same_bits_over_shared_memory() {
    the_law_over(Over::SharedMemory);
}

#[test]
fn any_number_of_ranks_gives_the_same_bits_over_tcp() {
    the_law_over(Over::Tcp);
}

#[test]
fn any_number_of_ranks_gives_the_same_bits_on_several_hosts() {
    the_law_over(Over::Both);
}

fn the_law_over(over: Over) {
    let expected = alone(config());
    for world in [1, 2, 3, 4, 5, 8] {
        for threads in [1, 2] {
            for overlap in [true, false] {
                assert_law(&Group::new(over, threads, overlap, world), &config(), &expected);
            }
        }
    }
}

/// With every block, and most layers.
#[test]
fn networks_that_branch_give_the_same_bits_on_any_number_of_ranks() {
    on_any_number_of_ranks(branching);
}

#[test]
fn rounded_values_give_the_same_bits_on_any_number_of_ranks() {
    on_any_number_of_ranks(|| branching().with_bfloat16_values().expect("f32"));
}

fn on_any_number_of_ranks(network: fn() -> Network<f32>) {
    let config = TrainConfig { max_steps: Some(6), ..config() };
    let expected = in_pool(1, || {
        train(Trainer::new(network(), config.clone()).expect("a trainer")).expect("finite losses")
    });
    for over in [Over::SharedMemory, Over::Tcp, Over::Both] {
        for (world, threads) in [(2, 1), (3, 2), (4, 1)] {
            let group = Group { network, ..Group::new(over, threads, true, world) };
            assert_law(&group, &config, &expected);
        }
    }
}

/// One rank has no shard in the last step, which has four.
#[test]
fn shards_that_wait_for_each_other_give_the_same_bits_on_any_number_of_ranks() {
    let config = TrainConfig { max_steps: Some(6), ..config() };
    let expected = in_pool(1, || {
        train(Trainer::new(synchronised(), config.clone()).expect("a trainer")).expect("finite losses")
    });
    for over in [Over::SharedMemory, Over::Tcp, Over::Both] {
        for (world, threads, overlap) in [(1, 3, true), (2, 1, true), (3, 2, false), (5, 2, true)] {
            let group = Group { network: synchronised, ..Group::new(over, threads, overlap, world) };
            assert_law(&group, &config, &expected);
        }
    }
}

/// One rank has a worker fewer than threads, as they cannot be divided by two.
#[test]
fn threads_that_share_shards_give_the_same_bits_on_any_number_of_ranks() {
    for network in [simplecnn_with_dropout_and_batch_norm, synchronised] {
        let expected = in_pool(1, || {
            train(Trainer::new(network(), config()).expect("a trainer")).expect("finite losses")
        });
        let config = TrainConfig { threads_per_shard: 2, ..config() };
        for (over, world, threads) in [(Over::SharedMemory, 1, 5), (Over::Tcp, 2, 4), (Over::Both, 3, 3)] {
            let group = Group { network, ..Group::new(over, threads, true, world) };
            assert_law(&group, &config, &expected);
        }
    }
}

#[test]
fn unequal_shares_change_no_bit() {
    let expected = alone(config());
    for weights in [&[5, 2, 1][..], &[1, 0, 3], &[1, 100], &[0, 0, 0, 1]] {
        for over in [Over::SharedMemory, Over::Tcp, Over::Both] {
            let mut group = Group::new(over, 2, true, weights.len());
            group.shares = Shares::new(weights).expect("weights");
            assert_law(&group, &config(), &expected);
        }
    }
}

#[test]
fn the_size_of_buckets_changes_no_bit() {
    let expected = alone(config());
    for bucket_bytes in [1, 100_000, usize::MAX] {
        let mut group = Group::new(Over::Both, 1, true, 3);
        group.bucket_bytes = bucket_bytes;
        assert_law(&group, &config(), &expected);
    }
}

#[test]
fn a_request_to_stop_at_one_rank_ends_all_after_the_same_step() {
    const STOP: u64 = 2;
    let stopped = |rank: usize, mut trainer: Trainer<f32>| {
        let request = Arc::new(AtomicBool::new(false));
        trainer.stop_on(Arc::clone(&request));
        let (mut steps, is_asked) = (1, rank == 1);
        // The request comes while the step before the last one ends.
        let progress = |_: Progress<'_>| {
            steps += 1;
            request.store(is_asked && steps >= STOP, Ordering::Relaxed);
        };
        let report = trainer.train_epoch(&data(), progress)?;
        assert!(trainer.is_stopped() && trainer.is_finished());
        Ok((report.steps, trainer.state().params_sha256()))
    };
    let some_steps = TrainConfig { max_steps: Some(STOP), ..config() };
    let expected = in_pool(1, || {
        let mut trainer: Trainer<f32> =
            Trainer::new(simplecnn_with_dropout_and_batch_norm(), some_steps).expect("a trainer");
        trainer.train_epoch(&data(), |_| ()).expect("finite losses");
        (STOP, trainer.state().params_sha256())
    });
    let alone = in_pool(1, || {
        stopped(1, Trainer::new(simplecnn_with_dropout_and_batch_norm(), config()).expect("a trainer"))
    });
    assert_eq!(alone.expect("finite losses"), expected);
    for over in [Over::SharedMemory, Over::Tcp] {
        for outcome in each_rank(&Group::new(over, 1, true, 3), &config(), stopped) {
            assert_eq!(outcome, expected, "{over:?}");
        }
    }
}

#[test]
fn clipping_by_the_norm_of_all_gradients_changes_no_bit() {
    let config = TrainConfig { clip_norm: Some(0.05), optimizer: Arc::new(Sgd::default()), ..config() };
    let expected = alone(config.clone());
    assert_ne!(expected, alone(TrainConfig { clip_norm: None, ..config.clone() }));
    assert_eq!(expected, in_pool(3, || train_in_pool(config.clone())));
    assert_law(&Group::new(Over::Both, 2, true, 3), &config, &expected);
}

/// Each optimizer with averages and a schedule, of which the evaluation is a part of the outcome.
#[test]
fn every_optimizer_gives_the_same_bits_on_any_number_of_threads_and_ranks() {
    for (optimizer, learning_rate) in optimizers() {
        let config = TrainConfig {
            learning_rate,
            optimizer,
            schedule: Arc::new(WarmUp { then: Arc::new(Cosine::default()), ..WarmUp::default() }),
            ema: Some(0.5),
            max_steps: Some(3),
            ..config()
        };
        let expected = alone(config.clone());
        assert_eq!(in_pool(3, || train_in_pool(config.clone())), expected, "{:?}", config.optimizer);
        assert_law(&Group::new(Over::Both, 2, true, 3), &config, &expected);
    }
}

/// All ranks update all parameters: all of them see the same.
#[test]
fn parameters_that_stop_being_finite_stop_all_ranks() {
    let optimizer = Arc::new(Sgd { momentum: 0.0, nesterov: false, weight_decay: 1e10 });
    let config = TrainConfig { optimizer, learning_rate: 1e38, ..config() };
    let expected = "parameters became infinite or NaN by the end of step 1 (epoch 1), first in 'conv2d1.weight'; a \
                    smaller learning rate may help";
    let fails = |_, mut trainer: Trainer<f32>| {
        Ok(trainer.train_epoch(&data(), |_| ()).expect_err("parameters that are no numbers").to_string())
    };
    for outcome in each_rank(&Group::new(Over::Both, 2, true, 3), &config, fails) {
        assert_eq!(outcome, expected);
    }
}

/// The state is that before the step, and so is everything else: training goes on with better samples.
#[test]
fn ranks_go_on_after_a_loss_that_was_no_number() {
    let bad = Arrays::from_f32(vec![f32::NAN; 40 * 784], vec![0; 40], [1, 28, 28], 10).expect("a data set");
    let recover = |mut trainer: Trainer<f32>| {
        let error = trainer.train_epoch(&bad, |_| ()).expect_err("a loss that is no number");
        assert!(matches!(error, Error::NonFinite(NonFinite::Loss { step: 1, epoch: 1, .. })), "{error}");
        train(trainer)
    };
    let expected = alone(config());
    for overlap in [true, false] {
        let group = Group::new(Over::Both, 2, overlap, 3);
        for outcome in each_rank(&group, &config(), |_, trainer| recover(trainer)) {
            assert_eq!(outcome, expected, "{group:?}");
        }
    }
}

/// The rank that has the sample says why, the others that another rank failed; nobody waits, and
/// the next pass works.
#[test]
fn a_sample_that_one_rank_cannot_read_ends_the_step_at_all_ranks() {
    let data = data();
    let plain = simplecnn_with_dropout_and_batch_norm;
    for (network, overlap, unreadable) in
        [(plain as fn() -> _, true, 7), (plain, false, 50), (plain, true, 95), (synchronised, true, 50)]
    {
        let data = Decoding { inner: &data, unreadable: Some(unreadable) };
        let group = Group { network, ..Group::new(Over::Both, 2, overlap, 3) };
        let outcomes = each_rank(&group, &TrainConfig { batch_size: 96, ..config() }, |_, mut trainer| {
            let training = trainer.train_epoch(&data, |_| ()).expect_err("no sample").to_string();
            let evaluation = trainer.evaluate(&data).expect_err("no sample").to_string();
            assert_eq!(trainer.steps(), 0);
            assert_eq!(trainer.evaluate(data.inner)?.samples, 96);
            Ok([training, evaluation])
        });
        let cause =
            format!("cannot read sample {unreadable} (photos/{unreadable}.jpg): the file ends after 7 bytes");
        for pass in 0..2 {
            let causes = outcomes.iter().filter(|messages| messages[pass] == cause).count();
            let others = "another rank could not read a sample";
            let consequences = outcomes.iter().filter(|messages| messages[pass] == others).count();
            assert_eq!((causes, consequences), (1, 2), "{outcomes:?}");
        }
    }
}

/// Some ranks hear of it in the middle of a step: neither that nor what is called later panics, and no step
/// is counted.
#[test]
fn every_call_after_an_abort_is_an_error() {
    for over in [Over::SharedMemory, Over::Tcp, Over::Both] {
        for overlap in [true, false] {
            let ready = Barrier::new(3);
            let group = Group::new(over, 1, overlap, 3);
            let outcomes = each_rank(&group, &config(), |rank, mut trainer| {
                ready.wait();
                if rank == 1 {
                    trainer.abort("rank 1 has no room for the checkpoint");
                }
                let before = trainer.state().params_sha256();
                let mut errors = vec![trainer.train_epoch(&data(), |_| ()).expect_err("a broken group")];
                errors.push(trainer.train_epoch(&data(), |_| ()).expect_err("a broken group"));
                errors.push(trainer.evaluate(&data()).map(|_| ()).expect_err("a broken group"));
                assert_eq!(
                    (trainer.steps(), trainer.state().params_sha256()),
                    (0, before),
                    "no step was done"
                );
                Ok(errors)
            });
            for (rank, errors) in outcomes.iter().enumerate() {
                let first = errors[0].to_string();
                assert!(
                    first.contains("rank 1 has no room for the checkpoint"),
                    "rank {rank} of {group:?}: {first}"
                );
                assert!(
                    errors.iter().all(|error| error.to_string() == first),
                    "rank {rank} of {group:?}: {errors:?}"
                );
            }
        }
    }
}
