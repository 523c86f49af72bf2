//! Which rank this process is, and how it meets the others.

use crate::cli::plan::{Execution, RankPlan};
use crate::failure::Failure;
use crate::job::{Decoder, MEETING, PARENT, Summons};
use crate::output::Output;
use crate::rank::stop::StopRequest;
use isograd_comm::{
    Communicator, Error, Key, Launcher, Meeting, Place, RankVariables, RendezvousError, Settings,
};
#[cfg(feature = "mpi")]
use isograd_comm::{Mpi, Transport};
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
#[cfg(feature = "mpi")]
use std::sync::Mutex;

/// More threads for each core than this help nobody, and many more would spend their time on taking turns.
const THREADS_PER_CORE: usize = 4;
/// Names the file with the job's key, as `--key-file` does.
const KEY_FILE: &str = "ISOGRAD_KEY_FILE";
/// What a user of torchrun on several hosts has to do.
const PORT_BESIDE_TORCHRUN: &str = "torchrun itself listens at the port that it gives to its ranks; \
    'torchrun ... --no-python env MASTER_PORT=PORT isograd ...' with another free PORT gives them one of their own";

/// This process among the ranks of a job.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) rank: usize,
    pub(crate) world: usize,
    /// The ranks of this host, as far as known.
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
const OF_AGENT: [&str; 4] = ["RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"];

impl Seat {
    /// Reads the environment; alone if it says nothing of ranks. Of several ranks only the first one prints.
    pub(crate) fn take(plan: &RankPlan, out: &mut Output) -> Result<Self, Failure> {
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
        let Some(variables) = variables else {
            return Ok(Self {
                rank: 0,
                world: 1,
                local_world: 1,
                place: None,
                listen: Vec::new(),
                routes: Vec::new(),
                job: String::new(),
                launcher: Launcher::Plain,
            });
        };
        let RankVariables { rank, world_size: world, local_world_size: local_world, .. } = variables;
        let RankVariables { master, job, launcher, .. } = variables;
        if world > 1 {
            out.set_rank(rank);
        }
        let key_file = plan.key_file.clone().or_else(|| get(KEY_FILE).map(PathBuf::from));
        let job = job.unwrap_or_else(|| "isograd".to_string());
        let nodes = get("SLURM_STEP_NUM_NODES").filter(|_| launcher == Launcher::Slurm);
        let is_one_host =
            local_world.is_none_or(|local| local == world) && nodes.is_none_or(|nodes| nodes == "1");
        let (mut listen, mut routes, mut job) = (Vec::new(), Vec::new(), job);
        let place = match (get(MEETING), master, key_file) {
            _ if world == 1 => None,
            (Some(input), _, _) if input == "-" => {
                let summons = read_summons().map_err(Failure::Summons)?;
                (listen, routes) = (summons.listen_of(rank), summons.routes_by_rank(world));
                job = summons.job;
                let address = summons.address.to_string();
                Some(Place::Address { address, key: Key::from_bytes(summons.key) })
            }
            (Some(file), _, _) => Some(Place::File(PathBuf::from(file))),
            (None, Some(address), Some(file)) => {
                Some(Place::Address { address, key: Key::read_file(&file).map_err(Failure::KeyFile)? })
            }
            (None, Some(address), None) => {
                return Err(Failure::Usage {
                    problem: format!("ranks that meet at {address} need a key: --key-file or {KEY_FILE}"),
                    hint: Some(match launcher {
                        Launcher::Torchrun => {
                            format!("'isograd keygen FILE' makes one; {PORT_BESIDE_TORCHRUN}")
                        }
                        _ => "'isograd keygen FILE' makes one; each host needs a copy".to_string(),
                    }),
                });
            }
            (None, None, _) if is_one_host => Some(Place::File(meeting_file(&job))),
            (None, None, _) => {
                return Err(Failure::Usage {
                    problem: "ranks on several hosts need a place to meet: MASTER_ADDR and MASTER_PORT"
                        .to_string(),
                    hint: Some("MASTER_ADDR is an address of the host of rank 0".to_string()),
                });
            }
        };
        Ok(Self {
            rank,
            world,
            local_world: local_world.unwrap_or(world),
            place,
            listen,
            routes,
            job,
            launcher,
        })
    }

    /// MPI says which rank this is; what else says so must agree.
    #[cfg(feature = "mpi")]
    fn of_mpi(variables: Option<&RankVariables>, out: &mut Output) -> Result<Self, Failure> {
        let mpi = MPI.lock().expect("no panic before").insert(Mpi::start()?).clone();
        let (rank, world) = (mpi.rank(), mpi.world_size());
        if world > 1 {
            out.set_rank(rank);
        }
        variables.map_or(Ok(()), |variables| mpi.check(variables))?;
        let local_world = variables.and_then(|variables| variables.local_world_size).unwrap_or(world);
        Ok(Self {
            rank,
            world,
            local_world,
            place: Some(Place::Mpi(mpi)),
            listen: Vec::new(),
            routes: Vec::new(),
            job: "mpi".to_string(),
            launcher: variables.map_or(Launcher::Plain, |variables| variables.launcher),
        })
    }

    /// Whether this rank prints and writes files.
    pub(crate) fn is_first(&self) -> bool {
        self.rank == 0
    }

    /// The threads of this rank.
    pub(crate) fn threads(&self, execution: &Execution) -> usize {
        let most = THREADS_PER_CORE * crate::system::cores::available().len();
        execution.threads.map_or_else(|| self.share_of_cores(), |threads| threads.min(most))
    }

    /// The same in words, with what was asked for if that is more.
    pub(crate) fn describe_threads(&self, execution: &Execution) -> String {
        let threads = self.threads(execution);
        match execution.threads.filter(|asked| *asked > threads) {
            Some(asked) => format!("{threads} (of {asked}: at most {THREADS_PER_CORE} for each core)"),
            None => threads.to_string(),
        }
    }

    /// How many threads this rank gets if the user does not say: its share of the cores.
    fn share_of_cores(&self) -> usize {
        let cores = crate::system::cores::available();
        // Whoever may run on all cores of the machine shares them with the host's other ranks.
        let ranks = if cores.len() == crate::system::cores::online() { self.local_world } else { 1 };
        (cores.len() / ranks).max(1)
    }

    /// Meets the other ranks, if there are any. All must have equal values under every name of the
    /// `agreement`. A signal ends the wait, and leaves no meeting file.
    pub(crate) fn join(
        &self,
        plan: &RankPlan,
        request: &StopRequest,
        agreement: impl FnOnce() -> Vec<(&'static str, String)>,
    ) -> Result<Communicator, Failure> {
        let Some(place) = self.place.clone() else { return Ok(Communicator::solo()) };
        let mut meeting = Meeting::new(place, self.rank, self.world);
        meeting.job = self.job.clone();
        meeting.timeout = plan.timeout;
        (meeting.listen, meeting.routes) = (self.listen.clone(), self.routes.clone());
        meeting.encrypt = plan.encrypt;
        meeting.agreement = agreement().into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        meeting.stop = Some(Arc::clone(&request.flag));
        let mut settings = Settings::new(meeting);
        settings.transport = plan.transport;
        settings.host = plan.host.clone();
        settings.shared_memory = plan.shared_memory.clone();
        Communicator::join(&settings).map_err(|error| match error {
            Error::Rendezvous(RendezvousError::Stopped { .. }) => request.early_failure(),
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

/// What the agent tells this rank of the meeting.
fn read_summons() -> io::Result<Summons> {
    /// Longer than any summons, in bytes.
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

/// MPI from the moment that it is started to the end of the program, behind the last line that this prints.
#[cfg(feature = "mpi")]
static MPI: Mutex<Option<Mpi>> = Mutex::new(None);

/// Ends MPI, if it was started: in order, or, when a rank is lost, with all ranks.
pub(crate) fn end_mpi() {
    #[cfg(feature = "mpi")]
    if let Ok(mut mpi) = MPI.lock() {
        *mpi = None;
    }
}

/// Ranks that an agent started do not outlive it.
pub(crate) fn end_with_agent() {
    #[cfg(target_os = "linux")]
    if let Some(agent) = std::env::var(PARENT).ok().and_then(|number| number.parse::<i32>().ok()) {
        // It can fail only for a signal that does not exist.
        let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
        // It may have ended before that.
        if rustix::process::getppid().map(rustix::process::Pid::as_raw_pid) != Some(agent) {
            std::process::exit(1);
        }
    }
}

/// The file through which ranks of one user on one host meet, that know no more of each other than the job's
/// name: in a folder that only this user can write to, if there is one.
fn meeting_file(job: &str) -> PathBuf {
    let user = rustix::process::getuid().as_raw();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    // What logind makes for a user is there although srun and mpirun do not pass its name on.
    let logind = PathBuf::from(format!("/run/user/{user}"));
    let folders = [runtime, Some(logind), Some(PathBuf::from(Settings::SHARED_MEMORY))];
    let folder = folders.into_iter().flatten().find(|folder| folder.is_dir());
    let clean: String =
        job.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(100).collect();
    folder.unwrap_or_else(std::env::temp_dir).join(format!("isograd-{user}-{clean}"))
}
