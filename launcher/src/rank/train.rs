//! `isograd train`.
//!
//! ```text
//! load the data, say how its samples are changed            // bad input ends the run here
//! build the network, load its parameters
//! open the files to write                                   // files that cannot be written end it here
//! meet the other ranks, if there are any
//! read the checkpoint to go on from, if there is one; share it
//! print the layers and the settings; test, if asked to
//! for each epoch: train, validate, call callbacks, save parameters with a finite loss, print a line,
//!                 log it; meanwhile, write checkpoints
//! print time and throughput, and the profile, if asked to; test; draw mistakes; print the hash, if asked to
//! ```

use crate::cli::augment_plan::PrefetchPlan;
use crate::cli::callback_plan::CallbackPlan;
use crate::cli::metric_plan::TargetKind;
use crate::cli::plan::RankPlan;
use crate::cli::plan::{Execution, TrainPlan};
use crate::cli::rate_factor::RateFactor;
use crate::cli::saved_settings::{SETTINGS, SavedSettings};
use crate::cli::whiten_plan;
use crate::failure::{Failure, Saved};
use crate::loggers;
use crate::loggers::console::Console;
use crate::mistakes::Problem;
use crate::output::Output;
use crate::rank::agreement;
use crate::rank::checkpoints::{self, Checkpoints};
use crate::rank::command::RankCommand;
use crate::rank::data::{NO_TEST, Samples, TEST_HINT};
use crate::rank::description;
use crate::rank::identity::RankIdentity;
use crate::rank::mistake_pictures;
use crate::rank::network::{build, load_state};
use crate::rank::observer::{Half, Run};
use crate::rank::profile::Profiling;
use crate::rank::report::{last_half_line, memory_line, rate_lines, test_line, time_lines};
use crate::rank::resume::{self, Joined};
use crate::rank::run_start::{self, Spent};
use crate::rank::sample_picture;
use crate::rank::settings_table;
use crate::rank::stop::StopRequest;
use crate::rank::views::{self, Views};
use crate::system::count::count;
use crate::system::escape::one_line;
use crate::system::memory;
use crate::system::same_file;
use crate::system::whole_file;
use isograd_datasets::{Dataset, Prefetched, Repeated, Subset, ValidationSplit};
use isograd_model::callback::Callback;
use isograd_model::logger::{Loggers, Record, TestRecord};
use isograd_model::{Element, Error, NonFinite, Ranks, RunFolder, RunInfo, Trainer, Whitening, check_save};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The file with the options of a run, in its folder.
const CONFIGURATION: &str = "config.toml";

/// Trains a network and tests it.
impl RankCommand for TrainPlan {
    fn ranks(&self) -> &RankPlan {
        &self.ranks
    }

    fn execution(&self) -> &Execution {
        &self.execution
    }

    fn run<T: Element>(&self, identity: &RankIdentity, out: &mut Output) -> Result<(), Failure> {
        run::<T>(self, identity, None, out)
    }
}

/// Runs `plan`, with ranks that have met already if it goes on with a run.
pub(crate) fn run<T: Element>(
    plan: &TrainPlan,
    identity: &RankIdentity,
    joined: Option<Joined>,
    out: &mut Output,
) -> Result<(), Failure> {
    let shares = plan.ranks.shares(identity.world)?;
    if identity.is_first() {
        check_names(plan)?;
    }
    let samples = plan.source.load()?;
    let parts = match plan.test_as_validation {
        true => samples.parts_with_test()?,
        false => samples.parts(plan.validation_split, plan.stratify)?,
    };
    let epoch = plan.epoch_samples(identity.world).map(|samples| Repeated::new(&parts.train, samples));
    let parts = match &epoch {
        Some(epoch) => ValidationSplit { train: Subset::new(epoch, 0..epoch.len()), ..parts.clone() },
        None => parts.clone(),
    };
    let views = Views::new(&plan.augment, &parts, plan.seed)?;
    let tested = samples.test(&parts);
    if tested.is_none() && plan.evaluate_before {
        let (problem, hint) = (NO_TEST.to_string(), Some(TEST_HINT.to_string()));
        return Err(Failure::Usage { problem, hint });
    }
    let has_validation = !parts.validation.is_empty();
    let targets = TargetKind::of(&*views.train);
    check_loss(plan.loss, targets)?;
    let config = plan.config::<T>(parts.train.len(), targets, identity.world);
    let measured: Vec<String> = config.metrics.iter().map(|metric| metric.name().into_owned()).collect();
    plan.callbacks.iter().try_for_each(|callback| callback.check(&measured, has_validation))?;
    let best = plan.checkpoint.as_ref().map(|checkpoint| &checkpoint.best);
    best.map_or(Ok(()), |best| best.check(&measured, has_validation))?;
    let network = build::<T>(&plan.model, &plan.execution.conv, &*views.train, plan.sync_stats)?;
    let (mut network, model) = (network, plan.model.name());
    if identity.is_first() {
        let dtype = plan.execution.dtype;
        plan.execution.conv.warn(&network, dtype, config.isa, Some(config.shard_size));
    }
    for pattern in &plan.freeze {
        network
            .freeze(pattern)
            .map_err(|error| Failure::Usage { problem: format!("--freeze: {error}"), hint: None })?;
    }
    for RateFactor { pattern, factor } in &plan.rate_factors {
        network
            .scale_learning_rate(pattern, *factor)
            .map_err(|error| Failure::Usage { problem: format!("--rate-factor: {error}"), hint: None })?;
    }
    if plan.whitening.is_some() {
        let weights = Whitening::weights(&network).map_err(whiten_plan::refused)?.to_string();
        network.freeze(&weights)?;
    }
    network = plan.execution.dtype.apply(network)?;
    if plan.recompute {
        network = network.with_recomputation();
    }
    // The first rank alone reads and writes files; the others get the loaded parameters from it.
    let is_first = identity.is_first();
    let metrics = plan.reported(targets);
    let load = plan.load.as_ref().filter(|_| is_first);
    let loaded = load.map(|path| load_state(path, &model, &network)).transpose()?;
    if let Some(path) = plan.save.as_ref().filter(|_| is_first) {
        check_save(path, &model, &network).map_err(Failure::Save)?;
    }
    let start = Instant::now();
    let is_training = plan.find_lr.is_none();
    let checkpoint = plan.checkpoint.as_ref().filter(|_| is_first && is_training);
    let folder = checkpoint.map(|checkpoint| checkpoints::open(checkpoint, is_new(plan, &checkpoint.folder)));
    let folder = folder.transpose()?;
    let profiling = plan.profile.as_ref();
    let profiling = profiling.map(|plan_of| Profiling::open(plan_of, plan.prefetch.is_some(), is_first));
    let profiling = profiling.transpose()?;
    let opened = is_training.then(|| loggers::open(&plan.logging, identity.rank, &metrics, has_validation));
    let opened = opened.transpose()?;

    let agreement = || agreement::of_training(plan, &network, &config, &samples, &*views.train);
    let (request, mut communicator) = match joined {
        Some(Joined { request, mut communicator }) => {
            agreement::check(&mut communicator, agreement)?;
            (request, communicator)
        }
        None => {
            let request = StopRequest::listen().map_err(Failure::Signals)?;
            let communicator = identity.join(&plan.ranks, &request, agreement)?;
            (request, communicator)
        }
    };
    let hosts = run_start::hosts(&mut communicator)?;
    let RankPlan { bucket_bytes, overlap, .. } = plan.ranks;
    let ranks = Ranks { communicator, shares, bucket_bytes, overlap };
    let mut trainer = Trainer::with_ranks(network, config, ranks)?;
    if let Some(state) = loaded {
        *trainer.state_mut() = state;
    }
    if plan.load.is_some() {
        trainer.broadcast_state()?;
    }
    if let (Some(whitening), None) = (&plan.whitening, &plan.resume) {
        let whitened = whitening.compute(trainer.network(), &*views.plain).map_err(whiten_plan::refused)?;
        whitened.write(trainer.state_mut());
    }
    let described =
        match is_first && (plan.checkpoint.is_some() || plan.resume.is_some() || plan.save.is_some()) {
            true => description::of(plan, &samples, &*views.plain)?,
            false => RunInfo::default(),
        };
    let info = match is_first && (plan.checkpoint.is_some() || plan.resume.is_some()) {
        true => describe(described.clone(), plan, identity, &samples, parts.train.len())?,
        false => RunInfo::default(),
    };
    if let Some(checkpoint) = checkpoint.filter(|checkpoint| is_new(plan, &checkpoint.folder)) {
        write_configuration(plan, identity, parts.train.len(), &checkpoint.folder)?;
    }
    let mut callbacks: Vec<Box<dyn Callback<T>>> = plan.callbacks.iter().map(CallbackPlan::build).collect();
    let mut callbacks: Vec<&mut dyn Callback<T>> =
        callbacks.iter_mut().map(|callback| &mut **callback as &mut dyn Callback<T>).collect();
    let from = match &plan.resume {
        Some(path) => go_on(&mut trainer, path, &info, &mut callbacks, is_first)?,
        None => None,
    };
    let mut loggers =
        opened.map(|opened| opened.start(trainer.epochs(), trainer.steps())).unwrap_or_default();

    out.line(&trainer.network().summary())?;
    let counts = [parts.train.len(), parts.validation.len()];
    let rows = settings_table::rows::<T>(plan, identity, trainer.config(), &metrics, counts);
    out.line(&settings_table::aligned(&rows))?;
    for note in &plan.notes {
        out.line(&format!("note: {}", one_line(note)))?;
    }
    if tested.is_none() {
        out.line(&format!("note: {NO_TEST}, so nothing is tested ({TEST_HINT})"))?;
    }
    for skipped in &samples.skipped {
        out.line(&format!("skipped: {}", one_line(skipped)))?;
    }
    if let Some((path, _)) = &from {
        let (epochs, steps) = (trainer.epochs(), trainer.steps());
        out.line(&format!("resumed: {} (epochs: {epochs}, steps: {steps})", path.display()))?;
    }
    if !loggers.is_empty() {
        let sets: [&dyn Dataset; 2] = [&*views.train, &*views.validation];
        let start = run_start::describe(plan, identity, &trainer, sets, &metrics, hosts);
        loggers.log(&Record::Start(Arc::new(start)));
    }
    if is_first && plan.logging.has_pictures() {
        let picture = sample_picture::draw(&*views.train, trainer.steps())?;
        picture.iter().for_each(|picture| loggers.log(picture));
    }
    if let Some(tested) = tested.filter(|_| plan.evaluate_before) {
        test(&mut trainer, plan, &views, tested, &mut loggers, out).map_err(|failure| {
            match (failure, &plan.load) {
                (Failure::Test(error), Some(path)) => {
                    Failure::Unusable { path: path.clone(), problem: error.to_string() }
                }
                (failure, _) => failure,
            }
        })?;
    }
    trainer.stop_on(Arc::clone(&request.flag));
    if let Some(range) = plan.find_lr {
        let curve = trainer.find_learning_rate(&*views.train, range)?;
        return out.text(&rate_lines(&curve, Trainer::<T>::suggest_learning_rate(&curve)));
    }
    let checkpoints = checkpoint.zip(folder);
    let checkpoints =
        checkpoints.map(|(plan, folder)| Checkpoints::start(plan, folder, info, parts.train.len(), from));
    let epochs = trainer.epochs();
    let mut run = Run {
        plan,
        is_first,
        metrics: &metrics,
        described,
        views: &views,
        out: &mut *out,
        console: Console::new(&plan.logging, identity.rank),
        loggers,
        checkpoints,
        bar: None,
        elapsed: Duration::ZERO,
        samples: 0,
        last_half: Half::default(),
        epochs,
    };
    if let Some(profiling) = &profiling {
        profiling.start(&mut trainer, plan.ranks.host.as_deref())?;
    }
    let validation = has_validation.then_some(&*views.validation);
    let pause_after = plan.pause_after().map(|last| last.saturating_sub(trainer.epochs()));
    let epochs_to_run = pause_after.unwrap_or(u32::MAX);
    let result = read_ahead(plan.prefetch, &*views.train, |train| {
        trainer.fit_observed(train, validation, epochs_to_run, &mut callbacks, &mut run)
    });
    run.bar = None;
    if let Some(checkpoints) = &mut run.checkpoints {
        checkpoints.finish();
    }
    let result = result.and_then(|_| run.save_best(&trainer));
    let failure = result.err().map(|failure| run.explain(failure, &trainer));
    let profiling = match &failure {
        None => profiling,
        Some(failure) => {
            trainer.abort(&failure.to_string());
            profiling.into_iter().for_each(|profiling| profiling.rescue(&mut trainer));
            None
        }
    };
    let Run { elapsed, samples: trained, last_half, checkpoints, mut loggers, .. } = run;
    let result = match failure {
        Some(failure) => Err(failure),
        None => {
            let saved = checkpoints.as_ref().and_then(Checkpoints::resumable).map(Path::to_path_buf);
            let saved = saved.map(Saved::Checkpoint);
            let saved = saved.or_else(|| plan.save.clone().filter(|_| is_first).map(Saved::Parameters));
            let stopped = trainer.is_stopped().then(|| request.failure(trainer.steps(), saved));
            let printed = print_times(&mut trainer, (elapsed, trained), &last_half, profiling, out);
            printed.and_then(|()| match stopped {
                Some(stopped) => Err(stopped),
                None => finish(&mut trainer, plan, &views, tested, (is_first, &mut loggers), out),
            })
        }
    };
    let spent = Spent { start, training: elapsed, samples: trained };
    let hash = plan.hash.then(|| trainer.state().params_sha256()).filter(|_| result.is_ok());
    loggers.log(&run_start::end(plan, &trainer, spent, hash, result.as_ref().err()));
    loggers.finish();
    result
}

/// Prints the time and the throughput of the whole run and of the last halves of its epochs, the memory, and
/// the profile.
fn print_times<T: Element>(
    trainer: &mut Trainer<T>,
    (elapsed, samples): (Duration, usize),
    last_half: &Half,
    profiling: Option<Profiling>,
    out: &mut Output,
) -> Result<(), Failure> {
    let peaks = match trainer.is_stopped() {
        // The other ranks may be gone.
        true => vec![peak_memory()],
        false => trainer.gather(peak_memory())?,
    };
    out.line(&time_lines(elapsed, samples))?;
    let more = [last_half_line(last_half.elapsed, last_half.samples), memory_line(&peaks)];
    more.iter().flatten().try_for_each(|line| out.line(line))?;
    profiling.map_or(Ok(()), |profiling| profiling.finish(trainer, out))
}

/// What a run that was not stopped does behind its last step: tests, if there are samples for it, draws the
/// surest mistakes for loggers, and prints the hash. `is_first` says whether this is the rank that writes
/// files.
fn finish<T: Element>(
    trainer: &mut Trainer<T>,
    plan: &TrainPlan,
    views: &Views<'_>,
    tested: Option<&dyn Dataset>,
    (is_first, loggers): (bool, &mut Loggers),
    out: &mut Output,
) -> Result<(), Failure> {
    if run_start::is_paused(plan, trainer) {
        let (done, all) = (trainer.epochs(), plan.epochs);
        return out.line(&format!("paused after epoch {done} of {all}; --resume goes on"));
    }
    if !trainer.is_finished() {
        out.line(&format!("training ended after epoch {} by a callback", trainer.epochs()))?;
    }
    if let Some(samples) = tested {
        test(trainer, plan, views, samples, loggers, out)?;
        if is_first && plan.logging.has_pictures() {
            let tested = views::in_tests(&plan.augment.input, samples, views.normalization.as_ref())?;
            match mistake_pictures::draw(trainer, plan.test_time, &*tested) {
                Ok(pictures) => pictures.iter().for_each(|picture| loggers.log(picture)),
                Err(Problem(problem)) => log::warn!("there are no pictures of mistakes: {problem}"),
            }
        }
    }
    if plan.hash {
        out.line(&format!("params: sha256:{}", trainer.state().params_sha256()))?;
        if let Some(averages) = trainer.averaged_state() {
            out.line(&format!("averages: sha256:{}", averages.params_sha256()))?;
        }
    }
    Ok(())
}

/// Trains on `samples`, which threads of their own read ahead if the plan says so.
fn read_ahead<R>(
    plan: Option<PrefetchPlan>,
    samples: &dyn Dataset,
    train: impl FnOnce(&dyn Dataset) -> Result<R, Failure>,
) -> Result<R, Failure> {
    let Some(PrefetchPlan { samples: ahead, threads }) = plan else { return train(samples) };
    let prefetched = Prefetched::new(samples, samples.len().min(ahead as usize));
    std::thread::scope(|scope| {
        let _closing = prefetched.closing();
        for _ in 0..threads {
            let reader = std::thread::Builder::new().name("prefetch".to_string());
            let spawned = reader.spawn_scoped(scope, || prefetched.read_ahead());
            spawned.map_err(|source| Failure::PrefetchThreads { threads, source })?;
        }
        train(&prefetched)
    })
}

/// Whether `folder` gets the checkpoints of a new run, and not more of one that goes on.
fn is_new(plan: &TrainPlan, folder: &Path) -> bool {
    let Some(resume) = &plan.resume else { return true };
    let [old, new] = [&RunFolder::of(resume), folder].map(|path| std::fs::canonicalize(path).ok());
    old != new
}

/// What the checkpoints of the run tell, beside `info` of their network.
fn describe(
    mut info: RunInfo,
    plan: &TrainPlan,
    identity: &RankIdentity,
    samples: &Samples,
    train: usize,
) -> Result<RunInfo, Failure> {
    let digest = plan.source.train_digest(&*samples.train)?;
    let digest = format!("{}, {digest}", count(samples.train.len(), "sample"));
    info.must_agree.push(("training samples (--dataset, --dataset-train-path)".to_string(), digest));
    let settings = SavedSettings::new(plan, identity.world, train)?;
    info.notes.insert(SETTINGS.to_string(), settings.text());
    Ok(info)
}

/// Writes the options of the run beside its checkpoints.
fn write_configuration(
    plan: &TrainPlan,
    identity: &RankIdentity,
    train: usize,
    folder: &Path,
) -> Result<(), Failure> {
    let text = SavedSettings::new(plan, identity.world, train)?.to_toml(&plan.words)?;
    let path = folder.join(CONFIGURATION);
    whole_file::write(&path, text).map_err(|source| Failure::Write { option: "--checkpoint", path, source })
}

/// Lets `trainer` go on from the newest whole checkpoint at `path`. Returns it at the first rank.
fn go_on<T: Element>(
    trainer: &mut Trainer<T>,
    path: &Path,
    info: &RunInfo,
    callbacks: &mut [&mut dyn Callback<T>],
    is_first: bool,
) -> Result<Option<(PathBuf, RunInfo)>, Failure> {
    let found = match is_first.then(|| resume::read(path, info, trainer)).transpose() {
        Ok(found) => found,
        Err(failure) => {
            trainer.abort(&failure.to_string());
            return Err(failure);
        }
    };
    let restored = trainer.restore(found.as_ref().map(|(snapshot, ..)| snapshot), callbacks);
    restored.map_err(|error| match error {
        Error::Ranks(_) => Failure::from(error),
        error => Failure::Resume(error),
    })?;
    Ok(found.map(|(_, path, info)| (path, info)))
}

/// Checks that `loss` is one for such targets, as far as its name tells.
fn check_loss(loss: &str, targets: TargetKind) -> Result<(), Failure> {
    if targets == TargetKind::Classes || !loss.starts_with("categorical") {
        return Ok(());
    }
    let hint =
        "--loss mse, mae or huber is for numbers; --targets classes reads a table's targets as classes";
    Err(Failure::Usage {
        problem: format!("--loss {loss}: it is for classes, and the targets are numbers"),
        hint: Some(hint.to_string()),
    })
}

/// Checks that the history is written to a file of its own. Only `--load` and `--save` may name the same
/// file.
fn check_names(plan: &TrainPlan) -> Result<(), Failure> {
    let Some(history) = &plan.logging.history else { return Ok(()) };
    for (option, path) in [("--load", &plan.load), ("--save", &plan.save)] {
        if let Some(path) = path
            && same_file::are_one(path, &history.path)
        {
            let problem =
                format!("{option} {} and --history {} are one file", path.display(), history.path.display());
            return Err(Failure::Usage { problem, hint: None });
        }
    }
    Ok(())
}

fn test<T: Element>(
    trainer: &mut Trainer<T>,
    plan: &TrainPlan,
    views: &Views<'_>,
    test: &dyn Dataset,
    loggers: &mut Loggers,
    out: &mut Output,
) -> Result<(), Failure> {
    let test = views::in_tests(&plan.augment.input, test, views.normalization.as_ref())?;
    let evaluation = trainer.evaluate_views(&*test, plan.test_time).map_err(|error| match error {
        Error::NonFinite(NonFinite::Evaluation { .. }) => Failure::Test(error),
        other => other.into(),
    })?;
    if !loggers.is_empty() {
        loggers.log(&Record::Test(Arc::new(TestRecord::new(trainer, &evaluation))));
    }
    out.line(&test_line(&trainer.config().metrics, &evaluation))
}

/// The peak of this process's memory in bytes, or 0.
fn peak_memory() -> f64 {
    memory::peak_bytes().unwrap_or(0) as f64
}
