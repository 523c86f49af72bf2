//! The sets that have MNIST's format, with their labels and classes.

/// A set in the format of MNIST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set {
    /// The name, as in `emnist-letters`.
    pub name: &'static str,
    /// What the names of its files begin with; empty where they are those of MNIST.
    pub prefix: &'static str,
    /// The label of the first class.
    pub first_label: i64,
    /// The number of classes.
    pub num_classes: usize,
    /// The names of the classes; none if they have no names.
    pub class_names: &'static [&'static str],
}

/// All sets whose classes are known, MNIST first.
pub const SETS: [Set; 10] = [
    Set::new("mnist", "", 0, DIGITS),
    Set::new("fashion-mnist", "", 0, CLOTHES),
    Set::new("kmnist", "", 0, HIRAGANA),
    Set::new("qmnist", "qmnist-", 0, DIGITS),
    Set::new("emnist-mnist", "emnist-mnist-", 0, DIGITS),
    Set::new("emnist-digits", "emnist-digits-", 0, DIGITS),
    Set::new("emnist-letters", "emnist-letters-", 1, LETTERS),
    Set::new("emnist-balanced", "emnist-balanced-", 0, MERGED),
    Set::new("emnist-bymerge", "emnist-bymerge-", 0, MERGED),
    Set::new("emnist-byclass", "emnist-byclass-", 0, CHARACTERS),
];

const DIGITS: &[&str] = &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
const CLOTHES: &[&str] = &[
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];
const HIRAGANA: &[&str] = &["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"];

/// Digits, capital letters, small letters.
const CHARACTERS: &[&str] = &[
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K",
    "L", "M", "N", "O", "P", "Q", "R", "S", "T", "U", "V", "W", "X", "Y", "Z", "a", "b", "c", "d", "e", "f",
    "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t", "u", "v", "w", "x", "y", "z",
];
const LETTERS: &[&str] = CHARACTERS.split_at(36).0.split_at(10).1;

/// Small letters that look like capital ones are in one class with them.
const MERGED: &[&str] = &[
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K",
    "L", "M", "N", "O", "P", "Q", "R", "S", "T", "U", "V", "W", "X", "Y", "Z", "a", "b", "d", "e", "f", "g",
    "h", "n", "q", "r", "t",
];

impl Set {
    const fn new(
        name: &'static str,
        prefix: &'static str,
        first_label: i64,
        class_names: &'static [&'static str],
    ) -> Self {
        Self { name, prefix, first_label, num_classes: class_names.len(), class_names }
    }

    /// The set called `name`.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        const { &SETS }.iter().find(|set| set.name == name)
    }

    /// The names of the classes, as a data set has them.
    pub(crate) fn class_names(&self) -> Vec<String> {
        self.class_names.iter().map(|name| name.to_string()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sets_have_the_published_numbers_of_classes() {
        let classes = |name| Set::by_name(name).map(|set| (set.num_classes, set.class_names[0]));
        assert_eq!(classes("mnist"), Some((10, "0")));
        assert_eq!(classes("emnist-letters"), Some((26, "A")));
        assert_eq!([classes("emnist-balanced"), classes("emnist-bymerge")], [Some((47, "0")); 2]);
        assert_eq!(classes("emnist-byclass"), Some((62, "0")));
        assert_eq!(classes("emnist"), None);
    }
}
