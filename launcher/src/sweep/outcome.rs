//! What a trial has left: the metric in its log, and the last error that it printed.

use isograd_model::logger::{LoggedEpoch, LoggedRun};
use std::fs;
use std::path::Path;
use std::process::ExitStatus;

/// The metric of a trial.
#[derive(Debug, PartialEq)]
pub(super) struct Figure {
    pub(super) epochs: u32,
    /// `None` for NaN and infinities.
    pub(super) value: Option<f64>,
}

/// The value of `metric` after the last epoch up to `epochs` in the log in `folder`, or what is wrong.
pub(super) fn figure(folder: &Path, metric: &str, epochs: u32) -> Result<Figure, String> {
    let name = folder.display();
    let run =
        LoggedRun::read(folder).map_err(|error| format!("{name}: {error}; hosts must share this folder"))?;
    let Some(epoch) = run.epochs.iter().rev().find(|epoch| epoch.epoch <= epochs.into()) else {
        return Err(format!("{name}: no epoch has ended"));
    };
    let value = match (metric, metric.strip_prefix("val_")) {
        ("loss", _) => Some(epoch.loss),
        ("val_loss", _) => epoch.val_loss,
        (_, Some(name)) => epoch.val_metrics.get(name).copied(),
        (_, None) => epoch.metrics.get(metric).copied(),
    };
    let Some(value) = value else {
        let names = names(epoch).join(", ");
        return Err(format!("there is no {metric} among the numbers of an epoch: {names}"));
    };
    let epochs = u32::try_from(epoch.epoch).unwrap_or(epochs);
    Ok(Figure { epochs, value: value.is_finite().then_some(value) })
}

/// The numbers of an epoch that trials can be compared by.
fn names(epoch: &LoggedEpoch) -> Vec<String> {
    let mut names = vec!["loss".to_string()];
    names.extend(epoch.metrics.keys().cloned());
    if epoch.val_loss.is_some() {
        names.push("val_loss".to_string());
        names.extend(epoch.val_metrics.keys().map(|name| format!("val_{name}")));
    }
    names
}

/// Why a process has failed: the last error that it printed to the file, behind the first `before` bytes, or
/// how it ended.
pub(super) fn problem(path: &Path, before: usize, status: ExitStatus) -> String {
    let text = fs::read(path).unwrap_or_default();
    // An error of an earlier try is not the reason for the end of this one.
    let text = String::from_utf8_lossy(text.get(before..).unwrap_or_default());
    // Ranks have their numbers in front.
    let error = text.lines().rev().find_map(|line| Some(line.split_once("error: ")?.1.trim().to_string()));
    error.unwrap_or_else(|| format!("it ended with {status}; see {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"{"event":"start","time":1}
{"event":"epoch","epoch":1,"step":5,"loss":2.0,"metrics":{"acc":10.0},"val_loss":"NaN","val_metrics":{"acc":11.0}}
{"event":"epoch","epoch":2,"step":10,"loss":1.0,"metrics":{"acc":20.0},"val_loss":1.5,"val_metrics":{"acc":21.0}}
{"event":"epoch","epo"#;

    #[test]
    fn the_last_epoch_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        fs::write(&path, LOG).unwrap();
        let of = |metric: &str, epochs| {
            figure(folder.path(), metric, epochs).map(|figure| (figure.epochs, figure.value))
        };
        assert_eq!(of("loss", 9), Ok((2, Some(1.0))));
        assert_eq!(of("val_acc", 1), Ok((1, Some(11.0))));
        assert_eq!(of("acc", 2), Ok((2, Some(20.0))));
        assert_eq!(of("val_loss", 1), Ok((1, None)));
        let problem = of("f1", 2).unwrap_err();
        assert_eq!(problem, "there is no f1 among the numbers of an epoch: loss, acc, val_loss, val_acc");
        assert!(of("loss", 0).unwrap_err().ends_with("no epoch has ended"));
        assert!(figure(&folder.path().join("none"), "loss", 1).unwrap_err().contains("share this folder"));
    }

    #[test]
    fn the_last_error_is_the_reason() {
        use std::os::unix::process::ExitStatusExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("output.txt");
        let text = "error: old\nfine\n[1@a] error: rank 1: new\nhint: x\n";
        fs::write(&path, text).unwrap();
        let status = ExitStatus::from_raw(1 << 8);
        assert_eq!(problem(&path, 0, status), "rank 1: new");
        // The errors are of an earlier try, and this one was killed.
        assert!(problem(&path, text.len(), ExitStatus::from_raw(9)).contains("signal: 9"));
        fs::write(&path, "").unwrap();
        assert!(problem(&path, 0, ExitStatus::from_raw(9)).contains("signal: 9"));
    }
}
