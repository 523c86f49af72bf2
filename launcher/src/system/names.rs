//! Names that a user may have mistyped.

/// How alike two names must be, from 0 to 1, for one to be proposed for the other.
const ALIKE: f64 = 0.7;

/// The message that `name` is none of the `known` names of a `what`, with the nearest one.
pub(crate) fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let likeness = |known: &str| strsim::jaro_winkler(&known.to_lowercase(), &name.to_lowercase());
    let nearest =
        known.iter().map(|known| (likeness(known), known)).filter(|(likeness, _)| *likeness > ALIKE);
    let nearest = nearest.max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = nearest.map_or_else(String::new, |(_, known)| format!("; did you mean '{known}'?"));
    format!("unknown {what} '{name}'; known are {}{hint}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_proposed() {
        assert_eq!(
            unknown("command", "trian", &["train", "bench"]),
            "unknown command 'trian'; known are train, bench; did you mean 'train'?"
        );
        assert_eq!(unknown("host", "x", &["node1"]), "unknown host 'x'; known are node1");
    }
}
