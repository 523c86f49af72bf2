//! The section `sweep` of a configuration or of a workflow: what trials differ in, and what makes one better.
//!
//! ```text
//! sweep:
//!   metric: val_loss
//!   direction: min
//!   values:
//!     training.learning_rate: { loguniform: [1e-4, 1e-1] }
//!     batch_size: { choice: [32, 64] }
//! ```
//!
//! A third number behind the bounds of `uniform` and `loguniform` is the number of points of a grid.

use super::files;
use super::node::{Entry, Node, Position, Value};
use super::options::CommandOptions;
use super::settings::{Origin, unknown};
use crate::failure::Failure;
use crate::system::names;
use std::path::Path;

/// The name of the section.
pub(super) const SWEEP: &str = "sweep";

const KINDS: [&str; 4] = ["choice", "uniform", "loguniform", "int"];
const KEYS: [&str; 3] = ["metric", "direction", "values"];
const METRIC: &str = "val_loss";
/// The most points of a grid over an interval.
const MOST_POINTS: f64 = 1e6;

/// The section.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Section {
    /// The number of each epoch that trials are compared by.
    pub(crate) metric: String,
    /// Whether more of it is better.
    pub(crate) is_max: bool,
    /// At least one.
    pub(crate) parameters: Vec<Parameter>,
}

/// A key, and the values that trials give it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parameter {
    /// An option of `train`, or a path into a workflow.
    pub(crate) key: String,
    pub(crate) values: Values,
}

/// The values of a parameter: at least one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Values {
    /// In TOML.
    Choice(Vec<String>),
    Real {
        low: f64,
        high: f64,
        is_log: bool,
        /// Points of a grid.
        points: Option<u32>,
    },
    Int {
        low: i64,
        high: i64,
    },
}

/// Reads the section of the configuration at `path`, and checks its keys.
pub(crate) fn read(path: &Path) -> Result<Section, Failure> {
    let source = path.display().to_string();
    let root = files::read(path, &source)?;
    let section = table(&root).iter().find(|entry| entry.key == SWEEP).ok_or_else(|| missing(path))?;
    let reader = Reader { source: &source };
    let (section, found) = reader.section(section)?;
    reader.check_options(&found)?;
    Ok(with(section, found))
}

/// Reads the section of a workflow, which `source` has. `check` is given a change of each key, as `--set`
/// takes it.
pub(crate) fn of_workflow(
    section: &Entry,
    source: &str,
    check: impl Fn(&str) -> Result<(), Failure>,
) -> Result<Section, Failure> {
    let reader = Reader { source };
    let (section, found) = reader.section(section)?;
    for (Parameter { key, values }, at) in &found {
        let set = format!("{key}={}", values.first());
        check(&set).map_err(|failure| {
            let problem = failure.to_string();
            let problem = problem.strip_prefix(&format!("--set {set}: ")).unwrap_or(&problem);
            reader.mistake(*at, format!("'{key}': {problem}"))
        })?;
    }
    Ok(with(section, found))
}

/// The mistake that the file at `path` has no section.
pub(crate) fn missing(path: &Path) -> Failure {
    Failure::Usage {
        problem: format!("{}: it has no section '{SWEEP}'", path.display()),
        hint: Some("'isograd sweep --help' shows one".to_string()),
    }
}

fn with(section: Section, found: Vec<Placed>) -> Section {
    Section { parameters: found.into_iter().map(|(parameter, _)| parameter).collect(), ..section }
}

impl Values {
    /// One of them, in TOML.
    fn first(&self) -> String {
        match self {
            Self::Choice(values) => values[0].clone(),
            Self::Real { low, .. } => format!("{low:?}"),
            Self::Int { low, .. } => low.to_string(),
        }
    }
}

fn table(node: &Node) -> &[Entry] {
    match &node.value {
        Value::Table(entries) => entries,
        _ => &[],
    }
}

/// A parameter with the place of its key.
type Placed = (Parameter, Position);

struct Reader<'s> {
    source: &'s str,
}

impl Reader<'_> {
    fn mistake(&self, at: Position, problem: String) -> Failure {
        Failure::Usage { problem: format!("{}: {at}: {problem}", self.source), hint: None }
    }

    fn section(&self, section: &Entry) -> Result<(Section, Vec<Placed>), Failure> {
        let entries = table(&section.node);
        if let Some(other) = entries.iter().find(|entry| !KEYS.contains(&entry.key.as_str())) {
            return Err(self.mistake(other.at, names::unknown("key of a sweep", &other.key, &KEYS)));
        }
        let find = |key: &str| entries.iter().find(|entry| entry.key == key);
        let text = |key: &str, default: &str| match find(key) {
            None => Ok(default.to_string()),
            Some(Entry { node, .. }) => match &node.value {
                Value::Text(text) => Ok(text.clone()),
                value => {
                    Err(self.mistake(node.at, format!("'{key}' must be a name, it is {}", value.describe())))
                }
            },
        };
        let metric = text("metric", METRIC)?;
        let is_max = match text("direction", "")?.as_str() {
            "min" => false,
            "max" => true,
            "" if metric.ends_with("loss") => false,
            "" => {
                let problem =
                    format!("'direction' is missing: is a small or a great {metric} better? min or max");
                return Err(self.mistake(section.at, problem));
            }
            other => {
                let at = find("direction").map_or(section.at, |entry| entry.node.at);
                return Err(self.mistake(at, format!("'direction' must be min or max, it is '{other}'")));
            }
        };
        let mut found = Vec::new();
        if let Some(values) = find("values") {
            self.collect("", table(&values.node), &mut found)?;
        }
        if found.is_empty() {
            return Err(self
                .mistake(section.at, "'values' is missing or empty: nothing differs in trials".to_string()));
        }
        Ok((Section { metric, is_max, parameters: Vec::new() }, found))
    }

    /// Adds the parameters in `entries`. TOML makes tables in tables of a key with dots.
    fn collect(&self, path: &str, entries: &[Entry], found: &mut Vec<Placed>) -> Result<(), Failure> {
        for Entry { key, at, node } in entries {
            let key = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let inner = table(node);
            let is_table = |entry: &Entry| matches!(entry.node.value, Value::Table(_));
            match inner {
                [] => {
                    let problem =
                        format!("'{key}' must be as {{ choice: [1, 2] }}; kinds are {}", KINDS.join(", "));
                    return Err(self.mistake(*at, problem));
                }
                [kind] if !is_table(kind) => {
                    let values = self.values(&key, kind)?;
                    found.push((Parameter { key, values }, *at));
                }
                inner if inner.iter().all(is_table) => self.collect(&key, inner, found)?,
                [_, second, ..] => {
                    return Err(self.mistake(second.at, format!("'{key}' has more than one kind of values")));
                }
                [_] => unreachable!("it is a table, and then all are"),
            }
        }
        Ok(())
    }

    fn values(&self, key: &str, Entry { key: kind, at, node }: &Entry) -> Result<Values, Failure> {
        if !KINDS.contains(&kind.as_str()) {
            return Err(
                self.mistake(*at, format!("'{key}': {}", names::unknown("kind of values", kind, &KINDS)))
            );
        }
        let wrong = |expected: &str| {
            let problem = format!("'{key}': {kind} must be {expected}, it is {}", shown(&node.value));
            self.mistake(node.at, problem)
        };
        let Value::List(items) = &node.value else { return Err(wrong("a list")) };
        if kind == "choice" {
            let values: Vec<String> = items.iter().map(|item| item.value.to_toml()).collect();
            if values.is_empty() {
                return Err(wrong("a list of at least one value"));
            }
            if let Some(twice) = (1..values.len()).find(|place| values[..*place].contains(&values[*place])) {
                return Err(
                    self.mistake(items[twice].at, format!("'{key}': {} is there twice", values[twice]))
                );
            }
            return Ok(Values::Choice(values));
        }
        let number = |item: &Node| item.value.scalar().and_then(|text| text.parse::<f64>().ok());
        let numbers: Option<Vec<f64>> = items.iter().map(number).collect();
        let numbers = numbers.filter(|numbers| numbers.iter().all(|number| number.is_finite()));
        let Some([low, high, points @ ..]) = numbers.as_deref() else {
            return Err(wrong("[low, high], two numbers"));
        };
        if low >= high {
            return Err(wrong("[low, high] with low below high"));
        }
        if kind == "int" {
            let whole = |place: usize| items[place].value.scalar()?.parse::<i64>().ok();
            return match (whole(0), whole(1), points) {
                (Some(low), Some(high), []) if high.checked_sub(low).is_some_and(|range| range < 1 << 53) => {
                    Ok(Values::Int { low, high })
                }
                _ => Err(wrong("[low, high], two whole numbers")),
            };
        }
        let is_log = kind == "loguniform";
        if is_log && *low <= 0.0 {
            return Err(wrong("[low, high] with low above 0, which has no logarithm"));
        }
        let points = match points {
            [] => None,
            [points] if points.fract() == 0.0 && (2.0..=MOST_POINTS).contains(points) => Some(*points as u32),
            _ => return Err(wrong("[low, high], or [low, high, points of a grid]")),
        };
        Ok(Values::Real { low: *low, high: *high, is_log, points })
    }

    /// Checks that all keys are options of `train`, none of them twice.
    fn check_options(&self, found: &[Placed]) -> Result<(), Failure> {
        let options = CommandOptions::of("train").expect("train has options");
        let mut seen = Vec::new();
        for (Parameter { key, .. }, at) in found {
            let origin = Origin { source: self.source.to_string(), at: Some(*at) };
            let name = key.rsplit('.').next().unwrap_or(key);
            let option = options.find(name).ok_or_else(|| unknown(&options, name, &origin))?;
            if seen.contains(option.get_id()) {
                return Err(self.mistake(*at, format!("'{key}' is an option that is there twice")));
            }
            seen.push(option.get_id().clone());
        }
        Ok(())
    }
}

/// A value as it stands in the file, if it is short.
fn shown(value: &Value) -> String {
    let text = value.to_toml();
    if text.len() <= 60 { text } else { value.describe() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(name: &str, text: &str) -> Result<Section, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let without_folder =
            |failure: Failure| failure.to_string().replace(&format!("{}/", folder.path().display()), "");
        read(&path).map_err(without_folder)
    }

    #[test]
    fn yaml_and_toml_say_the_same() {
        let yaml = "model: simplemlp\nsweep:\n  metric: val_acc\n  direction: max\n  values:\n    \
                    optimizer.learning_rate: { loguniform: [1e-4, 1e-1, 4] }\n    batch_size: { choice: [32, 64] }\n    \
                    optimizer: { choice: [sgd, adam] }\n    epochs: { int: [1, 3] }\n";
        let toml = "model = 'simplemlp'\n[sweep]\nmetric = 'val_acc'\ndirection = 'max'\n[sweep.values]\n\
                    optimizer.learning_rate = { loguniform = [1e-4, 1e-1, 4] }\nbatch_size = { choice = [32, 64] }\n";
        let of_yaml = section("a.yaml", yaml).unwrap();
        let of_toml = section("a.toml", toml).unwrap();
        assert_eq!(of_toml.parameters, of_yaml.parameters[..2]);
        assert_eq!((of_yaml.metric.as_str(), of_yaml.is_max), ("val_acc", true));
        let real = Values::Real { low: 1e-4, high: 1e-1, is_log: true, points: Some(4) };
        assert_eq!(
            of_yaml.parameters[0],
            Parameter { key: "optimizer.learning_rate".to_string(), values: real }
        );
        assert_eq!(of_yaml.parameters[2].values, Values::Choice(vec!["\"sgd\"".into(), "\"adam\"".into()]));
        assert_eq!(of_yaml.parameters[3].values, Values::Int { low: 1, high: 3 });
    }

    #[test]
    fn a_key_of_a_workflow_that_cannot_be_changed_has_its_place() {
        let node =
            super::super::yaml::read("sweep: { values: { a.b: { choice: [x, y] }, c: { int: [2, 5] } } }");
        let node = node.expect("YAML");
        let of = |known: &str| {
            of_workflow(&table(&node)[0], "a.yaml", |set| match set == known {
                true => Ok(()),
                false => Err(Failure::Usage { problem: format!("--set {set}: unknown key 'c'"), hint: None }),
            })
        };
        let problem = of("a.b=\"x\"").unwrap_err().to_string();
        assert_eq!(problem, "a.yaml: line 1, column 45: 'c': unknown key 'c'");
        let problem = of("c=2").unwrap_err().to_string();
        assert!(problem.starts_with("a.yaml: line 1, column 20: 'a.b': "), "{problem}");
    }

    #[test]
    fn mistakes_have_places() {
        for (values, expected) in [
            (
                "learning_rat: { choice: [1] }",
                "a.yaml: line 3, column 3: unknown key 'learning_rat'; did you mean 'learning_rate'?",
            ),
            (
                "seed: { chioce: [1] }",
                "line 3, column 11: 'seed': unknown kind of values 'chioce'; known are choice, uniform, loguniform, int; did you mean 'choice'?",
            ),
            ("seed: { choice: [] }", "'seed': choice must be a list of at least one value, it is []"),
            ("seed: { choice: [1, 1] }", "'seed': 1 is there twice"),
            ("seed: { int: [3, 3] }", "'seed': int must be [low, high] with low below high, it is [3, 3]"),
            ("seed: { int: [1, 2.5] }", "two whole numbers"),
            ("learning_rate: { loguniform: [0, 1] }", "low above 0"),
            ("learning_rate: { uniform: [2, 1] }", "low below high, it is [2, 1]"),
            ("learning_rate: { uniform: [1] }", "two numbers, it is [1]"),
            ("learning_rate: { uniform: [a, b] }", "two numbers"),
            ("learning_rate: { uniform: [0, 1, 1] }", "points of a grid"),
            ("learning_rate: 3", "'learning_rate' must be as { choice: [1, 2] }"),
            ("learning_rate: { choice: [1], uniform: [1, 2] }", "more than one kind"),
            (
                "learning_rate: { choice: [1] }\n  optimizer.learning-rate: { choice: [2] }",
                "line 4, column 3: 'optimizer.learning-rate' is an option that is there twice",
            ),
        ] {
            let problem = section("a.yaml", &format!("sweep:\n values:\n  {values}\n")).unwrap_err();
            assert!(problem.contains(expected), "{values}: {problem}");
        }
        for (text, expected) in [
            ("model: simplemlp", "it has no section 'sweep'"),
            ("sweep: {}", "'values' is missing or empty"),
            ("sweep: { metrik: loss }", "unknown key of a sweep 'metrik'"),
            ("sweep: { metric: val_acc, values: { seed: { choice: [1] } } }", "'direction' is missing"),
            ("sweep: { direction: up }", "'direction' must be min or max, it is 'up'"),
        ] {
            let problem = section("a.yaml", text).unwrap_err();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
    }
}
