//! The cores of this machine, and their division among ranks.

use std::collections::BTreeSet;

/// The numbers of the cores that this process may run on; never none.
#[cfg(target_os = "linux")]
pub(crate) fn available() -> Vec<usize> {
    let set = rustix::thread::sched_getaffinity(None);
    let cores: Vec<usize> = set
        .map(|set| (0..rustix::thread::CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect())
        .unwrap_or_default();
    if cores.is_empty() { vec![0] } else { cores }
}

/// As far as known elsewhere: as many as there are.
#[cfg(not(target_os = "linux"))]
pub(crate) fn available() -> Vec<usize> {
    (0..std::thread::available_parallelism().map_or(1, usize::from)).collect()
}

/// The number of cores of the machine.
pub(crate) fn online() -> usize {
    #[cfg(target_os = "linux")]
    if let Ok(list) = std::fs::read_to_string("/sys/devices/system/cpu/online")
        && let Some(cores) = parse(list.trim())
    {
        return cores.len();
    }
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The numbers of a list like `0-3,8`; `None` if it is no such list, or has a number that no core has.
pub(crate) fn parse(list: &str) -> Option<Vec<usize>> {
    /// More cores than any machine has.
    const MOST: usize = 4096;
    let mut cores = BTreeSet::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.parse::<usize>().ok().filter(|core| *core < MOST);
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return None;
        }
        cores.extend(first..=last);
    }
    Some(cores.into_iter().collect())
}

/// Binds this thread, and whatever it starts, to `cores`.
#[cfg(target_os = "linux")]
pub(crate) fn bind(cores: &[usize]) -> std::io::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn bind(_cores: &[usize]) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Cores for each of `ranks` ranks: neighbouring ones, as evenly as can be; `None` if there are fewer cores than ranks.
pub(crate) fn divide(cores: &[usize], ranks: usize) -> Option<Vec<Vec<usize>>> {
    let start = |rank: usize| rank * cores.len() / ranks;
    (cores.len() >= ranks)
        .then(|| (0..ranks).map(|rank| cores[start(rank)..start(rank + 1)].to_vec()).collect())
}

/// `0-3,8`.
pub(crate) fn list(cores: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for core in cores {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *core => *last = *core,
            _ => runs.push((*core, *core)),
        }
    }
    let text = |(first, last)| if first == last { format!("{first}") } else { format!("{first}-{last}") };
    runs.into_iter().map(text).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_divided_evenly_or_not_at_all() {
        assert_eq!(divide(&[0, 1, 2, 5, 6], 2), Some(vec![vec![0, 1], vec![2, 5, 6]]));
        assert_eq!(divide(&[3, 4], 2), Some(vec![vec![3], vec![4]]));
        assert_eq!(divide(&[0, 1], 3), None);
    }

    #[test]
    fn lists_are_written_and_read() {
        assert_eq!(list(&[0, 1, 2, 8, 10, 11]), "0-2,8,10-11");
        assert_eq!(parse("10-11,0-2,8,1"), Some(vec![0, 1, 2, 8, 10, 11]));
        assert_eq!(parse("0"), Some(vec![0]));
        for text in ["", "3-1", "a-b", "1,", "0-99999999999", "4096"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn there_is_a_core() {
        assert!(!available().is_empty());
        assert!(online() >= available().len());
    }
}
