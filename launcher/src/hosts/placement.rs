//! Chooses the hosts of a job, and divides the ranks among them.

use super::{Error, Host};
use crate::system::names;

/// The choice among the hosts of a list.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    /// Only these hosts, unless the list is empty.
    pub(crate) include: Vec<String>,
    /// Not these hosts.
    pub(crate) exclude: Vec<String>,
}

/// The ranks of a host: `count` of them, from `first` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) first: u32,
    pub(crate) count: u32,
}

/// The chosen hosts in the order of the list; at least one.
pub(crate) fn select(hosts: Vec<Host>, selection: &Selection) -> Result<Vec<Host>, Error> {
    let Selection { include, exclude } = selection;
    for (option, names) in [("--include", include), ("--exclude", exclude)] {
        if let Some(name) = names.iter().find(|name| hosts.iter().all(|host| host.name != **name)) {
            let known: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
            return Err(Error::Choice { option, problem: names::unknown("host", name, &known) });
        }
    }
    let is_chosen =
        |host: &Host| (include.is_empty() || include.contains(&host.name)) && !exclude.contains(&host.name);
    let chosen: Vec<Host> = hosts.into_iter().filter(is_chosen).collect();
    if chosen.is_empty() {
        return Err(Error::Choice { option: "--exclude", problem: "no host is left".to_string() });
    }
    Ok(chosen)
}

/// Divides `ranks`, or as many as there are slots, among hosts with these slots and upper limits. Each host
/// gets its slots, in the order of the list. Ranks that are left are dealt out one at a time to the hosts
/// that may have more.
pub(crate) fn place(slots: &[(u32, Option<u32>)], ranks: Option<u32>) -> Result<Vec<Place>, Error> {
    let total: u32 = slots.iter().map(|(slots, _)| slots).sum();
    let most: u32 = slots.iter().map(|(slots, max)| max.unwrap_or(*slots).max(*slots)).sum();
    let ranks = ranks.unwrap_or(total);
    if ranks > most {
        return Err(Error::TooFewSlots { ranks, slots: total, most });
    }
    let mut left = ranks;
    let mut counts: Vec<u32> = Vec::new();
    for (slots, _) in slots {
        counts.push(left.min(*slots));
        left -= left.min(*slots);
    }
    while left > 0 {
        for (count, (_, max)) in counts.iter_mut().zip(slots) {
            if left > 0 && max.is_some_and(|max| *count < max) {
                *count += 1;
                left -= 1;
            }
        }
    }
    let mut first = 0;
    let place = |count| {
        let place = Place { first, count };
        first += count;
        place
    };
    Ok(counts.into_iter().map(place).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(slots: &[(u32, Option<u32>)], ranks: Option<u32>) -> Vec<(u32, u32)> {
        place(slots, ranks).unwrap().iter().map(|place| (place.first, place.count)).collect()
    }

    #[test]
    fn hosts_are_filled_in_their_turn() {
        let slots = [(2, None), (8, None), (4, None)];
        assert_eq!(counts(&slots, None), [(0, 2), (2, 8), (10, 4)]);
        assert_eq!(counts(&slots, Some(3)), [(0, 2), (2, 1), (3, 0)]);
    }

    #[test]
    fn more_ranks_than_slots_go_round() {
        let slots = [(1, Some(3)), (2, None), (1, Some(2))];
        assert_eq!(counts(&slots, Some(6)), [(0, 2), (2, 2), (4, 2)]);
        assert_eq!(counts(&slots, Some(7)), [(0, 3), (3, 2), (5, 2)]);
        let message = place(&slots, Some(8)).unwrap_err().to_string();
        assert_eq!(message, "-n 8: the hosts have 4 slots, and take at most 7 ranks");
        let message = place(&[(1, None)], Some(2)).unwrap_err().to_string();
        assert_eq!(message, "-n 2: the hosts have 1 slot, and take at most 1 rank");
    }

    #[test]
    fn hosts_are_chosen_by_name() {
        let hosts = || ["a", "b", "c"].map(|name| Host { name: name.into(), ..Host::default() }).to_vec();
        let names = |include: &[&str], exclude: &[&str]| {
            let own = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
            let selection = Selection { include: own(include), exclude: own(exclude) };
            select(hosts(), &selection)
                .map(|hosts| hosts.into_iter().map(|host| host.name).collect::<Vec<_>>())
                .map_err(|failure| failure.to_string())
        };
        assert_eq!(names(&["c", "a"], &[]), Ok(vec!["a".into(), "c".into()]));
        assert_eq!(names(&[], &["b"]), Ok(vec!["a".into(), "c".into()]));
        assert!(
            names(&["d"], &[]).unwrap_err().starts_with("--include: unknown host 'd'; known are a, b, c")
        );
        assert_eq!(names(&["a"], &["a"]), Err("--exclude: no host is left".into()));
    }
}
