//! What the first rank of a run printed, in numbers.

/// A run that has ended well.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    pub(super) samples: usize,
    pub(super) batch: usize,
    pub(super) parameters: usize,
    pub(super) threads: usize,
    /// Samples per second of each epoch.
    pub(super) rates: Vec<f64>,
}

impl Outcome {
    /// Reads the output of `train`; `None` if a part of it is missing.
    pub(super) fn read(text: &str) -> Option<Self> {
        let value =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
        let rate = |line: &str| {
            let rest = line.strip_prefix("epoch ")?.split_once(": ")?.1;
            rest.split_once(" samples/s")?.0.parse().ok()
        };
        // The last line of every run.
        value("test_acc:")?;
        Some(Self {
            samples: value("training samples:")?.parse().ok()?,
            batch: value("global-batch-size:")?.parse().ok()?,
            parameters: value("parameters:")?.parse().ok()?,
            threads: value("threads:")?.parse().ok()?,
            rates: text.lines().filter_map(rate).collect::<Vec<f64>>(),
        })
        .filter(|outcome| !outcome.rates.is_empty())
    }

    /// The median of the epochs' rates, without the first one, which warms up, where there are more.
    pub(super) fn samples_per_s(&self) -> f64 {
        let rates = if self.rates.len() > 1 { &self.rates[1..] } else { &self.rates };
        median(rates)
    }
}

/// The middle one of `values`, or the mean of the two in the middle; NaN if there are none.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => sorted[len / 2],
        len => (sorted[len / 2 - 1] + sorted[len / 2]) / 2.0,
    }
}

/// The time in seconds of an all-reduce, by its bytes, as `bench comm` has printed it.
pub(super) fn exchange_times(text: &str) -> Vec<(f64, f64)> {
    let row = |line: &str| {
        let mut words = line.split_whitespace();
        let (bytes, time) = (words.next()?.parse().ok()?, words.next()?.parse::<f64>().ok()?);
        (words.next()? == "us").then_some((bytes, time * 1e-6))
    };
    text.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "layer\n\nparameters: 149210\n\nmodel:              simplecnn\ntraining samples:   6000\n\
        global-batch-size:  64\nthreads:            2 (bound to 2 of 4 cores)\n\n\
        epoch 1/3: 50.0 samples/s, loss 1.0, acc 2.00%\nepoch 2/3: 110.0 samples/s, loss 1.0\n\
        epoch 3/3: 90.5 samples/s, loss 1.0\nTime: 1 s\ntest_acc: 9.00%, test_loss: 1.0\n";

    #[test]
    fn a_run_is_read_from_its_lines() {
        let outcome = Outcome::read(TEXT).unwrap();
        assert_eq!(
            (outcome.samples, outcome.batch, outcome.parameters, outcome.threads),
            (6000, 64, 149_210, 2)
        );
        assert_eq!(outcome.samples_per_s(), 100.25);
        // A run that was killed has no test.
        assert_eq!(Outcome::read(&TEXT[..TEXT.len() - 40]), None);
    }

    #[test]
    fn the_exchange_is_read_from_its_table() {
        let text = "allreduce of f32, 2 ranks, sharing memory\n     bytes          time      GB/s  of copy peak\n\
            \x20        4        1.5 us      0.00           0 %\n      1024        2.0 us      0.51           3 %\n";
        assert_eq!(exchange_times(text), [(4.0, 1.5e-6), (1024.0, 2e-6)]);
    }

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!([median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0])], [2.0, 2.5]);
        assert!(median(&[]).is_nan());
    }
}
