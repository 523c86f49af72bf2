//! The bounded queue between stages, for several producers and several consumers.
//!
//! Producers push one item at a time, so an item is visible as soon as it exists: a slow source never holds
//! items back. Consumers take as many as are worth it under one lock, so that fast items cost a fraction of a
//! lock each. Threads look a few times before they sleep, and whoever changes the queue wakes only those who
//! sleep.
//!
//! # End of the stream
//!
//! Each producing stage says once that it is [done](Queue::producer_done), after its last worker. The queue
//! has ended when all are done and it is empty; every consumer then gets `None`, how many there may be.
//! [`stop`](Queue::stop) ends everything at once: the items are dropped and all waiting threads return.

use std::collections::VecDeque;
use std::time::Duration;

use super::sync::{AtomicUsize, Condvar, Mutex, MutexGuard, Ordering, PoisonError, is_late, looks, pause};

/// The capacity of a queue of no given capacity before a consumer has asked for one.
const FIRST_CAPACITY: usize = 4;

/// How long a consumer of frequent items waits for more of them when it sleeps. Otherwise each item could
/// cost two switches of threads: one to wake the consumer, and one back when it has slept again.
const LINGER: Duration = Duration::from_micros(100);

/// The run has been stopped: by an error, by a cancellation or by its deadline.
///
/// A stage that gets it passes it on with `?`; it is not an error of that stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the pipeline has been stopped")
    }
}

impl std::error::Error for Stopped {}

/// Why an item was not taken in at once.
#[derive(Debug)]
pub(crate) enum Refused<T> {
    /// The queue is full; the item is handed back.
    Full(T),
    /// The run is over.
    Stopped,
}

/// What a consumer took out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The position of the first item in the stream, from 0.
    pub(crate) first: u64,
    /// The number of takes before this one: the order in which results leave an ordered stage.
    pub(crate) ticket: u64,
}

/// How a queue stands, for the search for threads that wait for each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    /// The number of workers asleep.
    pub(crate) asleep: usize,
    /// Whether one of them could go on.
    pub(crate) can_move: bool,
    /// Grows with each change.
    pub(crate) moves: u64,
    /// Whether a worker sleeps because there is no room.
    pub(crate) is_full: bool,
}

pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    not_empty: Condvar,
    not_full: Condvar,
    /// The number of items, to look at without the lock; the largest number when there is something to learn
    /// that is no item.
    hint: AtomicUsize,
}

struct State<T> {
    items: VecDeque<T>,
    /// The capacity that was asked for; the queue chooses if there is none.
    fixed_capacity: Option<usize>,
    capacity: usize,
    /// How many stages push, and how many of them may still.
    producers: usize,
    open_producers: usize,
    /// How many workers take.
    consumers: usize,
    /// Whether the consumer is the caller's own thread, which may come late without blame.
    has_outside_consumer: bool,
    pushed: u64,
    taken: u64,
    takes: u64,
    waiting_consumers: usize,
    /// The number of items for which the consumers that wait are woken.
    wanted: usize,
    waiting_producers: usize,
    is_stopped: bool,
}

impl<T> Queue<T> {
    /// A queue of `capacity` items, at least 1, or of the capacity that its consumers ask for. It has no
    /// producer and one consumer.
    pub(crate) fn new(capacity: Option<usize>) -> Self {
        let state = State {
            items: VecDeque::new(),
            fixed_capacity: capacity,
            capacity: capacity.unwrap_or(FIRST_CAPACITY),
            producers: 0,
            open_producers: 0,
            consumers: 1,
            has_outside_consumer: false,
            pushed: 0,
            taken: 0,
            takes: 0,
            waiting_consumers: 0,
            wanted: 1,
            waiting_producers: 0,
            is_stopped: false,
        };
        let (not_empty, not_full) = (Condvar::new(), Condvar::new());
        Self { state: Mutex::new(state), not_empty, not_full, hint: AtomicUsize::new(0) }
    }

    /// One more stage will push.
    pub(crate) fn add_producer(&self) {
        let mut state = self.lock();
        state.producers += 1;
        state.open_producers += 1;
    }

    /// `workers` will take.
    pub(crate) fn set_consumers(&self, workers: usize) {
        self.lock().consumers = workers.max(1);
    }

    /// The caller's own thread will take.
    pub(crate) fn set_outside_consumer(&self) {
        self.lock().has_outside_consumer = true;
    }

    /// Makes the queue what it was before its first item.
    pub(crate) fn reset(&self) {
        let mut state = self.lock();
        state.open_producers = state.producers;
        state.capacity = state.fixed_capacity.unwrap_or(FIRST_CAPACITY);
        (state.pushed, state.taken, state.takes) = (0, 0, 0);
        state.is_stopped = false;
        let dropped = std::mem::take(&mut state.items);
        self.note(&state);
        drop(state);
        // An item's `drop` is the user's code, which must not run under the lock.
        drop(dropped);
    }

    /// Puts `item` in if there is room.
    pub(crate) fn try_push(&self, item: T) -> Result<(), Refused<T>> {
        let state = self.lock();
        if state.is_stopped {
            return Err(Refused::Stopped);
        }
        if state.items.len() >= state.capacity {
            return Err(Refused::Full(item));
        }
        self.put(state, item);
        Ok(())
    }

    /// Puts `item` in as soon as there is room.
    pub(crate) fn push(&self, item: T) -> Result<(), Stopped> {
        let mut item = item;
        for _ in looks() {
            match self.try_push(item) {
                Ok(()) => return Ok(()),
                Err(Refused::Stopped) => return Err(Stopped),
                Err(Refused::Full(back)) => item = back,
            }
            pause();
        }
        let mut state = self.lock();
        loop {
            if state.is_stopped {
                return Err(Stopped);
            }
            if state.items.len() < state.capacity {
                break;
            }
            state.waiting_producers += 1;
            state = self.not_full.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting_producers -= 1;
        }
        self.put(state, item);
        Ok(())
    }

    fn put(&self, mut state: MutexGuard<'_, State<T>>, item: T) {
        state.items.push_back(item);
        state.pushed += 1;
        self.note(&state);
        let len = state.items.len();
        if state.waiting_consumers > 0 && (len >= state.wanted || len >= state.capacity) {
            drop(state);
            self.not_empty.notify_one();
        }
    }

    /// Moves items into `into`, which is empty: at most `most`, and not more than this consumer's share of
    /// what is there. Waits for the first; for a moment, at most [`LINGER`], also until there are `worth` of
    /// them. `None` after the last. A queue of no given capacity is to have room for `room` from now on.
    pub(crate) fn take(
        &self,
        most: usize,
        worth: usize,
        room: usize,
        into: &mut VecDeque<T>,
    ) -> Result<Option<Taken>, Stopped> {
        for look in looks() {
            let hint = self.hint.load(Ordering::Relaxed);
            // What is there is taken after the first looks: the queue may be smaller than what is worth it.
            if hint >= worth || hint > 0 && is_late(look) {
                break;
            }
            pause();
        }
        let mut worth = worth;
        let mut state = self.lock();
        loop {
            if state.is_stopped {
                return Err(Stopped);
            }
            let (len, is_over) = (state.items.len(), state.open_producers == 0);
            if len >= worth || len > 0 && (is_over || len >= state.capacity) {
                break;
            }
            if is_over {
                return Ok(None);
            }
            state.wanted = if state.waiting_consumers == 0 { worth } else { worth.min(state.wanted) };
            state.waiting_consumers += 1;
            if worth > 1 {
                let waited = self.not_empty.wait_timeout(state, LINGER);
                let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                state = guard;
                worth = if timeout.timed_out() { 1 } else { worth };
            } else {
                state = self.not_empty.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.waiting_consumers -= 1;
        }
        let share = state.items.len().div_ceil(state.consumers);
        let count = share.min(most).max(1);
        if count == state.items.len() {
            std::mem::swap(&mut state.items, into);
        } else {
            into.extend(state.items.drain(..count));
        }
        let has_grown = state.fixed_capacity.is_none() && state.capacity < room;
        if state.fixed_capacity.is_none() {
            state.capacity = room;
        }
        let taken = Taken { first: state.taken, ticket: state.takes };
        state.taken += count as u64;
        state.takes += 1;
        self.note(&state);
        let waiting_producers = state.waiting_producers;
        drop(state);
        match waiting_producers {
            0 => (),
            _ if count == 1 && !has_grown => self.not_full.notify_one(),
            _ => self.not_full.notify_all(),
        }
        Ok(Some(taken))
    }

    /// A stage has pushed its last item.
    pub(crate) fn producer_done(&self) {
        let mut state = self.lock();
        // After a stop, stages end in whatever order, and one may do so without having begun.
        state.open_producers = state.open_producers.saturating_sub(1);
        self.note(&state);
        if state.open_producers == 0 {
            drop(state);
            self.not_empty.notify_all();
        }
    }

    /// Drops all items, and sends home whoever waits or comes later.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.is_stopped = true;
        let dropped = std::mem::take(&mut state.items);
        self.note(&state);
        drop(state);
        self.not_empty.notify_all();
        self.not_full.notify_all();
        drop(dropped);
    }

    pub(crate) fn survey(&self) -> Survey {
        let state = self.lock();
        let has_news = !state.items.is_empty() || state.open_producers == 0;
        let has_room = state.items.len() < state.capacity;
        let (consumers, producers) = (state.waiting_consumers, state.waiting_producers);
        let can_move = state.is_stopped
            || consumers > 0 && has_news
            || producers > 0 && (has_room || state.has_outside_consumer);
        Survey {
            asleep: producers + if state.has_outside_consumer { 0 } else { consumers },
            can_move,
            moves: state.pushed + state.taken,
            is_full: producers > 0 && !has_room,
        }
    }

    /// Publishes what a consumer looks at before it locks.
    fn note(&self, state: &State<T>) {
        let is_over = state.is_stopped || state.open_producers == 0;
        let hint = if is_over { usize::MAX } else { state.items.len() };
        self.hint.store(hint, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
