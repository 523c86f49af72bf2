//! Which trial is next, and how far it goes: a simulation in which every epoch takes one unit of time.
//!
//! ```text
//! next      as long as fewer than `ahead` jobs are under way: a job, chosen by what has been completed
//! earliest  the job that ends first in this time; its result is waited for, then completed
//! ```
//!
//! So choices depend on results in an order that no machine changes. What really runs side by side may end in
//! any order.
//!
//! ASHA has rungs of epochs. When a worker is free, the best of the trials that reached a rung go on to the
//! next one: one of `eta`. If there is none, a new trial begins. When no trial is left that may go on and
//! none has come to the end, the best of those that wait at the highest rung goes on all the same. If it
//! fails, the next best one does.
//!
//! # Source
//! Li et al.: "A system for massively parallel hyperparameter tuning", MLSys 2020, algorithm 2.

use super::space::Space;
use super::tpe;
use crate::cli::SearchName;

/// What a sweep does.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rules {
    pub(super) search: SearchName,
    pub(super) trials: usize,
    pub(super) seed: u64,
    pub(super) ahead: u32,
    pub(super) eta: u32,
    /// Epochs after which trials are compared; the last one is the end. One, but for ASHA.
    pub(super) rungs: Vec<u32>,
}

/// Epochs of the rungs of ASHA, from `least` to `most`.
pub(super) fn rungs(least: u32, eta: u32, most: u32) -> Vec<u32> {
    let grown = std::iter::successors(Some(least), |epochs| epochs.checked_mul(eta));
    grown.take_while(|epochs| *epochs < most).chain([most]).collect()
}

/// A trial on its way to a rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) trial: usize,
    pub(super) rung: usize,
    /// Epochs at the end of the job.
    pub(super) epochs: u32,
}

/// A trial.
#[derive(Debug)]
struct Trial {
    place: Vec<f64>,
    /// The score at each rung that was reached; a small one is good, infinity is that of a failed trial.
    scores: Vec<f64>,
    /// Jobs that were begun.
    begun: usize,
}

#[derive(Debug)]
struct UnderWay {
    job: Job,
    end: u64,
    number: u64,
}

#[derive(Debug)]
pub(super) struct Schedule<'s> {
    space: &'s Space,
    rules: Rules,
    trials: Vec<Trial>,
    under_way: Vec<UnderWay>,
    time: u64,
    jobs: u64,
}

/// What has become of a trial.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum End {
    Finished,
    Failed,
    /// At a rung: of `reached` trials `promoted` went on, the worst of them with the score `cut`.
    Pruned {
        epochs: u32,
        reached: usize,
        promoted: usize,
        cut: f64,
    },
}

impl<'s> Schedule<'s> {
    pub(super) fn new(space: &'s Space, rules: Rules) -> Self {
        Self { space, rules, trials: Vec::new(), under_way: Vec::new(), time: 0, jobs: 0 }
    }

    /// The next job to begin now, if there is one.
    pub(super) fn next(&mut self) -> Option<Job> {
        let depends_on_results = matches!(self.rules.search, SearchName::Asha | SearchName::Tpe);
        if depends_on_results && self.under_way.len() >= self.rules.ahead as usize {
            return None;
        }
        let trial = self.promotable().or_else(|| self.new_trial()).or_else(|| self.last_resort())?;
        let rung = self.trials[trial].begun;
        self.trials[trial].begun += 1;
        let epochs = self.rules.rungs[rung];
        let before = rung.checked_sub(1).map_or(0, |before| self.rules.rungs[before]);
        let (job, number) = (Job { trial, rung, epochs }, self.jobs);
        self.jobs += 1;
        self.under_way.push(UnderWay { job, end: self.time + u64::from(epochs - before), number });
        Some(job)
    }

    /// The job under way that ends first.
    pub(super) fn earliest(&self) -> Option<Job> {
        self.under_way.iter().min_by_key(|one| (one.end, one.number)).map(|one| one.job)
    }

    /// Takes the score of a job under way.
    pub(super) fn complete(&mut self, job: Job, score: f64) {
        let place = self.under_way.iter().position(|one| one.job == job).expect("the job is under way");
        self.time = self.under_way.swap_remove(place).end;
        // NaN is as bad as a failure.
        self.trials[job.trial].scores.push(if score.is_nan() { f64::INFINITY } else { score });
    }

    pub(super) fn place(&self, trial: usize) -> &[f64] {
        &self.trials[trial].place
    }

    /// The values with which trial `trial` begins, or would begin if nothing was known.
    pub(super) fn first_values(&self, trial: usize) -> Vec<String> {
        self.space.values(&self.drawn(trial))
    }

    fn drawn(&self, trial: usize) -> Vec<f64> {
        match self.rules.search {
            SearchName::Grid => self.space.on_grid(trial),
            _ => self.space.random(self.rules.seed, trial),
        }
    }

    fn new_trial(&mut self) -> Option<usize> {
        let number = self.trials.len();
        if number >= self.rules.trials {
            return None;
        }
        let place = match self.rules.search {
            SearchName::Tpe => {
                let ended = |trial: &Trial| Some((trial.place.clone(), *trial.scores.first()?));
                let ended: Vec<_> = self.trials.iter().filter_map(ended).collect();
                let others = self.trials.iter().filter(|trial| trial.scores.is_empty());
                let others: Vec<_> = others.map(|trial| trial.place.clone()).collect();
                tpe::propose(self.space, self.rules.seed, number, &ended, &others)
            }
            _ => self.drawn(number),
        };
        self.trials.push(Trial { place, scores: Vec::new(), begun: 0 });
        Some(number)
    }

    /// The trials that have reached `rung`, the best one first.
    fn at_rung(&self, rung: usize) -> Vec<(f64, usize)> {
        let score = |(number, trial): (usize, &Trial)| Some((*trial.scores.get(rung)?, number));
        let mut reached: Vec<_> = self.trials.iter().enumerate().filter_map(score).collect();
        reached.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        reached
    }

    /// The best trial that waits at `rung` among the first `count` of it.
    fn waiting(&self, rung: usize, count: usize) -> Option<usize> {
        let reached = self.at_rung(rung);
        let waits =
            |(score, trial): &&(f64, usize)| score.is_finite() && self.trials[*trial].begun == rung + 1;
        reached.iter().take(count).find(waits).map(|(_, trial)| *trial)
    }

    fn promotable(&self) -> Option<usize> {
        let top = self.rules.rungs.len() - 1;
        (0..top).rev().find_map(|rung| self.waiting(rung, self.at_rung(rung).len() / self.rules.eta as usize))
    }

    /// The best trial that waits, at the highest rung at which one does, if all jobs have ended and none of
    /// them well at the top.
    fn last_resort(&self) -> Option<usize> {
        let top = self.rules.rungs.len() - 1;
        let has_finished = self.at_rung(top).first().is_some_and(|best| best.0.is_finite());
        if has_finished || !self.under_way.is_empty() {
            return None;
        }
        // Not the first of a rung alone: that one may have gone on and failed.
        (0..top).rev().find_map(|rung| self.waiting(rung, usize::MAX))
    }

    /// Takes the scores by which trials are compared when the sweep is over: of all jobs that have ended.
    /// When there were fewer trials, jobs may have run that were not chosen again; and a job that failed may
    /// have had a better result since. `score` knows both.
    pub(super) fn take_results(&mut self, score: impl Fn(Job) -> Option<f64>) {
        let rungs = &self.rules.rungs;
        for (number, trial) in self.trials.iter_mut().enumerate() {
            let jobs =
                rungs.iter().enumerate().map(|(rung, epochs)| Job { trial: number, rung, epochs: *epochs });
            trial.scores = jobs.map_while(&score).collect();
            trial.begun = trial.scores.len();
        }
    }

    /// What has become of a trial, when the sweep is over.
    pub(super) fn end(&self, trial: usize) -> End {
        let scores = &self.trials[trial].scores;
        let rung = scores.len().saturating_sub(1);
        if scores.last().is_none_or(|score| !score.is_finite()) {
            return End::Failed;
        }
        if rung + 1 == self.rules.rungs.len() {
            return End::Finished;
        }
        let reached = self.at_rung(rung);
        let promoted: Vec<f64> = reached
            .iter()
            .filter(|(_, trial)| self.trials[*trial].begun > rung + 1)
            .map(|(score, _)| *score)
            .collect();
        let cut = promoted.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        End::Pruned { epochs: self.rules.rungs[rung], reached: reached.len(), promoted: promoted.len(), cut }
    }

    /// All trials: those that went furthest first, and of these the best ones.
    pub(super) fn ranking(&self) -> Vec<usize> {
        let mut all: Vec<usize> = (0..self.trials.len()).collect();
        let key = |trial: usize| {
            let scores = &self.trials[trial].scores;
            let score = scores.last().copied().unwrap_or(f64::INFINITY);
            (score.is_finite(), if score.is_finite() { scores.len() } else { 0 }, score)
        };
        all.sort_by(|a, b| {
            let (a, b) = (key(*a), key(*b));
            b.0.cmp(&a.0).then(b.1.cmp(&a.1)).then(a.2.total_cmp(&b.2))
        });
        all
    }
}

#[cfg(test)]
mod tests {
    use super::super::space::tests::real;
    use super::*;
    use std::collections::VecDeque;

    fn rules(search: SearchName, trials: usize) -> Rules {
        let rungs = if search == SearchName::Asha { vec![1, 3, 9] } else { vec![9] };
        Rules { search, trials, seed: 5, ahead: 3, eta: 3, rungs }
    }

    /// Runs a schedule whose trials have the scores that `score` gives; returns the jobs in their order.
    fn run<'s>(
        space: &'s Space,
        rules: Rules,
        score: impl Fn(Job, &[f64]) -> f64,
    ) -> (Schedule<'s>, Vec<Job>) {
        let mut schedule = Schedule::new(space, rules);
        let mut jobs = Vec::new();
        loop {
            while let Some(job) = schedule.next() {
                jobs.push(job);
            }
            let Some(job) = schedule.earliest() else { return (schedule, jobs) };
            let score = score(job, schedule.place(job.trial));
            schedule.complete(job, score);
        }
    }

    #[test]
    fn rungs_grow_up_to_the_end() {
        assert_eq!(rungs(1, 3, 20), [1, 3, 9, 20]);
        assert_eq!(rungs(2, 4, 8), [2, 8]);
        assert_eq!(rungs(1, 2, u32::MAX).len(), 33);
    }

    #[test]
    fn asha_lets_the_best_go_on() {
        let space = Space::new(vec![real(0.0, 1.0, false)]);
        let (schedule, jobs) = run(&space, rules(SearchName::Asha, 27), |_, place| place[0]);
        let at = |rung: usize| jobs.iter().filter(|job| job.rung == rung).count();
        assert_eq!(at(0), 27);
        assert!((9..=18).contains(&at(1)) && at(2) >= 3 && at(2) <= at(1), "{} {}", at(1), at(2));
        let ranking = schedule.ranking();
        let best = (0..27).min_by(|a, b| schedule.place(*a)[0].total_cmp(&schedule.place(*b)[0])).unwrap();
        assert_eq!((ranking[0], schedule.end(best)), (best, End::Finished));
        match schedule.end(ranking[26]) {
            End::Pruned { epochs: 1, reached: 27, promoted, cut } => {
                assert_eq!(promoted, at(1));
                assert!(schedule.place(ranking[26])[0] > cut);
            }
            other => panic!("{other:?}"),
        }
        // The same again.
        assert_eq!(run(&space, rules(SearchName::Asha, 27), |_, place| place[0]).1, jobs);
    }

    #[test]
    fn one_of_a_few_trials_comes_to_the_end() {
        let space = Space::new(vec![real(0.0, 1.0, false)]);
        let (schedule, jobs) = run(&space, rules(SearchName::Asha, 2), |_, place| place[0]);
        assert_eq!(jobs.len(), 4);
        assert_eq!(schedule.end(schedule.ranking()[0]), End::Finished);
        // Nor do failed ones stand in the way, or go on.
        let (schedule, jobs) = run(&space, rules(SearchName::Asha, 5), |job, _| match job.trial {
            2 => 0.5,
            1 => f64::NAN,
            _ => f64::INFINITY,
        });
        assert_eq!((jobs.len(), schedule.ranking()[0], schedule.end(1)), (7, 2, End::Failed));
        assert!(run(&space, rules(SearchName::Asha, 4), |_, _| f64::INFINITY).1.len() == 4);
    }

    #[test]
    fn when_the_best_trial_fails_late_the_next_one_goes_on() {
        let space = Space::new(vec![real(0.0, 1.0, false)]);
        for rung in [1, 2] {
            let fails = |job: Job| job.trial == 0 && job.rung == rung;
            let score = |job: Job, _: &[f64]| if fails(job) { f64::INFINITY } else { job.trial as f64 };
            let (schedule, jobs) = run(&space, rules(SearchName::Asha, 3), score);
            // The three at first, the best one up to where it fails, and the next one to the end.
            assert_eq!(jobs.len(), 3 + rung + 2, "{jobs:?}");
            let ends = [0, 1].map(|trial| schedule.end(trial));
            assert_eq!((schedule.ranking()[0], ends), (1, [End::Failed, End::Finished]));
            assert!(matches!(schedule.end(2), End::Pruned { epochs: 1, .. }), "{jobs:?}");
        }
        // If all of them fail late, each has been tried.
        let all = |job: Job, _: &[f64]| if job.rung == 1 { f64::INFINITY } else { 0.0 };
        assert_eq!(run(&space, rules(SearchName::Asha, 3), all).1.len(), 6);
    }

    #[test]
    fn what_a_trial_has_reached_before_counts() {
        let space = Space::new(vec![real(0.0, 1.0, false)]);
        let score = |job: Job, _: &[f64]| match (job.trial, job.rung) {
            (0, 0) => 9.0,
            (0, _) => 0.0,
            (trial, _) => trial as f64,
        };
        // Among two trials, trial 0 comes to the end if the other one fails; among eight, it is the last one.
        let few = |job: Job, place: &[f64]| if job.trial == 1 { f64::INFINITY } else { score(job, place) };
        let (_, before) = run(&space, rules(SearchName::Asha, 2), few);
        assert!(before.iter().any(|job| (job.trial, job.rung) == (0, 2)), "{before:?}");
        let (mut schedule, jobs) = run(&space, rules(SearchName::Asha, 8), score);
        assert!(!jobs.iter().any(|job| (job.trial, job.rung) == (0, 1)), "{jobs:?}");
        assert!(matches!(schedule.end(0), End::Pruned { epochs: 1, .. }));
        let ended: Vec<Job> = before.into_iter().chain(jobs).collect();
        schedule.take_results(|job| ended.contains(&job).then(|| score(job, &[])));
        assert_eq!((schedule.end(0), schedule.ranking()[0]), (End::Finished, 0));
        assert!(matches!(schedule.end(7), End::Pruned { epochs: 1, reached: 8, .. }));
    }

    #[test]
    fn grids_and_random_trials_wait_for_nothing() {
        let space = Space::new(vec![real(0.0, 1.0, false)]);
        let mut schedule = Schedule::new(&space, rules(SearchName::Random, 20));
        let jobs: VecDeque<Job> = std::iter::from_fn(|| schedule.next()).collect();
        assert_eq!((jobs.len(), jobs[19].epochs), (20, 9));
        let mut tpe = Schedule::new(&space, rules(SearchName::Tpe, 20));
        assert_eq!(std::iter::from_fn(|| tpe.next()).count(), 3);
    }

    #[test]
    fn tpe_comes_closer() {
        let space = Space::new(vec![real(0.0, 1.0, false)]);
        let score = |_: Job, place: &[f64]| (place[0] - 0.3).abs();
        let (schedule, _) = run(&space, rules(SearchName::Tpe, 40), score);
        let late = (20..40).map(|trial| (schedule.place(trial)[0] - 0.3).abs()).sum::<f64>() / 20.0;
        assert!(late < 0.15, "{late}");
    }
}
