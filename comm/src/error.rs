//! What can go wrong.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// An error of this crate. Every message stands alone: it names the place, the ranks and the numbers.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused something.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried, as a verb with its object: `read /tmp/key`.
        action: String,
        /// What the operating system said.
        source: Arc<io::Error>,
    },

    /// A file that holds a key may be read or written by others.
    #[error("{} has mode {mode:04o}: a file with a key may be open to its owner only (chmod 600)", file.display())]
    FileMode {
        /// The file.
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },

    /// A file that holds a key belongs to somebody else.
    #[error("{} belongs to user {owner}, this process to user {user}", file.display())]
    FileOwner {
        /// The file.
        file: PathBuf,
        /// Whose file it is.
        owner: u32,
        /// Who we are.
        user: u32,
    },

    /// A file does not hold what it should.
    #[error("{} does not hold {expected}", file.display())]
    FileContent {
        /// The file.
        file: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },

    /// A rank that the group does not have, or a group of a size that cannot be.
    #[error(
        "rank {rank} of {world}: a group has 1 to {} ranks, counted from 0",
        crate::rendezvous::MAX_WORLD
    )]
    Rank {
        /// The rank.
        rank: usize,
        /// The number of ranks.
        world: usize,
    },

    /// One of several environment variables that belong together is absent.
    #[error("{present} is set, but {missing} is not")]
    VariableMissing {
        /// One that is set.
        present: String,
        /// The one that is absent.
        missing: String,
    },

    /// An environment variable has a value that it cannot have.
    #[error("{name}={value}: expected {expected}")]
    VariableValue {
        /// The variable.
        name: String,
        /// Its value.
        value: String,
        /// What it could be.
        expected: String,
    },

    /// The address of the rendezvous is no `host:port`, or no host has that name.
    #[error("rendezvous at {address}: {reason}")]
    Resolve {
        /// The address as it was given.
        address: String,
        /// Why it leads nowhere.
        reason: String,
    },

    /// Rank 0 was given an address that is none of its own.
    #[error("rendezvous at {address}: no interface of this host, which runs rank 0, has that address")]
    NotLocal {
        /// The address as it was given.
        address: String,
    },

    /// Another process listens where rank 0 should.
    #[error("rendezvous at {address}: the port is in use by another process")]
    PortInUse {
        /// The address as it was given.
        address: String,
    },

    /// Some ranks did not come to the rendezvous.
    #[error(
        "rendezvous at {place}: {} did not come within {}{}{}",
        Ranks(ranks), Seconds(*waited), Refused(*refused), Listened(*listened)
    )]
    Missing {
        /// Where the group meets.
        place: String,
        /// Who is missing, in ascending order.
        ranks: Vec<usize>,
        /// How long rank 0 waited.
        waited: Duration,
        /// How many connections were refused in that time.
        refused: u64,
        /// Where rank 0 listened, if the place does not say it.
        listened: Option<SocketAddr>,
    },

    /// Rank 0 did not answer.
    #[error("rendezvous at {place}: rank 0 did not answer within {} ({reason})", Seconds(*waited))]
    Unanswered {
        /// Where the group meets.
        place: String,
        /// How long this rank waited.
        waited: Duration,
        /// What went wrong last.
        reason: String,
    },

    /// Who listens at the rendezvous does not accept this rank, or cannot prove that it is rank 0.
    #[error("rendezvous at {place}: {reason}: it has another key or another job")]
    Refused {
        /// Where the group meets.
        place: String,
        /// Which of the two it is.
        reason: String,
    },

    /// Two ranks were started with different settings.
    #[error("ranks {} and {} differ in {what}: {} against {}", ranks[0], ranks[1], values[0], values[1])]
    Disagreement {
        /// The setting.
        what: String,
        /// The two ranks.
        ranks: [usize; 2],
        /// The value of each.
        values: [String; 2],
    },

    /// Two processes say that they are the same rank.
    #[error("rank {rank} came twice to the rendezvous: from {} and from {}", addresses[0], addresses[1])]
    RankTaken {
        /// The rank.
        rank: usize,
        /// Whence the two came.
        addresses: [SocketAddr; 2],
    },

    /// Some pairs of ranks could not connect although all came to the rendezvous.
    #[error("rank {rank} has no link to {} after {} ({reason})", Ranks(ranks), Seconds(*waited))]
    Unlinked {
        /// This rank.
        rank: usize,
        /// The others, in ascending order.
        ranks: Vec<usize>,
        /// How long it waited.
        waited: Duration,
        /// What went wrong last.
        reason: String,
    },

    /// MPI can be started once in a process.
    #[error("MPI was started before in this process, by another part of the program")]
    MpiStarted,

    /// Threads of a rank take turns in driving its operations.
    #[error("MPI ({library}) does not let threads call it in turns (MPI_THREAD_SERIALIZED)")]
    MpiThreads {
        /// The library.
        library: String,
    },

    /// The program was started by something else than its own MPI.
    #[error(
        "the environment says that this is rank {} of {}, MPI ({library}) that it is rank {} of {}: was the program \
         started by the mpirun of another MPI?",
        environment[0], environment[1], mpi[0], mpi[1]
    )]
    MpiRank {
        /// Rank and number of ranks that MPI says.
        mpi: [usize; 2],
        /// Those that the environment says.
        environment: [usize; 2],
        /// The library.
        library: String,
    },

    /// What MPI carries is not encrypted.
    #[error("links over MPI cannot be encrypted")]
    MpiEncrypted,

    /// Another rank found an error and told this one.
    #[error("{cause} (rank {by} says)")]
    Reported {
        /// Who told.
        by: usize,
        /// The error's message.
        cause: String,
    },

    /// A rank's process ended while another waited for it.
    #[error("{operation} of bucket {bucket} ({bytes} bytes): lost {rank}, which owed {what}")]
    Lost {
        /// The operation.
        operation: &'static str,
        /// The bucket.
        bucket: usize,
        /// Its bytes.
        bytes: usize,
        /// The rank, with what is known of it.
        rank: String,
        /// What it should have done.
        what: &'static str,
    },

    /// A rank is there, but silent.
    #[error("{operation} of bucket {bucket} ({bytes} bytes): {rank} has owed {what} for {:.1} s", waited.as_secs_f64())]
    Timeout {
        /// The operation.
        operation: &'static str,
        /// The bucket.
        bucket: usize,
        /// Its bytes.
        bytes: usize,
        /// The rank, with what is known of it.
        rank: String,
        /// What it should have done.
        what: &'static str,
        /// How long this rank waited.
        waited: Duration,
    },

    /// Ranks that call different operations at the same time.
    #[error("ranks {} and {} do not do the same: {} against {}", ranks[0], ranks[1], calls[0], calls[1])]
    Mismatch {
        /// The two ranks.
        ranks: [usize; 2],
        /// What each does; of a long vector, in one of its blocks.
        calls: [String; 2],
    },

    /// Shared memory that the operating system does not give.
    #[error("{bytes} bytes of shared memory in {}: {source}", folder.display())]
    SharedMemory {
        /// The folder.
        folder: PathBuf,
        /// How much.
        bytes: usize,
        /// What the operating system said.
        source: Arc<io::Error>,
    },

    /// Ranks that should share memory and do not.
    #[error(
        "rank {rank} cannot map the memory of rank {other}, although both say that they run on one host: {source}"
    )]
    Unshared {
        /// This rank.
        rank: usize,
        /// The other.
        other: usize,
        /// What the operating system said.
        source: Arc<io::Error>,
    },

    /// A neighbour whose end could not be noticed.
    #[error("rank {rank} cannot watch process {process} of rank {other}: {source}")]
    Unwatched {
        /// This rank.
        rank: usize,
        /// The other.
        other: usize,
        /// The other's process.
        process: u64,
        /// What the operating system said.
        source: Arc<io::Error>,
    },

    /// Ranks on several hosts that were told to use shared memory alone.
    #[error("shared memory was asked for, but ranks 0 and {rank} run on different hosts")]
    NotOneHost {
        /// A rank on another host than rank 0.
        rank: usize,
    },

    /// The process of a rank ended, or its host, or the network between.
    #[error("rank {rank} ({address}) closed the connection")]
    Closed {
        /// The rank.
        rank: usize,
        /// Its address.
        address: String,
    },

    /// The operating system gave up on a link.
    #[error("link to rank {rank} ({address}): {source}")]
    Link {
        /// The rank.
        rank: usize,
        /// Its address.
        address: String,
        /// What the operating system said.
        source: Arc<io::Error>,
    },

    /// A rank sent something that does not belong here.
    #[error("rank {rank} ({address}) sent {what}")]
    Protocol {
        /// The rank.
        rank: usize,
        /// Its address.
        address: String,
        /// What it sent.
        what: String,
    },
}

impl Error {
    pub(crate) fn io(action: impl Into<String>, source: io::Error) -> Self {
        Self::Io { action: action.into(), source: Arc::new(source) }
    }

    /// The same words whichever of the two ranks says it.
    pub(crate) fn disagreement(what: &str, one: (usize, String), other: (usize, String)) -> Self {
        let (low, high) = if one.0 <= other.0 { (one, other) } else { (other, one) };
        Self::Disagreement { what: what.into(), ranks: [low.0, high.0], values: [low.1, high.1] }
    }
}

/// `rank 2`, `ranks 2 and 3`, `ranks 2, 3 and 5`; of many, the first ones.
pub(crate) struct Ranks<'a>(pub(crate) &'a [usize]);

impl fmt::Display for Ranks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 16;
        let list = |ranks: &[usize]| ranks.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        match self.0 {
            [one] => write!(f, "rank {one}"),
            many if many.len() > SHOWN => {
                write!(f, "ranks {} and {} more", list(&many[..SHOWN]), many.len() - SHOWN)
            }
            [most @ .., last] => write!(f, "ranks {} and {last}", list(most)),
            [] => write!(f, "no rank"),
        }
    }
}

/// `60 s`, `0.5 s`.
pub(crate) struct Seconds(pub(crate) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0.as_secs_f64())
    }
}

/// Nothing, or ` (3 connections were refused)`.
struct Refused(u64);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            1 => write!(f, " (1 connection was refused)"),
            n => write!(f, " ({n} connections were refused)"),
        }
    }
}

/// Nothing, or `: rank 0 listened at 127.0.1.1:29500, which only its own host reaches`.
struct Listened(Option<SocketAddr>);

impl fmt::Display for Listened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) if address.ip().is_loopback() => {
                write!(f, ": rank 0 listened at {address}, which only its own host reaches")
            }
            Some(address) => write!(f, ": rank 0 listened at {address}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_numbers() {
        let missing = |ranks: Vec<usize>, refused| Error::Missing {
            place: "10.0.0.1:29500".into(),
            ranks,
            waited: Duration::from_secs(60),
            refused,
            listened: None,
        };
        assert_eq!(
            missing(vec![2, 3], 0).to_string(),
            "rendezvous at 10.0.0.1:29500: ranks 2 and 3 did not come within 60 s"
        );
        assert_eq!(
            missing(vec![7], 2).to_string(),
            "rendezvous at 10.0.0.1:29500: rank 7 did not come within 60 s (2 connections were refused)"
        );
        assert_eq!(Ranks(&[1, 2, 5]).to_string(), "ranks 1, 2 and 5");
        let many: Vec<usize> = (1..=20).collect();
        assert!(Ranks(&many).to_string().ends_with(", 15, 16 and 4 more"));
        assert_eq!(Seconds(Duration::from_millis(500)).to_string(), "0.5 s");
    }
}
