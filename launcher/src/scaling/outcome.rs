//! What the first rank of a run printed, in numbers.

use serde::Deserialize;

/// A run that has ended well.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    pub(super) samples: usize,
    pub(super) batch: usize,
    pub(super) shard_size: usize,
    pub(super) threads: usize,
    /// The fewest that work on a shard together.
    pub(super) threads_per_shard: usize,
    /// Samples per second of each epoch.
    pub(super) rates: Vec<f64>,
    /// Bytes of the buckets of gradients; of a single rank, of all gradients.
    pub(super) bucket_bytes: Vec<f64>,
    pub(super) shares: Shares,
}

/// What the steps of training spend their time on, from 0 to 1: all add up to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shares {
    /// Layers, losses, sums over a rank's own shards.
    pub(super) shards: f64,
    /// Each rank prepares and updates all parameters.
    pub(super) parameters: f64,
    /// Training waits for the exchange.
    pub(super) exposed: f64,
    /// The exchange in the passes.
    pub(super) hidden: f64,
    /// Samples are read.
    pub(super) data: f64,
    /// For other threads, and for ranks that take longer.
    pub(super) waiting: f64,
    pub(super) other: f64,
}

impl Shares {
    /// Computation as a whole.
    pub(super) fn compute(&self) -> f64 {
        self.shards + self.parameters
    }

    /// The mean, part by part.
    pub(super) fn mean(all: &[Self]) -> Self {
        let mean = |of: fn(&Self) -> f64| all.iter().map(of).sum::<f64>() / all.len() as f64;
        Self {
            shards: mean(|shares| shares.shards),
            parameters: mean(|shares| shares.parameters),
            exposed: mean(|shares| shares.exposed),
            hidden: mean(|shares| shares.hidden),
            data: mean(|shares| shares.data),
            waiting: mean(|shares| shares.waiting),
            other: mean(|shares| shares.other),
        }
    }
}

/// The parts of a profile that matter here; `rank/profile.rs` prints it.
#[derive(Deserialize)]
struct Profile {
    steps: ProfileSteps,
    bucket_bytes: Vec<usize>,
}

#[derive(Deserialize)]
struct ProfileSteps {
    shard_seconds: f64,
    parameter_seconds: f64,
    exchange_hidden_seconds: f64,
    exchange_exposed_seconds: f64,
    read_seconds: f64,
    wait_seconds: f64,
    other_seconds: f64,
}

impl Profile {
    /// Reads the object among the lines of `text`.
    fn read(text: &str) -> Option<Self> {
        let start = text.find("\n{\n")? + 1;
        let end = start + text[start..].find("\n}\n")? + 2;
        serde_json::from_str(&text[start..end]).ok()
    }

    /// The parts of the steps over their sum.
    fn shares(&self) -> Option<Shares> {
        let ProfileSteps {
            shard_seconds: shards,
            parameter_seconds: parameters,
            exchange_exposed_seconds: exposed,
            exchange_hidden_seconds: hidden,
            read_seconds: data,
            wait_seconds: waiting,
            other_seconds: other,
        } = self.steps;
        let sum = shards + parameters + exposed + hidden + data + waiting + other;
        (sum > 0.0 && sum.is_finite()).then(|| Shares {
            shards: shards / sum,
            parameters: parameters / sum,
            exposed: exposed / sum,
            hidden: hidden / sum,
            data: data / sum,
            waiting: waiting / sum,
            other: other / sum,
        })
    }
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
        let profile = Profile::read(text)?;
        let (batch, shard_size, threads): (usize, usize, usize) = (
            value("global-batch-size:")?.parse().ok()?,
            value("shard-size:")?.parse().ok()?,
            value("threads:")?.parse().ok()?,
        );
        let threads_per_shard = value("threads-per-shard:").map_or(Some(1), |text| text.parse().ok())?;
        Some(Self {
            samples: value("training samples:")?.parse().ok()?,
            batch,
            shard_size,
            threads,
            threads_per_shard,
            rates: text.lines().filter_map(rate).collect::<Vec<f64>>(),
            shares: profile.shares()?,
            bucket_bytes: profile.bucket_bytes.iter().map(|bytes| *bytes as f64).collect(),
        })
        .filter(|outcome| {
            let is_any_zero = [batch, shard_size, threads, threads_per_shard].contains(&0);
            !outcome.rates.is_empty() && !is_any_zero
        })
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

/// What `bench comm` has measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Exchange {
    pub(super) hosts: u32,
    /// The time of an all-reduce in seconds, by its bytes.
    pub(super) times: Vec<(f64, f64)>,
}

impl Exchange {
    /// Reads what it printed; `None` if a part of it is missing.
    pub(super) fn read(text: &str) -> Option<Self> {
        let header = text.lines().find_map(|line| line.strip_prefix("allreduce of f32, "))?;
        let (ranks, how) = header.split_once(" ranks, ")?;
        let hosts = match how.strip_prefix("on ") {
            Some(rest) => rest.split_whitespace().next()?.parse().ok()?,
            None if how.starts_with("over ") => ranks.parse().ok()?,
            None => 1,
        };
        let times = times(text);
        (!times.is_empty()).then_some(Self { hosts, times })
    }
}

fn times(text: &str) -> Vec<(f64, f64)> {
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
        global-batch-size:  64\nshard-size:         32\nthreads:            2 (bound to 2 of 4 cores)\n\n\
        epoch 1/3: 50.0 samples/s, loss 1.0, acc 2.00%\nepoch 2/3: 110.0 samples/s, loss 1.0\n\
        epoch 3/3: 90.5 samples/s, loss 1.0\nTime: 1 s\nlimit: computation\n{\n\
        \"bucket_bytes\": [400, 200],\n\"steps\": {\n\
        \"shard_seconds\": 2.0, \"parameter_seconds\": 0.5, \"exchange_hidden_seconds\": 0.25,\n\
        \"exchange_exposed_seconds\": 0.5, \"read_seconds\": 0.25, \"wait_seconds\": 0.5, \"other_seconds\": 0\n\
        \x20 }\n}\ntest_acc: 9.00%, test_loss: 1.0\n";

    #[test]
    fn a_run_is_read_from_its_lines_and_its_profile() {
        let outcome = Outcome::read(TEXT).unwrap();
        assert_eq!((outcome.samples, outcome.batch, outcome.shard_size, outcome.threads), (6000, 64, 32, 2));
        assert_eq!(outcome.threads_per_shard, 1);
        let two = Outcome::read(&TEXT.replace("threads: ", "threads-per-shard:  2\nthreads: ")).unwrap();
        assert_eq!((two.threads, two.threads_per_shard), (2, 2));
        assert_eq!(outcome.bucket_bytes, [400.0, 200.0]);
        assert_eq!(outcome.samples_per_s(), 100.25);
        let Shares { shards, exposed, other, .. } = outcome.shares;
        assert_eq!([shards, exposed, other, outcome.shares.compute()], [0.5, 0.125, 0.0, 0.625]);
        let zero = Shares { shards: 0.0, waiting: 0.625, ..outcome.shares };
        assert_eq!(Shares::mean(&[outcome.shares, zero]).compute(), 0.375);
        // A run that was killed has no profile, nor has one of another version.
        assert_eq!(Outcome::read(&TEXT[..TEXT.len() - 80]), None);
        // Without test samples there is no test.
        assert!(Outcome::read(&TEXT.replace("test_acc: 9.00%, test_loss: 1.0\n", "")).is_some());
        assert_eq!(Outcome::read(&TEXT.replace("shard_seconds", "seconds")), None);
        assert_eq!(Outcome::read(&TEXT.replace("shard-size:         32", "shard-size:         0")), None);
    }

    #[test]
    fn the_exchange_is_read_from_its_table() {
        for (how, hosts) in [
            ("sharing memory", 1),
            ("over TCP", 4),
            ("on 2 hosts, sharing memory on each and over TCP between", 2),
        ] {
            let text = format!(
                "allreduce of f32, 4 ranks, {how}\n     bytes          time      GB/s  of copy peak\n\
                 \x20        4        1.5 us      0.00           0 %\n      1024        2.0 us      0.51           3 %\n"
            );
            let times = vec![(4.0, 1.5e-6), (1024.0, 2e-6)];
            assert_eq!(Exchange::read(&text), Some(Exchange { hosts, times }), "{how}");
        }
        assert_eq!(Exchange::read("allreduce of f32, 4 ranks, over TCP\n"), None);
    }

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!([median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0])], [2.0, 2.5]);
        assert!(median(&[]).is_nan());
    }
}
