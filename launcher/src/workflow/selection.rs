//! Which steps `--steps` chooses.

use crate::failure::Failure;
use crate::system::names;
use std::ops::Range;

/// For each of the steps called `names`, whether `text` chooses it: `0..2`, `2..`, names and numbers.
pub(super) fn parse(text: &str, names: &[String]) -> Result<Vec<bool>, Failure> {
    let wrong =
        |problem: String| Failure::Usage { problem: format!("--steps {text}: {problem}"), hint: None };
    let mut selected = vec![false; names.len()];
    for part in text.split(',').map(str::trim) {
        let range = range(part, names).map_err(wrong)?;
        selected[range].fill(true);
    }
    Ok(selected)
}

fn range(part: &str, names: &[String]) -> Result<Range<usize>, String> {
    let number = |text: &str, empty: usize| match text {
        "" => Ok(empty),
        text => text.parse::<usize>().map_err(|_| format!("'{text}' must be the number of a step, from 0")),
    };
    if let Some((start, end)) = part.split_once("..") {
        let (start, end) = (number(start, 0)?, number(end, names.len())?);
        return match start < end && end <= names.len() {
            true => Ok(start..end),
            false => Err(format!("{part} must be a range of the steps 0..{}", names.len())),
        };
    }
    if let Some(place) = names.iter().position(|name| name == part) {
        return Ok(place..place + 1);
    }
    match part.parse::<usize>() {
        Ok(number) if number < names.len() => Ok(number..number + 1),
        Ok(number) => {
            Err(format!("there is no step {number}, the last one is {}", names.len().saturating_sub(1)))
        }
        Err(_) => {
            let known: Vec<&str> = names.iter().map(String::as_str).collect();
            Err(names::unknown("step", part, &known))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_names_and_numbers_choose_steps() {
        let names = ["get", "split", "fit", "test"].map(str::to_string);
        let chosen = |text: &str| {
            parse(text, &names)
                .map_err(|failure| failure.to_string())
                .map(|chosen| (0..names.len()).filter(|number| chosen[*number]).collect::<Vec<_>>())
        };
        assert_eq!(chosen("0..2").unwrap(), [0, 1]);
        assert_eq!(chosen("2..").unwrap(), [2, 3]);
        assert_eq!(chosen("..1, test").unwrap(), [0, 3]);
        assert_eq!(chosen("fit,0").unwrap(), [0, 2]);
        for (text, expected) in [
            (
                "fitt",
                "--steps fitt: unknown step 'fitt'; known are get, split, fit, test; did you mean 'fit'?",
            ),
            ("4", "--steps 4: there is no step 4, the last one is 3"),
            ("2..2", "--steps 2..2: 2..2 must be a range of the steps 0..4"),
            ("1..9", "--steps 1..9: 1..9 must be a range of the steps 0..4"),
            ("a..2", "--steps a..2: 'a' must be the number of a step, from 0"),
        ] {
            assert_eq!(chosen(text).unwrap_err(), expected);
        }
    }
}
