//! A run: its threads, what stops it, and what comes of it.

use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use super::error::{Cause, PipelineError, RunError, SourceError};
use super::graph::{Graph, Ignore, Node};
use super::joint::Joint;
use super::monitor::{Clock, Monitor, Phase, StageReport};
use super::outcome::{Kept, Outcome, Results};
use super::queue::{Stopped, Survey};
use super::stage::Worker;

/// How often the supervisor looks whether all stages wait for each other.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a worker's body has at hand.
pub(super) struct Context {
    pub(super) stage: usize,
    pub(super) worker: Worker,
    pub(super) is_ordered: bool,
    pub(super) clock: Arc<Clock>,
    /// The number of the item at hand.
    pub(super) item: Cell<Option<u64>>,
    ignores: [Option<Ignore>; 2],
    run: Arc<Shared>,
}

impl Context {
    pub(super) fn is_stopped(&self) -> bool {
        self.run.is_stopped.load(Ordering::Relaxed)
    }

    /// Ends the run because of `cause`.
    pub(super) fn fail(&self, cause: Cause) -> Stopped {
        // A stage that returns what `emit` or an interrupted source gave it has no error of its own.
        if !(self.is_stopped() && is_stop(&*cause)) {
            let (stage, item) = (self.worker.stage.clone(), self.item.get());
            self.run.fail(self.stage, RunError::Stage { stage, item, cause });
        }
        Stopped
    }

    /// Ends the run for a reason that is no error of the user's code.
    pub(super) fn fail_with(&self, error: RunError) -> Stopped {
        self.run.fail(self.stage, error);
        Stopped
    }

    /// Counts an error if it is to be ignored, and ends the run otherwise.
    pub(super) fn judge(&self, cause: Cause) -> Result<(), Stopped> {
        let is_ignored = !self.is_stopped() && self.ignores.iter().flatten().any(|ignore| ignore(&cause));
        if !is_ignored {
            return Err(self.fail(cause));
        }
        self.clock.skipped.add(1);
        Ok(())
    }

    /// Keeps the result of a sink.
    pub(super) fn keep<R: Send + 'static>(&self, result: R) {
        lock(&self.run.results).insert((self.stage, self.worker.index), Kept::new(result));
    }

    fn fail_in_panic(&self, payload: &(dyn Any + Send)) {
        let message = (payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        let (stage, item) = (self.worker.stage.clone(), self.item.get());
        self.run.fail(self.stage, RunError::Panic { stage, item, message });
    }
}

/// Whether `error` says that the run has been stopped, in whatever words.
fn is_stop(error: &(dyn Error + 'static)) -> bool {
    let inner = match error.downcast_ref() {
        Some(SourceError::Io { reason, .. }) => Some(reason as &(dyn Error + 'static)),
        _ => error.source(),
    };
    error.is::<Stopped>() || inner.is_some_and(is_stop)
}

/// What the threads of a run share.
pub(super) struct Shared {
    graph: Arc<Graph>,
    joints: Vec<Arc<dyn Joint>>,
    clocks: Vec<Vec<Arc<Clock>>>,
    begin: Instant,
    limit: Option<Duration>,
    is_stopped: AtomicBool,
    /// The first error, and its stage.
    first: Mutex<Option<(usize, RunError)>>,
    results: Mutex<Results>,
    progress: Mutex<Progress>,
    ended: Condvar,
}

struct Progress {
    /// The workers that have not ended.
    live: usize,
    /// Set when all have.
    took: Option<Duration>,
}

/// No stage: cancelled, late, stalled.
const NO_STAGE: usize = usize::MAX;

impl Shared {
    /// Notes why the run ends, if nobody was first, and ends it.
    fn fail(&self, stage: usize, error: RunError) {
        let mut first = lock(&self.first);
        // Several workers of a stage may fail at about the same time. The error at the first item says more.
        let is_better = first.as_ref().is_none_or(|(other, old)| {
            *other == stage
                && stage != NO_STAGE
                && item_of(&error).is_some_and(|item| Some(item) < item_of(old))
        });
        if is_better {
            *first = Some((stage, error));
        }
        drop(first);
        if self.is_stopped.swap(true, Ordering::Relaxed) {
            return;
        }
        // Dropping an item, and an interrupt, are the user's code. Whatever it does, everybody is told to
        // stop.
        for joint in &self.joints {
            let _ = catch_unwind(AssertUnwindSafe(|| joint.stop()));
        }
        for interrupt in self.graph.nodes.iter().filter_map(|node| node.interrupt.as_ref()) {
            let _ = catch_unwind(AssertUnwindSafe(|| interrupt()));
        }
    }

    pub(super) fn monitor(&self) -> Monitor {
        let elapsed = lock(&self.progress).took.unwrap_or_else(|| self.begin.elapsed());
        let report =
            |(node, clocks): (&Node, &Vec<Arc<Clock>>)| StageReport::new(&node.name, node.kind, clocks);
        Monitor { stages: self.graph.nodes.iter().zip(&self.clocks).map(report).collect(), elapsed }
    }

    /// Waits for the workers' ends, watching the deadline and whether the stages wait for each other.
    fn supervise(&self, threads: Vec<JoinHandle<()>>) {
        let mut progress = lock(&self.progress);
        while progress.live > 0 {
            let (guard, _) =
                self.ended.wait_timeout(progress, self.pause()).unwrap_or_else(PoisonError::into_inner);
            let live = guard.live;
            drop(guard);
            if live > 0 && !self.is_stopped.load(Ordering::Relaxed) {
                self.check(live);
            }
            progress = lock(&self.progress);
        }
        drop(progress);
        for thread in threads {
            // Panics are caught in the thread.
            let _ = thread.join();
        }
        lock(&self.progress).took = Some(self.begin.elapsed());
    }

    fn pause(&self) -> Duration {
        let stopped = self.is_stopped.load(Ordering::Relaxed);
        let left = self.limit.filter(|_| !stopped).map(|limit| limit.saturating_sub(self.begin.elapsed()));
        left.map_or(LOOK_EVERY, |left| left.clamp(Duration::from_millis(1), LOOK_EVERY))
    }

    fn check(&self, live: usize) {
        if let Some(limit) = self.limit.filter(|limit| self.begin.elapsed() >= *limit) {
            return self.fail(NO_STAGE, RunError::Deadline { limit, busy: self.who_is_busy() });
        }
        let survey = self.survey();
        if survey.asleep != live || survey.can_move {
            return;
        }
        // The joints were looked at one after the other. Only if nothing has moved meanwhile, it was one
        // moment.
        if self.survey() == survey && lock(&self.progress).live == live {
            self.fail(NO_STAGE, RunError::Stalled { stages: self.who_is_full() });
        }
    }

    fn survey(&self) -> Survey {
        self.joints.iter().map(|joint| joint.survey()).fold(Survey::default(), |sum, each| Survey {
            asleep: sum.asleep + each.asleep,
            can_move: sum.can_move || each.can_move,
            moves: sum.moves + each.moves,
            is_full: sum.is_full || each.is_full,
        })
    }

    fn who_is_full(&self) -> Vec<String> {
        let full = self.graph.edges.iter().filter(|edge| edge.queue.survey().is_full);
        let mut stages: Vec<String> =
            full.flat_map(|edge| edge.from.iter().map(|node| self.graph.nodes[*node].name.clone())).collect();
        stages.sort();
        stages.dedup();
        stages
    }

    fn who_is_busy(&self) -> String {
        let is_busy = |clocks: &[Arc<Clock>]| clocks.iter().any(|clock| clock.is_busy());
        let nodes = self.graph.nodes.iter().zip(&self.clocks);
        let busy: Vec<&str> =
            nodes.filter(|(_, clocks)| is_busy(clocks)).map(|(node, _)| &node.name[..]).collect();
        if busy.is_empty() { "no stage is busy".to_owned() } else { format!("busy: {}", busy.join(", ")) }
    }
}

fn item_of(error: &RunError) -> Option<u64> {
    match error {
        RunError::Stage { item, .. } | RunError::Panic { item, .. } => *item,
        _ => None,
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A run in its threads.
///
/// Dropping it cancels the run and waits for its threads. A stage that is at work is not interrupted, so that
/// takes as long as an item in the slowest stage.
#[must_use = "dropping it cancels the run"]
pub struct Run {
    shared: Arc<Shared>,
    supervisor: Option<JoinHandle<()>>,
}

impl Run {
    /// What the stages have done until now.
    pub fn monitor(&self) -> Monitor {
        self.shared.monitor()
    }

    /// A handle with which any thread can end the run.
    pub fn cancel_handle(&self) -> CancelHandle {
        CancelHandle { shared: Arc::clone(&self.shared) }
    }

    /// Whether all threads have ended.
    pub fn is_over(&self) -> bool {
        lock(&self.shared.progress).took.is_some()
    }

    /// Waits for the end of the run.
    ///
    /// # Errors
    ///
    /// The first error of a stage; [`RunError::Cancelled`], [`RunError::Deadline`], [`RunError::Stalled`].
    pub fn wait(mut self) -> Result<Outcome, PipelineError> {
        self.join();
        if let Some((_, error)) = lock(&self.shared.first).take() {
            return Err(error.into());
        }
        let names = self.shared.graph.nodes.iter().map(|node| node.name.clone()).collect();
        let results = std::mem::take(&mut *lock(&self.shared.results));
        Ok(Outcome::new(names, results, self.shared.monitor()))
    }

    fn join(&mut self) {
        if let Some(supervisor) = self.supervisor.take() {
            let _ = supervisor.join();
        }
    }

    /// Starts the workers of `graph`.
    pub(super) fn start(
        graph: &Arc<Graph>,
        running: Arc<AtomicBool>,
        limit: Option<Duration>,
    ) -> Result<Self, PipelineError> {
        if running.swap(true, Ordering::Acquire) {
            return Err(RunError::Running.into());
        }
        let shared = Arc::new(prepare(graph, limit));
        let threads = spawn_all(&shared);
        let supervised = Arc::clone(&shared);
        // A cell, so that the threads are still there when the supervisor's own cannot be had.
        let threads = Arc::new(Mutex::new(Some(threads)));
        let (handed, ready_again) = (Arc::clone(&threads), Arc::clone(&running));
        let supervisor = Builder::new().name("pipeline".to_owned()).spawn(move || {
            let threads = lock(&handed).take();
            supervised.supervise(threads.unwrap_or_default());
            ready_again.store(false, Ordering::Release);
        });
        match supervisor {
            Ok(supervisor) => Ok(Self { shared, supervisor: Some(supervisor) }),
            Err(reason) => {
                let error = || RunError::Thread { stage: "pipeline".to_owned(), reason };
                shared.fail(NO_STAGE, RunError::Cancelled);
                shared.supervise(lock(&threads).take().unwrap_or_default());
                running.store(false, Ordering::Release);
                Err(error().into())
            }
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.supervisor.is_some() {
            self.shared.fail(NO_STAGE, RunError::Cancelled);
            self.join();
        }
    }
}

fn prepare(graph: &Arc<Graph>, limit: Option<Duration>) -> Shared {
    let begin = Instant::now();
    for edge in &graph.edges {
        edge.queue.reset(edge.to.iter().map(|node| graph.nodes[*node].workers).sum());
    }
    for node in &graph.nodes {
        node.joints.iter().for_each(|joint| joint.reset(node.workers));
    }
    let queues = graph.edges.iter().map(|edge| Arc::clone(&edge.queue));
    let joints = queues.chain(graph.nodes.iter().flat_map(|node| node.joints.iter().cloned())).collect();
    let clocks_of = |node: &Node| (0..node.workers).map(|_| Arc::new(Clock::new(begin))).collect();
    Shared {
        graph: Arc::clone(graph),
        joints,
        clocks: graph.nodes.iter().map(clocks_of).collect(),
        begin,
        limit,
        is_stopped: AtomicBool::new(false),
        first: Mutex::new(None),
        results: Mutex::new(BTreeMap::new()),
        progress: Mutex::new(Progress {
            live: graph.nodes.iter().map(|node| node.workers).sum(),
            took: None,
        }),
        ended: Condvar::new(),
    }
}

fn spawn_all(shared: &Arc<Shared>) -> Vec<JoinHandle<()>> {
    let mut threads = Vec::new();
    for (stage, node) in shared.graph.nodes.iter().enumerate() {
        let left = Arc::new(AtomicUsize::new(node.workers));
        for index in 0..node.workers {
            let context = Context {
                stage,
                worker: Worker { stage: node.name.clone(), index, count: node.workers },
                is_ordered: node.is_ordered && node.workers > 1,
                clock: Arc::clone(&shared.clocks[stage][index]),
                item: Cell::new(None),
                ignores: [node.ignore.clone(), shared.graph.ignore.clone()],
                run: Arc::clone(shared),
            };
            let left = Arc::clone(&left);
            // NUL ends a thread's name.
            let name = node.name.replace('\0', " ");
            match Builder::new().name(name).spawn(move || work(context, &left)) {
                Ok(thread) => threads.push(thread),
                Err(reason) => {
                    shared.fail(stage, RunError::Thread { stage: node.name.clone(), reason });
                    lock(&shared.progress).live -= 1;
                }
            }
        }
    }
    threads
}

/// The whole life of a worker.
fn work(context: Context, left: &AtomicUsize) {
    let shared = Arc::clone(&context.run);
    let node = &shared.graph.nodes[context.stage];
    let body = || (node.body)(&context);
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) | Ok(Err(Stopped)) => (),
        Err(payload) => context.fail_in_panic(&*payload),
    }
    context.clock.enter(Phase::Ended);
    let is_last = left.fetch_sub(1, Ordering::AcqRel) == 1;
    if let Some(port) = node.port.as_ref().filter(|_| is_last) {
        port.done();
    }
    lock(&shared.progress).live -= 1;
    shared.ended.notify_all();
}

/// Ends a [`Run`] from any thread.
#[derive(Clone)]
pub struct CancelHandle {
    shared: Arc<Shared>,
}

impl CancelHandle {
    /// Ends the run: [`Run::wait`] then reports [`RunError::Cancelled`], unless it has ended by itself
    /// before.
    pub fn cancel(&self) {
        if lock(&self.shared.progress).live > 0 {
            self.shared.fail(NO_STAGE, RunError::Cancelled);
        }
    }
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("monitor", &self.monitor()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for CancelHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CancelHandle")
    }
}
