//! Puts the results of several workers back into the order in which the workers took their items.
//!
//! Each take from a queue has a ticket. Results of the next ticket leave at once, in the thread that brings
//! them; results of later tickets are parked for the thread that brings the missing one. Few may be parked: a
//! worker that is too far ahead waits.

use std::collections::{BTreeMap, BTreeSet};

use super::queue::{Stopped, Survey};
use super::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How many takes may be parked for each worker.
const PARKED_PER_WORKER: usize = 4;

pub(crate) struct Sequencer<O> {
    state: Mutex<State<O>>,
    changed: Condvar,
}

struct State<O> {
    workers: usize,
    /// The ticket whose results leave next.
    next: u64,
    parked: BTreeMap<u64, Vec<O>>,
    /// The tickets of workers that wait for room.
    waiting: BTreeSet<u64>,
    /// Whether a thread is sending; it also sends what is parked meanwhile, if it is next.
    is_sending: bool,
    /// What workers emitted at the end of the stream, by worker.
    last_words: BTreeMap<usize, Vec<O>>,
    is_stopped: bool,
}

impl<O> Sequencer<O> {
    pub(crate) fn new() -> Self {
        let state = State {
            workers: 1,
            next: 0,
            parked: BTreeMap::new(),
            waiting: BTreeSet::new(),
            is_sending: false,
            last_words: BTreeMap::new(),
            is_stopped: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Begins a run with this number of workers.
    pub(crate) fn reset(&self, workers: usize) {
        let mut state = self.lock();
        let (parked, last_words) = (std::mem::take(&mut state.parked), std::mem::take(&mut state.last_words));
        (state.workers, state.next, state.is_sending, state.is_stopped) = (workers, 0, false, false);
        drop(state);
        drop((parked, last_words));
    }

    /// Hands in the results of a take; each goes to `send` when its turn has come.
    pub(crate) fn submit(
        &self,
        ticket: u64,
        results: Vec<O>,
        mut send: impl FnMut(O) -> Result<(), Stopped>,
    ) -> Result<(), Stopped> {
        let mut state = self.lock();
        while !state.is_stopped && ticket != state.next && state.is_full() {
            state.waiting.insert(ticket);
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting.remove(&ticket);
        }
        if state.is_stopped {
            return Err(Stopped);
        }
        state.parked.insert(ticket, results);
        if state.is_sending {
            return Ok(());
        }
        // Not under the lock while sending: the next stage may be slow, and the other workers want to park.
        while let Some(results) = state.take_next() {
            state.is_sending = true;
            drop(state);
            self.changed.notify_all();
            results.into_iter().try_for_each(&mut send)?;
            state = self.lock();
            state.is_sending = false;
            if state.is_stopped {
                return Err(Stopped);
            }
        }
        Ok(())
    }

    /// Worker `worker` has ended and emitted `results` last. Those of all workers are sent by the last to
    /// end, in the order of the workers.
    pub(crate) fn finish(
        &self,
        worker: usize,
        results: Vec<O>,
        send: impl FnMut(O) -> Result<(), Stopped>,
    ) -> Result<(), Stopped> {
        let mut state = self.lock();
        state.last_words.insert(worker, results);
        if state.last_words.len() < state.workers {
            return Ok(());
        }
        let last_words = std::mem::take(&mut state.last_words);
        drop(state);
        last_words.into_values().flatten().try_for_each(send)
    }

    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.is_stopped = true;
        let parked = std::mem::take(&mut state.parked);
        drop(state);
        self.changed.notify_all();
        drop(parked);
    }

    pub(crate) fn survey(&self) -> Survey {
        let state = self.lock();
        let asleep = state.waiting.len();
        let can_move =
            state.is_stopped || asleep > 0 && (!state.is_full() || state.waiting.contains(&state.next));
        Survey { asleep, can_move, moves: state.next, is_full: false }
    }

    fn lock(&self) -> MutexGuard<'_, State<O>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<O> State<O> {
    fn is_full(&self) -> bool {
        self.parked.len() >= self.workers * PARKED_PER_WORKER
    }

    fn take_next(&mut self) -> Option<Vec<O>> {
        let results = self.parked.remove(&self.next)?;
        self.next += 1;
        Some(results)
    }
}
