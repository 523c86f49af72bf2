//! Lines about results. Their formats are fixed, since scripts read them.

use crate::cli::metric_plan::{ACCURACY, MetricPlan};
use crate::system::count::count;
use isograd_model::{EpochReport, Evaluation, Metric, RatePoint};
use std::sync::Arc;
use std::time::Duration;

/// `loss 0.2134567, acc 93.81%`, each name behind `prefix`.
pub(crate) fn scores(prefix: &str, loss: f64, metrics: &[MetricPlan], values: &[f64]) -> String {
    let mut text = format!("{prefix}loss {loss:.7}");
    for (metric, value) in metrics.iter().zip(values) {
        text += &format!(", {prefix}{} {}", metric.label(), metric.show(*value));
    }
    text
}

/// `epoch 1/10: 187000.0 samples/s, loss 0.2134567, acc 93.81%, val_loss 0.1034567, val_acc 97.12%`.
pub(crate) fn epoch_line(
    epochs: u32,
    report: &EpochReport,
    validation: Option<&Evaluation>,
    metrics: &[MetricPlan],
) -> String {
    let rate = report.samples_per_s();
    let train = scores("", report.train.loss, metrics, &report.train.metrics);
    let mut line = format!("epoch {}/{epochs}: {rate:.1} samples/s, {train}", report.epoch);
    if let Some(validation) = validation {
        line += ", ";
        line += &scores("val_", validation.loss, metrics, &validation.metrics);
    }
    line
}

/// `test_acc: 98.71%, test_loss: 0.0412345`; of numbers, which have no accuracy, all that was measured:
/// `test_loss: 0.0412345, test_mse: 0.0412345`.
pub(crate) fn test_line<T>(metrics: &[Arc<dyn Metric<T>>], evaluation: &Evaluation) -> String {
    let accuracy = metrics.iter().position(|metric| metric.name() == ACCURACY);
    let loss = format!("test_loss: {:.7}", evaluation.loss);
    if let Some(accuracy) = accuracy {
        return format!("test_acc: {:.2}%, {loss}", evaluation.metrics[accuracy]);
    }
    let values = metrics.iter().zip(&evaluation.metrics);
    values.fold(loss, |line, (metric, value)| line + &format!(", test_{}: {value:.7}", metric.label()))
}

/// `Time: 2.61 s` and `Throughput: 183000.0 samples/s`: the time of the training steps alone, and the samples
/// that they trained on.
pub(crate) fn time_lines(elapsed: Duration, samples: usize) -> String {
    let seconds = elapsed.as_secs_f64();
    let rate = samples as f64 / seconds.max(f64::MIN_POSITIVE);
    format!("Time: {seconds:.2} s\nThroughput: {rate:.1} samples/s")
}

/// `Throughput from the last half of each epoch: 185000.0 samples/s`: the first half has caches and branch
/// predictors warm up. `None` where epochs are of one step.
pub(crate) fn last_half_line(elapsed: Duration, samples: usize) -> Option<String> {
    let rate = samples as f64 / elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
    (samples > 0).then(|| format!("Throughput from the last half of each epoch: {rate:.1} samples/s"))
}

/// `Memory: peak 31.2 MB, mean over 2 ranks 30.9 MB`: of the peaks of all ranks, in units of 1,000,000 bytes.
/// `None` where a system does not tell.
pub(crate) fn memory_line(peaks: &[f64]) -> Option<String> {
    let megabytes = |bytes: f64| bytes / 1e6;
    let peak = megabytes(peaks.iter().copied().fold(0.0, f64::max));
    let mean = megabytes(peaks.iter().sum::<f64>() / peaks.len() as f64);
    let ranks = count(peaks.len(), "rank");
    let is_known = peaks.iter().all(|bytes| *bytes > 0.0);
    is_known.then(|| format!("Memory: peak {peak:.1} MB, mean over {ranks} {mean:.1} MB"))
}

/// The curve of a learning-rate range test as CSV, and the rate that it suggests.
pub(crate) fn rate_lines(curve: &[RatePoint], suggested: Option<f64>) -> String {
    let mut text = "step,learning_rate,loss,smoothed_loss\n".to_string();
    for RatePoint { step, learning_rate, loss, smoothed_loss, .. } in curve {
        text += &format!("{step},{learning_rate:e},{loss},{smoothed_loss}\n");
    }
    text + &match suggested {
        Some(rate) => {
            format!("suggested learning rate: {rate:.1e} (where the smoothed loss falls fastest)\n")
        }
        None => "suggested learning rate: none (the loss falls nowhere)\n".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isograd_model::metric;

    const METRICS: [&str; 2] = ["regression_mse", ACCURACY];

    fn evaluation(loss: f64, metrics: [f64; 2]) -> Evaluation {
        Evaluation::new(50, loss, metrics.to_vec())
    }

    #[test]
    fn an_epoch_is_one_line() {
        let metrics = METRICS.map(|name| MetricPlan::new(name).unwrap());
        let elapsed = Duration::from_millis(500);
        let report = EpochReport::new(3, 5, evaluation(0.25, [0.125, 93.811]), elapsed);
        assert_eq!(
            epoch_line(10, &report, Some(&evaluation(0.5, [0.0625, 100.0])), &metrics),
            "epoch 3/10: 100.0 samples/s, loss 0.2500000, mse 0.1250000, acc 93.81%, \
             val_loss 0.5000000, val_mse 0.0625000, val_acc 100.00%"
        );
        // Metrics that the user did not ask for are behind the others.
        assert_eq!(
            epoch_line(3, &report, None, &metrics[..1]),
            "epoch 3/3: 100.0 samples/s, loss 0.2500000, mse 0.1250000"
        );
    }

    #[test]
    fn the_test_line_has_the_accuracy_and_the_loss() {
        assert_eq!(
            test_line(
                &METRICS.map(|name| metric::by_name::<f32>(name).unwrap()),
                &evaluation(0.04123449, [9.0, 98.706])
            ),
            "test_acc: 98.71%, test_loss: 0.0412345"
        );
        let of_numbers = ["regression_mse", "regression_mae"];
        assert_eq!(
            test_line(
                &of_numbers.map(|name| metric::by_name::<f32>(name).unwrap()),
                &evaluation(0.5, [0.5, 0.25])
            ),
            "test_loss: 0.5000000, test_mse: 0.5000000, test_mae: 0.2500000"
        );
    }

    #[test]
    fn memory_is_that_of_all_ranks() {
        assert_eq!(memory_line(&[31.24e6]).unwrap(), "Memory: peak 31.2 MB, mean over 1 rank 31.2 MB");
        assert_eq!(memory_line(&[1e6, 4e6]).unwrap(), "Memory: peak 4.0 MB, mean over 2 ranks 2.5 MB");
        assert_eq!(memory_line(&[1e6, 0.0]), None);
    }

    #[test]
    fn throughput_is_samples_over_time() {
        assert_eq!(last_half_line(Duration::ZERO, 0), None);
        let line = last_half_line(Duration::from_millis(500), 100);
        assert_eq!(line.unwrap(), "Throughput from the last half of each epoch: 200.0 samples/s");
        assert_eq!(
            time_lines(Duration::from_millis(2605), 5210),
            "Time: 2.60 s\nThroughput: 2000.0 samples/s"
        );
        assert_eq!(time_lines(Duration::ZERO, 0), "Time: 0.00 s\nThroughput: 0.0 samples/s");
    }
}
