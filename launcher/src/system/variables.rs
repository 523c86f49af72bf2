//! Names of environment variables.

/// The rank of a process, and the number of all ranks.
pub(crate) const RANK: &str = "RANK";
pub(crate) const WORLD_SIZE: &str = "WORLD_SIZE";
/// The same among the ranks of its host.
pub(crate) const LOCAL_RANK: &str = "LOCAL_RANK";
pub(crate) const LOCAL_WORLD_SIZE: &str = "LOCAL_WORLD_SIZE";
/// Where ranks meet that another launcher has started; ranks of an agent are told otherwise.
pub(crate) const MASTER_ADDR: &str = "MASTER_ADDR";
pub(crate) const MASTER_PORT: &str = "MASTER_PORT";
/// The process whose end ends a rank. A rank that has it reads where to meet the others from its standard
/// input.
pub(crate) const PARENT: &str = "ISOGRAD_PARENT";
/// The columns of the terminal that shows a rank's progress.
pub(crate) const PROGRESS: &str = "ISOGRAD_PROGRESS";

/// The process whose end ends its children: those of a sweep.
pub(crate) const OWNER: &str = "ISOGRAD_OWNER";

/// All but the last of these: an agent sets or removes them for each rank.
const OF_AGENT: [&str; 8] =
    [RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT, PARENT, PROGRESS];

/// Checks that a user can set the variable `name` for ranks.
pub(crate) fn check(name: &str) -> Result<(), String> {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_possible =
        !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(is_inner);
    if !is_possible {
        return Err(format!("'{}' cannot be the name of a variable", super::escape::excerpt(name)));
    }
    match OF_AGENT.contains(&name) {
        true => Err(format!("{name} is set by isograd itself, for each rank")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_impossible_or_taken_are_refused() {
        assert!(check("RUST_LOG").is_ok() && check("_a1").is_ok() && check("RANKS").is_ok());
        assert_eq!(check("1a").unwrap_err(), "'1a' cannot be the name of a variable");
        assert!(check("").is_err() && check("a b").is_err());
        assert_eq!(check("LOCAL_RANK").unwrap_err(), "LOCAL_RANK is set by isograd itself, for each rank");
    }
}
