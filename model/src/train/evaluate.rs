//! Evaluation of a data set.

use super::report::{Flags, Sums};
use super::step::run;
use super::worker::Job;
use super::{DataError, Evaluation, NonFinite, Trainer};
use crate::error::Error;
use crate::layer::{Mode, Preparation};
use crate::profile::{Phase, Work};
use crate::test_time::TestTime;
use isograd_datasets::Dataset;
use isograd_kernels::Element;

impl<T: Element> Trainer<T> {
    /// Mean loss and metrics over all samples of `dataset`, with the state as it is, or with its
    /// [averages](Self::averaged_state) if there are any; the same bits on any number of threads.
    ///
    /// # Errors
    ///
    /// [`NonFinite::Evaluation`] when the mean loss is infinite or NaN, [`NonFinite::Metric`] when a metric
    /// is NaN, [`DataError`] when the data set does not fit the network, has a sample that cannot be read,
    /// or a target that the loss does not take, [`Error::Ranks`] when a rank is lost.
    pub fn evaluate(&mut self, dataset: &dyn Dataset) -> Result<Evaluation, Error> {
        self.evaluate_views(dataset, TestTime::Plain)
    }

    /// As [`evaluate`](Self::evaluate), where the output for a sample is the mean of those for its views.
    ///
    /// # Errors
    ///
    /// As `evaluate`, and [`Error::OutOfRange`] when the samples have no such views.
    pub fn evaluate_views(
        &mut self,
        dataset: &dyn Dataset,
        test_time: TestTime,
    ) -> Result<Evaluation, Error> {
        test_time.check(self.network.input_shape())?;
        self.enter(Phase::Evaluation);
        let started = self.recording.begin();
        let source = self.source(dataset)?;
        let state = self.update_memory.averaged().unwrap_or(&self.state);
        let folded = self.network.folded_parameters(state)?;
        let (isa, mode) = (self.config.isa, Mode::Eval);
        let params = folded.as_deref().unwrap_or(state.params());
        if self.network.prepares(mode) {
            let started = self.recording.begin();
            self.network.prepare(&Preparation { isa, mode, params }, &mut self.prepared);
            self.recording.since(started, Work::Prepare, 0);
        }
        self.announce_evaluation(dataset);
        let job = Job {
            network: &self.network,
            config: &self.config,
            division: self.division,
            sum_layout: &self.sum_layout,
            state,
            folded: folded.as_deref(),
            prepared: &self.prepared,
            source: &source,
            order: &[],
            positions: 0..dataset.len(),
            least_samples: 1,
            epoch: self.epoch,
        };
        self.sum_layout.check_memory(job.shards())?;
        let mut sums = Sums::new(&self.sum_layout);
        let own = self.own_shards(job.shards());
        // There can be fewer shards than in training.
        let threads = self.division.threads_of_shard(own.len());
        for (index, worker) in self.workers.iter_mut().enumerate() {
            if !self.division.shards_of(index, own.len()).is_empty() {
                worker.shards[0].memory.reserve_threads(threads);
            }
        }
        run(self.division, &mut self.workers, own, |_, worker, own| worker.evaluate(&job, test_time, own));
        let failure = self.workers.iter_mut().find_map(|worker| worker.failure.take());
        let own = Flags { stop: false, failed: failure.is_some() };
        let all = self.sums.collect(&self.workers, self.exchange.as_mut(), &job, &mut sums, own)?;
        if all.failed {
            return Err(failure.map_or(DataError::OfAnotherRank, DataError::Sample).into());
        }
        let (samples, loss) = (sums.samples, sums.loss());
        self.recording.since(started, Work::Evaluation, samples);
        if !loss.is_finite() {
            if let Some(error) = job.bad_target() {
                return Err(error.into());
            }
            return Err(NonFinite::Evaluation { samples, loss, bad_sample: job.bad_sample() }.into());
        }
        Ok(sums.evaluation(&self.config.metrics, &self.sum_layout)?)
    }
}
