//! The figures of runs: last, best and test values of losses and metrics, speed, time, memory.

use super::run::Run;
use crate::cli::parsers;
use crate::page::format;
use isograd_model::logger::LoggedEpoch;
use isograd_model::metric::{self, Direction};

/// What a loss or metric is called, and how its values are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Quantity {
    /// As in the log: `loss`, `acc`; those of the validation begin with `val_`.
    pub(super) name: String,
    is_percent: bool,
    /// Whether the higher of two values is the better one; `None` for a metric that is not known here.
    direction: Option<Direction>,
}

/// How the quantities of the validation begin.
const VALIDATION: &str = "val_";
/// The loss.
pub(super) const LOSS: &str = "loss";

impl Quantity {
    /// That called `name`.
    pub(super) fn new(name: &str) -> Self {
        let plain = name.strip_prefix(VALIDATION).unwrap_or(name);
        let metric =
            parsers::metric(plain).ok().and_then(|plan| metric::by_name::<f32>(&plan.to_string()).ok());
        let direction = match &metric {
            Some(metric) => Some(metric.direction()),
            None => (plain == LOSS).then_some(Direction::Lower),
        };
        Self {
            name: name.to_string(),
            is_percent: metric.is_some_and(|metric| metric.is_percent()),
            direction,
        }
    }

    /// That of the validation.
    pub(super) fn of_validation(&self) -> Self {
        Self { name: format!("{VALIDATION}{}", self.name), ..self.clone() }
    }

    /// A value as a text.
    pub(super) fn show(&self, value: f64) -> String {
        if self.is_percent { format::percent(value) } else { format::number(value) }
    }

    /// The name and the unit.
    pub(super) fn label(&self) -> String {
        if self.is_percent { format!("{} (%)", self.name) } else { self.name.clone() }
    }

    /// The value after `epoch`.
    pub(super) fn of(&self, epoch: &LoggedEpoch) -> Option<f64> {
        match self.name.strip_prefix(VALIDATION) {
            Some(LOSS) => epoch.val_loss,
            Some(name) => epoch.val_metrics.get(name).copied(),
            None if self.name == LOSS => Some(epoch.loss),
            None => epoch.metrics.get(&self.name).copied(),
        }
    }

    /// The best value of a run and its epoch, where one can be better than another.
    pub(super) fn best(&self, run: &Run) -> Option<(f64, u64)> {
        let direction = self.direction?;
        let values = run.log.epochs.iter().filter_map(|epoch| Some((self.of(epoch)?, epoch.epoch)));
        values
            .filter(|(value, _)| value.is_finite())
            .reduce(|best, other| if direction.is_better(other.0, best.0, 0.0) { other } else { best })
    }

    /// The place of the best of some values, if there are several different ones.
    fn best_of(&self, values: &[Option<f64>]) -> Option<usize> {
        best_place(values, self.direction?)
    }
}

fn best_place(values: &[Option<f64>], direction: Direction) -> Option<usize> {
    let known = || values.iter().enumerate().filter_map(|(place, value)| Some((place, (*value)?)));
    let best = known()
        .filter(|(_, value)| value.is_finite())
        .reduce(|best, other| if direction.is_better(other.1, best.1, 0.0) { other } else { best })?;
    (known().count() > 1 && known().any(|(_, value)| value != best.1)).then_some(best.0)
}

/// All losses and metrics of the epochs of `runs` without those of the validation: the loss first.
pub(super) fn quantities<'r>(runs: impl IntoIterator<Item = &'r Run>) -> Vec<Quantity> {
    let mut names = vec![LOSS.to_string()];
    for run in runs {
        for name in
            run.log.epochs.iter().flat_map(|epoch| epoch.metrics.keys().chain(epoch.val_metrics.keys()))
        {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    names.iter().map(|name| Quantity::new(name)).collect()
}

/// The samples a second of a run: of the whole, if it has ended, or else the mean over its epochs. Where a
/// run went on, its end tells of the last part alone.
pub(super) fn samples_per_s(run: &Run) -> Option<f64> {
    let of_end = run.log.end.as_ref().and_then(|end| end.samples_per_s);
    if of_end.is_some() && run.log.starts.len() < 2 {
        return of_end;
    }
    let epochs = run.log.epochs.iter().filter_map(|epoch| Some((epoch.samples_per_s?, epoch.seconds?)));
    let (samples, seconds) =
        epochs.fold((0.0, 0.0), |(samples, seconds), (rate, time)| (samples + rate * time, seconds + time));
    if seconds > 0.0 { Some(samples / seconds) } else { of_end }
}

/// A row of the table of figures: a name, and a text for each run that has the figure.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) texts: Vec<Option<String>>,
    /// The run whose value is the best one.
    pub(super) best: Option<usize>,
}

/// All figures that at least one of `runs` has.
pub(super) fn figures(runs: &[Run]) -> Vec<Figure> {
    let mut rows = Rows { runs, rows: Vec::new() };
    rows.text("state", |run| Some(run.state_words().to_string()));
    rows.text("model", |run| run.log.start()?.model.clone());
    rows.text("parameters", |run| Some(format::count(run.log.start()?.parameters?)));
    rows.text("data", |run| run.log.start()?.dataset.clone());
    rows.text("epochs", |run| {
        let done = run.log.epochs.last().map_or(0, |epoch| epoch.epoch);
        let of = run.log.start().and_then(|start| start.epochs).filter(|of| *of != done);
        (done > 0 || of.is_some()).then(|| of.map_or(format!("{done}"), |of| format!("{done} of {of}")))
    });
    let quantities = quantities(runs);
    for quantity in quantities.iter().flat_map(|quantity| [quantity.clone(), quantity.of_validation()]) {
        rows.values(&quantity.name, &quantity, |run| quantity.of(run.log.epochs.last()?));
        let best = runs.iter().map(|run| quantity.best(run)).collect::<Vec<_>>();
        if quantity.name.starts_with(VALIDATION) {
            let values: Vec<_> = best.iter().map(|best| best.map(|(value, _)| value)).collect();
            let text = |best: &Option<(f64, u64)>| {
                best.map(|(value, epoch)| format!("{} in epoch {epoch}", quantity.show(value)))
            };
            rows.add(
                format!("best {}", quantity.name),
                best.iter().map(text).collect(),
                quantity.best_of(&values),
            );
        }
    }
    let loss = Quantity::new(LOSS);
    rows.values("test loss", &loss, |run| Some(run.log.tests.last()?.loss));
    let mut tested: Vec<&String> =
        runs.iter().filter_map(|run| run.log.tests.last()).flat_map(|test| test.metrics.keys()).collect();
    tested.sort();
    tested.dedup();
    for name in tested {
        let value = |run: &Run| run.log.tests.last()?.metrics.get(name).copied();
        rows.values(&format!("test {name}"), &Quantity::new(name), value);
    }
    let evaluated = |run: &Run| Some(run.evaluation.as_ref()?.as_ref().ok()?.confusion().accuracy());
    rows.values("accuracy of the checkpoint", &Quantity::new("acc"), evaluated);
    let rates: Vec<_> = runs.iter().map(samples_per_s).collect();
    let texts = rates.iter().map(|rate| rate.map(format::number)).collect();
    rows.add("samples/s".to_string(), texts, best_place(&rates, Direction::Higher));
    let times: Vec<_> = runs.iter().map(|run| run.log.seconds()).collect();
    let texts = times.iter().map(|time| time.map(format::duration)).collect();
    rows.add("time".to_string(), texts, None);
    rows.text("peak memory", |run| Some(format::bytes(run.log.end.as_ref()?.peak_memory_bytes?)));
    rows.text("hash", |run| run.log.end.as_ref()?.hash.clone());
    rows.rows
}

struct Rows<'r> {
    runs: &'r [Run],
    rows: Vec<Figure>,
}

impl Rows<'_> {
    fn add(&mut self, name: String, texts: Vec<Option<String>>, best: Option<usize>) {
        if texts.iter().any(Option::is_some) {
            self.rows.push(Figure { name, texts, best });
        }
    }

    fn text(&mut self, name: &str, text: impl Fn(&Run) -> Option<String>) {
        let texts = self.runs.iter().map(text).collect();
        self.add(name.to_string(), texts, None);
    }

    fn values(&mut self, name: &str, quantity: &Quantity, value: impl Fn(&Run) -> Option<f64>) {
        let values: Vec<_> = self.runs.iter().map(value).collect();
        let texts = values.iter().map(|value| value.map(|value| quantity.show(value))).collect();
        self.add(name.to_string(), texts, quantity.best_of(&values));
    }
}

/// The settings of runs: a name, and a text for each run that has the setting.
pub(super) fn settings(runs: &[Run]) -> Vec<Figure> {
    let all: Vec<_> = runs
        .iter()
        .map(|run| run.log.start().map(|start| start.settings.clone()).unwrap_or_default())
        .collect();
    let mut names: Vec<&String> = all.iter().flat_map(|settings| settings.keys()).collect();
    names.sort();
    names.dedup();
    let row = |name: &&String| Figure {
        name: (*name).clone(),
        texts: all.iter().map(|settings| settings.get(*name).cloned()).collect(),
        best: None,
    };
    names.iter().map(row).collect()
}

/// Where runs were run: machines, ranks, versions.
pub(super) fn machines(runs: &[Run]) -> Vec<Figure> {
    let mut rows = Rows { runs, rows: Vec::new() };
    rows.text("version", |run| run.log.start()?.version.clone().map(|version| format!("isograd {version}")));
    rows.text("started", |run| format::date(run.log.starts.first()?.time?));
    rows.text("last entry", |run| format::date(run.log.last_time?));
    rows.text("continuations", |run| {
        Some(run.log.starts.len().checked_sub(1).filter(|more| *more > 0)?.to_string())
    });
    rows.text("CPU", |run| run.log.start()?.cpu.clone());
    rows.text("instruction set", |run| run.log.start()?.isa.clone());
    rows.text("cores", |run| Some(run.log.start()?.cores?.to_string()));
    rows.text("threads of a rank", |run| Some(run.log.start()?.threads?.to_string()));
    rows.text("ranks", |run| Some(run.log.start()?.ranks?.to_string()));
    rows.text("hosts", |run| Some(run.log.start()?.hosts.join(", ")).filter(|hosts| !hosts.is_empty()));
    rows.text("sample shape", |run| {
        let shape = &run.log.start()?.shape;
        let text: Vec<_> = shape.iter().map(u64::to_string).collect();
        (!shape.is_empty()).then(|| text.join(" × "))
    });
    rows.text("classes", |run| Some(run.log.start()?.classes?.to_string()));
    rows.text("training samples", |run| Some(format::count(run.log.start()?.train_samples?)));
    rows.text("validation samples", |run| Some(format::count(run.log.start()?.validation_samples?)));
    rows.text("test samples", |run| Some(format::count(run.log.start()?.test_samples?)));
    rows.text("samples in a batch", |run| Some(format::count(run.log.start()?.batch?)));
    rows.text("steps in an epoch", |run| Some(format::count(run.log.start()?.steps_per_epoch?)));
    rows.rows
}

impl Figure {
    /// Whether the runs differ in it.
    pub(super) fn differs(&self) -> bool {
        self.texts.iter().any(|text| text != &self.texts[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_value_is_known_where_there_is_a_direction() {
        let [loss, accuracy, own] = ["val_loss", "acc", "val_mine"].map(Quantity::new);
        let values = [Some(3.0), None, Some(1.0), Some(f64::NAN), Some(2.0)];
        assert_eq!(
            [&loss, &accuracy, &own].map(|quantity| quantity.best_of(&values)),
            [Some(2), Some(0), None]
        );
        assert_eq!(loss.best_of(&[Some(1.0), None, Some(1.0)]), None, "equal values");
        assert_eq!(loss.best_of(&[None, Some(1.0)]), None, "a single value");
        assert_eq!(
            (accuracy.show(50.0), loss.show(0.5), accuracy.label()),
            ("50.00 %".into(), "0.5".into(), "acc (%)".into())
        );
    }
}
