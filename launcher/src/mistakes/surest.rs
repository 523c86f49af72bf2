//! The mistakes of which a network is surest, out of any number.

/// Mistakes that are kept.
const KEPT: usize = 24;

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) index: usize,
    pub(super) class: u32,
    pub(super) predicted: u32,
    pub(super) output: f64,
    pub(super) output_of_class: f64,
}

/// The surest of all that were added.
#[derive(Debug, Default)]
pub(super) struct Surest(Vec<Candidate>);

impl Surest {
    pub(super) fn add(&mut self, candidate: Candidate) {
        /// It is rarely worth while to sort.
        const SORTED_AT: usize = 8 * KEPT;
        self.0.push(candidate);
        if self.0.len() >= SORTED_AT {
            self.cut();
        }
    }

    pub(super) fn join(&mut self, other: Self) {
        self.0.extend(other.0);
        self.cut();
    }

    /// The surest first; of equally sure ones, that with the least index.
    pub(super) fn sorted(mut self) -> Vec<Candidate> {
        self.cut();
        self.0
    }

    fn cut(&mut self) {
        self.0.sort_by(|a, b| b.output.total_cmp(&a.output).then(a.index.cmp(&b.index)));
        self.0.truncate(KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_surest_stay_in_whatever_order_they_come() {
        let candidate = |index: usize| {
            let output = (index * 37 % 101) as f64;
            Candidate { index, class: 0, predicted: 1, output, output_of_class: 0.0 }
        };
        let mut all: Vec<_> = (0..1000).map(candidate).collect();
        let (mut one, mut other) = (Surest::default(), Surest::default());
        all.iter().rev().for_each(|each| if each.index % 3 == 0 { one.add(*each) } else { other.add(*each) });
        one.join(other);
        all.sort_by(|a, b| b.output.total_cmp(&a.output).then(a.index.cmp(&b.index)));
        assert_eq!(one.sorted(), all[..KEPT]);
    }
}
