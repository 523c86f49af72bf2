//! How well each class is found, and what it is taken for.

use crate::cli::parsers::{HistoryFile, HistoryFormat};
use crate::failure::Failure;
use crate::system::{csv, whole_file};
use isograd_model::ConfusionMatrix;
use serde_json::{Value, json};
use std::fmt::Write;

/// The most classes whose confusion matrix is printed.
const MOST_PRINTED: usize = 30;

/// The counts of a test, with the names of the classes.
pub(crate) struct ClassReport {
    matrix: ConfusionMatrix,
    names: Vec<String>,
}

impl ClassReport {
    /// Of `matrix`; classes without names are called by their numbers.
    pub(crate) fn new(matrix: ConfusionMatrix, names: &[String]) -> Self {
        let name = |class: usize| names.get(class).cloned().unwrap_or_else(|| class.to_string());
        let names = (0..matrix.classes()).map(name).collect();
        Self { matrix, names }
    }

    /// A table of the classes, and the matrix if it is not too large.
    pub(crate) fn text(&self) -> String {
        let matrix = &self.matrix;
        let width = self.names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(5);
        let mut text =
            format!("{:<width$} {:>8} {:>9} {:>7} {:>7}\n", "class", "samples", "precision", "recall", "f1");
        let share =
            |share: Option<f64>| share.map_or_else(|| "-".to_string(), |share| format!("{share:.2}%"));
        for (class, name) in self.names.iter().enumerate() {
            let [precision, recall, f1] =
                [matrix.precision(class), matrix.recall(class), matrix.f1(class)].map(share);
            let samples = matrix.actual(class);
            writeln!(text, "{name:<width$} {samples:>8} {precision:>9} {recall:>7} {f1:>7}")
                .expect("a string takes all");
        }
        if self.names.len() > MOST_PRINTED {
            let classes = self.names.len();
            return text
                + &format!("the confusion matrix of {classes} classes is written by --per-class-file\n");
        }
        let classes = 0..matrix.classes();
        let cell = classes.clone().flat_map(|actual| classes.clone().map(move |taken| (actual, taken)));
        let largest = cell.map(|(actual, taken)| matrix.count(actual, taken)).max().unwrap_or(0);
        let cell_width = largest.to_string().len().max(matrix.classes().to_string().len()) + 1;
        text +=
            "\nconfusion matrix: a row for each class, a column for each class that samples were taken for\n";
        write!(text, "{:<width$}", "").expect("a string takes all");
        for taken in classes.clone() {
            write!(text, "{taken:>cell_width$}").expect("a string takes all");
        }
        text.push('\n');
        for (actual, name) in self.names.iter().enumerate() {
            write!(text, "{name:<width$}").expect("a string takes all");
            for taken in classes.clone() {
                let count = matrix.count(actual, taken);
                write!(text, "{count:>cell_width$}").expect("a string takes all");
            }
            text.push('\n');
        }
        text
    }

    /// Writes all of it to a file.
    pub(crate) fn write(&self, file: &HistoryFile) -> Result<(), Failure> {
        let text = match file.format {
            HistoryFormat::Csv => self.csv(),
            HistoryFormat::JsonLines => self.json().to_string() + "\n",
        };
        whole_file::write(&file.path, text).map_err(|source| Failure::Write {
            option: "--per-class-file",
            path: file.path.clone(),
            source,
        })
    }

    /// A row for each class: its number and name, its samples, those taken for it, precision, recall and F1
    /// in percent (empty where nothing is divided by), then its row of the matrix.
    fn csv(&self) -> String {
        let matrix = &self.matrix;
        let mut titles: Vec<String> =
            ["class", "name", "samples", "predicted", "precision", "recall", "f1"].map(String::from).to_vec();
        titles.extend((0..matrix.classes()).map(|class| format!("as_{class}")));
        let mut text = csv::row(titles);
        let share = |share: Option<f64>| share.map_or_else(String::new, |share| share.to_string());
        for (class, name) in self.names.iter().enumerate() {
            let mut row = vec![class.to_string(), name.clone()];
            row.extend([matrix.actual(class), matrix.predicted(class)].map(|count| count.to_string()));
            row.extend([matrix.precision(class), matrix.recall(class), matrix.f1(class)].map(share));
            row.extend((0..matrix.classes()).map(|taken| matrix.count(class, taken).to_string()));
            text += &csv::row(row);
        }
        text
    }

    fn json(&self) -> Value {
        let matrix = &self.matrix;
        let classes: Vec<Value> = (0..matrix.classes())
            .map(|class| {
                json!({
                    "class": class,
                    "name": self.names[class],
                    "samples": matrix.actual(class),
                    "predicted": matrix.predicted(class),
                    "precision": matrix.precision(class),
                    "recall": matrix.recall(class),
                    "f1": matrix.f1(class),
                })
            })
            .collect();
        let rows: Vec<Vec<u64>> = (0..matrix.classes())
            .map(|class| (0..matrix.classes()).map(|taken| matrix.count(class, taken)).collect())
            .collect();
        json!({
            "samples": matrix.samples(), "accuracy": matrix.accuracy(), "classes": classes, "confusion": rows,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> ClassReport {
        let mut matrix = ConfusionMatrix::new(3);
        for (actual, taken) in [(0, 0), (0, 0), (0, 1), (1, 1)] {
            matrix.add(actual, taken);
        }
        ClassReport::new(matrix, &["cat".to_string(), "dog, small".to_string()])
    }

    #[test]
    fn the_table_has_a_line_for_each_class() {
        let expected = "\
class       samples precision  recall      f1
cat               3   100.00%  66.67%  80.00%
dog, small        1    50.00% 100.00%  66.67%
2                 0         -       -       -

confusion matrix: a row for each class, a column for each class that samples were taken for
           0 1 2
cat        2 1 0
dog, small 0 1 0
2          0 0 0
";
        assert_eq!(report().text(), expected);
    }

    #[test]
    fn files_have_all_numbers() {
        let csv = report().csv();
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines[0], "class,name,samples,predicted,precision,recall,f1,as_0,as_1,as_2");
        assert_eq!(lines[2], "1,\"dog, small\",1,2,50,100,66.66666666666667,0,1,0");
        assert_eq!(lines[3], "2,2,0,0,,,,0,0,0");
        let json = report().json();
        assert_eq!(json["accuracy"], 75.0);
        assert_eq!(json["classes"][2]["f1"], Value::Null);
        assert_eq!(json["confusion"][0], json!([2, 1, 0]));
    }
}
