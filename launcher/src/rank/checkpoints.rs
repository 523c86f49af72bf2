//! The checkpoints of a run: the first rank writes them beside training, which stands still for a copy alone.
//!
//! ```text
//! training:  step … step, copy ─┐  step … step … step, copy ─┐
//! writer:                       └─ write, sync, rename, tell  └─ …
//! ```

use crate::cli::callback_plan::Watched;
use crate::cli::checkpoint_plan::{CheckpointPlan, Every};
use crate::failure::Failure;
use isograd_model::callback::Callback;
use isograd_model::{Element, Error, FitEpoch, FolderError, RunFolder, RunInfo, Snapshot, Trainer};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The name of the note with the value of the best epoch.
const BEST: &str = "best";
/// How long a run that was killed may take to let go of its folder, and the time between two tries.
const RELEASE: Duration = Duration::from_secs(10);
const TRY: Duration = Duration::from_millis(20);

/// What the writer is to write.
struct Job<T> {
    snapshot: Snapshot<T>,
    info: RunInfo,
    is_best: bool,
}

/// What the writer has done: the memory of the snapshot, to use again, and the checkpoint.
struct Done<T> {
    snapshot: Snapshot<T>,
    result: Result<PathBuf, Error>,
}

/// The checkpoints of a run, and the thread that writes them.
pub(crate) struct Checkpoints<T> {
    path: PathBuf,
    every: Every,
    watched: Watched,
    info: RunInfo,
    best: Option<f64>,
    /// The epoch behind which this part of the run ends.
    pause_after: Option<u32>,
    /// Samples of an epoch.
    samples: usize,
    jobs: Option<Sender<Job<T>>>,
    done: Receiver<Done<T>>,
    writer: Option<JoinHandle<()>>,
    is_busy: bool,
    /// One is due, but the writer was busy.
    is_due: bool,
    spare: Option<Snapshot<T>>,
    last: Instant,
    /// The last checkpoint that was written, or that the run goes on from.
    newest: Option<PathBuf>,
    has_failed: bool,
}

/// Opens the folder for the checkpoints of a run.
pub(crate) fn open(plan: &CheckpointPlan, is_new: bool) -> Result<RunFolder, Failure> {
    if is_new && RunFolder::has_checkpoints(&plan.folder) {
        let folder = plan.folder.display();
        return Err(Failure::Usage {
            problem: format!("--checkpoint {folder}: it has the checkpoints of an earlier run"),
            hint: Some(format!("--resume {folder} goes on with that run")),
        });
    }
    let start = Instant::now();
    loop {
        match RunFolder::open(&plan.folder, plan.keep) {
            Err(Error::Folder { reason, .. })
                if matches!(*reason, FolderError::InUse) && start.elapsed() < RELEASE =>
            {
                std::thread::sleep(TRY);
            }
            result => return result.map_err(Failure::Checkpoint),
        }
    }
}

impl<T: Element> Checkpoints<T> {
    /// Starts the writer. `info` tells of the run, whose epochs have `samples` samples; `from` is the
    /// checkpoint that it goes on from, with what that told.
    pub(crate) fn start(
        plan: &CheckpointPlan,
        folder: RunFolder,
        mut info: RunInfo,
        samples: usize,
        from: Option<(PathBuf, RunInfo)>,
    ) -> Self {
        let (jobs, to_do) = channel::<Job<T>>();
        let (to_training, done) = channel();
        let writer = std::thread::spawn(move || {
            for Job { snapshot, info, is_best } in to_do {
                let result = folder.write(&snapshot, &info, is_best);
                // Training may have ended with an error.
                let _ = to_training.send(Done { snapshot, result });
            }
        });
        let best = from.as_ref().and_then(|(_, told)| told.notes.get(BEST)?.parse::<f64>().ok());
        info.notes.extend(best.map(note_of_best));
        Self {
            path: plan.folder.clone(),
            every: plan.every,
            watched: plan.best.clone(),
            pause_after: plan.pause_after,
            info,
            best,
            samples,
            jobs: Some(jobs),
            done,
            writer: Some(writer),
            is_busy: false,
            is_due: false,
            spare: None,
            last: Instant::now(),
            newest: from.map(|(path, _)| path),
            has_failed: false,
        }
    }

    /// The folder, if it has a checkpoint that this run has written.
    pub(crate) fn resumable(&self) -> Option<&Path> {
        (!self.has_failed && self.newest.is_some()).then_some(self.path.as_path())
    }

    /// After a step: writes a checkpoint if one is due. One of the last step is on the disk when this
    /// returns.
    pub(crate) fn after_step(
        &mut self,
        trainer: &Trainer<T>,
        callbacks: &[&mut dyn Callback<T>],
    ) -> Result<(), Error> {
        while let Ok(done) = self.done.try_recv() {
            self.take(done);
        }
        self.is_due |= match self.every {
            Every::Epochs(_) => false,
            Every::Steps(steps) => trainer.steps().is_multiple_of(steps),
            Every::Time(time) => self.last.elapsed() >= time,
        };
        // The epoch of the last step may be open: more steps can go on in it.
        let is_last = trainer.is_stopped() || trainer.is_finished();
        if is_last {
            self.wait();
        }
        if is_last || (self.is_due && !self.is_busy) {
            self.write(trainer, callbacks, false)?;
        }
        if is_last {
            self.wait();
        }
        Ok(())
    }

    /// After an epoch: writes a checkpoint if one is due, or if the epoch is the best so far.
    pub(crate) fn after_epoch(
        &mut self,
        trainer: &Trainer<T>,
        callbacks: &[&mut dyn Callback<T>],
        epoch: &FitEpoch,
    ) -> Result<(), Error> {
        if trainer.is_stopped() {
            return Ok(());
        }
        let (value, direction) = self.watched.quantity().of(trainer, epoch)?;
        let is_best = self.best.is_none_or(|best| direction.is_better(value, best, 0.0));
        if is_best {
            self.best = Some(value);
            self.info.notes.extend([note_of_best(value)]);
        }
        let pauses = self.pause_after.is_some_and(|last| trainer.epochs() >= last);
        let is_last = trainer.is_finished() || trainer.is_ended() || pauses;
        let is_due = match self.every {
            Every::Epochs(epochs) => trainer.epochs().is_multiple_of(epochs),
            Every::Steps(_) | Every::Time(_) => false,
        };
        if !(is_best || is_last || is_due) {
            return Ok(());
        }
        self.wait();
        // Steps that ended the run within the epoch have their checkpoint, from which more steps can go on.
        if epoch.report.train.samples == self.samples || trainer.is_ended() {
            self.write(trainer, callbacks, is_best)?;
        }
        Ok(())
    }

    /// Waits for the writer, and ends it.
    pub(crate) fn finish(&mut self) {
        self.wait();
        self.jobs = None;
        if let Some(writer) = self.writer.take() {
            writer.join().expect("the writer does not panic");
        }
    }

    /// Copies the run, for the writer, which is idle.
    fn write(
        &mut self,
        trainer: &Trainer<T>,
        callbacks: &[&mut dyn Callback<T>],
        is_best: bool,
    ) -> Result<(), Error> {
        let snapshot = match self.spare.take() {
            Some(mut snapshot) => {
                trainer.snapshot_into(callbacks, &mut snapshot);
                snapshot
            }
            None => trainer.snapshot(callbacks)?,
        };
        (self.is_busy, self.is_due, self.last) = (true, false, Instant::now());
        let job = Job { snapshot, info: self.info.clone(), is_best };
        self.jobs.as_ref().expect("the run has not finished").send(job).expect("the writer waits for jobs");
        Ok(())
    }

    /// Waits until the writer is idle.
    fn wait(&mut self) {
        while self.is_busy {
            let done = self.done.recv().expect("the writer answers each job");
            self.take(done);
        }
    }

    fn take(&mut self, done: Done<T>) {
        let Done { snapshot, result } = done;
        (self.is_busy, self.spare) = (false, Some(snapshot));
        self.has_failed = result.is_err();
        match result {
            Ok(path) => self.newest = Some(path),
            Err(error) => {
                let newest = self.newest.as_ref();
                let newest = newest.map_or_else(String::new, |path| format!("; {} stays", path.display()));
                log::warn!("--checkpoint {error}; training goes on{newest}");
            }
        }
    }
}

/// The note of a checkpoint that tells the best value so far.
fn note_of_best(value: f64) -> (String, String) {
    (BEST.to_string(), format!("{value:?}"))
}
