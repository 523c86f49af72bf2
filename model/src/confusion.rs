//! How often each class was taken for each class.

/// Counts of samples by their class and by the class that a network takes them for, with the numbers that
/// follow from them. Shares are in percent.
///
/// ```
/// let mut matrix = isograd_model::ConfusionMatrix::new(2);
/// matrix.add(0, 0);
/// matrix.add(0, 1);
/// matrix.add(1, 1);
/// assert_eq!(matrix.count(0, 1), 1);
/// assert_eq!(matrix.precision(1), Some(50.0)); // one of the two samples taken for class 1 is of it
/// assert_eq!(matrix.recall(1), Some(100.0)); // the only sample of class 1 is found
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfusionMatrix {
    classes: usize,
    /// `[actual, predicted]`, row after row.
    counts: Vec<u64>,
}

impl ConfusionMatrix {
    /// The matrix of no samples.
    ///
    /// # Panics
    ///
    /// When `classes` squared is more than a `usize` holds.
    pub fn new(classes: usize) -> Self {
        let cells = classes.checked_mul(classes);
        let cells = cells.unwrap_or_else(|| panic!("the confusion matrix of {classes} classes"));
        Self { classes, counts: vec![0; cells] }
    }

    /// The matrix whose counts are the sums of the metric
    /// [`ConfusionMatrix`](crate::metric::ConfusionMatrix), `[actual, predicted]`, row after row.
    ///
    /// # Panics
    ///
    /// When the number of sums is no square.
    pub fn from_sums(sums: &[f64]) -> Self {
        let classes = sums.len().isqrt();
        assert_eq!(classes * classes, sums.len(), "the sums of a confusion matrix");
        // Sums of ones are whole numbers, exact far beyond the samples of any data set.
        Self { classes, counts: sums.iter().map(|sum| *sum as u64).collect() }
    }

    /// Counts a sample of class `actual` that was taken for class `predicted`.
    ///
    /// # Panics
    ///
    /// When one of them is not below the number of classes.
    pub fn add(&mut self, actual: usize, predicted: usize) {
        let cell = self.cell(actual, predicted);
        self.counts[cell] += 1;
    }

    /// The number of samples of class `actual` that were taken for class `predicted`.
    ///
    /// # Panics
    ///
    /// When one of them is not below the number of classes.
    pub fn count(&self, actual: usize, predicted: usize) -> u64 {
        self.counts[self.cell(actual, predicted)]
    }

    fn cell(&self, actual: usize, predicted: usize) -> usize {
        let classes = self.classes;
        assert!(actual < classes && predicted < classes, "cell {actual}, {predicted} of {classes} classes");
        actual * classes + predicted
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The number of samples counted.
    pub fn samples(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The number of samples of `class`.
    pub fn actual(&self, class: usize) -> u64 {
        (0..self.classes).map(|predicted| self.count(class, predicted)).sum()
    }

    /// The number of samples that were taken for `class`.
    pub fn predicted(&self, class: usize) -> u64 {
        (0..self.classes).map(|actual| self.count(actual, class)).sum()
    }

    /// The share of all samples that were taken for their own class, in percent; 0 of no samples.
    pub fn accuracy(&self) -> f64 {
        let hits = (0..self.classes).map(|class| self.count(class, class)).sum();
        percent(hits, self.samples()).unwrap_or(0.0)
    }

    /// The share of the samples taken for `class` that are of it, in percent; `None` where there are none.
    pub fn precision(&self, class: usize) -> Option<f64> {
        percent(self.count(class, class), self.predicted(class))
    }

    /// The share of the samples of `class` that were taken for it, in percent; `None` where there are none.
    pub fn recall(&self, class: usize) -> Option<f64> {
        percent(self.count(class, class), self.actual(class))
    }

    /// The harmonic mean of precision and recall, in percent; `None` where no sample is of `class` or was
    /// taken for it.
    pub fn f1(&self, class: usize) -> Option<f64> {
        percent(2 * self.count(class, class), self.actual(class) + self.predicted(class))
    }
}

/// `100 part / whole`, if there is a whole.
fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| 100.0 * part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::ConfusionMatrix;

    /// Two classes of three that samples have, one of them never taken for.
    fn matrix() -> ConfusionMatrix {
        let mut matrix = ConfusionMatrix::new(3);
        for (actual, predicted) in [(0, 0), (0, 0), (0, 0), (0, 2), (1, 0), (1, 2)] {
            matrix.add(actual, predicted);
        }
        matrix
    }

    #[test]
    fn shares_follow_from_the_counts() {
        let matrix = matrix();
        assert_eq!((matrix.classes(), matrix.samples(), matrix.accuracy()), (3, 6, 50.0));
        assert_eq!((matrix.actual(0), matrix.predicted(0)), (4, 4));
        assert_eq!([0, 1, 2].map(|class| matrix.precision(class)), [Some(75.0), None, Some(0.0)]);
        assert_eq!([0, 1, 2].map(|class| matrix.recall(class)), [Some(75.0), Some(0.0), None]);
        assert_eq!([0, 1, 2].map(|class| matrix.f1(class)), [Some(75.0), Some(0.0), Some(0.0)]);
    }

    #[test]
    fn no_samples_have_no_shares() {
        let matrix = ConfusionMatrix::new(1);
        assert_eq!((matrix.samples(), matrix.accuracy()), (0, 0.0));
        assert_eq!((matrix.precision(0), matrix.recall(0), matrix.f1(0)), (None, None, None));
    }

    #[test]
    fn sums_of_the_metric_are_counts() {
        let sums = [3.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0];
        assert_eq!(ConfusionMatrix::from_sums(&sums), matrix());
    }

    #[test]
    #[should_panic(expected = "cell 0, 3 of 3 classes")]
    fn a_class_outside_of_the_matrix_panics() {
        ConfusionMatrix::new(3).add(0, 3);
    }
}
