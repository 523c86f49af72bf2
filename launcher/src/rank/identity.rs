//! Which rank this process is, and how it meets the others.

use crate::cli::plan::{Execution, RankPlan};
use crate::failure::Failure;
use crate::job::{Decoder, MeetingPoint};
use crate::output::Output;
use crate::rank::stop::StopRequest;
use crate::system::cores::CoreLimits;
use crate::system::variables::{self, PARENT};
use isograd_comm::{
    Communicator, Error, Key, Launcher, Meeting, Place, RankVariables, RendezvousError, Settings,
    SharedMemoryError,
};
#[cfg(feature = "mpi")]
use isograd_comm::{Mpi, Transport};
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
#[cfg(feature = "mpi")]
use std::sync::Mutex;

/// The most threads for each core: more do not make a rank faster, and many more would spend their time on
/// taking turns.
const THREADS_PER_CORE: usize = 4;
/// The variable that names the file with the job's key, as `--key-file` does.
const KEY_FILE: &str = "ISOGRAD_KEY_FILE";
/// A way for users of torchrun to give the ranks a port of their own.
const PORT_BESIDE_TORCHRUN: &str = "'torchrun ... --no-python env MASTER_PORT=PORT isograd ...' names another port, which torchrun does not hold";

/// Which rank of a job this process is, and how it meets the others.
#[derive(Debug)]
pub(crate) struct RankIdentity {
    pub(crate) rank: usize,
    pub(crate) world: usize,
    /// The number of ranks on this host; of all ranks, if that is not known.
    pub(crate) local_world: usize,
    place: Option<Place>,
    /// Where this rank listens for the others.
    listen: Vec<SocketAddr>,
    /// By rank: the address at which this rank connects to it, if not at its first one.
    routes: Vec<Option<IpAddr>>,
    job: String,
    launcher: Launcher,
}

/// The variables that an agent sets for its ranks.
const OF_AGENT: [&str; 4] =
    [variables::RANK, variables::WORLD_SIZE, variables::LOCAL_RANK, variables::LOCAL_WORLD_SIZE];

impl RankIdentity {
    /// Reads the environment. If that says nothing of ranks, this process is alone. Of several ranks only the
    /// first one prints.
    pub(crate) fn find(plan: &RankPlan, out: &mut Output) -> Result<Self, Failure> {
        let get = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        // An agent may itself be a process of mpirun, srun or torchrun. Its ranks inherit the variables of
        // that launcher, which do not concern them.
        let variables = match has_agent() {
            true => RankVariables::read(|name| get(name).filter(|_| OF_AGENT.contains(&name)))?,
            false => RankVariables::read(get)?,
        };
        match plan.transport {
            #[cfg(feature = "mpi")]
            Transport::Mpi => return Self::of_mpi(variables.as_ref(), out),
            _ => {}
        }
        let Some(variables) = variables else { return Ok(Self::new(0, 1, 1, Launcher::Plain)) };
        let RankVariables { rank, world_size: world, local_world_size: local_world, .. } = variables;
        let mut this = Self::new(rank, world, local_world.unwrap_or(world), variables.launcher);
        if world == 1 {
            return Ok(this);
        }
        out.set_rank(rank);
        if has_agent() {
            this.meet_as_told(read_meeting_point().map_err(Failure::MeetingPoint)?);
        } else {
            this.job = variables.job.clone().unwrap_or_else(|| "isograd".to_string());
            let key_file = plan.key_file.clone().or_else(|| get(KEY_FILE).map(PathBuf::from));
            this.place = Some(this.place_of(&variables, key_file)?);
        }
        Ok(this)
    }

    fn new(rank: usize, world: usize, local_world: usize, launcher: Launcher) -> Self {
        let (listen, routes) = (Vec::new(), Vec::new());
        Self { rank, world, local_world, place: None, listen, routes, job: String::new(), launcher }
    }

    /// A rank without others, whatever the environment says.
    pub(crate) fn alone() -> Self {
        Self::new(0, 1, 1, Launcher::Plain)
    }

    /// Meets the others where the agent says.
    fn meet_as_told(&mut self, point: MeetingPoint) {
        self.place = Some(match point {
            MeetingPoint::File(file) => {
                self.job = "isograd".to_string();
                Place::File(file)
            }
            MeetingPoint::Address(meeting) => {
                self.listen = meeting.listen_of(self.rank);
                self.routes = meeting.routes_by_rank(self.world);
                self.job = meeting.job;
                Place::Address { address: meeting.address.to_string(), key: Key::from_bytes(meeting.key) }
            }
        });
    }

    /// Where ranks meet that were not started by an agent.
    fn place_of(&self, variables: &RankVariables, key_file: Option<PathBuf>) -> Result<Place, Failure> {
        // These launchers do not tell the number of ranks on a host.
        let nodes = match self.launcher {
            Launcher::Slurm => std::env::var("SLURM_STEP_NUM_NODES").ok(),
            Launcher::Flux => std::env::var("FLUX_JOB_NNODES").ok(),
            _ => None,
        };
        let nodes = nodes.filter(|nodes| !nodes.is_empty());
        let is_one_host = self.local_world == self.world && nodes.is_none_or(|nodes| nodes == "1");
        match (&variables.master, key_file) {
            (Some(address), Some(file)) => {
                let key = Key::read_file(&file).map_err(Failure::KeyFile)?;
                Ok(Place::Address { address: address.clone(), key })
            }
            (Some(address), None) => Err(Failure::Usage {
                problem: format!("ranks that meet at {address} need a key: --key-file or {KEY_FILE}"),
                hint: Some(match self.launcher {
                    Launcher::Torchrun => format!(
                        "'isograd keygen FILE' makes one; torchrun itself listens at MASTER_PORT: {PORT_BESIDE_TORCHRUN}"
                    ),
                    _ => "'isograd keygen FILE' makes one; each host needs a copy".to_string(),
                }),
            }),
            (None, _) if is_one_host => Ok(Place::File(meeting_file(&self.job))),
            (None, _) => Err(Failure::Usage {
                problem: "ranks on several hosts need a place to meet: MASTER_ADDR and MASTER_PORT"
                    .to_string(),
                hint: Some("MASTER_ADDR is an address of the host of rank 0".to_string()),
            }),
        }
    }

    /// Takes the rank from MPI. Variables that name a rank must agree with it.
    #[cfg(feature = "mpi")]
    fn of_mpi(variables: Option<&RankVariables>, out: &mut Output) -> Result<Self, Failure> {
        let mpi = MPI.lock().expect("no panic before").insert(Mpi::start()?).clone();
        let (rank, world) = (mpi.rank(), mpi.world_size());
        if world > 1 {
            out.set_rank(rank);
        }
        variables.map_or(Ok(()), |variables| mpi.check(variables))?;
        let local_world = variables.and_then(|variables| variables.local_world_size).unwrap_or(world);
        let launcher = variables.map_or(Launcher::Plain, |variables| variables.launcher);
        let (place, job) = (Some(Place::Mpi(mpi)), "mpi".to_string());
        Ok(Self { place, job, ..Self::new(rank, world, local_world, launcher) })
    }

    /// Whether this rank prints and writes files.
    pub(crate) fn is_first(&self) -> bool {
        self.rank == 0
    }

    /// The threads of this rank: by default its share of the cores.
    pub(crate) fn threads(&self, execution: &Execution) -> usize {
        let limits = CoreLimits::of_this_process();
        let most = THREADS_PER_CORE * limits.usable();
        execution.threads.map_or_else(|| limits.share(self.local_world), |threads| threads.min(most))
    }

    /// The same in words, with the reason if there are fewer threads than the user asked for or the machine
    /// has cores.
    pub(crate) fn describe_threads(&self, execution: &Execution) -> String {
        let threads = self.threads(execution);
        match (execution.threads, CoreLimits::of_this_process().reason()) {
            (Some(asked), _) if asked > threads => {
                format!("{threads} (of {asked}: at most {THREADS_PER_CORE} for each core)")
            }
            (None, Some(reason)) => format!("{threads} ({reason})"),
            _ => threads.to_string(),
        }
    }

    /// Meets the other ranks, if there are any. All must have equal values under every name of the
    /// `agreement`. A signal ends the wait, and leaves no meeting file.
    pub(crate) fn join(
        &self,
        plan: &RankPlan,
        request: &StopRequest,
        agreement: impl FnOnce() -> Result<Vec<(&'static str, String)>, Failure>,
    ) -> Result<Communicator, Failure> {
        let Some(place) = self.place.clone() else { return Ok(Communicator::solo()) };
        let mut meeting = Meeting::new(place, self.rank, self.world);
        meeting.job = self.job.clone();
        meeting.timeout = plan.timeout;
        (meeting.listen, meeting.routes) = (self.listen.clone(), self.routes.clone());
        meeting.encrypt = plan.encrypt;
        meeting.agreement = agreement()?.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        meeting.stop = Some(Arc::clone(&request.flag));
        let mut settings = Settings::new(meeting);
        settings.transport = plan.transport;
        settings.host = plan.host.clone();
        settings.shared_memory = plan.shared_memory.clone();
        Communicator::join(&settings).map_err(|error| match error {
            Error::Rendezvous(RendezvousError::Stopped { .. }) => request.early_failure(),
            Error::SharedMemory(SharedMemoryError::Refused { folder, source, .. })
                if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
            {
                Failure::Usage {
                    problem: format!("--shared-memory {}: there is no such folder", folder.display()),
                    hint: None,
                }
            }
            Error::Rendezvous(RendezvousError::PortInUse { address })
                if self.launcher == Launcher::Torchrun =>
            {
                Failure::Usage {
                    problem: format!("rendezvous at {address}: torchrun itself listens at MASTER_PORT"),
                    hint: Some(PORT_BESIDE_TORCHRUN.to_string()),
                }
            }
            error => error.into(),
        })
    }
}

/// Reads where to meet the others. The agent writes it when it has started all its ranks.
fn read_meeting_point() -> io::Result<MeetingPoint> {
    /// More bytes than any agent writes.
    const LIMIT: u64 = 1 << 20;
    let mut bytes = Vec::new();
    io::stdin().lock().take(LIMIT).read_to_end(&mut bytes)?;
    let mut decoder = Decoder::new();
    decoder.push(&bytes);
    decoder.next().map_err(io::Error::other)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// Whether an agent started this process.
pub(crate) fn has_agent() -> bool {
    std::env::var_os(PARENT).is_some()
}

/// MPI, from its start to the end of the program. It must end after the last line is printed, since it may
/// end the process.
#[cfg(feature = "mpi")]
static MPI: Mutex<Option<Mpi>> = Mutex::new(None);

/// Ends MPI, if it was started. If a rank is lost, MPI aborts all ranks.
pub(crate) fn end_mpi() {
    #[cfg(feature = "mpi")]
    if let Ok(mut mpi) = MPI.lock() {
        *mpi = None;
    }
}

/// Makes this process end when its agent ends, if it has one.
pub(crate) fn end_with_agent() {
    #[cfg(target_os = "linux")]
    if let Some(agent) = std::env::var(PARENT).ok().and_then(|number| number.parse::<i32>().ok()) {
        // This call fails only for a signal that does not exist.
        let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
        // The agent may have ended before this call.
        if rustix::process::getppid().map(rustix::process::Pid::as_raw_pid) != Some(agent) {
            std::process::exit(1);
        }
    }
}

/// Lets this process end with the sweep that has started it. Its own children inherit the variable: they end
/// in their own ways.
pub(crate) fn end_with_owner() {
    use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal, test_kill_process};
    let number = std::env::var(variables::OWNER).ok().and_then(|number| number.parse().ok());
    let Some(owner) = number.and_then(Pid::from_raw) else { return };
    #[cfg(target_os = "linux")]
    if getppid() == Some(owner) {
        // This call fails only for a signal that does not exist.
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
    }
    // The owner may have ended before this call.
    if test_kill_process(owner).is_err() {
        std::process::exit(1);
    }
}

/// The file through which ranks of one user on one host meet, if they only know the name of their job. It
/// lies in a folder that only this user can write to, if there is one.
fn meeting_file(job: &str) -> PathBuf {
    let user = rustix::process::getuid().as_raw();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    // The folder that logind makes for a user exists even where srun or mpirun do not pass on its name.
    let logind = PathBuf::from(format!("/run/user/{user}"));
    let folders = [runtime, Some(logind), Some(PathBuf::from(Settings::SHARED_MEMORY))];
    let folder = folders.into_iter().flatten().find(|folder| folder.is_dir());
    let clean: String =
        job.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(100).collect();
    folder.unwrap_or_else(std::env::temp_dir).join(format!("isograd-{user}-{clean}"))
}
