//! Conditions on runs: `model=resnet20_cifar10 and val_acc>90`.

use super::read::{Cell, Run};
use crate::failure::Failure;
use crate::system::names;

/// A comparison of a key's value.
#[derive(Debug, Clone, PartialEq)]
struct Comparison {
    key: String,
    operator: Operator,
    value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Contains,
}

/// Longer ones first.
const OPERATORS: [(&str, Operator); 8] = [
    ("!=", Operator::Unequal),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("==", Operator::Equal),
    ("=", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::Greater),
    ("~", Operator::Contains),
];

/// Comparisons of which all must hold, in lists of which one must hold.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition(Vec<Vec<Comparison>>);

impl Condition {
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let comparisons = |text: &str| split(text, "and").map(|text| Comparison::parse(&text)).collect();
        split(text, "or").map(|text| comparisons(&text)).collect::<Result<_, _>>().map(Self)
    }

    /// Whether it holds for `run`; never for a key that the run does not have.
    pub(super) fn holds(&self, run: &Run) -> bool {
        self.0.iter().any(|all| all.iter().all(|one| run.get(&one.key).is_some_and(|cell| one.holds(cell))))
    }

    /// Checks that some run has each key.
    pub(super) fn check(&self, runs: &[Run]) -> Result<(), Failure> {
        self.0.iter().flatten().try_for_each(|one| check_key("--filter", &one.key, runs))
    }
}

/// Checks that some of `runs`, if there are any, has the key `key`.
pub(super) fn check_key(option: &str, key: &str, runs: &[Run]) -> Result<(), Failure> {
    if runs.is_empty() || runs.iter().any(|run| run.get(key).is_some()) {
        return Ok(());
    }
    let mut known: Vec<&str> =
        runs.iter().flat_map(|run| run.values().iter().map(|(key, _)| key.as_str())).collect();
    known.sort_unstable();
    known.dedup();
    Err(Failure::Usage { problem: format!("{option}: {}", names::unknown("key", key, &known)), hint: None })
}

/// The parts of `text` between the words `word`, outside of quotes.
fn split(text: &str, word: &str) -> impl Iterator<Item = String> {
    let mut parts = vec![String::new()];
    let mut quote = None;
    for piece in text.split_inclusive(' ') {
        if quote.is_none() && piece.trim().eq_ignore_ascii_case(word) {
            parts.push(String::new());
            continue;
        }
        for c in piece.chars().filter(|c| matches!(c, '"' | '\'')) {
            quote = match quote {
                None => Some(c),
                Some(open) if open == c => None,
                open => open,
            };
        }
        parts.last_mut().expect("there is one").push_str(piece);
    }
    parts.into_iter()
}

impl Comparison {
    fn parse(text: &str) -> Result<Self, Failure> {
        let usage = |problem: String| Failure::Usage {
            problem: format!("--filter: {problem}"),
            hint: Some("a condition is as 'model=resnet20_cifar10 and val_acc>90'".to_string()),
        };
        let text = text.trim();
        let place = text.find(|c| "=!<>~".contains(c)).unwrap_or(text.len());
        let (key, rest) = text.split_at(place);
        let operator = OPERATORS.iter().find(|(sign, _)| rest.starts_with(sign));
        let Some((sign, operator)) = operator else {
            return Err(usage(format!("'{text}' has no comparison (= != < <= > >= ~)")));
        };
        let value = rest[sign.len()..].trim();
        let quoted = |quote: char| value.strip_prefix(quote).and_then(|value| value.strip_suffix(quote));
        let value = quoted('"').or_else(|| quoted('\'')).unwrap_or(value);
        let key = key.trim().trim_start_matches("--").replace('-', "_");
        if key.is_empty() {
            return Err(usage(format!("'{text}' has no key")));
        }
        let is_order = !matches!(operator, Operator::Equal | Operator::Unequal | Operator::Contains);
        if is_order && value.parse::<f64>().is_err() {
            return Err(usage(format!("'{text}' compares with '{value}', which is no number")));
        }
        Ok(Self { key, operator: *operator, value: value.to_string() })
    }

    fn holds(&self, cell: &Cell) -> bool {
        let number = self.value.parse::<f64>();
        match (cell, number, self.operator) {
            (Cell::Number(own), Ok(other), Operator::Equal) => *own == other,
            (Cell::Number(own), Ok(other), Operator::Unequal) => *own != other,
            (Cell::Number(own), Ok(other), Operator::Less) => *own < other,
            (Cell::Number(own), Ok(other), Operator::LessOrEqual) => *own <= other,
            (Cell::Number(own), Ok(other), Operator::Greater) => *own > other,
            (Cell::Number(own), Ok(other), Operator::GreaterOrEqual) => *own >= other,
            (Cell::Number(own), _, Operator::Contains) => own.to_string().contains(&self.value),
            (Cell::Text(own), _, Operator::Equal) => *own == self.value,
            (Cell::Text(own), _, Operator::Unequal) => *own != self.value,
            (Cell::Text(own), _, Operator::Contains) => own.contains(&self.value),
            (Cell::Number(_), Err(_), operator) => operator == Operator::Unequal,
            (Cell::Text(_), ..) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isograd_model::logger::RunLog;

    fn run() -> Run {
        let folder = tempfile::tempdir().unwrap();
        let text =
            r#"{"event":"start","time":1,"run":"a and b","model":"resnet20","settings":{"batch-size":"64"}}"#;
        std::fs::write(folder.path().join(RunLog::NAME), text).unwrap();
        Run::read(folder.path()).unwrap()
    }

    #[test]
    fn conditions_hold_or_do_not() {
        let run = run();
        for (text, expected) in [
            ("model=resnet20", true),
            ("model != resnet20", false),
            ("model~net", true),
            ("batch_size>=64 and model=resnet20", true),
            ("--batch-size<64 or model = \"resnet20\"", true),
            ("batch_size<64 or model=x and batch_size=64", false),
            ("run='a and b'", true),
            ("val_acc>1", false),
        ] {
            let condition = Condition::parse(text).unwrap_or_else(|failure| panic!("{failure}"));
            assert_eq!(condition.holds(&run), expected, "{text}");
        }
    }

    #[test]
    fn bad_conditions_are_told() {
        for (text, expected) in [
            ("model", "'model' has no comparison"),
            ("acc>high", "which is no number"),
            ("=3", "has no key"),
            ("a=1 and ", "'' has no comparison"),
        ] {
            let problem = Condition::parse(text).unwrap_err().to_string();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
        let problem = Condition::parse("modle=x").unwrap().check(&[run()]).unwrap_err().to_string();
        assert!(problem.contains("did you mean 'model'?"), "{problem}");
    }
}
