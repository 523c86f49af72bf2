//! The cores of this machine, and their division among ranks.

use crate::system::cpu_quota::cpu_quota;
use std::collections::BTreeSet;

/// What limits the cores that this process can keep busy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CoreLimits {
    /// Cores of the machine.
    pub(crate) online: usize,
    /// Cores that this process may run on.
    pub(crate) available: usize,
    /// CPUs that it may use at a time, where a control group limits them.
    pub(crate) quota: Option<f64>,
}

impl CoreLimits {
    /// Those of this process.
    pub(crate) fn of_this_process() -> Self {
        Self { online: online(), available: available().len(), quota: cpu_quota() }
    }

    /// The cores that this process can keep busy; at least one.
    pub(crate) fn usable(&self) -> usize {
        within(self.available, self.quota)
    }

    /// The cores for each of `ranks` ranks of this host, of which this process is one; at least one.
    pub(crate) fn share(&self, ranks: usize) -> usize {
        // A process that may run on all cores shares them with the other ranks; one that is bound has its
        // share already.
        let cores = if self.available == self.online { self.available / ranks } else { self.available };
        // A quota is the container's, and so that of all its ranks.
        let quota = self.quota.map_or(cores, |quota| quota.ceil() as usize / ranks);
        cores.min(quota).max(1)
    }

    /// Why this process can keep busy fewer cores than the machine has, if it can: the limit that is lower.
    pub(crate) fn reason(&self) -> Option<String> {
        let Self { online, available, quota } = *self;
        let plural = |count: f64| if count == 1.0 { "" } else { "s" };
        match quota {
            Some(quota) if self.usable() < available => {
                let [cpus, cores] = [quota, available as f64].map(plural);
                Some(format!("a quota of {quota} CPU{cpus}; {available} core{cores} are visible"))
            }
            _ if available < online => Some(format!("bound to {available} of {online} cores")),
            _ => None,
        }
    }
}

/// As many of `cores` cores as a quota allows to keep busy; part of a CPU counts as one.
pub(crate) fn within(cores: usize, quota: Option<f64>) -> usize {
    quota.map_or(cores, |quota| cores.min(quota.ceil().max(1.0) as usize))
}

/// The numbers of the cores that this process may run on; at least one.
#[cfg(target_os = "linux")]
pub(crate) fn available() -> Vec<usize> {
    let set = rustix::thread::sched_getaffinity(None);
    let cores: Vec<usize> = set
        .map(|set| (0..rustix::thread::CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect())
        .unwrap_or_default();
    if cores.is_empty() { vec![0] } else { cores }
}

/// On other systems, the number of visible cores.
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

/// Parses a list like `0-3,8`; `None` if it is not such a list, or has a number beyond any core's.
pub(crate) fn parse(list: &str) -> Option<Vec<usize>> {
    /// The most cores that a machine can have.
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

/// Binds this thread, and the threads and processes that it starts, to `cores`.
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

/// Cores for each of `ranks` ranks: neighbouring ones, as evenly as can be; `None` if fewer cores than ranks
/// can be kept busy.
///
/// A quota does not say which cores its CPU time is spent on, and other containers may have their ranks on
/// the first ones. So the ranks divide all visible cores, and only their number is limited.
pub(crate) fn divide(cores: &[usize], quota: Option<f64>, ranks: usize) -> Option<Vec<Vec<usize>>> {
    let start = |rank: usize| rank * cores.len() / ranks;
    (within(cores.len(), quota) >= ranks)
        .then(|| (0..ranks).map(|rank| cores[start(rank)..start(rank + 1)].to_vec()).collect())
}

/// Writes a list like `0-3,8`.
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
        assert_eq!(divide(&[0, 1, 2, 5, 6], None, 2), Some(vec![vec![0, 1], vec![2, 5, 6]]));
        assert_eq!(divide(&[3, 4], Some(1.5), 2), Some(vec![vec![3], vec![4]]));
        assert_eq!(divide(&[0, 1], None, 3), None);
        assert_eq!(divide(&[0, 1, 2, 3], Some(1.0), 2), None);
    }

    #[test]
    fn a_quota_limits_the_cores_and_is_shared() {
        let limits = |available, quota| CoreLimits { online: 8, available, quota };
        for (limits, usable, share_of_2) in [
            (limits(8, None), 8, 4),
            (limits(8, Some(3.5)), 4, 2),
            (limits(8, Some(3.0)), 3, 1),
            (limits(8, Some(0.5)), 1, 1),
            (limits(8, Some(16.0)), 8, 4),
            // Bound to its own part.
            (limits(3, None), 3, 3),
            (limits(4, Some(4.0)), 4, 2),
        ] {
            assert_eq!((limits.usable(), limits.share(2)), (usable, share_of_2), "{limits:?}");
        }
    }

    #[test]
    fn the_lower_limit_is_the_reason() {
        let reason = |available, quota| CoreLimits { online: 2, available, quota }.reason();
        assert_eq!(reason(2, None), None);
        assert_eq!(reason(2, Some(2.0)), None);
        assert_eq!(reason(2, Some(1.0)).unwrap(), "a quota of 1 CPU; 2 cores are visible");
        assert_eq!(reason(1, None).unwrap(), "bound to 1 of 2 cores");
        assert_eq!(reason(1, Some(1.0)).unwrap(), "bound to 1 of 2 cores");
        let many = CoreLimits { online: 8, available: 8, quota: Some(2.5) };
        assert_eq!(
            (many.usable(), many.reason().unwrap().as_str()),
            (3, "a quota of 2.5 CPUs; 8 cores are visible")
        );
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
