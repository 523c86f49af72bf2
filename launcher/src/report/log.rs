//! The log of a run, `log.jsonl`: one JSON object a line, of which each is an event.
//!
//! A log may be that of a run that goes on or was killed, so nothing of it must be there: a line that is no
//! event is counted and skipped, unknown events and keys are ignored.

use crate::system::escape::excerpt;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};

/// Longer lines than any event has.
const MOST_LINE_BYTES: u64 = 4 << 20;

/// A number in JSON, which writes NaN and infinities as texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(try_from = "Value")]
pub(super) struct Number(pub(super) f64);

impl TryFrom<Value> for Number {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let number = match &value {
            Value::Number(number) => number.as_f64(),
            Value::Null => Some(f64::NAN),
            Value::String(text) => match text.as_str() {
                "NaN" => Some(f64::NAN),
                "inf" => Some(f64::INFINITY),
                "-inf" => Some(f64::NEG_INFINITY),
                _ => None,
            },
            _ => None,
        };
        number.map(Self).ok_or_else(|| format!("{value} is no number"))
    }
}

/// The start of a run, or of its continuation.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Start {
    pub(super) time: Option<f64>,
    pub(super) version: Option<String>,
    pub(super) isa: Option<String>,
    pub(super) cpu: Option<String>,
    pub(super) cores: Option<u64>,
    pub(super) threads: Option<u64>,
    pub(super) ranks: Option<u64>,
    pub(super) hosts: Vec<String>,
    pub(super) model: Option<String>,
    pub(super) parameters: Option<u64>,
    pub(super) dataset: Option<String>,
    pub(super) shape: Vec<u64>,
    pub(super) classes: Option<u64>,
    pub(super) train_samples: Option<u64>,
    pub(super) validation_samples: Option<u64>,
    pub(super) test_samples: Option<u64>,
    pub(super) epochs: Option<u64>,
    pub(super) steps_per_epoch: Option<u64>,
    pub(super) batch: Option<u64>,
    /// Options and their values.
    settings: BTreeMap<String, Value>,
    /// The steps before it.
    step: u64,
}

impl Start {
    /// The options and their values as texts.
    pub(super) fn settings(&self) -> BTreeMap<String, String> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
        self.settings.iter().map(|(name, value)| (name.clone(), text(value))).collect()
    }
}

/// Some steps, of which the last is `step`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Step {
    pub(super) step: u64,
    pub(super) loss: Number,
    pub(super) learning_rate: Option<Number>,
    pub(super) samples_per_s: Option<Number>,
}

/// The end of an epoch.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Epoch {
    pub(super) epoch: u64,
    pub(super) step: u64,
    pub(super) loss: Number,
    #[serde(default)]
    pub(super) metrics: BTreeMap<String, Number>,
    pub(super) val_loss: Option<Number>,
    #[serde(default)]
    pub(super) val_metrics: BTreeMap<String, Number>,
    pub(super) learning_rate: Option<Number>,
    pub(super) samples_per_s: Option<Number>,
    pub(super) seconds: Option<Number>,
}

/// A test of the network.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Test {
    #[serde(default)]
    step: u64,
    pub(super) loss: Number,
    #[serde(default)]
    pub(super) metrics: BTreeMap<String, Number>,
}

/// The end of a run.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct End {
    pub(super) reason: String,
    pub(super) seconds: Option<Number>,
    pub(super) samples_per_s: Option<Number>,
    pub(super) peak_memory_bytes: Option<u64>,
    pub(super) hash: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event {
    Start(Box<Start>),
    Step(Step),
    Epoch(Epoch),
    Test(Test),
    End(End),
    #[serde(other)]
    Unknown,
}

/// All that a log tells.
#[derive(Debug, Clone, Default)]
pub(super) struct RunLog {
    /// The first one is that of the run, others are those of its continuations.
    pub(super) starts: Vec<Start>,
    pub(super) steps: Vec<Step>,
    pub(super) epochs: Vec<Epoch>,
    pub(super) tests: Vec<Test>,
    pub(super) end: Option<End>,
    /// When the last event was written, in seconds since 1970.
    pub(super) last_time: Option<f64>,
    /// Lines that are no events.
    pub(super) damaged_lines: usize,
    /// The first of them: its number and its beginning.
    pub(super) first_damaged: Option<(usize, String)>,
    /// The last line has no end, as a run that was killed may leave it.
    pub(super) is_torn: bool,
}

impl RunLog {
    /// Reads a log to its end.
    ///
    /// # Errors
    ///
    /// Those of `lines` alone: damage is counted.
    pub(super) fn read(mut lines: impl BufRead) -> io::Result<Self> {
        let mut log = Self::default();
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            if lines.by_ref().take(MOST_LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let is_whole = line.ends_with(b"\n");
            if !is_whole && line.len() as u64 == MOST_LINE_BYTES {
                log.damage(number, &line);
                skip_line(&mut lines)?;
                continue;
            }
            match serde_json::from_slice::<Event>(&line) {
                Ok(event) => {
                    log.last_time = time(&line).or(log.last_time);
                    log.add(event);
                }
                Err(_) if line.iter().all(u8::is_ascii_whitespace) => {}
                Err(_) if !is_whole => log.is_torn = true,
                Err(_) => log.damage(number, &line),
            }
        }
        Ok(log)
    }

    /// The start of the run, or its last continuation: what it is now.
    pub(super) fn start(&self) -> Option<&Start> {
        self.starts.last()
    }

    fn add(&mut self, event: Event) {
        match event {
            Event::Start(start) => {
                // What a run had logged behind the checkpoint that it goes on from is done again.
                self.steps.retain(|event| event.step <= start.step);
                self.epochs.retain(|event| event.step <= start.step);
                self.tests.retain(|event| event.step <= start.step);
                self.end = None;
                self.starts.push(*start);
            }
            Event::Step(step) => self.steps.push(step),
            Event::Epoch(epoch) => self.epochs.push(epoch),
            Event::Test(test) => self.tests.push(test),
            Event::End(end) => self.end = Some(end),
            Event::Unknown => {}
        }
    }

    fn damage(&mut self, number: usize, line: &[u8]) {
        self.damaged_lines += 1;
        self.first_damaged.get_or_insert_with(|| (number, excerpt(String::from_utf8_lossy(line).trim_end())));
    }
}

/// When the event in `line` was written.
fn time(line: &[u8]) -> Option<f64> {
    #[derive(Deserialize)]
    struct Time {
        time: Option<f64>,
    }
    serde_json::from_slice::<Time>(line).ok()?.time
}

/// Reads to the end of a line without keeping it.
fn skip_line(lines: &mut impl BufRead) -> io::Result<()> {
    loop {
        let bytes = lines.fill_buf()?;
        let (len, end) = (bytes.len(), bytes.iter().position(|byte| *byte == b'\n'));
        lines.consume(end.map_or(len, |end| end + 1));
        if end.is_some() || len == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> RunLog {
        RunLog::read(text.as_bytes()).unwrap()
    }

    const EPOCH: &str = r#"{"event":"epoch","time":5.5,"epoch":1,"step":8,"loss":"NaN","metrics":{"acc":50},"val_loss":"inf","more":[]}"#;

    #[test]
    fn numbers_may_be_texts_and_keys_unknown() {
        let log = read(&format!("{EPOCH}\n{{\"event\":\"later\",\"time\":\"x\"}}\n\n"));
        let epoch = &log.epochs[0];
        assert!(epoch.loss.0.is_nan() && epoch.val_loss == Some(Number(f64::INFINITY)));
        assert_eq!((epoch.metrics["acc"], epoch.val_metrics.len()), (Number(50.0), 0));
        assert_eq!((log.last_time, log.damaged_lines, log.is_torn), (Some(5.5), 0, false));
    }

    #[test]
    fn damaged_lines_are_counted_and_skipped() {
        let long = "x".repeat(MOST_LINE_BYTES as usize + 10);
        let log =
            read(&format!("{{\"event\":\"step\"}}\n{EPOCH}\n\x1b[2J\n{long}\n{EPOCH}\n{{\"event\":\"ep"));
        assert_eq!((log.epochs.len(), log.damaged_lines, log.is_torn), (2, 3, true));
        assert_eq!(log.first_damaged, Some((1, "{\"event\":\"step\"}".to_string())));
    }

    #[test]
    fn a_run_that_goes_on_does_again_what_was_behind_its_checkpoint() {
        let start =
            |step| format!("{{\"event\":\"start\",\"step\":{step},\"settings\":{{\"a\":\"x\",\"b\":2}}}}\n");
        let step = |step| format!("{{\"event\":\"step\",\"step\":{step},\"loss\":1}}\n");
        let end = "{\"event\":\"end\",\"reason\":\"stopped\"}\n";
        let log = read(&[start(0), step(1), step(2), step(3), end.into(), start(2), step(3)].concat());
        assert_eq!(log.steps.iter().map(|step| step.step).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!((log.starts.len(), log.end.is_none()), (2, true));
        let settings = log.starts[0].settings();
        assert_eq!((settings["a"].as_str(), settings["b"].as_str()), ("x", "2"));
    }
}
