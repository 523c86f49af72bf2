//! Parameters that depend on a choice: an optimizer or a schedule has some of them, each under the name of
//! its option.

use crate::failure::Failure;
use isograd_model::optimizer::Scope;
use isograd_model::schedule::Span;

/// Where a parameter's value is.
#[derive(Debug)]
pub(crate) enum Value<'a> {
    Number(&'a mut f64),
    Count(&'a mut u32),
    Switch(&'a mut bool),
    /// Whether biases and normalisations are included.
    Scope(&'a mut Scope),
    /// A length in epochs.
    Epochs(&'a mut Span),
    /// Times in epochs.
    Milestones(&'a mut Vec<Span>),
}

/// A value that an option has given.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Given {
    Number(f64),
    Count(u32),
    Yes,
    Numbers(Vec<f64>),
}

/// Parameters by the names of their options, without the dashes.
pub(crate) type Parameters<'a> = Vec<(&'static str, Value<'a>)>;

impl Value<'_> {
    /// Sets the value. Each option has a parser of its own, so a value of another kind is a mistake here.
    fn set(self, given: Given) {
        match (self, given) {
            (Self::Number(value), Given::Number(given)) => *value = given,
            (Self::Count(value), Given::Count(given)) => *value = given,
            (Self::Switch(value), Given::Yes) => *value = true,
            (Self::Scope(value), Given::Yes) => *value = Scope::All,
            (Self::Epochs(value), Given::Number(given)) => *value = Span::Epochs(given),
            (Self::Milestones(value), Given::Numbers(given)) => {
                *value = given.into_iter().map(Span::Epochs).collect();
            }
            (value, given) => unreachable!("{given:?} for {value:?}"),
        }
    }

    /// The value as text. Unlike Display, Debug writes small numbers with an exponent.
    fn show(&self) -> String {
        let epochs = |span: &Span| match span {
            Span::Epochs(epochs) => format!("{epochs}"),
            other => format!("{other:?}"),
        };
        match self {
            Self::Number(value) => format!("{value:?}"),
            Self::Count(value) => value.to_string(),
            Self::Switch(value) => value.to_string(),
            Self::Scope(value) => (**value == Scope::All).to_string(),
            Self::Epochs(value) => epochs(value),
            Self::Milestones(value) => value.iter().map(epochs).collect::<Vec<_>>().join(","),
        }
    }
}

/// Sets those of `parameters` that options have given. An option for a parameter that `owner` does not have
/// is an error.
pub(crate) fn set(
    owner: &str,
    parameters: Parameters<'_>,
    given: impl IntoIterator<Item = (&'static str, Option<Given>)>,
) -> Result<(), Failure> {
    let names: Vec<String> = parameters.iter().map(|(name, _)| format!("--{name}")).collect();
    let mut parameters = parameters;
    for (option, given) in given.into_iter().filter_map(|(option, given)| Some((option, given?))) {
        match parameters.iter().position(|(name, _)| *name == option) {
            Some(place) => parameters.swap_remove(place).1.set(given),
            None => {
                let problem = format!("--{option} is not a parameter of {owner}, which has {}", list(&names));
                return Err(Failure::Usage { problem, hint: None });
            }
        }
    }
    Ok(())
}

/// Names and values, as rows of a table.
pub(crate) fn rows(parameters: Parameters<'_>) -> Vec<(&'static str, String)> {
    parameters.into_iter().map(|(name, value)| (name, value.show())).collect()
}

/// `a, b and c`.
fn list(names: &[String]) -> String {
    match names {
        [] => "none".to_string(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_values_are_set_and_shown() {
        let (mut number, mut count, mut switch, mut scope) = (1e-7, 5, false, Scope::Weights);
        let (mut epochs, mut milestones) = (Span::Epochs(30.0), Vec::new());
        let parameters = vec![
            ("number", Value::Number(&mut number)),
            ("count", Value::Count(&mut count)),
            ("switch", Value::Switch(&mut switch)),
            ("scope", Value::Scope(&mut scope)),
            ("epochs", Value::Epochs(&mut epochs)),
            ("milestones", Value::Milestones(&mut milestones)),
        ];
        let given = [
            ("count", Some(Given::Count(3))),
            ("number", None),
            ("switch", Some(Given::Yes)),
            ("scope", Some(Given::Yes)),
            ("epochs", Some(Given::Number(2.5))),
            ("milestones", Some(Given::Numbers(vec![10.0, 0.5]))),
        ];
        set("a test", parameters, given).unwrap();
        let parameters = vec![
            ("number", Value::Number(&mut number)),
            ("count", Value::Count(&mut count)),
            ("switch", Value::Switch(&mut switch)),
            ("scope", Value::Scope(&mut scope)),
            ("epochs", Value::Epochs(&mut epochs)),
            ("milestones", Value::Milestones(&mut milestones)),
        ];
        let values: Vec<String> = rows(parameters).into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, ["1e-7", "3", "true", "true", "2.5", "10,0.5"]);
    }

    #[test]
    fn what_there_is_is_listed() {
        let names = |names: &[&str]| list(&names.iter().map(|name| name.to_string()).collect::<Vec<_>>());
        assert_eq!([names(&[]), names(&["a"]), names(&["a", "b"])], ["none", "a", "a and b"]);
        assert_eq!(names(&["a", "b", "c"]), "a, b and c");
    }
}
