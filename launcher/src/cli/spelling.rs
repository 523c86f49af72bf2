//! One spelling of options: `--batch_size` becomes `--batch-size`.

use std::ffi::OsString;

/// Replaces every `_` in the name of a long option by `-`. Values stay as they are, also those behind the `=`
/// of an option, and so does everything behind a bare `--`.
pub(crate) fn normalize(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut options = true;
    args.into_iter()
        .map(|arg| {
            options &= arg != "--";
            if options { normalize_option(arg) } else { arg }
        })
        .collect()
}

fn normalize_option(arg: OsString) -> OsString {
    let Some(text) = arg.to_str().filter(|text| text.starts_with("--")) else { return arg };
    let (name, value) = text.split_at(text.find('=').unwrap_or(text.len()));
    format!("{}{value}", name.replace('_', "-")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalized(args: &[&str]) -> Vec<OsString> {
        normalize(args.iter().map(OsString::from))
    }

    #[test]
    fn names_of_long_options_lose_their_underscores() {
        assert_eq!(
            normalized(&["isograd", "train", "--batch_size", "8", "--num_epochs=2", "--shard-size"]),
            ["isograd", "train", "--batch-size", "8", "--num-epochs=2", "--shard-size"]
        );
    }

    #[test]
    fn values_keep_theirs() {
        let args = ["a_b", "--save=my_net_1.st", "--history", "my_log.csv", "-a_b", "--loss=x=y_z"];
        assert_eq!(normalized(&args), args);
    }

    #[test]
    fn nothing_changes_after_a_bare_double_dash() {
        assert_eq!(normalized(&["--a_b", "--", "--a_b"]), ["--a-b", "--", "--a_b"]);
    }

    #[cfg(unix)]
    #[test]
    fn arguments_that_are_no_text_pass() {
        use std::os::unix::ffi::OsStringExt;
        let arg = OsString::from_vec(b"--a_b\xff".to_vec());
        assert_eq!(normalize([arg.clone()]), [arg]);
    }
}
