//! Tables in CSV files: a row for each sample, with numbers, categories, and a column with the target.
//!
//! ```text
//! age,colour,weight,kind            sample  [age, colour = blue, colour = red, weight]
//! 3,red,1.5,cat                             [3,   0,             1,            1.5   ]   class cat
//! 7,blue,2,dog                              [7,   1,             0,            2     ]   class dog
//! ```
//!
//! A column is of numbers if all its values are, and of categories if none is; a mixture is an error at the
//! first value that differs. A column of categories becomes one value for each category, sorted, 1 for that
//! of the sample. Samples are `[values, 1, 1]` floats; columns of numbers are normalised by their mean and
//! deviation.
//!
//! Missing values are empty, `NA`, `N/A`, `NaN`, `null` or `?`.
//!
//! What the columns mean is learnt from the training table ([`Encoding::new`]) and applied to the others
//! ([`Encoding::samples`]).

mod encoding;
mod text;

pub use encoding::Encoding;
pub use text::Table;

/// How a table is read.
#[derive(Clone, Debug, PartialEq)]
pub struct TableOptions {
    /// The column of the targets, by its name or its number from 1; the last one if there is none.
    pub label: Option<String>,
    /// What the targets are.
    pub targets: Targets,
    /// What happens to missing values. A missing target is always an error.
    pub missing: Missing,
    /// Whether the first row has the names of the columns. Without an answer it does if no value in it is a
    /// number, and none but perhaps the first is empty.
    pub header: Option<bool>,
    /// What separates two values.
    pub delimiter: u8,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            label: None,
            targets: Targets::default(),
            missing: Missing::default(),
            header: None,
            delimiter: b',',
        }
    }
}

/// What targets are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Targets {
    /// Classes if they are texts, or at most 100 different whole numbers of at least 0; otherwise numbers.
    #[default]
    Auto,
    /// Classes, one for each different value.
    Classes,
    /// Numbers, for a regression.
    Numbers,
}

/// What happens to a missing value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Missing {
    /// It is an error.
    #[default]
    Error,
    /// It is the mean of its column in the training table. A missing category is none of the categories.
    Mean,
    /// It is this number. A missing category is none of the categories.
    Value(f32),
}
