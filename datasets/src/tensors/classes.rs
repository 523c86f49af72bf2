//! What targets mean: which class a label or a text is, and what classes are called.

use std::collections::{BTreeSet, HashMap};

use super::npy::Tensor;
use crate::FormatError;

/// The most classes that labels may ask for. A larger number is no class.
const MAX_CLASSES: i64 = 1 << 20;
/// Names that an error lists.
const LISTED: usize = 5;

/// How targets become classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Classes {
    /// They are whole numbers, of which `first` is class 0. Names are empty where there are none.
    Labels { first: i64, count: usize, names: Vec<String> },
    /// They are the names of the classes.
    Texts { names: Vec<String> },
    /// They are not classes, but numbers.
    Values,
}

/// The names of classes that the array `tensor` holds.
pub(super) fn names_in(file: &str, tensor: &Tensor) -> Result<Vec<String>, FormatError> {
    let bad = |problem: String| malformed(file, format!("array '{}' {problem}", tensor.name));
    if !tensor.element.is_text() || !matches!(tensor.dims.as_slice(), [_] | [_, 1]) {
        return Err(bad("is to hold the names of classes: a list of texts".to_string()));
    }
    let names = tensor.texts().map_err(bad)?;
    check_names(&names).map_err(|problem| bad(problem.to_string()))?;
    Ok(names)
}

/// The names of classes in the metadata of a safetensors file: a list in JSON, or a name a line.
pub(super) fn names_of_text(file: &str, text: &str) -> Result<Vec<String>, FormatError> {
    let bad = |problem: &str| malformed(file, format!("'class_names' in its metadata {problem}"));
    let names: Vec<String> = match text.trim_start().starts_with('[') {
        true => serde_json::from_str(text).map_err(|error| bad(&format!("is no list of texts: {error}")))?,
        false => text.lines().map(|line| line.trim().to_string()).collect(),
    };
    check_names(&names).map_err(bad)?;
    Ok(names)
}

fn check_names(names: &[String]) -> Result<(), &'static str> {
    let unique: BTreeSet<&String> = names.iter().collect();
    if names.is_empty() {
        return Err("has no names of classes");
    }
    if names.iter().any(String::is_empty) {
        return Err("has an empty name of a class");
    }
    if unique.len() < names.len() {
        return Err("names two classes alike");
    }
    Ok(())
}

impl Classes {
    /// Of the targets of all training samples, in one or several arrays, and of the names that were found.
    pub(super) fn of<'t>(
        file: &str,
        targets: impl Iterator<Item = &'t Tensor> + Clone,
        names: Option<Vec<String>>,
    ) -> Result<Self, FormatError> {
        if targets.clone().all(|target| is_flat(target) && target.element.is_text()) {
            let names = match names {
                Some(names) => names,
                None => in_order(file, targets)?,
            };
            return Ok(Self::Texts { names });
        }
        if targets.clone().all(|target| is_flat(target) && target.element.is_whole()) {
            return Self::of_labels(file, targets.flat_map(Tensor::integers), names.unwrap_or_default());
        }
        match names {
            None => Ok(Self::Values),
            Some(_) => {
                let problem =
                    "has names of classes, but its targets are no whole numbers, one for each sample";
                Err(malformed(file, problem.to_string()))
            }
        }
    }

    fn of_labels(
        file: &str,
        labels: impl Iterator<Item = i64>,
        names: Vec<String>,
    ) -> Result<Self, FormatError> {
        let (least, most) =
            labels.fold((i64::MAX, 0), |(least, most), label| (least.min(label), most.max(label)));
        if !(0..MAX_CLASSES).contains(&most) || least < 0 {
            let label = if least < 0 { least } else { most };
            let problem = format!("label {label} is no class, expected 0 to {}", MAX_CLASSES - 1);
            return Err(malformed(file, problem));
        }
        let count = match names.len() {
            0 => (most + 1 - i64::from(least == 1)) as usize,
            count => count,
        };
        // Where names tell how many classes there are, class 0 may have no sample.
        let first = i64::from(least == 1 && most == count as i64);
        if most - first >= count as i64 {
            let problem = format!("label {most} has no name: there are {count} names of classes");
            return Err(malformed(file, problem));
        }
        Ok(Self::Labels { first, count, names })
    }

    /// The number of classes; 0 if targets are numbers.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Labels { count, .. } => *count,
            Self::Texts { names } => names.len(),
            Self::Values => 0,
        }
    }

    /// The names of the classes; empty if they have none.
    pub(super) fn names(&self) -> &[String] {
        match self {
            Self::Labels { names, .. } | Self::Texts { names } => names,
            Self::Values => &[],
        }
    }

    /// Checks that `names`, which stand in another file of the set, are those of these classes.
    pub(super) fn check(&self, file: &str, names: Option<&[String]>) -> Result<(), FormatError> {
        let Some(names) = names.filter(|names| *names != self.names()) else { return Ok(()) };
        let list = |names: &[String]| match names.len() {
            0 => "no names".to_string(),
            len if len > LISTED => format!("{}, … ({len})", names[..LISTED].join(", ")),
            _ => names.join(", "),
        };
        let [got, expected] = [names, self.names()].map(list);
        Err(malformed(file, format!("has the classes {got}, the training samples have {expected}")))
    }

    /// The classes of the targets in an array; those that are numbers have none.
    pub(super) fn of_targets(&self, file: &str, targets: &Tensor) -> Result<Vec<u32>, FormatError> {
        let name = &targets.name;
        let kinds = |expected: &str| {
            malformed(file, format!("'{name}' has {}, expected {expected}", targets.element.describe()))
        };
        match self {
            Self::Labels { first, count, .. } => {
                if !(is_flat(targets) && targets.element.is_whole()) {
                    return Err(kinds("classes, a whole number for each sample"));
                }
                let class = |(index, label): (usize, i64)| match u32::try_from(label - first) {
                    Ok(class) if (class as usize) < *count => Ok(class),
                    Ok(_) => Err(malformed(
                        file,
                        format!(
                            "label {label} of sample {index} is no class, there are {count} from {first} on"
                        ),
                    )),
                    Err(_) => Err(malformed(
                        file,
                        format!("label {label} of sample {index} is below {first}, the first class"),
                    )),
                };
                targets.integers().enumerate().map(class).collect()
            }
            Self::Texts { names } => {
                if !(is_flat(targets) && targets.element.is_text()) {
                    return Err(kinds("the names of classes"));
                }
                let numbers: HashMap<&str, u32> = names.iter().map(String::as_str).zip(0..).collect();
                let texts =
                    targets.texts().map_err(|problem| malformed(file, format!("'{name}' {problem}")))?;
                let class = |(index, text): (usize, String)| {
                    let class = numbers.get(text.as_str()).copied();
                    class.ok_or_else(|| {
                        let known = names.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>();
                        let more = if names.len() > LISTED { ", …" } else { "" };
                        let problem = format!(
                            "class '{}' of sample {index} is none of {}{more}",
                            text.escape_debug(),
                            known.join(", ")
                        );
                        malformed(file, problem)
                    })
                };
                texts.into_iter().enumerate().map(class).collect()
            }
            Self::Values => Ok(Vec::new()),
        }
    }

    /// As text, for the digest of a set.
    pub(super) fn digest_text(&self) -> String {
        match self {
            Self::Labels { first, count, .. } => format!("Labels {{ first: {first}, count: {count} }}"),
            Self::Texts { names } => format!("Texts {names:?}"),
            Self::Values => "Values".to_string(),
        }
    }
}

/// All texts among `targets`, sorted.
fn in_order<'t>(file: &str, targets: impl Iterator<Item = &'t Tensor>) -> Result<Vec<String>, FormatError> {
    let mut names = BTreeSet::new();
    for target in targets {
        let texts = target.texts();
        names.extend(texts.map_err(|problem| malformed(file, format!("'{}' {problem}", target.name)))?);
    }
    let names: Vec<String> = names.into_iter().collect();
    match check_names(&names) {
        // A set without samples is an error of its own.
        Err(problem) if !names.is_empty() => Err(malformed(file, problem.to_string())),
        _ => Ok(names),
    }
}

/// Whether there is one target for each sample.
fn is_flat(targets: &Tensor) -> bool {
    matches!(targets.dims.as_slice(), [_] | [_, 1])
}

fn malformed(file: &str, problem: String) -> FormatError {
    FormatError::Malformed { file: file.to_string(), problem }
}

#[cfg(test)]
mod tests {
    use super::super::npy::Element;
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    /// Texts as numpy stores them: `<U3`, or `|S3`.
    fn texts(texts: &[&str], is_unicode: bool) -> Tensor {
        let mut bytes = Vec::new();
        for text in texts {
            let mut chars: Vec<char> = text.chars().collect();
            chars.resize(3, '\0');
            match is_unicode {
                true => bytes.extend(chars.into_iter().flat_map(|c| u32::from(c).to_le_bytes())),
                false => bytes.extend(chars.into_iter().map(|c| c as u8)),
            }
        }
        let element = if is_unicode { Element::Unicode(3) } else { Element::Ascii(3) };
        Tensor { name: "y".to_string(), element, dims: vec![texts.len()], bytes }
    }

    fn labels(labels: &[i64]) -> Tensor {
        let bytes = labels.iter().flat_map(|label| label.to_le_bytes()).collect();
        Tensor { name: "y".to_string(), element: Element::Signed(8), dims: vec![labels.len()], bytes }
    }

    #[test]
    fn classes_count_from_the_least_label_of_0_and_1() {
        let of = |labels: &[i64]| Classes::of_labels("f", labels.iter().copied(), Vec::new());
        let classes = |first, count| Classes::Labels { first, count, names: Vec::new() };
        assert_eq!(of(&[2, 0, 1]).unwrap(), classes(0, 3));
        assert_eq!(of(&[2, 1, 1000]).unwrap(), classes(1, 1000));
        assert_eq!(of(&[2, 3]).unwrap(), classes(0, 4));
        assert!(of(&[-1, 3]).unwrap_err().to_string().contains("label -1"));
        assert!(of(&[0, 1 << 40]).is_err());
    }

    #[test]
    fn names_tell_how_many_classes_there_are() {
        let three = || names(&["a", "b", "c"]);
        let of = |of: &[i64]| Classes::of("f", std::iter::once(&labels(of)), Some(three()));
        let classes = |first| Classes::Labels { first, count: 3, names: three() };
        assert_eq!(
            [of(&[0, 1]).unwrap(), of(&[1, 2]).unwrap(), of(&[1, 3]).unwrap()],
            [0, 0, 1].map(classes)
        );
        let problem = of(&[0, 3]).unwrap_err().to_string();
        assert!(problem.contains("label 3 has no name: there are 3 names"), "{problem}");
        let one = classes(0);
        assert_eq!(one.of_targets("f", &labels(&[2, 0])).unwrap(), [2, 0]);
        assert!(one.of_targets("f", &labels(&[3])).unwrap_err().to_string().contains("label 3 of sample 0"));
        assert!(one.of_targets("f", &texts(&["a"], true)).is_err());
        one.check("f", Some(&three())).unwrap();
        let problem = one.check("f", Some(&names(&["a"]))).unwrap_err().to_string();
        assert!(problem.contains("has the classes a, the training samples have a, b, c"), "{problem}");
    }

    #[test]
    fn texts_are_classes_in_their_order_or_in_that_of_the_names() {
        for is_unicode in [true, false] {
            let y = texts(&["emu", "cat", "emu", "ox"], is_unicode);
            let of = |names| Classes::of("f", std::iter::once(&y), names).unwrap();
            let sorted = of(None);
            assert_eq!((sorted.names(), sorted.count()), (&names(&["cat", "emu", "ox"])[..], 3));
            assert_eq!(sorted.of_targets("f", &y).unwrap(), [1, 0, 1, 2]);
            let given = of(Some(names(&["ox", "cat", "emu", "yak"])));
            assert_eq!((given.of_targets("f", &y).unwrap(), given.count()), (vec![2, 1, 2, 0], 4));
            let problem = sorted.of_targets("f", &texts(&["ape"], true)).unwrap_err().to_string();
            assert!(problem.contains("class 'ape' of sample 0 is none of cat, emu, ox"), "{problem}");
        }
    }

    #[test]
    fn names_that_are_none_are_refused() {
        let of = |tensor: &Tensor| names_in("f", tensor).unwrap_err().to_string();
        assert!(of(&labels(&[1])).contains("array 'y' is to hold the names of classes"));
        assert!(of(&texts(&["a", "a"], true)).contains("names two classes alike"));
        assert!(of(&texts(&["a", ""], false)).contains("an empty name"));
        let mut no_text = texts(&["a"], true);
        no_text.bytes[..4].copy_from_slice(&0x11_0000_u32.to_le_bytes());
        assert!(of(&no_text).contains("holds a text that is none"), "{}", of(&no_text));
        assert_eq!(names_of_text("f", r#"["a, b", "ü"]"#).unwrap(), names(&["a, b", "ü"]));
        assert_eq!(names_of_text("f", "a\nb c\n").unwrap(), names(&["a", "b c"]));
        for text in ["", "[1]", "[", "a\n\nb"] {
            assert!(names_of_text("f", text).unwrap_err().to_string().contains("metadata"), "{text}");
        }
        let values = Tensor { element: Element::F32, ..labels(&[0]) };
        let problem =
            Classes::of("f", std::iter::once(&values), Some(names(&["a"]))).unwrap_err().to_string();
        assert!(problem.contains("no whole numbers"), "{problem}");
    }
}
