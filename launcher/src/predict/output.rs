//! Predictions as a table, as CSV and as JSON lines.

use super::inputs::Group;
use crate::cli::use_plan::{PredictFormat, PredictPlan};
use crate::failure::Failure;
use crate::output::Output;
use crate::system::csv;
use isograd_model::Predictor;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

/// Bytes that are written together.
const BUFFER_BYTES: usize = 1 << 16;

/// Writes predictions, to a file or to standard output.
pub(super) struct Writer<'a> {
    predictor: &'a Predictor,
    top: usize,
    format: PredictFormat,
    text: String,
    to: To<'a>,
}

enum To<'a> {
    Stdout(&'a mut Output),
    File(BufWriter<File>, PathBuf),
}

impl<'a> Writer<'a> {
    /// Opens the file, if there is to be one, and writes the line of titles of CSV.
    pub(super) fn start(
        plan: &PredictPlan,
        predictor: &'a Predictor,
        out: &'a mut Output,
    ) -> Result<Self, Failure> {
        let to = match &plan.out {
            None => To::Stdout(out),
            Some(path) => {
                let failure = |source| Failure::Write { option: "--out", path: path.clone(), source };
                To::File(BufWriter::new(File::create(path).map_err(failure)?), path.clone())
            }
        };
        let mut writer = Self { predictor, top: plan.top, format: plan.format, text: String::new(), to };
        if plan.format == PredictFormat::Csv {
            let titles = match writer.gives_values() {
                true => &["input", "index", "output", "value"][..],
                false => &["input", "index", "rank", "class", "name", "score"],
            };
            writer.row(titles.iter().copied());
        }
        Ok(writer)
    }

    fn gives_values(&self) -> bool {
        self.predictor.input().is_regression
    }

    /// Writes the prediction of sample `index` of `group`.
    pub(super) fn sample(&mut self, group: &Group, index: usize, scores: &[f32]) -> Result<(), Failure> {
        let (input, index) = group.name(index);
        match (self.format, self.gives_values()) {
            (PredictFormat::Table, true) => {
                let values: Vec<String> = scores.iter().map(f32::to_string).collect();
                self.line(&format!("{}: {}", place(&input, index), values.join(", ")));
            }
            (PredictFormat::Table, false) => {
                let classes: Vec<String> = self.top(scores).map(|top| top.describe()).collect();
                self.line(&format!("{}: {}", place(&input, index), classes.join(", ")));
            }
            (PredictFormat::JsonLines, true) => {
                let values: Vec<Value> = scores.iter().map(|value| number(*value)).collect();
                self.line(&json!({"input": input, "index": index, "values": values}).to_string());
            }
            (PredictFormat::JsonLines, false) => {
                let top: Vec<Value> = self.top(scores).map(|top| top.json()).collect();
                self.line(&json!({"input": input, "index": index, "top": top}).to_string());
            }
            (PredictFormat::Csv, true) => {
                let index = index.map_or_else(String::new, |index| index.to_string());
                for (output, value) in scores.iter().enumerate() {
                    self.row([&input, &index, &output.to_string(), &value.to_string()]);
                }
            }
            (PredictFormat::Csv, false) => {
                let index = index.map_or_else(String::new, |index| index.to_string());
                let tops: Vec<Top> = self.top(scores).collect();
                for (rank, Top { class, name, score, .. }) in tops.into_iter().enumerate() {
                    let [rank, class] = [rank + 1, class].map(|number| number.to_string());
                    self.row([&input, &index, &rank, &class, &name, &score.to_string()]);
                }
            }
        }
        if self.text.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    /// The likeliest classes.
    fn top(&self, scores: &[f32]) -> impl Iterator<Item = Top> + use<'a> {
        let (predictor, is_probability) = (self.predictor, self.predictor.gives_probabilities());
        predictor.top(scores, self.top).into_iter().map(move |(class, score)| Top {
            class,
            name: predictor.class_name(class),
            score,
            is_probability,
        })
    }

    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn row<F: AsRef<str>>(&mut self, fields: impl IntoIterator<Item = F>) {
        self.text.push_str(&csv::row(fields));
    }

    fn flush(&mut self) -> Result<(), Failure> {
        match &mut self.to {
            To::Stdout(out) => out.text(&self.text)?,
            To::File(file, path) => {
                let failure = |source| Failure::Write { option: "--out", path: path.clone(), source };
                file.write_all(self.text.as_bytes()).map_err(failure)?;
            }
        }
        self.text.clear();
        Ok(())
    }

    /// Writes what is left.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        self.flush()?;
        if let To::File(file, path) = &mut self.to {
            let failure = |source| Failure::Write { option: "--out", path: path.clone(), source };
            file.flush().map_err(failure)?;
        }
        Ok(())
    }
}

/// One of the likeliest classes of a sample.
struct Top {
    class: usize,
    name: String,
    score: f32,
    is_probability: bool,
}

impl Top {
    fn describe(&self) -> String {
        let Self { name, score, .. } = self;
        match self.is_probability {
            true => format!("{name} {:.2} %", 100.0 * score),
            false => format!("{name} ({score})"),
        }
    }

    fn json(&self) -> Value {
        json!({"class": self.class, "name": self.name, "score": number(self.score)})
    }
}

/// With the digits that tell a 32-bit float, as in CSV: the digits of the 64-bit one of the same value would
/// promise more. JSON has no infinities and no NaN: they are texts.
fn number(value: f32) -> Value {
    let digits = value.to_string();
    match digits.parse::<f64>() {
        Ok(short) if short.is_finite() => json!(short),
        _ => json!(digits),
    }
}

/// The name of a sample in a table.
fn place(input: &str, index: Option<usize>) -> String {
    let input = crate::system::escape::one_line(input);
    index.map_or_else(|| input.to_string(), |index| format!("{input}[{index}]"))
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_have_the_digits_of_their_type() {
        let written =
            [0.1, 1.0 / 3.0, -2.5e-8, f32::MAX, f32::INFINITY, f32::NAN].map(|x| number(x).to_string());
        assert_eq!(written, ["0.1", "0.33333334", "-2.5e-8", "3.4028235e+38", "\"inf\"", "\"NaN\""]);
    }
}
