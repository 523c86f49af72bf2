//! `isograd evaluate`.

use crate::cli::augment_plan::NormalizePlan;
use crate::cli::metric_plan::TargetKind;
use crate::cli::plan::RankPlan;
use crate::cli::plan::{EvaluatePlan, Execution};
use crate::failure::Failure;
use crate::output::Output;
use crate::rank::agreement;
use crate::rank::class_report::ClassReport;
use crate::rank::command::RankCommand;
use crate::rank::data::without_test;
use crate::rank::identity::RankIdentity;
use crate::rank::network::{build, load_state};
use crate::rank::report::test_line;
use crate::rank::stop::StopRequest;
use crate::rank::views;
use isograd_datasets::Dataset;
use isograd_model::logger::TestRecord;
use isograd_model::{ConfusionMatrix, Element, Error, NonFinite, Ranks, Trainer};

/// Tests a saved network.
impl RankCommand for EvaluatePlan {
    fn ranks(&self) -> &RankPlan {
        &self.ranks
    }

    fn execution(&self) -> &Execution {
        &self.execution
    }

    fn run<T: Element>(&self, identity: &RankIdentity, out: &mut Output) -> Result<(), Failure> {
        self.test::<T>(identity, out).map(drop)
    }
}

impl EvaluatePlan {
    /// Tests the network, prints the result, and returns its figures by name.
    pub(crate) fn test<T: Element>(
        &self,
        identity: &RankIdentity,
        out: &mut Output,
    ) -> Result<Vec<(String, f64)>, Failure> {
        let shares = self.ranks.shares(identity.world)?;
        let own = self.source.find_test()?;
        let (samples, parts);
        let test: &dyn Dataset = match &own {
            Some(test) => &**test,
            None if self.validation_split > 0.0 => {
                samples = self.source.load()?;
                parts = samples.parts(self.validation_split, self.stratify)?;
                log::warn!(
                    "the data set has no test samples: those that the training has validated on are tested"
                );
                samples.test(&parts).ok_or_else(without_test)?
            }
            None => return Err(without_test()),
        };
        let normalization = match &self.input.normalize {
            // Other statistics than those of the training samples do not need them.
            Some(NormalizePlan::Computed) => views::normalization(&self.input, &*self.source.load()?.train)?,
            _ => views::normalization(&self.input, test)?,
        };
        let targets = TargetKind::of(test);
        if self.is_per_class() && targets == TargetKind::Numbers {
            let problem = "--per-class: the targets are numbers, not classes".to_string();
            return Err(Failure::Usage { problem, hint: None });
        }
        let view = views::in_tests(&self.input, test, normalization.as_ref())?;
        let network = build::<T>(&self.model, &self.execution.conv, &*view, false)?;
        if identity.is_first() {
            self.execution.conv.warn(&network, self.execution.dtype, self.execution.isa, None);
        }
        let state = load_state(&self.load, &self.model.name(), &network)?;
        let request = StopRequest::listen().map_err(Failure::Signals)?;
        let agreement = || agreement::of_test(self, &network, test, &*view, &state);
        let communicator = identity.join(&self.ranks, &request, agreement)?;
        request.end();
        let ranks = Ranks { shares, ..Ranks::new(communicator) };
        let mut trainer = Trainer::with_ranks(network, self.config(test.len(), targets), ranks)?;
        *trainer.state_mut() = state;
        let evaluation = trainer.evaluate_views(&*view, self.test_time).map_err(|error| match error {
            Error::NonFinite(NonFinite::Evaluation { .. }) => {
                Failure::Unusable { path: self.load.clone(), problem: error.to_string() }
            }
            other => other.into(),
        })?;
        out.line(&test_line(&trainer.config().metrics, &evaluation))?;
        let TestRecord { loss, metrics, .. } = TestRecord::new(&trainer, &evaluation);
        let figures: Vec<(String, f64)> =
            std::iter::once(("loss".to_string(), loss)).chain(metrics).collect();
        let Some(sums) = evaluation.sums.last().filter(|_| self.is_per_class()) else { return Ok(figures) };
        let report = ClassReport::new(ConfusionMatrix::from_sums(sums), test.class_names());
        if self.per_class {
            out.text(&report.text())?;
        }
        match &self.per_class_file {
            Some(file) if identity.is_first() => report.write(file)?,
            _ => (),
        }
        Ok(figures)
    }
}
