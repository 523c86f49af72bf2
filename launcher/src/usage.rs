//! What clap says of a bad command line, in this program's form.

use crate::failure::Failure;
use clap::error::{ContextKind, ContextValue};
use std::error::Error;

/// A usage failure of one line: the option and what is wrong with its value, or clap's own message; and clap's suggestion.
pub(crate) fn failure(error: &clap::Error) -> Failure {
    if let (Some(ContextValue::String(option)), Some(source)) =
        (error.get(ContextKind::InvalidArg), error.source())
    {
        let option = option.split(' ').next().unwrap_or(option);
        return Failure::Usage { problem: format!("{option}: {source}"), hint: None };
    }
    let rendered = error.render().to_string();
    let mut paragraphs = rendered.split("\n\n").map(|paragraph| {
        paragraph.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
    });
    let problem = paragraphs.next().unwrap_or_default().trim_start_matches("error: ").to_string();
    let tip = paragraphs.find_map(|paragraph| paragraph.strip_prefix("tip: ").map(str::to_string));
    let hint =
        tip.unwrap_or_else(|| "'isograd --help' and 'isograd train --help' list what is known".to_string());
    Failure::Usage { problem, hint: Some(hint) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Arguments;
    use clap::Parser;

    fn message(args: &[&str]) -> String {
        let error = Arguments::try_parse_from(["isograd"].iter().chain(args)).unwrap_err();
        failure(&error).to_string()
    }

    #[test]
    fn a_bad_value_is_named_with_its_option() {
        assert_eq!(
            message(&["train", "--batch-size", "0"]),
            "--batch-size: must be a whole number from 1 to 4294967295, it is '0'"
        );
        assert!(
            message(&["train", "--optimizer=adm"]).starts_with("--optimizer: unknown optimizer 'adm'; known")
        );
    }

    #[test]
    fn messages_of_several_lines_become_one() {
        assert_eq!(
            message(&["evaluate"]),
            "the following required arguments were not provided: --load <FILE>"
        );
        assert_eq!(message(&["train", "--bach-size", "3"]), "unexpected argument '--bach-size' found");
        assert!(!message(&[]).contains('\n'));
    }

    #[test]
    fn the_nearest_option_is_suggested() {
        let error = Arguments::try_parse_from(["isograd", "train", "--bach-size", "3"]).unwrap_err();
        assert_eq!(failure(&error).hint().as_deref(), Some("a similar argument exists: '--batch-size'"));
    }
}
