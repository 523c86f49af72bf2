//! Which rank this process is, from the variables that launchers set.

use std::fs;

use super::MAX_WORLD;
use crate::error::Error;

/// Who set the variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum System {
    /// The user, or a launcher that uses the names of PyTorch's: `RANK`, `WORLD_SIZE`, `LOCAL_RANK`,
    /// `LOCAL_WORLD_SIZE`.
    Plain,
    /// Open MPI's `mpirun`.
    OpenMpi,
    /// Hydra, the `mpirun` of MPICH and Intel MPI, or another process manager that speaks PMI.
    Pmi,
    /// Slurm's `srun`.
    Slurm,
}

/// Which rank this process is, and what its launcher tells about the group.
///
/// ```
/// use isograd_comm::Variables;
/// let set = [("RANK", "2"), ("WORLD_SIZE", "4"), ("MASTER_ADDR", "10.0.0.1"), ("MASTER_PORT", "29500")];
/// let get = |name: &str| set.iter().find(|(other, _)| *other == name).map(|(_, value)| value.to_string());
/// let variables = Variables::read(get)?.expect("a rank of a group");
/// assert_eq!((variables.rank, variables.world), (2, 4));
/// assert_eq!(variables.master.as_deref(), Some("10.0.0.1:29500"));
/// assert!(Variables::read(|_| None)?.is_none(), "a single process");
/// # Ok::<(), isograd_comm::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Variables {
    /// Who set them.
    pub system: System,
    /// This process, from 0 to `world` - 1.
    pub rank: usize,
    /// The number of ranks.
    pub world: usize,
    /// This process among those of its host.
    pub local_rank: Option<usize>,
    /// The number of ranks on this host.
    pub local_world: Option<usize>,
    /// `host:port` of `MASTER_ADDR` and `MASTER_PORT`, which all systems may use.
    pub master: Option<String>,
    /// What names the job, the same in all its ranks. Without a master it is always there, if need be as the process
    /// that started the ranks of this host.
    pub job: Option<String>,
    /// The address of the host where the job was started, which may not be that of rank 0.
    pub launch_host: Option<String>,
}

/// The names that one system uses.
struct Names {
    system: System,
    rank: &'static str,
    world: &'static str,
    /// Rank and number of ranks on this host; the second is not always told.
    local: (&'static str, Option<&'static str>),
}

const PLAIN: Names = Names {
    system: System::Plain,
    rank: "RANK",
    world: "WORLD_SIZE",
    local: ("LOCAL_RANK", Some("LOCAL_WORLD_SIZE")),
};
const OPEN_MPI: Names = Names {
    system: System::OpenMpi,
    rank: "OMPI_COMM_WORLD_RANK",
    world: "OMPI_COMM_WORLD_SIZE",
    local: ("OMPI_COMM_WORLD_LOCAL_RANK", Some("OMPI_COMM_WORLD_LOCAL_SIZE")),
};
const PMI: Names = Names {
    system: System::Pmi,
    rank: "PMI_RANK",
    world: "PMI_SIZE",
    local: ("MPI_LOCALRANKID", Some("MPI_LOCALNRANKS")),
};
const SLURM: Names = Names {
    system: System::Slurm,
    rank: "SLURM_PROCID",
    world: "SLURM_NTASKS",
    local: ("SLURM_LOCALID", None),
};

/// From here on, the numbers of Slurm's steps are those of batch scripts and shells.
const SLURM_RESERVED_STEPS: u32 = 0xffff_fff0;

impl Variables {
    /// Reads the variables with `get`, which is [`std::env::var`] in disguise; nothing when no launcher set any: then
    /// the process is alone.
    ///
    /// # Errors
    ///
    /// When some variables of a system are set and others are not, when a value is no number, or a rank is not below
    /// the number of ranks.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, Error> {
        let get = &get;
        let master = master(get)?;
        let Some(names) = names(get) else {
            let Some(_) = master else { return Ok(None) };
            return Err(Error::VariableMissing { present: "MASTER_ADDR".into(), missing: PLAIN.rank.into() });
        };
        let (rank, world) = numbers(get, names.rank, names.world)?;
        let (local_rank, local_world) = match names.local {
            (rank, Some(world)) if is_set(get, rank) || is_set(get, world) => {
                let (rank, world) = numbers(get, rank, world)?;
                (Some(rank), Some(world))
            }
            (_, Some(_)) => (None, None),
            (rank, None) => (get(rank).map(|value| number(rank, value, 0, MAX_WORLD - 1)).transpose()?, None),
        };
        let job = job(get, names.system).or_else(|| master.is_none().then(|| launcher(names.rank)));
        let launch_host = get("SLURM_LAUNCH_NODE_IPADDR").filter(|_| names.system == System::Slurm);
        let system = names.system;
        Ok(Some(Self { system, rank, world, local_rank, local_world, master, job, launch_host }))
    }
}

fn is_set(get: &impl Fn(&str) -> Option<String>, name: &str) -> bool {
    get(name).is_some()
}

/// The system whose variables count. A process manager started by another one inherits the other's: the innermost
/// counts.
fn names(get: &impl Fn(&str) -> Option<String>) -> Option<&'static Names> {
    let any = |names: &[&str]| names.iter().any(|name| is_set(get, name));
    let step = get("SLURM_STEP_ID").and_then(|step| step.parse::<u32>().ok());
    let pmi = any(&[PMI.rank, PMI.world]);
    if any(&[PLAIN.rank, PLAIN.world, "LOCAL_RANK", "LOCAL_WORLD_SIZE"]) {
        Some(&PLAIN)
    } else if any(&[OPEN_MPI.rank, OPEN_MPI.world]) {
        Some(&OPEN_MPI)
    } else if pmi && is_set(get, PMI.local.0) {
        Some(&PMI)
    } else if step.is_some_and(|step| step < SLURM_RESERVED_STEPS) && is_set(get, SLURM.rank) {
        Some(&SLURM)
    } else {
        pmi.then_some(&PMI)
    }
}

/// A rank and the number of ranks.
fn numbers(get: &impl Fn(&str) -> Option<String>, rank: &str, world: &str) -> Result<(usize, usize), Error> {
    let missing = |present: &str, missing: &str| Error::VariableMissing {
        present: present.into(),
        missing: missing.into(),
    };
    let (rank_value, world_value) = match (get(rank), get(world)) {
        (Some(rank), Some(world)) => (rank, world),
        (None, Some(_)) => return Err(missing(world, rank)),
        (Some(_), None) => return Err(missing(rank, world)),
        // Only the local variables are set.
        (None, None) => return Err(missing("LOCAL_RANK", rank)),
    };
    let ranks = number(world, world_value, 1, MAX_WORLD)?;
    let number = number(rank, rank_value.clone(), 0, MAX_WORLD - 1)?;
    if number >= ranks {
        let expected = format!("a number below {world}={ranks}");
        return Err(Error::VariableValue { name: rank.into(), value: rank_value, expected });
    }
    Ok((number, ranks))
}

fn number(name: &str, value: String, low: usize, high: usize) -> Result<usize, Error> {
    let number = value.parse().ok().filter(|number| (low..=high).contains(number));
    number.ok_or_else(|| Error::VariableValue {
        name: name.into(),
        value,
        expected: format!("a number from {low} to {high}"),
    })
}

fn master(get: &impl Fn(&str) -> Option<String>) -> Result<Option<String>, Error> {
    let missing = |present: &str, missing: &str| {
        Err(Error::VariableMissing { present: present.into(), missing: missing.into() })
    };
    match (get("MASTER_ADDR"), get("MASTER_PORT")) {
        (None, None) => Ok(None),
        (Some(_), None) => missing("MASTER_ADDR", "MASTER_PORT"),
        (None, Some(_)) => missing("MASTER_PORT", "MASTER_ADDR"),
        (Some(host), Some(port)) => {
            let port = number("MASTER_PORT", port, 1, u16::MAX.into())?;
            let bare_v6 = host.contains(':') && !host.starts_with('[');
            Ok(Some(if bare_v6 { format!("[{host}]:{port}") } else { format!("{host}:{port}") }))
        }
    }
}

/// What the system itself calls the job.
fn job(get: &impl Fn(&str) -> Option<String>, system: System) -> Option<String> {
    match system {
        System::Plain => None,
        System::OpenMpi => {
            let member = || Some(get("PMIX_ID")?.rsplit_once('.')?.0.to_owned());
            let id = get("PMIX_NAMESPACE").or_else(|| get("OMPI_MCA_ess_base_jobid")).or_else(member)?;
            Some(format!("openmpi-{id}"))
        }
        System::Pmi => Some(format!("pmi-{}", get("PMI_JOBID")?)),
        System::Slurm => Some(format!("slurm-{}.{}", get("SLURM_JOB_ID")?, get("SLURM_STEP_ID")?)),
    }
}

/// The process that started the ranks of this host: the nearest ancestor that is no rank itself (shells and wrappers
/// around a rank are), by number and start.
fn launcher(rank_variable: &str) -> String {
    match rustix::process::getppid() {
        Some(parent) => launcher_above(parent.as_raw_nonzero().get(), rank_variable),
        None => "launcher-0".into(),
    }
}

fn launcher_above(mut pid: i32, rank_variable: &str) -> String {
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

    fn read(set: &[(&str, &str)]) -> Result<Option<Variables>, Error> {
        Variables::read(|name| set.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).into()))
    }

    fn rank(set: &[(&str, &str)]) -> Variables {
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
        assert_eq!(variables.system, System::Plain);
        assert_eq!((variables.rank, variables.world), (3, 4));
        assert_eq!((variables.local_rank, variables.local_world), (Some(1), Some(2)));
        assert_eq!(variables.master.as_deref(), Some("[fd00::2]:29500"));
        assert_eq!(variables.job, None);
        // They count before those of another system.
        let mut both = set.to_vec();
        both.extend([("OMPI_COMM_WORLD_RANK", "0"), ("OMPI_COMM_WORLD_SIZE", "1")]);
        assert_eq!(rank(&both), variables);
        // Without a master the ranks of one launcher share its name.
        let job = rank(&set[..2]).job.unwrap();
        assert!(job.starts_with("launcher-"), "{job}");
        assert_eq!(rank(&[("RANK", "0"), ("WORLD_SIZE", "4")]).job.unwrap(), job);
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
        assert_eq!(variables.system, System::OpenMpi);
        assert_eq!((variables.rank, variables.world), (1, 2));
        assert_eq!((variables.local_rank, variables.local_world), (Some(1), Some(2)));
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
        assert_eq!(variables.system, System::Pmi);
        assert_eq!((variables.rank, variables.world), (1, 2));
        assert_eq!((variables.local_rank, variables.local_world), (Some(1), Some(2)));
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
        assert_eq!(variables.system, System::Slurm);
        assert_eq!((variables.rank, variables.world), (5, 8));
        assert_eq!((variables.local_rank, variables.local_world), (Some(1), None));
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
        let name = launcher_above(inner_parent, "ISOGRAD_TEST_RANK");
        let own = launcher_above(std::process::id() as i32, "ISOGRAD_TEST_RANK");
        let of_shell = launcher_above(inner_parent, "ISOGRAD_OTHER");
        drop(shell.stdin.take());
        shell.wait().unwrap();
        assert_eq!(name, own);
        assert!(own.starts_with(&format!("launcher-{}-", std::process::id())), "{own}");
        assert!(of_shell.starts_with(&format!("launcher-{inner_parent}-")), "{of_shell}");
    }
}
