//! The cores of this machine, and their division among ranks.

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
        && let Some(count) = count(list.trim())
    {
        return count;
    }
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// How many numbers a list like `0-3,8` has.
#[cfg(any(target_os = "linux", test))]
fn count(list: &str) -> Option<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        last.parse::<usize>().ok()?.checked_sub(first.parse().ok()?)?.checked_add(1)
    };
    list.split(',').map(range).sum()
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
    fn lists_are_written_and_counted() {
        assert_eq!(list(&[0, 1, 2, 8, 10, 11]), "0-2,8,10-11");
        assert_eq!(count("0-2,8,10-11"), Some(6));
        assert_eq!((count("0"), count(""), count("3-1"), count("a-b")), (Some(1), None, None, None));
    }

    #[test]
    fn there_is_a_core() {
        assert!(!available().is_empty());
        assert!(online() >= available().len());
    }
}
