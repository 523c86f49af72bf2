//! Loops: a part of the graph through which an item goes several times.
//!
//! A cycle of bounded queues could fill up and stand still, and nobody could tell when it is empty. So a
//! cycle has an entrance that lets in a limited number of items at a time: the queue at its beginning has
//! room for all of them, and whoever leads an item back never waits. Each item inside carries a token. When
//! the input has ended and the last token is dropped, however that happens, the cycle has ended.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::builder::nothing;
use super::error::Cause;
use super::graph::Kind;
use super::joint::Joint;
use super::monitor::{Clock, Phase};
use super::queue::{Queue, Stopped, Survey};
use super::run::lock;
use super::stage::{Outlet, Transform, Worker};
use super::stream::Stream;
use super::work;

/// What bounds a [cycle](Stream::cycle).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// How many rounds an item may go. An item that wants another one is an error.
    pub rounds: usize,
    /// How many items may be inside at a time. With 1, items leave in the order in which they entered.
    pub inside: usize,
}

/// What an item does at the end of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<T, U> {
    /// It goes round again.
    Again(T),
    /// It leaves.
    Done(U),
}

/// An item went round too often. The cause of the error of the stage `<cycle> exit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an item has gone {rounds} rounds, and wants another")]
#[non_exhaustive]
pub struct TooManyRounds {
    /// The rounds that are allowed.
    pub rounds: usize,
}

/// An item inside a cycle.
struct Inside<T> {
    item: T,
    rounds: usize,
    token: Token,
}

/// The streams inside a cycle: as [`Stream`], with the stages that make at most one item of each.
#[must_use = "a stream without a reader is an error of `build`"]
pub struct Lap<T> {
    stream: Stream<Inside<T>>,
}

impl<T: Send + 'static> Lap<T> {
    /// As [`Stream::stage`].
    pub fn stage<O, E>(
        self,
        name: impl Into<String>,
        function: impl Fn(T) -> Result<O, E> + Send + Sync + 'static,
    ) -> Lap<O>
    where
        O: Send + 'static,
        E: Into<Cause>,
    {
        let stream = self.stream.stage(name, move |Inside { item, rounds, token }| {
            function(item).map(|item| Inside { item, rounds, token }).map_err(Into::<Cause>::into)
        });
        Lap { stream }
    }

    /// As [`Stream::workers`].
    pub fn workers(self, workers: usize) -> Self {
        Self { stream: self.stream.workers(workers) }
    }

    /// As [`Stream::buffer`].
    pub fn buffer(self, items: usize) -> Self {
        Self { stream: self.stream.buffer(items) }
    }

    /// As [`Stream::ignore`]. The item that failed leaves the cycle.
    pub fn ignore(self, ignore: impl Fn(&Cause) -> bool + Send + Sync + 'static) -> Self {
        Self { stream: self.stream.ignore(ignore) }
    }
}

impl<T: Send + 'static> Stream<T> {
    /// A part of the graph through which each item goes until the last stage of `body` says that it is done.
    ///
    /// Items that are inside at the same time may overtake each other; see [`Bound::inside`]. The entrance
    /// and the exit are stages of their own, `name` and `<name> exit`.
    ///
    /// ```
    /// use isograd_datasets::pipeline::{Bound, Pipeline, Step};
    ///
    /// /// Halves even numbers until they are odd.
    /// let halve = |n: u32| Ok::<_, String>(if n % 2 == 0 { Step::Again(n / 2) } else { Step::Done(n) });
    /// let mut out = Pipeline::new()
    ///     .source("numbers", [12, 7, 32].into_iter())
    ///     .cycle("odd part", Bound { rounds: 32, inside: 1 }, |lap| lap.stage("halve", halve))
    ///     .collect("odd")
    ///     .build()?
    ///     .run()?;
    /// assert_eq!(out.take::<Vec<u32>>("odd")?, [3, 7, 1]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cycle<U: Send + 'static>(
        self,
        name: impl Into<String>,
        bound: Bound,
        body: impl FnOnce(Lap<T>) -> Lap<Step<T, U>>,
    ) -> Stream<U> {
        let (name, pipeline) = (name.into(), self.pipeline.clone());
        // A bound of nothing is an error of `build`; until then a queue needs a size.
        let queue = Arc::new(Queue::new(Some(bound.inside.max(1))));
        queue.add_producer();
        let end = Arc::clone(&queue);
        let gate = Arc::new(Gate::new(bound.inside, Box::new(move || end.producer_done())));
        let entrance = pipeline.add_node(name.clone(), Kind::Cycle, nothing(), None);
        let input = self.lead_to(entrance);
        let edge = pipeline.add_edge(&queue, name.clone(), None);
        let lap = Lap { stream: pipeline.shared(Arc::clone(&queue), edge) };
        let (rounds, back) = (bound.rounds, Arc::clone(&queue));
        let exit = move |_: &Worker| Ok(Exit { rounds, back: Arc::clone(&back) });
        let out = body(lap).stream.transform(format!("{name} exit"), exit);
        let mut graph = pipeline.graph.borrow_mut();
        let exit = graph.nodes.len() - 1;
        graph.bounds.push((entrance, bound.rounds, bound.inside));
        graph.edges[edge].from.push(entrance);
        graph.edges[edge].back_from.push(exit);
        graph.nodes[entrance].joints.push(Arc::clone(&gate) as _);
        let enter = Arc::clone(&gate);
        graph.nodes[entrance].body = work::pass_on(
            input,
            move |item, clock| {
                let token = Gate::admit(&enter, clock)?;
                queue.push(Inside { item, rounds: 0, token })
            },
            move || gate.end_of_input(),
        );
        drop(graph);
        out
    }
}

/// Leads items back or out. The token of an item that goes out is dropped when the next stage has the item.
struct Exit<T> {
    rounds: usize,
    back: Arc<Queue<Inside<T>>>,
}

impl<T, U> Transform<Inside<Step<T, U>>> for Exit<T>
where
    T: Send + 'static,
    U: Send + 'static,
{
    type Output = U;

    fn process(&mut self, inside: Inside<Step<T, U>>, out: &mut Outlet<'_, U>) -> Result<(), Cause> {
        let Inside { item, rounds, token } = inside;
        match item {
            Step::Done(item) => out.emit(item)?,
            Step::Again(_) if rounds + 1 >= self.rounds => {
                return Err(TooManyRounds { rounds: self.rounds }.into());
            }
            Step::Again(item) => self.back.push(Inside { item, rounds: rounds + 1, token })?,
        }
        Ok(())
    }
}

/// Counts the items inside a cycle.
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
    /// Ends the queue at the beginning of the cycle.
    close: Box<dyn Fn() + Send + Sync>,
}

struct GateState {
    inside: usize,
    most: usize,
    is_waiting: bool,
    has_input_ended: bool,
    is_stopped: bool,
    moves: u64,
}

impl Gate {
    fn new(most: usize, close: Box<dyn Fn() + Send + Sync>) -> Self {
        let state = GateState {
            inside: 0,
            most,
            is_waiting: false,
            has_input_ended: false,
            is_stopped: false,
            moves: 0,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), close }
    }

    /// Waits until there is room for one more item inside.
    fn admit(gate: &Arc<Self>, clock: &Clock) -> Result<Token, Stopped> {
        let mut state = lock(&gate.state);
        if state.inside >= state.most && !state.is_stopped {
            clock.enter(Phase::Output);
            while state.inside >= state.most && !state.is_stopped {
                state.is_waiting = true;
                state = gate.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.is_waiting = false;
            }
            clock.enter(Phase::Busy);
        }
        if state.is_stopped {
            return Err(Stopped);
        }
        state.inside += 1;
        state.moves += 1;
        Ok(Token { gate: Arc::clone(gate) })
    }

    fn end_of_input(&self) {
        let mut state = lock(&self.state);
        state.has_input_ended = true;
        let is_empty = state.inside == 0;
        drop(state);
        if is_empty {
            (self.close)();
        }
    }
}

impl Joint for Gate {
    fn stop(&self) {
        lock(&self.state).is_stopped = true;
        self.changed.notify_all();
    }

    fn survey(&self) -> Survey {
        let state = lock(&self.state);
        let can_move = state.is_stopped || state.is_waiting && state.inside < state.most;
        Survey { asleep: usize::from(state.is_waiting), can_move, moves: state.moves, is_full: false }
    }

    fn reset(&self, _workers: usize) {
        let mut state = lock(&self.state);
        (state.inside, state.moves) = (0, 0);
        (state.has_input_ended, state.is_stopped) = (false, false);
    }
}

/// That an item is inside.
struct Token {
    gate: Arc<Gate>,
}

impl Drop for Token {
    fn drop(&mut self) {
        let mut state = lock(&self.gate.state);
        state.inside -= 1;
        state.moves += 1;
        let is_last = state.inside == 0 && state.has_input_ended;
        drop(state);
        self.gate.changed.notify_one();
        if is_last {
            (self.gate.close)();
        }
    }
}
