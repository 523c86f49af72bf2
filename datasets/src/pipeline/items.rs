//! A pipeline that the caller reads: the last stage is a loop of the caller's own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::PipelineError;
use super::monitor::Monitor;
use super::outcome::Outcome;
use super::pace::Pace;
use super::queue::Queue;
use super::run::{CancelHandle, Run};
use super::stream::Stream;

/// The items of a stream, taken by the caller while the stages run ahead: an iterator.
///
/// An error of a stage comes as the last item; what was ready and not taken by then is dropped. Dropping the
/// iterator ends the run and waits for its threads.
///
/// The items come in the order of the stream, which depends neither on the number of workers nor on the time
/// that anything takes (unless a stage is [`unordered`](Stream::unordered), competes, merges or goes in
/// cycles of several items). So what a trainer computes of them has the same bits in every run.
///
/// ```
/// use isograd_datasets::pipeline::{Pipeline, Rebatch, Samples};
/// use isograd_datasets::{Dataset, Error};
///
/// let chunk = |k: u32| Samples::from_u8(vec![k as u8; 30], vec![k % 3; 30], [1, 1, 1], 3);
/// let chunks = Pipeline::new()
///     .source("numbers", 0..4_u32)
///     .stage("decode", chunk)
///     .workers(2)
///     .regulate("training sets", Rebatch::new(50))
///     .items()?;
/// let mut sizes = Vec::new();
/// for chunk in chunks {
///     let set = chunk?.into_arrays()?; // a `Dataset`: train on it
///     sizes.push(set.len());
/// }
/// assert_eq!(sizes, [50, 50, 20]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping it cancels the run"]
pub struct Items<T> {
    queue: Arc<Queue<T>>,
    ready: VecDeque<T>,
    pace: Pace,
    /// How long it took until there were items, when they were taken, and how many.
    last: Option<(Duration, Instant, usize)>,
    run: Option<Run>,
    outcome: Option<Outcome>,
}

impl<T: Send + 'static> Stream<T> {
    /// Builds the pipeline, starts it, and gives the items of this stream to the caller.
    ///
    /// # Errors
    ///
    /// As [`Pipeline::build`](super::Pipeline::build) and
    /// [`BuiltPipeline::start`](super::BuiltPipeline::start).
    pub fn items(self) -> Result<Items<T>, PipelineError> {
        let pipeline = self.pipeline.clone();
        let (queue, edge) = self.into_queue();
        queue.set_outside_consumer();
        pipeline.graph.borrow_mut().edges[edge].is_outlet = true;
        let run = pipeline.build()?.start()?;
        let pace = Pace::new(1);
        Ok(Items { queue, ready: VecDeque::new(), pace, last: None, run: Some(run), outcome: None })
    }
}

impl<T> Items<T> {
    /// What the stages have done until now; none after an error.
    pub fn monitor(&self) -> Option<Monitor> {
        let ended = || self.outcome.as_ref().map(|outcome| outcome.monitor().clone());
        self.run.as_ref().map(Run::monitor).or_else(ended)
    }

    /// A handle with which any thread can end the run; none after its end.
    pub fn cancel_handle(&self) -> Option<CancelHandle> {
        self.run.as_ref().map(Run::cancel_handle)
    }

    /// The results of sinks beside this stream, after the last item.
    pub fn into_outcome(self) -> Option<Outcome> {
        self.outcome
    }
}

impl<T> Iterator for Items<T> {
    type Item = Result<T, PipelineError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ready.is_empty() && self.run.is_some() {
            let begin = Instant::now();
            if let Some((waited, taken, count)) = self.last {
                self.pace.update(count, [waited, begin - taken, Duration::ZERO]);
            }
            let Pace { most, worth, room, .. } = self.pace;
            // A stop is an error of the run, which `wait` reports.
            if !matches!(self.queue.take(most, worth, room, &mut self.ready), Ok(Some(_))) {
                return match self.run.take()?.wait() {
                    Ok(outcome) => {
                        self.outcome = Some(outcome);
                        None
                    }
                    Err(error) => Some(Err(error)),
                };
            }
            self.last = Some((begin.elapsed(), Instant::now(), self.ready.len()));
        }
        self.ready.pop_front().map(Ok)
    }
}
