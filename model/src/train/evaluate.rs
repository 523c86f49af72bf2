//! Evaluation of a data set.

use super::report::Sums;
use super::step::run;
use super::worker::Job;
use super::{Evaluation, Trainer};
use crate::error::Error;
use isograd_datasets::Dataset;
use isograd_kernels::Element;

impl<T: Element> Trainer<T> {
    /// Mean loss and metrics over all samples of `dataset`, with the state as it is; the same bits on any number of threads.
    ///
    /// # Errors
    ///
    /// [`Error::NonFiniteEvaluation`] when the mean loss is infinite or NaN. Others when the data set does not fit the network,
    /// or a rank is lost.
    pub fn evaluate(&mut self, dataset: &dyn Dataset) -> Result<Evaluation, Error> {
        let source = self.source(dataset)?;
        let job = Job {
            network: &self.network,
            config: &self.config,
            state: &self.state,
            source: &source,
            order: &[],
            positions: (0, dataset.len()),
            epoch: self.epoch,
        };
        let mut sums = Sums::new(&self.config.metrics);
        let own = self.own_shards(job.shards());
        run(&mut self.workers, own, |_, worker, own| worker.evaluate(&job, own));
        self.sums.collect(&self.workers, self.exchange.as_mut(), &job, &mut sums, false)?;
        let evaluation = sums.evaluation();
        let Evaluation { samples, loss, .. } = evaluation;
        if loss.is_finite() { Ok(evaluation) } else { Err(Error::NonFiniteEvaluation { samples, loss }) }
    }
}
