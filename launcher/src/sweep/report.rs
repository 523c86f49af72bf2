//! The end of a sweep: the table, sweep.csv, and the best trial as a configuration.

use super::command::TrialCommand;
use super::schedule::{End, Schedule};
use super::space::{Space, plain};
use super::state::State;
use crate::failure::Failure;
use crate::output::Output;
use crate::system::csv;
use crate::system::escape::one_line;
use crate::system::table::aligned;
use crate::system::whole_file;

/// Prints and writes what came of the trials.
pub(super) fn write(
    command: &TrialCommand,
    space: &Space,
    schedule: &Schedule<'_>,
    state: &State,
    out: &mut Output,
) -> Result<(), Failure> {
    let metric = &command.section.metric;
    let keys: Vec<&str> = space.0.iter().map(|parameter| parameter.key.as_str()).collect();
    let ends = ["trial", "state", "epochs", metric, "seconds"];
    let header: Vec<String> = ends.into_iter().chain(keys.iter().copied()).map(str::to_string).collect();
    let mut table = vec![header.clone()];
    let mut text = csv::row(header.iter().map(String::as_str).chain(["reason"]));
    let ranking = schedule.ranking();
    let mut reasons = Vec::new();
    for trial in &ranking {
        let results = state.of_trial(*trial);
        let last = results.last();
        let (state, reason) =
            describe(schedule, *trial, last.and_then(|last| last.problem.as_deref()), command);
        let value = last.and_then(|last| last.value);
        let seconds: f64 = results.iter().map(|result| result.seconds).sum();
        let epochs = results.iter().map(|result| result.epochs).max().unwrap_or(0);
        let values = space.values(schedule.place(*trial));
        let row = |value: String, seconds: String| {
            let ends = [trial.to_string(), state.to_string(), epochs.to_string(), value, seconds];
            ends.into_iter().chain(values.iter().map(|value| one_line(plain(value)))).collect::<Vec<_>>()
        };
        table.push(row(
            value.map_or_else(|| "-".to_string(), |value| format!("{value:.5}")),
            format!("{seconds:.1}"),
        ));
        let exact = row(value.map_or_else(String::new, |value| value.to_string()), seconds.to_string());
        text += &csv::row(exact.iter().map(String::as_str).chain([reason.as_str()]));
        if !reason.is_empty() {
            reasons.push(format!("trial {trial} {state}: {}", one_line(&reason)));
        }
    }
    out.line("")?;
    out.text(&aligned(&table, 2))?;
    reasons.iter().try_for_each(|reason| out.line(reason))?;
    let put = |name: &str, text: &str| {
        let path = command.folder.join(name);
        whole_file::write(&path, text).map_err(|source| Failure::Write { option: "--out", path, source })
    };
    put("sweep.csv", &text)?;
    let best = ranking.first().filter(|trial| schedule.end(**trial) != End::Failed);
    let Some(best) = best else {
        return Err(Failure::Usage {
            problem: "all trials have failed".to_string(),
            hint: Some("--retry-failed runs them again".to_string()),
        });
    };
    let place = schedule.place(*best);
    let (name, text) = command.best(&space.values(place))?;
    put(name, &text)?;
    let folder = one_line(&command.folder.display().to_string());
    out.line(&format!("best: trial {best} ({})", one_line(&space.describe(place))))?;
    out.line(&format!("written: {folder}/sweep.csv, {folder}/{name}"))
}

/// The state of a trial in a word, and the reason.
fn describe(
    schedule: &Schedule<'_>,
    trial: usize,
    problem: Option<&str>,
    command: &TrialCommand,
) -> (&'static str, String) {
    match schedule.end(trial) {
        End::Finished => ("finished", String::new()),
        End::Failed => ("failed", problem.unwrap_or_default().to_string()),
        End::Pruned { epochs, reached, promoted, cut } => {
            let metric = &command.section.metric;
            let sign = if command.section.is_max { -1.0 } else { 1.0 };
            let plural = if epochs == 1 { "" } else { "s" };
            let of = format!("after {epochs} epoch{plural}, {promoted} of {reached} trials went on");
            let reason = match promoted {
                0 => of,
                _ => format!("{of}, with a {metric} up to the cut of {:.5}", sign * cut),
            };
            ("pruned", reason)
        }
    }
}
