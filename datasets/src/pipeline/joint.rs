//! How the output of a stage reaches the queues behind it.
//!
//! A [`Port`] is the output of a stage while the graph is described; what it is joined to becomes its
//! [`Target`]: a queue, several queues that share each item, or one of several by the item. No thread stands
//! between.

use std::sync::{Arc, OnceLock};

use super::monitor::{Clock, Phase};
use super::queue::{Queue, Refused, Stopped, Survey};
use super::sequencer::Sequencer;

/// What threads wait at.
pub(super) trait Joint: Send + Sync {
    /// Ends all waiting, and drops all items.
    fn stop(&self);
    /// Who waits here.
    fn survey(&self) -> Survey;
    /// Makes it ready for a run, of a stage with `workers`.
    fn reset(&self, workers: usize);
}

impl<T: Send> Joint for Queue<T> {
    fn stop(&self) {
        Queue::stop(self);
    }

    fn survey(&self) -> Survey {
        Queue::survey(self)
    }

    fn reset(&self, workers: usize) {
        Queue::reset(self);
        self.set_consumers(workers);
    }
}

impl<O: Send> Joint for Sequencer<O> {
    fn stop(&self) {
        Sequencer::stop(self);
    }

    fn survey(&self) -> Survey {
        Sequencer::survey(self)
    }

    fn reset(&self, workers: usize) {
        Sequencer::reset(self, workers);
    }
}

/// Where items go.
pub(super) trait Target<T>: Send + Sync {
    /// Hands on an item; time without room counts as such on `clock`.
    fn push(&self, item: T, clock: &Clock) -> Result<(), Stopped>;
    /// There will be no more.
    fn done(&self);
}

impl<T: Send> Target<T> for Queue<T> {
    fn push(&self, item: T, clock: &Clock) -> Result<(), Stopped> {
        match self.try_push(item) {
            Ok(()) => Ok(()),
            Err(Refused::Stopped) => Err(Stopped),
            Err(Refused::Full(item)) => {
                clock.enter(Phase::Output);
                let pushed = Queue::push(self, item);
                clock.enter(Phase::Busy);
                pushed
            }
        }
    }

    fn done(&self) {
        self.producer_done();
    }
}

/// The output of a stage, to be joined once.
pub(super) struct Port<T> {
    target: OnceLock<Arc<dyn Target<T>>>,
}

impl<T> Port<T> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { target: OnceLock::new() })
    }

    /// Joins it to `target`.
    pub(super) fn join(&self, target: Arc<dyn Target<T>>) {
        let joined = self.target.set(target);
        debug_assert!(joined.is_ok(), "a stream is moved when it is joined, so this happens once");
    }
}

impl<T> Target<T> for Port<T> {
    fn push(&self, item: T, clock: &Clock) -> Result<(), Stopped> {
        self.target.get().map_or(Err(Stopped), |target| target.push(item, clock))
    }

    fn done(&self) {
        if let Some(target) = self.target.get() {
            target.done();
        }
    }
}

/// What `build` and the end of a stage want of a port of any type.
pub(super) trait AnyPort: Send + Sync {
    fn is_joined(&self) -> bool;
    fn done(&self);
}

impl<T> AnyPort for Port<T> {
    fn is_joined(&self) -> bool {
        self.target.get().is_some()
    }

    fn done(&self) {
        Target::done(self);
    }
}

/// The same item to several: each branch gets a count of the one item, whose data stay where they are.
pub(super) struct Fan<T> {
    pub(super) branches: Vec<Arc<Port<Arc<T>>>>,
}

impl<T: Send + Sync> Target<T> for Fan<T> {
    fn push(&self, item: T, clock: &Clock) -> Result<(), Stopped> {
        let item = Arc::new(item);
        let Some((last, others)) = self.branches.split_last() else { return Ok(()) };
        others.iter().try_for_each(|branch| branch.push(Arc::clone(&item), clock))?;
        last.push(item, clock)
    }

    fn done(&self) {
        self.branches.iter().for_each(|branch| Target::done(&**branch));
    }
}

/// Each item to one of several, or to none.
pub(super) struct Switch<T, F> {
    pub(super) choose: F,
    pub(super) branches: Vec<Arc<Port<T>>>,
}

impl<T, F> Target<T> for Switch<T, F>
where
    F: Fn(&T) -> Option<usize> + Send + Sync,
{
    fn push(&self, item: T, clock: &Clock) -> Result<(), Stopped> {
        let Some(choice) = (self.choose)(&item) else { return Ok(()) };
        let branches = self.branches.len();
        assert!(choice < branches, "branch {choice} of a switch with {branches} branches");
        self.branches[choice].push(item, clock)
    }

    fn done(&self) {
        self.branches.iter().for_each(|branch| Target::done(&**branch));
    }
}
