//! Which rank this process is, from the environment variables that launchers set.
//!
//! Every launcher has names of its own for the same few numbers: [`Names`]. Where launchers are nested, the
//! innermost one counts. Users, pods and `torchrun` all set the plain names.
//! If they contradict the launcher that started this process, they are refused: with `RANK=0 WORLD_SIZE=1`
//! from a pod, each process of an `mpirun` would take itself for the only one.

use crate::error::{Error, VariablesError};
use crate::launcher::Launcher;
use crate::limits::MAX_WORLD;
use std::fs;

/// Which rank this process is, and what its launcher tells about the group.
///
/// ```
/// use isograd_comm::RankVariables;
/// let set = [("RANK", "2"), ("WORLD_SIZE", "4"), ("MASTER_ADDR", "10.0.0.1"), ("MASTER_PORT", "29500")];
/// let get = |name: &str| set.iter().find(|(other, _)| *other == name).map(|(_, value)| value.to_string());
/// let variables = RankVariables::read(get)?.expect("a rank of a group");
/// assert_eq!((variables.rank, variables.world_size), (2, 4));
/// assert_eq!(variables.master.as_deref(), Some("10.0.0.1:29500"));
/// assert!(RankVariables::read(|_| None)?.is_none(), "a single process");
/// # Ok::<(), isograd_comm::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RankVariables {
    /// The program that set them.
    pub launcher: Launcher,
    /// This process, from 0 to `world_size` - 1.
    pub rank: usize,
    /// The number of ranks.
    pub world_size: usize,
    /// The number of this process among those of its host.
    pub local_rank: Option<usize>,
    /// The number of ranks on this host.
    pub local_world_size: Option<usize>,
    /// `host:port` of `MASTER_ADDR` and `MASTER_PORT`, which all launchers may use. Not with a `torchrun`
    /// whose ranks are all on this host: they need no port, and `torchrun` itself listens at that one.
    pub master: Option<String>,
    /// The name of the job, the same in all its ranks. It is always there if there is no master: if the
    /// launcher gives no name, the process that started the ranks of this host is the name.
    pub job: Option<String>,
    /// The address of the host where the job was started, which may not be that of rank 0.
    pub launch_host: Option<String>,
}

/// The names that one launcher uses.
struct Names {
    launcher: Launcher,
    rank: &'static str,
    world_size: Option<&'static str>,
    local_rank: Option<&'static str>,
    local_world_size: Option<&'static str>,
}

const PLAIN: Names = Names {
    launcher: Launcher::Plain,
    rank: "RANK",
    world_size: Some("WORLD_SIZE"),
    local_rank: Some("LOCAL_RANK"),
    local_world_size: Some("LOCAL_WORLD_SIZE"),
};
const TORCHRUN: Names = Names { launcher: Launcher::Torchrun, ..PLAIN };
const OPEN_MPI: Names = Names {
    launcher: Launcher::OpenMpi,
    rank: "OMPI_COMM_WORLD_RANK",
    world_size: Some("OMPI_COMM_WORLD_SIZE"),
    local_rank: Some("OMPI_COMM_WORLD_LOCAL_RANK"),
    local_world_size: Some("OMPI_COMM_WORLD_LOCAL_SIZE"),
};
const PMI: Names = Names {
    launcher: Launcher::Pmi,
    rank: "PMI_RANK",
    world_size: Some("PMI_SIZE"),
    local_rank: Some("MPI_LOCALRANKID"),
    local_world_size: Some("MPI_LOCALNRANKS"),
};
const PMIX: Names = Names {
    launcher: Launcher::Pmix,
    rank: "PMIX_RANK",
    world_size: None,
    local_rank: None,
    local_world_size: None,
};
const SLURM: Names = Names {
    launcher: Launcher::Slurm,
    rank: "SLURM_PROCID",
    world_size: Some("SLURM_NTASKS"),
    local_rank: Some("SLURM_LOCALID"),
    local_world_size: None,
};

/// `torchrun` sets this in its ranks only.
const TORCHRUN_JOB: &str = "TORCHELASTIC_RUN_ID";

/// From here on, the numbers of Slurm's steps are those of batch scripts and shells.
const SLURM_RESERVED_STEPS: u32 = 0xffff_fff0;

impl RankVariables {
    /// Reads the variables with `get`, which behaves as [`std::env::var`]; nothing when no launcher set any:
    /// then the process is alone.
    ///
    /// # Errors
    ///
    /// When some variables of a launcher are set and others are not, when a value is no number, when a rank
    /// is not below the number of ranks, or when the plain variables contradict those of the launcher that
    /// started this process.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, Error> {
        let get = &get;
        let master = master(get)?;
        let Some(names) = names(get)? else {
            let Some(_) = master else { return Ok(None) };
            return Err(missing("MASTER_ADDR", PLAIN.rank));
        };
        let Some(world_size) = names.world_size else {
            return Err(missing(names.rank, "the pair of RANK and WORLD_SIZE"));
        };
        let launcher = names.launcher;
        let (rank, world_size) = numbers(get, names.rank, world_size)?;
        let (local_rank, local_world_size) = match (names.local_rank, names.local_world_size) {
            (Some(rank), Some(size)) if is_set(get, rank) || is_set(get, size) => {
                let (rank, size) = numbers(get, rank, size)?;
                (Some(rank), Some(size))
            }
            (Some(rank), None) => {
                (get(rank).map(|value| number(rank, value, 0, MAX_WORLD - 1)).transpose()?, None)
            }
            _ => (None, None),
        };
        let is_torchrun_here = launcher == Launcher::Torchrun && local_world_size == Some(world_size);
        let master = master.filter(|_| !is_torchrun_here);
        let job = job(get, launcher, is_torchrun_here);
        let job = job.or_else(|| master.is_none().then(|| starter(names.rank)));
        let launch_host = get("SLURM_LAUNCH_NODE_IPADDR").filter(|_| launcher == Launcher::Slurm);
        Ok(Some(Self { launcher, rank, world_size, local_rank, local_world_size, master, job, launch_host }))
    }
}

impl Names {
    fn all(&self) -> impl Iterator<Item = &'static str> {
        [Some(self.rank), self.world_size, self.local_rank, self.local_world_size].into_iter().flatten()
    }

    /// Those that are set, as a shell would set them: `RANK=0 WORLD_SIZE=1`.
    fn assignments(&self, get: &impl Fn(&str) -> Option<String>) -> String {
        let set = self.all().filter_map(|name| Some(format!("{name}={}", get(name)?)));
        set.collect::<Vec<_>>().join(" ")
    }

    /// Those that are set: `RANK WORLD_SIZE`.
    fn set(&self, get: &impl Fn(&str) -> Option<String>) -> String {
        self.all().filter(|name| is_set(get, name)).collect::<Vec<_>>().join(" ")
    }
}

fn is_set(get: &impl Fn(&str) -> Option<String>, name: &str) -> bool {
    get(name).is_some()
}

fn missing(present: &str, missing: &str) -> Error {
    VariablesError::Missing { present: present.into(), missing: missing.into() }.into()
}

/// The launcher whose variables count.
fn names(get: &impl Fn(&str) -> Option<String>) -> Result<Option<&'static Names>, Error> {
    let started = started_by(get);
    if !PLAIN.all().any(|name| is_set(get, name)) {
        return Ok(started);
    }
    // `srun torchrun …`: torchrun's ranks are not those of Slurm, whose variables they inherit.
    if is_set(get, TORCHRUN_JOB) {
        return Ok(Some(&TORCHRUN));
    }
    match started {
        Some(started) => check_plain(get, started).map(|()| Some(&PLAIN)),
        None => Ok(Some(&PLAIN)),
    }
}

/// The launcher that started this process, by the names that only launchers set. The process manager of a
/// remote host may itself be a task of another one, and its ranks inherit the other's variables: the
/// innermost one counts.
fn started_by(get: &impl Fn(&str) -> Option<String>) -> Option<&'static Names> {
    let any = |names: &[&str]| names.iter().any(|name| is_set(get, name));
    let step = get("SLURM_STEP_ID").and_then(|step| step.parse::<u32>().ok());
    let pmi = any(&["PMI_RANK", "PMI_SIZE"]);
    if any(&["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"]) {
        Some(&OPEN_MPI)
    } else if pmi && is_set(get, "MPI_LOCALRANKID") {
        Some(&PMI)
    } else if step.is_some_and(|step| step < SLURM_RESERVED_STEPS) && is_set(get, SLURM.rank) {
        Some(&SLURM)
    } else if pmi {
        Some(&PMI)
    } else {
        is_set(get, PMIX.rank).then_some(&PMIX)
    }
}

/// Refuses plain variables that are incomplete or say something else than those of the launcher that started
/// this process.
fn check_plain(get: &impl Fn(&str) -> Option<String>, started: &Names) -> Result<(), Error> {
    let pairs = [
        (Some(PLAIN.rank), Some(started.rank)),
        (PLAIN.world_size, started.world_size),
        (PLAIN.local_rank, started.local_rank),
        (PLAIN.local_world_size, started.local_world_size),
    ];
    let value = |name: Option<&str>| get(name?).map(|value| value.parse::<usize>().map_err(|_| value));
    let differs = |(plain, other): &(Option<&str>, Option<&str>)| match (value(*plain), value(*other)) {
        (Some(plain), Some(other)) => plain != other,
        _ => false,
    };
    let absent = ["RANK", "WORLD_SIZE"].into_iter().filter(|name| !is_set(get, name)).collect::<Vec<_>>();
    if absent.is_empty() && !pairs.iter().any(differs) {
        return Ok(());
    }
    let without =
        if absent.is_empty() { String::new() } else { format!(" (and no {})", absent.join(" or ")) };
    Err(VariablesError::Contradiction {
        plain: PLAIN.assignments(get) + &without,
        launcher: started.launcher,
        started: started.assignments(get),
        unset: PLAIN.set(get),
        or_unset: started.set(get),
    }
    .into())
}

/// A rank and the number of ranks.
fn numbers(
    get: &impl Fn(&str) -> Option<String>,
    rank: &str,
    world_size: &str,
) -> Result<(usize, usize), Error> {
    let (rank_value, size_value) = match (get(rank), get(world_size)) {
        (Some(rank), Some(world_size)) => (rank, world_size),
        (None, Some(_)) => return Err(missing(world_size, rank)),
        (Some(_), None) => return Err(missing(rank, world_size)),
        // Only the local variables are set.
        (None, None) => return Err(missing("LOCAL_RANK", rank)),
    };
    let ranks = number(world_size, size_value, 1, MAX_WORLD)?;
    let number = number(rank, rank_value.clone(), 0, MAX_WORLD - 1)?;
    if number >= ranks {
        let expected = format!("a number below {world_size}={ranks}");
        return Err(VariablesError::Value { name: rank.into(), value: rank_value, expected }.into());
    }
    Ok((number, ranks))
}

fn number(name: &str, value: String, low: usize, high: usize) -> Result<usize, Error> {
    let number = value.parse().ok().filter(|number| (low..=high).contains(number));
    number.ok_or_else(|| {
        let expected = format!("a number from {low} to {high}");
        VariablesError::Value { name: name.into(), value, expected }.into()
    })
}

fn master(get: &impl Fn(&str) -> Option<String>) -> Result<Option<String>, Error> {
    match (get("MASTER_ADDR"), get("MASTER_PORT")) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(missing("MASTER_ADDR", "MASTER_PORT")),
        (None, Some(_)) => Err(missing("MASTER_PORT", "MASTER_ADDR")),
        (Some(host), Some(port)) => {
            let port = number("MASTER_PORT", port, 1, u16::MAX.into())?;
            let bare_v6 = host.contains(':') && !host.starts_with('[');
            Ok(Some(if bare_v6 { format!("[{host}]:{port}") } else { format!("{host}:{port}") }))
        }
    }
}

/// The job's name that the launcher gives.
fn job(get: &impl Fn(&str) -> Option<String>, launcher: Launcher, is_torchrun_here: bool) -> Option<String> {
    match launcher {
        Launcher::Plain | Launcher::Pmix => None,
        // Ranks that torchrun starts again are a new job: those of the old one may still be there.
        Launcher::Torchrun => is_torchrun_here.then(|| {
            let restarts = get("TORCHELASTIC_RESTART_COUNT").unwrap_or_default();
            format!("{}-{restarts}", starter(TORCHRUN_JOB))
        }),
        Launcher::OpenMpi => {
            let member = || Some(get("PMIX_ID")?.rsplit_once('.')?.0.to_owned());
            let id = get("PMIX_NAMESPACE").or_else(|| get("OMPI_MCA_ess_base_jobid")).or_else(member)?;
            Some(format!("openmpi-{id}"))
        }
        Launcher::Pmi => Some(format!("pmi-{}", get("PMI_JOBID")?)),
        Launcher::Slurm => Some(format!("slurm-{}.{}", get("SLURM_JOB_ID")?, get("SLURM_STEP_ID")?)),
    }
}

/// The process that started the ranks of this host: the nearest ancestor that is no rank itself (shells and
/// wrappers around a rank are), by its number and the time of its start.
fn starter(rank_variable: &str) -> String {
    match rustix::process::getppid() {
        Some(parent) => starter_above(parent.as_raw_nonzero().get(), rank_variable),
        None => "launcher-0".into(),
    }
}

fn starter_above(mut pid: i32, rank_variable: &str) -> String {
    let assignment = format!("{rank_variable}=");
    loop {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let is_rank =
            environment.split(|&byte| byte == 0).any(|entry| entry.starts_with(assignment.as_bytes()));
        // After the name in parentheses: state, parent, …; the start is the 20th.
        let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<&str> =
            status.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace().collect();
        match fields.get(1).and_then(|parent| parent.parse().ok()) {
            Some(parent) if is_rank && parent > 0 => pid = parent,
            _ => return format!("launcher-{pid}-{}", fields.get(19).unwrap_or(&"0")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    fn read(set: &[(&str, &str)]) -> Result<Option<RankVariables>, Error> {
        RankVariables::read(|name| {
            set.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).into())
        })
    }

    fn rank(set: &[(&str, &str)]) -> RankVariables {
        read(set).unwrap().expect("a rank")
    }

    fn message(set: &[(&str, &str)]) -> String {
        read(set).unwrap_err().to_string()
    }

    #[test]
    fn no_variables_are_a_single_process() {
        assert_eq!(read(&[]).unwrap(), None);
        assert_eq!(read(&[("PATH", "/bin"), ("OMPI_UNIVERSE_SIZE", "2")]).unwrap(), None);
    }

    #[test]
    fn plain_variables() {
        let set = [
            ("RANK", "3"),
            ("WORLD_SIZE", "4"),
            ("LOCAL_RANK", "1"),
            ("LOCAL_WORLD_SIZE", "2"),
            ("MASTER_ADDR", "fd00::2"),
            ("MASTER_PORT", "29500"),
        ];
        let variables = rank(&set);
        assert_eq!(variables.launcher, Launcher::Plain);
        assert_eq!((variables.rank, variables.world_size), (3, 4));
        assert_eq!((variables.local_rank, variables.local_world_size), (Some(1), Some(2)));
        assert_eq!(variables.master.as_deref(), Some("[fd00::2]:29500"));
        assert_eq!(variables.job, None);
        // Without a master the ranks of one launcher share its name.
        let job = rank(&set[..2]).job.unwrap();
        assert!(job.starts_with("launcher-"), "{job}");
        assert_eq!(rank(&[("RANK", "0"), ("WORLD_SIZE", "4")]).job.unwrap(), job);
    }

    /// What Open MPI sets for rank 1 of 2.
    const IN_OPEN_MPI: [(&str, &str); 4] = [
        ("OMPI_COMM_WORLD_RANK", "1"),
        ("OMPI_COMM_WORLD_SIZE", "2"),
        ("OMPI_COMM_WORLD_LOCAL_RANK", "1"),
        ("OMPI_COMM_WORLD_LOCAL_SIZE", "2"),
    ];

    #[test]
    fn plain_variables_that_contradict_the_launcher_are_refused() {
        let inside = |launcher: &[(&'static str, &'static str)], plain: &[(&'static str, &'static str)]| {
            read(&[launcher, plain].concat())
        };
        let of_pod = [("RANK", "0"), ("WORLD_SIZE", "1")];
        let refusals: [(&[(&str, &str)], &str); 6] = [
            (&of_pod, "RANK=0 WORLD_SIZE=1"),
            (&[("RANK", "0"), ("WORLD_SIZE", "2")], "RANK=0 WORLD_SIZE=2"),
            (&[("RANK", "0")], "RANK=0 (and no WORLD_SIZE)"),
            (&[("WORLD_SIZE", "2")], "WORLD_SIZE=2 (and no RANK)"),
            (&[("LOCAL_RANK", "1")], "LOCAL_RANK=1 (and no RANK or WORLD_SIZE)"),
            (
                &[("RANK", "1"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "1")],
                "RANK=1 WORLD_SIZE=2 LOCAL_RANK=0 LOCAL_WORLD_SIZE=1",
            ),
        ];
        for (plain, words) in refusals {
            let names: Vec<&str> = plain.iter().map(|(name, _)| *name).collect();
            assert_eq!(
                inside(&IN_OPEN_MPI, plain).unwrap_err().to_string(),
                format!(
                    "{words} contradict OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_LOCAL_RANK=1 \
                     OMPI_COMM_WORLD_LOCAL_SIZE=2, which Open MPI has set: unset {}; or, if they are right, unset \
                     OMPI_COMM_WORLD_RANK OMPI_COMM_WORLD_SIZE OMPI_COMM_WORLD_LOCAL_RANK OMPI_COMM_WORLD_LOCAL_SIZE",
                    names.join(" ")
                )
            );
        }
        let slurm = [("SLURM_STEP_ID", "0"), ("SLURM_PROCID", "1"), ("SLURM_NTASKS", "2")];
        for launcher in [&slurm[..], &[("PMI_RANK", "1"), ("PMI_SIZE", "2")], &[("PMIX_RANK", "1")]] {
            let error = inside(launcher, &of_pod).unwrap_err();
            assert!(matches!(error, Error::Variables(VariablesError::Contradiction { .. })), "{error}");
            let same = inside(launcher, &[("RANK", "1"), ("WORLD_SIZE", "2")]).unwrap().unwrap();
            assert_eq!((same.launcher, same.rank, same.world_size), (Launcher::Plain, 1, 2));
        }
        // The variables of a batch script are no rank's.
        let batch = [("SLURM_STEP_ID", "4294967291"), ("SLURM_PROCID", "0"), ("SLURM_NTASKS", "8")];
        assert_eq!(inside(&batch, &of_pod).unwrap().unwrap().world_size, 1);
    }

    #[test]
    fn pmix_alone_does_not_make_every_rank_the_only_one() {
        assert_eq!(
            message(&[("PMIX_RANK", "1"), ("PMIX_NAMESPACE", "prterun-host-1@1")]),
            "PMIX_RANK is set, but the pair of RANK and WORLD_SIZE is not"
        );
    }

    /// What torchrun documents that it sets, for rank 3 of 4.
    fn torchrun(local: &'static [(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
        let always = [
            ("RANK", "3"),
            ("WORLD_SIZE", "4"),
            ("GROUP_RANK", "0"),
            ("ROLE_RANK", "3"),
            ("ROLE_WORLD_SIZE", "4"),
            ("MASTER_ADDR", "node1"),
            ("MASTER_PORT", "29500"),
            ("TORCHELASTIC_RESTART_COUNT", "0"),
            ("TORCHELASTIC_MAX_RESTARTS", "0"),
            ("TORCHELASTIC_RUN_ID", "none"),
            ("TORCHELASTIC_USE_AGENT_STORE", "True"),
        ];
        [&always[..], local].concat()
    }

    #[test]
    fn ranks_of_one_torchrun_meet_without_its_port() {
        let set = torchrun(&[("LOCAL_RANK", "3"), ("LOCAL_WORLD_SIZE", "4")]);
        let variables = rank(&set);
        assert_eq!(variables.launcher, Launcher::Torchrun);
        assert_eq!((variables.rank, variables.world_size, variables.local_world_size), (3, 4, Some(4)));
        assert_eq!(variables.master, None);
        let job = variables.job.unwrap();
        assert!(job.starts_with("launcher-") && job.ends_with("-0"), "{job}");
        let mut again = set.clone();
        again.retain(|(name, _)| *name != "TORCHELASTIC_RESTART_COUNT");
        again.push(("TORCHELASTIC_RESTART_COUNT", "1"));
        assert_ne!(rank(&again).job.unwrap(), job);
    }

    #[test]
    fn ranks_of_torchruns_on_several_hosts_meet_at_the_master() {
        let mut set = torchrun(&[("LOCAL_RANK", "1"), ("LOCAL_WORLD_SIZE", "2")]);
        // Slurm has started the torchrun of each host: these are not the ranks' own numbers.
        set.extend([("SLURM_STEP_ID", "0"), ("SLURM_PROCID", "1"), ("SLURM_NTASKS", "2")]);
        let variables = rank(&set);
        assert_eq!((variables.launcher, variables.rank), (Launcher::Torchrun, 3));
        assert_eq!((variables.master.as_deref(), variables.job), (Some("node1:29500"), None));
    }

    #[test]
    fn half_a_set_names_the_missing_one() {
        assert_eq!(message(&[("RANK", "0")]), "RANK is set, but WORLD_SIZE is not");
        assert_eq!(message(&[("WORLD_SIZE", "2")]), "WORLD_SIZE is set, but RANK is not");
        assert_eq!(message(&[("LOCAL_RANK", "0")]), "LOCAL_RANK is set, but RANK is not");
        let set = [("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "0"), ("MASTER_PORT", "1")];
        assert_eq!(message(&set[..3]), "LOCAL_RANK is set, but LOCAL_WORLD_SIZE is not");
        assert_eq!(message(&set), "MASTER_PORT is set, but MASTER_ADDR is not");
        assert_eq!(message(&[("MASTER_ADDR", "a")]), "MASTER_ADDR is set, but MASTER_PORT is not");
        let master = [("MASTER_ADDR", "a"), ("MASTER_PORT", "1")];
        assert_eq!(message(&master), "MASTER_ADDR is set, but RANK is not");
        let open_mpi = [("OMPI_COMM_WORLD_SIZE", "2")];
        assert_eq!(message(&open_mpi), "OMPI_COMM_WORLD_SIZE is set, but OMPI_COMM_WORLD_RANK is not");
        let slurm = [("SLURM_STEP_ID", "0"), ("SLURM_PROCID", "1")];
        assert_eq!(message(&slurm), "SLURM_PROCID is set, but SLURM_NTASKS is not");
    }

    #[test]
    fn numbers_that_cannot_be() {
        let plain = |rank, world| message(&[("RANK", rank), ("WORLD_SIZE", world)]);
        assert_eq!(plain("4", "4"), "RANK=4: expected a number below WORLD_SIZE=4");
        assert_eq!(plain("-1", "4"), "RANK=-1: expected a number from 0 to 65535");
        assert_eq!(plain("", "4"), "RANK=: expected a number from 0 to 65535");
        assert_eq!(plain("0", "0"), "WORLD_SIZE=0: expected a number from 1 to 65536");
        assert_eq!(plain("0", "65537"), "WORLD_SIZE=65537: expected a number from 1 to 65536");
        let set = [("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "a"), ("MASTER_PORT", "65536")];
        assert_eq!(message(&set), "MASTER_PORT=65536: expected a number from 1 to 65535");
    }

    #[test]
    fn open_mpi() {
        let set = [
            ("OMPI_COMM_WORLD_RANK", "1"),
            ("OMPI_COMM_WORLD_SIZE", "2"),
            ("OMPI_COMM_WORLD_LOCAL_RANK", "1"),
            ("OMPI_COMM_WORLD_LOCAL_SIZE", "2"),
            ("PMIX_ID", "732758017.1"),
            ("OMPI_MCA_ess_base_jobid", "732758018"),
            ("PMIX_NAMESPACE", "732758019"),
            // The daemon of a remote host was started by Slurm and is its task.
            ("SLURM_STEP_ID", "0"),
            ("SLURM_PROCID", "0"),
            ("SLURM_NTASKS", "1"),
        ];
        let variables = rank(&set);
        assert_eq!(variables.launcher, Launcher::OpenMpi);
        assert_eq!((variables.rank, variables.world_size), (1, 2));
        assert_eq!((variables.local_rank, variables.local_world_size), (Some(1), Some(2)));
        assert_eq!(variables.job.as_deref(), Some("openmpi-732758019"));
        assert_eq!(rank(&set[..6]).job.as_deref(), Some("openmpi-732758018"));
        assert_eq!(rank(&set[..5]).job.as_deref(), Some("openmpi-732758017"));
    }

    #[test]
    fn hydra() {
        // What MPICH's mpirun sets: no name of the job among it.
        let set = [
            ("PMI_RANK", "1"),
            ("PMI_SIZE", "2"),
            ("MPI_LOCALRANKID", "1"),
            ("MPI_LOCALNRANKS", "2"),
            ("PMI_FD", "8"),
            ("SLURM_STEP_ID", "0"),
            ("SLURM_PROCID", "0"),
            ("SLURM_NTASKS", "1"),
        ];
        let variables = rank(&set);
        assert_eq!(variables.launcher, Launcher::Pmi);
        assert_eq!((variables.rank, variables.world_size), (1, 2));
        assert_eq!((variables.local_rank, variables.local_world_size), (Some(1), Some(2)));
        assert!(variables.job.unwrap().starts_with("launcher-"));
        // Without the local ones it is another PMI.
        let variables = rank(&[set[0], set[1], ("PMI_JOBID", "77")]);
        assert_eq!((variables.local_rank, variables.job.as_deref()), (None, Some("pmi-77")));
    }

    #[test]
    fn slurm() {
        let set = [
            ("SLURM_JOB_ID", "812"),
            ("SLURM_NTASKS", "8"),
            ("SLURM_LAUNCH_NODE_IPADDR", "10.1.0.3"),
            ("SLURM_LOCALID", "1"),
            ("SLURM_PROCID", "5"),
            ("SLURM_STEP_ID", "2"),
            // srun --mpi=pmi2 sets these beside its own.
            ("PMI_RANK", "5"),
            ("PMI_SIZE", "8"),
        ];
        let variables = rank(&set);
        assert_eq!(variables.launcher, Launcher::Slurm);
        assert_eq!((variables.rank, variables.world_size), (5, 8));
        assert_eq!((variables.local_rank, variables.local_world_size), (Some(1), None));
        assert_eq!(variables.job.as_deref(), Some("slurm-812.2"));
        assert_eq!(variables.launch_host.as_deref(), Some("10.1.0.3"));
        // A batch script, old and new, and an interactive shell are no ranks.
        assert_eq!(read(&set[..5]).unwrap(), None);
        for step in ["4294967291", "4294967290"] {
            let mut shell = set[..5].to_vec();
            shell.push(("SLURM_STEP_ID", step));
            assert_eq!(read(&shell).unwrap(), None);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_launcher_is_the_nearest_ancestor_that_is_no_rank() {
        // This test starts a shell that is a rank by its environment, and that starts another one.
        let mut shell = Command::new("sh")
            .args(["-c", "sh -c 'echo $PPID; read line'; true"])
            .env("ISOGRAD_TEST_RANK", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let inner_parent = line.trim().parse().unwrap();
        let name = starter_above(inner_parent, "ISOGRAD_TEST_RANK");
        let own = starter_above(std::process::id() as i32, "ISOGRAD_TEST_RANK");
        let of_shell = starter_above(inner_parent, "ISOGRAD_OTHER");
        drop(shell.stdin.take());
        shell.wait().unwrap();
        assert_eq!(name, own);
        assert!(own.starts_with(&format!("launcher-{}-", std::process::id())), "{own}");
        assert!(of_shell.starts_with(&format!("launcher-{inner_parent}-")), "{of_shell}");
    }
}
