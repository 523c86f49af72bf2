//! The ranks of a group on their hosts, and the way of whole vectors through the collective's buffers.
//!
//! A vector is cut into blocks. A few blocks are under way at a time, each in a bucket of one exchange. Short
//! vectors of ranks that share a host need no exchange: each rank adds up the contributions of all ranks
//! itself.

use crate::collective::{
    Call, Engine, Exchange, Goal, LocalRank, Neighbour, OPERATION_END, Plan, Rule, SHORT_COUNTER,
    SLICE_ELEMENTS, Slices, Topology, short_call,
};
use crate::cores::Cores;
use crate::error::{Error, PeerError, SharedMemoryError};
use crate::limits::MAX_WORLD;
use crate::links::{AnyStream, Link};
use crate::rendezvous::{HostId, Meeting, MetGroup, RankInfo, meet};
use crate::settings::{Settings, Transport};
use crate::shm::{Carver, Process, RawBuffer, Region, RegionHandle, SpinPolicy};
use crate::summand::Summand;
use crate::tree;
use rustix::io::Errno;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Vectors pass through shared memory in blocks of this many bytes, so that they stay in the second-level
/// cache.
const BLOCK_BYTES: usize = 128 << 10;
/// The same between hosts, where each block costs system calls.
const LINK_BLOCK_BYTES: usize = 256 << 10;
/// Blocks that are under way at a time.
const BLOCKS: usize = 4;
/// Up to this many bytes, every rank of a group on one host adds up all contributions itself.
const SHORT_BYTES: usize = 8 << 10;
/// The same between hosts; counted are the bytes that a rank sends to all other ranks together.
const SHORT_LINK_BYTES: usize = 16 << 10;
/// Where the counters of the blocks begin.
const BLOCK_COUNTERS: usize = OPERATION_END;
/// Longer timeouts are cut to this. So sums of times do not overflow, and every system call takes the
/// milliseconds.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(20 * 24 * 3600);
/// The exchange of blocks.
const STAGING: usize = 0;

/// A group of several ranks.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) engine: Engine,
    shared_memory: PathBuf,
    /// Contributions to short operations; the two alternate.
    short: [RawBuffer; 2],
    short_turn: u64,
    /// Leaf `r` of the tree is rank `r`.
    leaves: Vec<Range<usize>>,
}

impl Group {
    /// Meets the other ranks, and maps the memory that they share.
    pub(crate) fn join(settings: &Settings) -> Result<Self, Error> {
        // The size of the memory depends on it.
        let &Meeting { rank, world_size, .. } = &settings.meeting;
        if rank >= world_size || world_size > MAX_WORLD {
            return Err(Error::Rank { rank, world_size });
        }
        let meeting =
            &Meeting { timeout: settings.meeting.timeout.min(LONGEST_TIMEOUT), ..settings.meeting.clone() };
        let is_mpi = (settings.transport == Transport::Mpi, meeting.place.is_mpi());
        assert!(
            is_mpi.0 == is_mpi.1,
            "transport {:?} of a group that meets at {:?}",
            settings.transport,
            meeting.place
        );
        let host = match (&settings.host, settings.transport) {
            (_, Transport::Tcp) | (None, Transport::Mpi) => HostId::of_rank(meeting.rank),
            (Some(name), _) => HostId::named(name),
            (None, _) if cfg!(target_os = "linux") => HostId::detect(),
            (None, _) => HostId::of_rank(meeting.rank),
        };
        let plan = Plan {
            buckets: vec![block_bytes(meeting.world_size, false); BLOCKS],
            own_nodes: 1,
            table: 1,
            // Filled in when all ranks have met.
            host_nodes: Vec::new(),
            whole: SHORT_LINK_BYTES,
        };
        let is_shared = match settings.transport {
            Transport::Tcp => false,
            Transport::Mpi => settings.host.is_some() && cfg!(target_os = "linux"),
            Transport::Auto => cfg!(target_os = "linux"),
            // Off Linux, making the memory is an error.
            Transport::SharedMemory => true,
        };
        let folder = is_shared.then_some(settings.shared_memory.as_path());
        let region = region(folder, BLOCK_COUNTERS + plan.control(), plan.data() + 2 * SHORT_BYTES)?;
        let local_info =
            LocalInfo { handle: region.handle(), machine: HostId::detect(), cores: Cores::of_this_process() };
        let gathering = meet(meeting, host, &local_info.encode())?;
        Self::new(settings, meeting, gathering, region, plan)
    }

    fn new(
        settings: &Settings,
        meeting: &Meeting,
        gathering: MetGroup,
        region: Region,
        mut plan: Plan,
    ) -> Result<Self, Error> {
        let &Meeting { rank, world_size: world, timeout, .. } = meeting;
        let MetGroup { infos, links } = gathering;
        let hosts: Vec<HostId> = infos.iter().map(|info| info.host).collect();
        let topology = Arc::new(Topology::new(rank, &hosts));
        plan.host_nodes = topology.hosts.iter().map(Vec::len).collect();
        if settings.transport == Transport::SharedMemory
            && let Some(rank) = (0..world).find(|rank| topology.host_of[*rank] != topology.host_of[0])
        {
            return Err(Error::SharedMemory(SharedMemoryError::SeveralHosts { rank }));
        }

        let local_infos: Vec<LocalInfo> =
            infos.iter().map(|info| LocalInfo::decode(&info.local_info)).collect();
        let mut locals = Vec::new();
        for other in topology.locals() {
            let local_info = &local_infos[*other];
            if *other != rank {
                let is_one_machine = local_info.machine == local_infos[rank].machine;
                locals.push(neighbour(rank, *other, local_info.handle, is_one_machine)?);
            }
        }
        let names =
            infos.iter().zip(&links).enumerate().map(|(rank, (info, link))| name(rank, info, link.as_ref()));
        // Ranks compete for the cores of their machine, whether they share memory or not.
        let (mut cores, mut competitors) = (Cores::default(), 0);
        for local_info in
            local_infos.iter().filter(|local_info| local_info.machine == local_infos[rank].machine)
        {
            cores.join(&local_info.cores);
            competitors += 1;
        }
        let spin_policy = SpinPolicy::new(competitors, cores.count());

        let mut own = Arc::new(region);
        let mut carver = Carver::new(&mut own);
        let neighbours = locals.iter().map(|l| Neighbour { rank: l.rank, region: Arc::clone(&l.region) });
        let (mut staging, nodes) = Exchange::new(
            STAGING as u32,
            &topology,
            &plan,
            &mut carver,
            BLOCK_COUNTERS,
            neighbours.collect(),
        );
        staging.set_shards(|rank| rank..rank + 1, std::iter::once((rank..rank + 1, 0)));
        for (bucket, node) in staging.buckets.iter_mut().zip(nodes.into_iter().flatten()) {
            bucket.nodes.push(node);
        }
        carver.skip_to(plan.data());
        let short = [(); 2].map(|()| carver.carve(SHORT_BYTES));
        let names = names.collect();
        let mut engine = Engine::new(Arc::clone(&topology), own, locals, links, names, spin_policy, timeout);
        engine.add(staging);
        Ok(Self {
            engine,
            shared_memory: settings.shared_memory.clone(),
            short,
            short_turn: 0,
            leaves: (0..world).map(|rank| rank..rank + 1).collect(),
        })
    }

    /// The folder for shared memory, if this rank shares any.
    pub(crate) fn folder(&self) -> Option<&Path> {
        (!self.engine.locals.is_empty()).then_some(self.shared_memory.as_path())
    }

    /// How many `T` go into a block.
    fn block<T>(&self) -> usize {
        block_bytes(self.engine.topology.world(), self.engine.is_one_host()) / size_of::<T>()
    }

    /// `x = ` the sum of all ranks' `x`.
    pub(crate) fn allreduce<T: Summand>(&mut self, x: &mut [T]) -> Result<(), Error> {
        let others = self.engine.topology.world() - 1;
        let short = Call::on(x, Rule::ALLREDUCE_SHORT);
        if self.engine.is_one_host() && size_of_val(x) <= SHORT_BYTES {
            self.short(x, short)
        } else if size_of_val(x).saturating_mul(others) <= SHORT_LINK_BYTES {
            self.contiguous(x, short)
        } else {
            self.contiguous(x, Call::on(x, Rule::ALLREDUCE))
        }
    }

    /// A sum for which each rank of the one host adds up the contributions of all.
    ///
    /// Two buffers suffice: when a rank has finished turn `t + 1`, all ranks have begun it, so they have
    /// finished `t`.
    pub(crate) fn short<T: Summand>(&mut self, x: &mut [T], call: Call) -> Result<(), Error> {
        // After a failure, neighbours may still read what this rank has published.
        self.engine.check()?;
        self.short_turn += 1;
        let (turn, len) = (self.short_turn, x.len());
        let own = &mut self.short[turn as usize % 2];
        own.elements_mut()[..len].copy_from_slice(x);
        self.engine.enter_short(turn, call);
        self.engine.own.counter(SHORT_COUNTER).store(turn, Ordering::Release);
        self.engine.wake();
        let bytes = size_of_val(x);
        self.engine.wait(Goal::Counter { offset: SHORT_COUNTER, turn, bytes }, call.name())?;
        for local in &self.engine.locals {
            let theirs = local.region.counter(short_call(turn)).load(Ordering::Relaxed);
            if theirs != call.encode() {
                let error = self.engine.mismatch(call, local.rank, Call::decode(theirs));
                return self.engine.fail(error);
            }
        }

        let Self { engine, short, leaves, .. } = self;
        let (rank, own) = (engine.topology.rank, &short[turn as usize % 2]);
        let values = |other: usize| {
            if other == rank {
                return &own.elements()[..len];
            }
            let local = &engine.locals[if other < rank { other } else { other - 1 }];
            local.region.published(SHORT_COUNTER, turn, own.offset(), 0..len).expect("all have published")
        };
        tree::sum(leaves, values, x);
        Ok(())
    }

    /// An operation on all of `x`, block by block.
    pub(crate) fn contiguous<T: Summand>(&mut self, x: &mut [T], call: Call) -> Result<(), Error> {
        let block = self.block::<T>();
        let len = x.len();
        self.pipeline(x, len.div_ceil(block), call, |index, rank, world| {
            let start = index * block;
            let block = (len - start).min(block);
            let slice = call.rule.slices.of(rank, world, block);
            Piece { block, at: slice.start, from: start + slice.start..start + slice.end }
        })
    }

    /// An operation whose owners own slices of the whole of `x`: each block has a part of each slice.
    pub(crate) fn by_owner<T: Summand>(&mut self, x: &mut [T], rule: Rule) -> Result<(), Error> {
        let (len, world) = (x.len(), self.engine.topology.world());
        let longest = (0..world).map(|rank| Slices::Split.of(rank, world, len).len()).max().unwrap_or(0);
        // A multiple of a slice's unit, so that the slices of the block are these parts.
        let part = self.block::<T>() / world / SLICE_ELEMENTS * SLICE_ELEMENTS;
        let part = part.min(longest.next_multiple_of(SLICE_ELEMENTS)).max(SLICE_ELEMENTS);
        self.pipeline(x, longest.div_ceil(part), Call::on(x, rule), |index, rank, world| {
            let slice = Slices::Split.of(rank, world, len);
            let start = (slice.start + index * part).min(slice.end);
            Piece { block: world * part, at: rank * part, from: start..(start + part).min(slice.end) }
        })
    }

    /// Takes `x` through `blocks` blocks, some of which are under way at a time. `piece(index, owner, world)`
    /// says which elements are an owner's in a block.
    fn pipeline<T: Summand>(
        &mut self,
        x: &mut [T],
        blocks: usize,
        call: Call,
        piece: impl Fn(usize, usize, usize) -> Piece,
    ) -> Result<(), Error> {
        self.engine.check()?;
        let (rank, world, rule) = (self.engine.topology.rank, self.engine.topology.world(), call.rule);
        let all = 0..world;
        let own = rank..rank + 1;
        let whole = rule.slices == Slices::Whole;
        let (inward, outward) = (
            if rule.reduce && !whole { all.clone() } else { own.clone() },
            if rule.gather { all } else { own },
        );
        if blocks > 0 {
            self.engine.enter_exchange(STAGING, call);
        }
        for step in 0..blocks + BLOCKS.min(blocks) {
            if let Some(index) = step.checked_sub(BLOCKS.min(blocks)) {
                let bucket = index % BLOCKS;
                self.engine.wait(Goal::Bucket { exchange: STAGING, bucket }, call.name())?;
                let exchange = self.engine.exchange(STAGING);
                for owner in outward.clone() {
                    let Piece { from, .. } = piece(index, owner, world);
                    let len = from.len();
                    x[from].copy_from_slice(&exchange.result(bucket, owner)[..len]);
                }
                self.engine.consume((STAGING, bucket));
            }
            if step < blocks {
                let bucket = step % BLOCKS;
                let Piece { block, .. } = piece(step, rank, world);
                self.engine.begin((STAGING, bucket), call, block)?;
                let node = &mut self.engine.exchange_mut(STAGING).buckets[bucket].nodes[0];
                for owner in inward.clone() {
                    let Piece { at, from, .. } = piece(step, owner, world);
                    node.elements_mut()[at..][..from.len()].copy_from_slice(&x[from]);
                }
                self.engine.contribute((STAGING, bucket))?;
            }
        }
        Ok(())
    }
}

/// Bytes of a block in a group of `world` ranks: every rank can own a slice of it.
fn block_bytes(world: usize, is_one_host: bool) -> usize {
    let bytes = if is_one_host { BLOCK_BYTES } else { LINK_BLOCK_BYTES };
    bytes.max(world * SLICE_ELEMENTS * size_of::<f64>())
}

/// An owner's part of a block: elements `from` of the vector, which begin at `at` in the block of `block`
/// elements.
struct Piece {
    block: usize,
    at: usize,
    from: Range<usize>,
}

/// Memory that is shared through a file in `folder`, or private.
pub(crate) fn region(folder: Option<&Path>, control: usize, data: usize) -> Result<Region, Error> {
    let region = match folder {
        Some(folder) => Region::shared(folder, control, data),
        None => Region::private(control, data),
    };
    let bytes = control.saturating_add(data);
    region.map_err(|source| {
        let folder = folder.unwrap_or(Path::new("this process")).to_owned();
        let is_full = source.raw_os_error() == Some(rustix::io::Errno::NOSPC.raw_os_error());
        match rustix::fs::statvfs(&folder) {
            Ok(room) if is_full => {
                let free_bytes = room.f_bavail.saturating_mul(room.f_frsize);
                SharedMemoryError::Full { folder, bytes, free_bytes }.into()
            }
            _ => SharedMemoryError::Refused { folder, bytes, source: Arc::new(source) }.into(),
        }
    })
}

/// Maps the memory of another rank of this host, and finds its process.
fn neighbour(
    rank: usize,
    other: usize,
    handle: Option<RegionHandle>,
    is_one_machine: bool,
) -> Result<LocalRank, Error> {
    let missing = || {
        Error::from(SharedMemoryError::Unmapped {
            rank,
            other,
            source: Arc::new(io::ErrorKind::Unsupported.into()),
        })
    };
    let handle = handle.ok_or_else(missing)?;
    let process = handle.process;
    let region = map((rank, other), &handle, is_one_machine)?;
    let process = Process::find(process).map_err(|source| match Errno::from_io_error(&source) {
        Some(Errno::SRCH) => Error::from(PeerError::Gone { rank: other, process }),
        _ => SharedMemoryError::Unwatched { rank, other, process, source: Arc::new(source) }.into(),
    })?;
    Ok(LocalRank { rank: other, region, process })
}

/// Maps for `rank` the memory of `other`, which it has announced with `handle`.
pub(crate) fn map(
    (rank, other): (usize, usize),
    handle: &RegionHandle,
    is_one_machine: bool,
) -> Result<Arc<Region>, Error> {
    Region::open(handle).map(Arc::new).map_err(|source| {
        // A rank keeps its file open until all have mapped it, unless it fails or ends. Ranks on different
        // machines, or in different containers, never see each other's files.
        if is_one_machine && source.kind() == io::ErrorKind::NotFound {
            return PeerError::Gone { rank: other, process: handle.process }.into();
        }
        SharedMemoryError::Unmapped { rank, other, source: Arc::new(source) }.into()
    })
}

/// What a rank tells the other ranks of its host.
struct LocalInfo {
    handle: Option<RegionHandle>,
    /// The machine that the rank runs on, whatever `Settings::host` says.
    machine: HostId,
    cores: Cores,
}

impl LocalInfo {
    fn encode(&self) -> Vec<u8> {
        let handle = self.handle.map_or([0; RegionHandle::BYTES], |handle| handle.encode());
        [&handle[..], &self.machine.0, &self.cores.encode()].concat()
    }

    /// Without a handle if the bytes have none.
    fn decode(bytes: &[u8]) -> Self {
        let handle = bytes
            .first_chunk()
            .map(|bytes| RegionHandle::decode(*bytes))
            .filter(|handle| handle.process != 0);
        let rest = bytes.get(RegionHandle::BYTES..).unwrap_or_default();
        let (machine, cores) = rest.split_first_chunk().unwrap_or((&[0; 32], &[]));
        Self { handle, machine: HostId(*machine), cores: Cores::decode(cores) }
    }
}

fn name(rank: usize, info: &RankInfo, link: Option<&Link<AnyStream>>) -> String {
    match (link, LocalInfo::decode(&info.local_info).handle) {
        (Some(link), _) => format!("rank {rank} ({})", link.place()),
        (None, Some(handle)) => format!("rank {rank} (process {})", handle.process),
        (None, None) => format!("rank {rank}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_os = "linux")]
    use crate::rendezvous::Place;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_rank_that_ends_between_the_meeting_and_the_memory_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let settings = |rank| {
            let place = Place::File(folder.path().join("meeting"));
            let mut settings = Settings::new(Meeting::new(place, rank, 2));
            settings.shared_memory = folder.path().to_owned();
            settings
        };
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let mut handle = Region::shared(folder.path(), 64, 64).unwrap().handle().unwrap();
        handle.process = child.id().into();
        // Containers that are said to be one host are a mistake, which no rank's end is the cause of.
        for (machine, is_lost) in [(HostId::detect(), true), (HostId::named("a container"), false)] {
            let info = LocalInfo { handle: Some(handle), machine, cores: Cores::of_this_process() };
            let error = std::thread::scope(|scope| {
                scope.spawn(|| meet(&settings(1).meeting, HostId::detect(), &info.encode()).unwrap());
                Group::join(&settings(0)).unwrap_err()
            });
            let is_gone = matches!(error, Error::Peer(PeerError::Gone { rank: 1, .. }));
            assert_eq!((is_gone, error.is_consequence()), (is_lost, is_lost), "{error}");
            let is_unmapped =
                matches!(error, Error::SharedMemory(SharedMemoryError::Unmapped { other: 1, .. }));
            assert_eq!(is_unmapped, !is_lost, "{error}");
        }
    }

    #[test]
    fn every_rank_can_own_a_slice_of_a_block() {
        for world in [2, 3, 1024, 1025, 2049, 10_000, MAX_WORLD] {
            for is_one_host in [true, false] {
                let doubles = block_bytes(world, is_one_host) / size_of::<f64>();
                assert!(doubles / world >= SLICE_ELEMENTS, "{doubles} doubles for {world} ranks");
            }
        }
        assert_eq!([block_bytes(1024, true), block_bytes(2048, false)], [BLOCK_BYTES, LINK_BLOCK_BYTES]);
    }
}
