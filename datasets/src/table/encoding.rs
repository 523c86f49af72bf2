//! What the columns of a table mean, and the samples that they make.

use std::collections::{BTreeMap, BTreeSet};

use super::{Missing, Table, TableOptions, Targets};
use crate::{Arrays, Error, FormatError, Normalization};

/// The most categories of a column. A column of names or numbers of records would take a value for each.
const MAX_CATEGORIES: usize = 1000;

/// The most different whole numbers that are taken for classes.
const MAX_NUMBERED_CLASSES: usize = 100;

/// What the columns of a table mean.
#[derive(Clone, Debug)]
pub struct Encoding {
    names: Vec<String>,
    columns: usize,
    label: usize,
    /// The columns without the label's, in their order.
    features: Vec<Feature>,
    /// The classes; none if targets are numbers.
    classes: Option<Vec<String>>,
    normalization: Normalization,
}

#[derive(Clone, Debug)]
enum Feature {
    Number {
        /// What a missing value becomes; nothing if it is an error.
        fill: Option<f32>,
    },
    Categories {
        /// Sorted.
        names: Vec<String>,
        may_miss: bool,
    },
}

impl Feature {
    /// The number of values that it takes in a sample.
    fn len(&self) -> usize {
        match self {
            Self::Number { .. } => 1,
            Self::Categories { names, .. } => names.len(),
        }
    }
}

impl Encoding {
    /// Learns what the columns of the training table mean.
    ///
    /// # Errors
    ///
    /// [`FormatError::Malformed`] for a table without the column of the targets or without other columns, and
    /// for columns with too many categories; [`FormatError::Value`] for a value that does not go with those
    /// before it, is missing or not finite.
    pub fn new(table: &Table, options: &TableOptions) -> Result<Self, Error> {
        let label = match &options.label {
            Some(label) => table.find(label)?,
            None => table.columns() - 1,
        };
        if table.columns() < 2 {
            return Err(table.malformed("has one column only, which is the target's".to_string()).into());
        }
        let columns = (0..table.columns()).filter(|&column| column != label);
        let features =
            columns.map(|column| feature(table, column, options.missing)).collect::<Result<Vec<_>, _>>()?;
        let (names, classes) = (table.names().to_vec(), classes(table, label, options.targets)?);
        let mut encoding = Self {
            names,
            columns: table.columns(),
            label,
            normalization: Normalization::identity(features.iter().map(Feature::len).sum()),
            features,
            classes,
        };
        encoding.normalization = encoding.statistics(&encoding.values(table)?)?;
        Ok(encoding)
    }

    /// The samples of a table with the same columns.
    ///
    /// # Errors
    ///
    /// [`FormatError::Malformed`] for other columns; [`FormatError::Value`] for a value of another kind than
    /// in the training table, or of a category or class that the training table lacks.
    pub fn samples(&self, table: &Table) -> Result<Arrays<'static>, Error> {
        if table.names() != self.names || table.columns() != self.columns {
            let problem = match self.names.as_slice() {
                [] => format!("has {} columns, the training table has {}", table.columns(), self.columns),
                names => format!("has other columns than the training table, which has {}", names.join(", ")),
            };
            return Err(table.malformed(problem).into());
        }
        let pixels = self.values(table)?;
        let shape = [self.normalization.channels(), 1, 1];
        let set = match &self.classes {
            Some(classes) => {
                let labels = self.labels(table, classes)?;
                Arrays::from_f32(pixels, labels, shape, classes.len())?.with_class_names(classes.clone())?
            }
            None => Arrays::from_f32_with_values(pixels, self.numbers(table)?, shape, 1)?,
        };
        set.with_normalization(self.normalization.clone())
    }

    /// `[rows, values]`.
    fn values(&self, table: &Table) -> Result<Vec<f32>, FormatError> {
        let mut values = Vec::with_capacity(table.rows() * self.normalization.channels());
        for row in 0..table.rows() {
            let columns = (0..self.columns).filter(|&column| column != self.label);
            for (column, feature) in columns.zip(&self.features) {
                let value = table.value(row, column);
                let missing = || table.error(row, column, "the value is missing".to_string());
                match feature {
                    Feature::Number { fill } => values.push(match value {
                        Some(value) => number(table, row, column, value)?,
                        None => fill.ok_or_else(missing)?,
                    }),
                    Feature::Categories { names, may_miss } => {
                        let known = value.map(|value| {
                            names.binary_search_by(|name| name.as_str().cmp(value)).map_err(|_| {
                                let problem = format!("'{value}' is not in the training table");
                                table.error(row, column, problem)
                            })
                        });
                        let known = known.transpose()?;
                        if known.is_none() && !may_miss {
                            return Err(missing());
                        }
                        let one_hot = |index| if Some(index) == known { 1.0 } else { 0.0 };
                        values.extend((0..names.len()).map(one_hot));
                    }
                }
            }
        }
        Ok(values)
    }

    fn labels(&self, table: &Table, classes: &[String]) -> Result<Vec<u32>, FormatError> {
        let numbers: BTreeMap<&str, u32> = classes.iter().map(String::as_str).zip(0..).collect();
        let class = |row| {
            let value = target(table, row, self.label)?;
            numbers.get(value).copied().ok_or_else(|| {
                table.error(row, self.label, format!("class '{value}' is not in the training table"))
            })
        };
        (0..table.rows()).map(class).collect()
    }

    fn numbers(&self, table: &Table) -> Result<Vec<f32>, FormatError> {
        let of_row = |row| number(table, row, self.label, target(table, row, self.label)?);
        (0..table.rows()).map(of_row).collect()
    }

    /// Mean 0 and deviation 1 for columns of numbers; categories stay as they are.
    fn statistics(&self, values: &[f32]) -> Result<Normalization, Error> {
        let (mut scale, mut shift) = (Vec::new(), Vec::new());
        let width = self.normalization.channels();
        for feature in &self.features {
            if let Feature::Categories { names, .. } = feature {
                scale.extend(names.iter().map(|_| 1.0));
                shift.extend(names.iter().map(|_| 0.0));
                continue;
            }
            let column = || values[scale.len()..].iter().step_by(width).map(|&value| f64::from(value));
            let rows = (values.len() / width) as f64;
            let mean = column().sum::<f64>() / rows;
            let variance = column().map(|value| (value - mean).powi(2)).sum::<f64>() / rows;
            // A column of one value tells nothing.
            let factor = if variance > 0.0 { 1.0 / variance.sqrt() } else { 1.0 };
            shift.push(-mean * factor);
            scale.push(factor);
        }
        Normalization::new(scale, shift)
    }
}

/// What a column of values means.
fn feature(table: &Table, column: usize, missing: Missing) -> Result<Feature, FormatError> {
    let values = || (0..table.rows()).filter_map(|row| Some((row, table.value(row, column)?)));
    let is_number = |value: &str| value.parse::<f32>().is_ok();
    let Some((_, first)) = values().next() else {
        return Err(table.malformed(format!("column {} has no values", table.describe(column))));
    };
    let are_numbers = is_number(first);
    if let Some((row, value)) = values().find(|(_, value)| is_number(value) != are_numbers) {
        let problem = match are_numbers {
            true => format!("'{value}' is no number, as the values before it are"),
            false => format!("{value} is a number, the values before it are not"),
        };
        return Err(table.error(row, column, problem));
    }
    if !are_numbers {
        let names: BTreeSet<&str> = values().map(|(_, value)| value).collect();
        if names.len() > MAX_CATEGORIES {
            let (column, count) = (table.describe(column), names.len());
            let problem =
                format!("column {column} has {count} different texts, at most {MAX_CATEGORIES} are possible");
            return Err(table.malformed(problem));
        }
        let names = names.into_iter().map(str::to_string).collect();
        return Ok(Feature::Categories { names, may_miss: missing != Missing::Error });
    }
    let fill = match missing {
        Missing::Error => None,
        Missing::Value(value) => Some(value),
        Missing::Mean => {
            let (mut sum, mut count) = (0.0, 0.0);
            for (row, value) in values() {
                sum += f64::from(number(table, row, column, value)?);
                count += 1.0;
            }
            Some((sum / count) as f32)
        }
    };
    Ok(Feature::Number { fill })
}

/// The classes of the targets, sorted, whole numbers by their value; none if targets are numbers.
fn classes(table: &Table, label: usize, targets: Targets) -> Result<Option<Vec<String>>, FormatError> {
    if targets == Targets::Numbers {
        return Ok(None);
    }
    let mut names = BTreeSet::new();
    for row in 0..table.rows() {
        names.insert(target(table, row, label)?);
    }
    let whole = names.iter().map(|name| name.parse::<u64>().ok()).collect::<Option<Vec<_>>>();
    let are_numbers = names.iter().all(|name| name.parse::<f32>().is_ok());
    let are_classes = match &whole {
        Some(_) => names.len() <= MAX_NUMBERED_CLASSES,
        None => !are_numbers,
    };
    if targets == Targets::Auto && !are_classes {
        return Ok(None);
    }
    let mut names: Vec<String> = names.into_iter().map(str::to_string).collect();
    if whole.is_some() {
        names.sort_by_key(|name| name.parse::<u64>().ok());
    }
    Ok(Some(names))
}

fn target(table: &Table, row: usize, label: usize) -> Result<&str, FormatError> {
    table.value(row, label).ok_or_else(|| table.error(row, label, "the target is missing".to_string()))
}

fn number(table: &Table, row: usize, column: usize, value: &str) -> Result<f32, FormatError> {
    match value.parse::<f32>() {
        Ok(number) if number.is_finite() => Ok(number),
        Ok(_) => Err(table.error(row, column, format!("{value} is not finite"))),
        Err(_) => Err(table.error(row, column, format!("'{value}' is no number"))),
    }
}
