//! What the workers of each kind of stage do.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::error::{Cause, RunError};
use super::graph::Body;
use super::joint::{Port, Target};
use super::monitor::{Clock, Phase};
use super::pace::Pace;
use super::queue::{Queue, Stopped, Taken};
use super::run::Context;
use super::sequencer::Sequencer;
use super::source::Source;
use super::stage::{Outlet, Sink, Transform, Worker};

/// The input of a worker: items in batches, of which it knows the numbers.
struct Intake<'a, I> {
    context: &'a Context,
    queue: &'a Queue<I>,
    batch: VecDeque<I>,
    next_item: u64,
    pace: Pace,
    batch_len: usize,
    /// The times in which the worker had waited for items, was busy, and waited for room, before this batch.
    before: [Duration; 3],
}

impl<'a, I> Intake<'a, I> {
    fn new(context: &'a Context, queue: &'a Queue<I>) -> Self {
        let (batch, pace) = (VecDeque::new(), Pace::new(context.worker.count));
        Self { context, queue, batch, next_item: 0, pace, batch_len: 0, before: [Duration::ZERO; 3] }
    }

    /// Waits for items; none after the last.
    fn refill(&mut self) -> Result<Option<Taken>, Stopped> {
        let clock = &self.context.clock;
        clock.enter(Phase::Input);
        let now = [Phase::Input, Phase::Busy, Phase::Output].map(|phase| clock.spent(phase));
        if self.batch_len > 0 {
            let spent = [0, 1, 2].map(|k| now[k].saturating_sub(self.before[k]));
            self.pace.update(self.batch_len, spent);
        }
        let Pace { most, worth, room, .. } = self.pace;
        let taken = self.queue.take(most, worth, room, &mut self.batch);
        clock.enter(Phase::Busy);
        (self.batch_len, self.before) = (self.batch.len(), now);
        if let Ok(Some(taken)) = taken {
            self.next_item = taken.first;
        }
        taken
    }

    /// The next item of the batch. The context knows its number, for errors.
    fn next(&mut self) -> Option<I> {
        let item = self.batch.pop_front()?;
        self.context.item.set(Some(self.next_item));
        self.context.clock.items_in.add(1);
        self.next_item += 1;
        Some(item)
    }

    /// The next item, of the next batch if this one is empty.
    fn wait(&mut self) -> Result<Option<I>, Stopped> {
        if self.batch.is_empty() && self.refill()?.is_none() {
            return Ok(None);
        }
        Ok(self.next())
    }

    /// Handles every item until the stream ends. After each batch, `after` gets its ticket.
    fn for_each<S>(
        mut self,
        state: &mut S,
        mut handle: impl FnMut(&mut S, I) -> Result<(), Cause>,
        mut after: impl FnMut(&mut S, u64) -> Result<(), Stopped>,
    ) -> Result<(), Stopped> {
        while let Some(taken) = self.refill()? {
            while let Some(item) = self.next() {
                handle(state, item).or_else(|cause| self.context.judge(cause))?;
                if self.context.is_stopped() {
                    return Err(Stopped);
                }
            }
            self.context.item.set(None);
            after(state, taken.ticket)?;
        }
        Ok(())
    }
}

/// Counts and sends what a stage emits.
fn send<O>(context: &Context, port: &Port<O>, item: O) -> Result<(), Stopped> {
    port.push(item, &context.clock)?;
    context.clock.items_out.add(1);
    Ok(())
}

pub(super) fn source<S: Source>(source: Arc<S>, port: Arc<Port<S::Item>>) -> Body {
    Arc::new(move |context| {
        let items = source.open().map_err(|cause| context.fail(cause))?;
        // A stop that came before there was anything to interrupt.
        if context.is_stopped() {
            return Err(Stopped);
        }
        let mut number = 0;
        context.item.set(Some(0));
        for item in items {
            match item {
                Ok(item) => {
                    context.clock.items_in.add(1);
                    send(context, &port, item)?;
                }
                Err(cause) => context.judge(cause)?,
            }
            if context.is_stopped() {
                return Err(Stopped);
            }
            number += 1;
            context.item.set(Some(number));
        }
        Ok(())
    })
}

pub(super) fn transform<I, W, F>(
    queue: Arc<Queue<I>>,
    make: F,
    port: Arc<Port<W::Output>>,
    sequencer: Arc<Sequencer<W::Output>>,
) -> Body
where
    I: Send + 'static,
    W: Transform<I>,
    F: Fn(&Worker) -> Result<W, Cause> + Send + Sync + 'static,
{
    Arc::new(move |context| {
        let worker = make(&context.worker).map_err(|cause| context.fail(cause))?;
        let intake = Intake::new(context, &queue);
        let send = |item| send(context, &port, item);
        if !context.is_ordered {
            let mut state = worker;
            let handle = |state: &mut W, item| state.process(item, &mut Outlet::new(&mut { send }));
            intake.for_each(&mut state, handle, |_, _| Ok(()))?;
            return state.finish(&mut Outlet::new(&mut { send })).map_err(|cause| context.fail(cause));
        }
        let mut state = (worker, Vec::new());
        let collect = |results: &mut Vec<W::Output>, item| {
            results.push(item);
            if context.is_stopped() { Err(Stopped) } else { Ok(()) }
        };
        let handle = |(worker, results): &mut (W, Vec<W::Output>), item| {
            worker.process(item, &mut Outlet::new(&mut |item| collect(results, item)))
        };
        intake.for_each(&mut state, handle, |(_, results), ticket| {
            sequencer.submit(ticket, std::mem::take(results), send)
        })?;
        let (mut worker, mut results) = state;
        let finished = worker.finish(&mut Outlet::new(&mut |item| collect(&mut results, item)));
        finished.map_err(|cause| context.fail(cause))?;
        sequencer.finish(context.worker.index, results, send)
    })
}

pub(super) fn sink<I, S, F>(queue: Arc<Queue<I>>, make: F) -> Body
where
    I: Send + 'static,
    S: Sink<I>,
    F: Fn(&Worker) -> Result<S, Cause> + Send + Sync + 'static,
{
    Arc::new(move |context| {
        let mut sink = make(&context.worker).map_err(|cause| context.fail(cause))?;
        let intake = Intake::new(context, &queue);
        intake.for_each(&mut sink, |sink, item| sink.consume(item), |_, _| Ok(()))?;
        let result = sink.finish().map_err(|cause| context.fail(cause))?;
        context.keep(result);
        Ok(())
    })
}

/// Hands each item to `pass`, and then calls `end`.
pub(super) fn pass_on<I: Send + 'static>(
    queue: Arc<Queue<I>>,
    pass: impl Fn(I, &Clock) -> Result<(), Stopped> + Send + Sync + 'static,
    end: impl Fn() + Send + Sync + 'static,
) -> Body {
    Arc::new(move |context| {
        let mut intake = Intake::new(context, &queue);
        while let Some(item) = intake.wait()? {
            pass(item, &context.clock)?;
            context.clock.items_out.add(1);
        }
        end();
        Ok(())
    })
}

/// One item from each of two inputs.
pub(super) fn join<A, B>(first: Arc<Queue<A>>, second: Arc<Queue<B>>, port: Arc<Port<(A, B)>>) -> Body
where
    A: Send + 'static,
    B: Send + 'static,
{
    Arc::new(move |context| {
        let (mut left, mut right) = (Intake::new(context, &first), Intake::new(context, &second));
        let mut pairs = 0;
        loop {
            match (left.wait()?, right.wait()?) {
                (Some(a), Some(b)) => send(context, &port, (a, b))?,
                (None, None) => return Ok(()),
                (ended, _) => {
                    return Err(unequal(
                        context,
                        usize::from(ended.is_some()),
                        usize::from(ended.is_none()),
                        pairs,
                    ));
                }
            }
            pairs += 1;
        }
    })
}

/// One item from each of several inputs.
pub(super) fn join_all<T: Send + 'static>(queues: Vec<Arc<Queue<T>>>, port: Arc<Port<Vec<T>>>) -> Body {
    Arc::new(move |context| {
        let mut intakes: Vec<_> = queues.iter().map(|queue| Intake::new(context, queue)).collect();
        let mut rows = 0;
        loop {
            let row = intakes.iter_mut().map(Intake::wait).collect::<Result<Vec<Option<T>>, Stopped>>()?;
            let ended = row.iter().position(Option::is_none);
            match (ended, row.iter().position(Option::is_some)) {
                (None, _) => send(context, &port, row.into_iter().flatten().collect())?,
                (Some(_), None) => return Ok(()),
                (Some(short), Some(long)) => return Err(unequal(context, short, long, rows)),
            }
            rows += 1;
        }
    })
}

fn unequal(context: &Context, short: usize, long: usize, items: u64) -> Stopped {
    let stage = context.worker.stage.clone();
    context.fail_with(RunError::UnequalInputs { stage, short, long, items })
}
