//! How the ranks of a job ended, and which of them was the first cause.

use super::message::RankStatus;
use crate::failure::{CONSEQUENCE, Failure};
use crate::system::signals::name;
use signal_hook::consts::SIGKILL;

/// How a rank ended, as far as the launcher knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Status(RankStatus),
    /// Its host was lost.
    Lost,
}

impl RankStatus {
    fn describe(self) -> String {
        match self {
            Self::Code(0) => "done".to_string(),
            Self::Code(code) if code == i32::from(CONSEQUENCE) => {
                format!("exit status {code}, because of another rank")
            }
            Self::Code(code) => format!("exit status {code}"),
            Self::Signal(number) => format!("signal {number} ({})", name(number)),
            Self::Killed => "killed, as the job was over".to_string(),
        }
    }
}

impl End {
    fn describe(self) -> String {
        match self {
            Self::Status(status) => status.describe(),
            Self::Lost => "lost with its host".to_string(),
        }
    }

    fn is_success(self) -> bool {
        self == Self::Status(RankStatus::Code(0))
    }

    /// Whether another rank, or the launcher, is the reason.
    fn is_consequence(self) -> bool {
        match self {
            Self::Status(RankStatus::Code(code)) => code == i32::from(CONSEQUENCE),
            Self::Status(status) => status == RankStatus::Killed,
            Self::Lost => false,
        }
    }

    /// As a shell reports it. Where all ranks say that another one is the reason, they wait for each other.
    fn exit_code(self) -> u8 {
        match self {
            Self::Status(RankStatus::Code(_)) if self.is_consequence() => 1,
            Self::Status(RankStatus::Code(code)) => u8::try_from(code).unwrap_or(1),
            Self::Status(RankStatus::Signal(number)) => u8::try_from(128 + number).unwrap_or(1),
            Self::Status(RankStatus::Killed) => 128 + SIGKILL as u8,
            Self::Lost => 1,
        }
    }
}

/// The ends of all ranks.
#[derive(Debug)]
pub(super) struct Ends {
    /// By rank: the name of its host.
    hosts: Vec<String>,
    /// By rank: its end, if it has ended.
    ends: Vec<Option<End>>,
    /// Ranks that failed, in the order in which that became known.
    failures: Vec<u32>,
    /// A host that failed, and why, before any rank of its own did.
    host_failure: Option<(String, String)>,
}

impl Ends {
    pub(super) fn new(hosts: Vec<String>) -> Self {
        let ends = vec![None; hosts.len()];
        Self { hosts, ends, failures: Vec::new(), host_failure: None }
    }

    /// `rank` has ended. An end that is known is not changed.
    pub(super) fn add(&mut self, rank: u32, end: End) {
        let Some(slot) = self.ends.get_mut(rank as usize).filter(|slot| slot.is_none()) else { return };
        *slot = Some(end);
        if !end.is_success() {
            self.failures.push(rank);
        }
    }

    /// A host has failed, and its ranks with it.
    pub(super) fn add_host(&mut self, name: &str, problem: String) {
        let has_cause = self.cause().is_some_and(|(_, end)| !end.is_consequence());
        if self.host_failure.is_none() && !has_cause {
            self.host_failure = Some((name.to_string(), problem));
        }
    }

    pub(super) fn count(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn are_all_known(&self) -> bool {
        self.ends.iter().all(Option::is_some)
    }

    pub(super) fn is_known(&self, rank: u32) -> bool {
        self.ends.get(rank as usize).is_none_or(Option::is_some)
    }

    /// Whether the job has ended without waiting for `rank`.
    pub(super) fn was_cut_off(&self, rank: u32) -> bool {
        let end = self.ends.get(rank as usize).copied().flatten();
        matches!(end, None | Some(End::Lost | End::Status(RankStatus::Killed)))
    }

    /// The rank that failed first, if possible not because of another.
    pub(super) fn cause(&self) -> Option<(u32, End)> {
        let end = |rank: &u32| self.ends[*rank as usize].map(|end| (*rank, end));
        let primary = self.failures.iter().filter_map(end).find(|(_, end)| !end.is_consequence());
        primary.or_else(|| self.failures.first().and_then(end))
    }

    /// The rank that all others waited for: they ended because of another rank, and it alone did not end by
    /// itself, as a stopped process does not.
    fn silent(&self) -> Option<u32> {
        let is = |rank: &u32, status| self.ends[*rank as usize] == Some(End::Status(status));
        let (killed, others): (Vec<u32>, Vec<u32>) =
            self.failures.iter().partition(|rank| is(rank, RankStatus::Killed));
        let blame = others.iter().all(|rank| is(rank, RankStatus::Code(CONSEQUENCE.into())));
        match killed.as_slice() {
            [rank] if blame && !others.is_empty() => Some(*rank),
            _ => None,
        }
    }

    /// What the job as a whole ended with, when `stop` was the signal that asked for its end.
    pub(super) fn result(&self, stop: Option<i32>) -> Result<(), Failure> {
        if let Some((host, problem)) = &self.host_failure {
            return Err(Failure::Host { host: host.clone(), problem: problem.clone() });
        }
        let Some((rank, end)) = self.cause() else {
            return stop.map_or(Ok(()), |signal| Err(Failure::stopped_by(signal)));
        };
        if let Some(signal) = stop
            && (end.exit_code() == 128 + signal as u8 || end.is_consequence())
        {
            return Err(Failure::stopped_by(signal));
        }
        if let Some(rank) = self.silent() {
            return Err(Failure::SilentRank { rank, host: self.hosts[rank as usize].clone() });
        }
        let host = self.hosts[rank as usize].clone();
        Err(Failure::Rank { rank, host, end: end.describe(), exit_code: end.exit_code() })
    }

    /// A line for each rank: its host and its end.
    pub(super) fn table(&self) -> String {
        let width = self.hosts.iter().map(String::len).max().unwrap_or(0).max("host".len());
        let mut table = format!("rank  {:width$}  end\n", "host");
        for (rank, (host, end)) in self.hosts.iter().zip(&self.ends).enumerate() {
            let end = end.map_or_else(|| "not known".to_string(), End::describe);
            table += &format!("{rank:>4}  {host:width$}  {end}\n");
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(list: &[(u32, End)]) -> Ends {
        let mut ends = Ends::new(["a", "a", "node", "node"].map(String::from).to_vec());
        list.iter().for_each(|(rank, end)| ends.add(*rank, *end));
        ends
    }

    const CODE: fn(i32) -> End = |code| End::Status(RankStatus::Code(code));
    const SIGNAL: fn(i32) -> End = |signal| End::Status(RankStatus::Signal(signal));

    #[test]
    fn the_first_failure_that_no_other_rank_caused_is_the_cause() {
        let killed = End::Status(RankStatus::Killed);
        for (list, rank, code, words) in [
            (vec![(1, CODE(3)), (0, CODE(0)), (3, CODE(7)), (2, CODE(9))], 3, 7, "exit status 7"),
            (vec![(0, CODE(3)), (1, killed), (2, SIGNAL(11))], 2, 139, "signal 11 (SIGSEGV)"),
            (vec![(1, CODE(3)), (0, CODE(3))], 1, 1, "exit status 3, because of another rank"),
            (vec![(1, CODE(3)), (0, killed), (3, killed)], 1, 1, "exit status 3, because of another rank"),
        ] {
            let ends = ends(&list);
            assert_eq!(ends.cause().map(|(rank, _)| rank), Some(rank), "{list:?}");
            match ends.result(None) {
                Err(Failure::Rank { rank: found, exit_code, end, .. }) => {
                    assert_eq!((found, exit_code, end.as_str()), (rank, code, words));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn the_rank_that_all_others_waited_for_is_the_cause() {
        let ends = ends(&[(1, CODE(3)), (3, CODE(3)), (0, End::Status(RankStatus::Killed)), (2, CODE(3))]);
        let error = ends.result(None).unwrap_err();
        assert!(matches!(error, Failure::SilentRank { rank: 0, .. }), "{error}");
    }

    #[test]
    fn a_job_that_was_asked_to_stop_has_stopped() {
        let ended = ends(&[(0, CODE(130)), (1, SIGNAL(2)), (2, CODE(3)), (3, CODE(130))]);
        assert!(matches!(ended.result(Some(2)), Err(Failure::Stopped { exit_code: 130, .. })));
        let failed = ends(&[(0, CODE(7)), (1, CODE(130))]);
        assert!(matches!(failed.result(Some(2)), Err(Failure::Rank { rank: 0, .. })));
        assert!(ends(&[]).result(None).is_ok());
    }

    #[test]
    fn the_table_has_all_ranks() {
        let mut ends = ends(&[(0, CODE(0)), (1, SIGNAL(9)), (2, End::Lost)]);
        assert!(!ends.are_all_known());
        assert_eq!(
            ends.table(),
            "rank  host  end\n   0  a     done\n   1  a     signal 9 (SIGKILL)\n   2  node  lost with its host\n   \
             3  node  not known\n"
        );
        ends.add(3, CODE(0));
        ends.add(3, CODE(1));
        assert!(ends.are_all_known() && ends.table().ends_with("3  node  done\n"));
    }
}
