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

const MVAPICH: Names = Names {
    launcher: Launcher::Mvapich,
    rank: "MV2_COMM_WORLD_RANK",
    world_size: Some("MV2_COMM_WORLD_SIZE"),
    local_rank: Some("MV2_COMM_WORLD_LOCAL_RANK"),
    local_world_size: Some("MV2_COMM_WORLD_LOCAL_SIZE"),
};
const PALS: Names = Names {
    launcher: Launcher::Pals,
    rank: "PALS_RANKID",
    world_size: Some("PALS_SIZE"),
    local_rank: Some("PALS_LOCAL_RANKID"),
    local_world_size: Some("PALS_LOCAL_SIZE"),
};
const JSM: Names = Names {
    launcher: Launcher::Jsm,
    rank: "JSM_NAMESPACE_RANK",
    world_size: Some("JSM_NAMESPACE_SIZE"),
    local_rank: Some("JSM_NAMESPACE_LOCAL_RANK"),
    local_world_size: Some("JSM_NAMESPACE_LOCAL_SIZE"),
};

const FLUX: Names = Names {
    launcher: Launcher::Flux,
    rank: "FLUX_TASK_RANK",
    world_size: Some("FLUX_JOB_SIZE"),
    local_rank: Some("FLUX_TASK_LOCAL_ID"),
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
    } else if is_set(get, FLUX.rank) {
        // Flux is itself often a job of Slurm; and it also speaks PMI.
        Some(&FLUX)
    } else if step.is_some_and(|step| step < SLURM_RESERVED_STEPS) && is_set(get, SLURM.rank) {
        Some(&SLURM)
    } else if pmi {
        Some(&PMI)
    } else if let Some(names) = [&MVAPICH, &PALS, &JSM].into_iter().find(|names| is_set(get, names.rank)) {
        Some(names)
    } else {
        // The shell of an allocation may itself be a process of PMIx.
        let is_shell = step.is_some_and(|step| step >= SLURM_RESERVED_STEPS);
        (is_set(get, PMIX.rank) && !is_shell).then_some(&PMIX)
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
        Launcher::Plain | Launcher::Pmix | Launcher::Mvapich | Launcher::Pals | Launcher::Jsm => None,
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
        Launcher::Flux => Some(format!("flux-{}", get("FLUX_JOB_ID")?)),
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
mod tests;
