//! What a host tells of itself.

use crate::system::cores;
use isograd_kernels::gemm::{MatMut, MatRef, gemm};
use isograd_kernels::{Accum, Isa};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::hint::black_box;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What an agent knows of its host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HostFacts {
    /// The program's version.
    pub(crate) version: String,
    /// The SHA-256 of the agent's own file, if it was asked for.
    pub(crate) digest: Option<[u8; 32]>,
    pub(crate) name: String,
    /// Equal for hosts that are one machine and one network, where the system tells.
    pub(crate) machine: Option<String>,
    /// Operating system and architecture.
    pub(crate) platform: String,
    pub(crate) cores: Vec<usize>,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) isa: String,
    /// Interfaces and their addresses.
    pub(crate) addresses: Vec<(String, IpAddr)>,
    /// The host's clock: microseconds since 1970.
    pub(crate) clock_us: u64,
}

/// Rows and columns of the matrices whose product is measured: they stay in the second-level cache.
const SIDE: usize = 256;
/// How long is measured.
const MEASURED: Duration = Duration::from_millis(300);

/// What this host is; with the SHA-256 of this program's file, if asked for.
pub(crate) fn collect(with_digest: bool) -> HostFacts {
    let own = with_digest.then(own_file).and_then(Result::ok);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    HostFacts {
        version: env!("CARGO_PKG_VERSION").to_string(),
        digest: own.and_then(|path| digest(&path).ok()),
        name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        machine: machine(),
        platform: platform(),
        cores: cores::available(),
        memory_bytes: memory_bytes(),
        isa: Isa::best().to_string(),
        addresses: interfaces.into_iter().map(|one| (one.name.clone(), one.ip())).collect(),
        clock_us: now.as_micros() as u64,
    }
}

/// The boot of this machine, and the network that this process is in: containers with networks of their own are hosts of their own.
fn machine() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let network = std::fs::read_link("/proc/self/ns/net").ok()?;
    Some(format!("{} {}", boot.trim(), network.display()))
}

/// Operating system and architecture, as `uname -sm` names them.
pub(crate) fn platform() -> String {
    let system = rustix::system::uname();
    format!("{} {}", system.sysname().to_string_lossy(), system.machine().to_string_lossy())
}

/// This program's file: on Linux this very one, whatever has taken its name since.
pub(crate) fn own_file() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { std::env::current_exe() }
}

/// The SHA-256 of a file.
pub(crate) fn digest(path: &Path) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    io::copy(&mut File::open(path)?, &mut HashWriter(&mut hash))?;
    Ok(hash.finalize().into())
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// GFLOP/s of one core, in products of matrices.
pub(crate) fn gflops() -> f64 {
    let a = vec![1.0f32; SIDE * SIDE];
    let (b, mut c) = (a.clone(), a.clone());
    let mut product = || {
        let [a, b] = [&a, &b].map(|x| MatRef::row_major(black_box(x), SIDE, SIDE));
        gemm(Isa::best(), a, b, Accum::Replace, MatMut::row_major(&mut c, SIDE, SIDE));
    };
    let (start, mut best) = (Instant::now(), Duration::MAX);
    while start.elapsed() < MEASURED {
        let round = Instant::now();
        product();
        best = best.min(round.elapsed());
    }
    2.0 * (SIDE * SIDE * SIDE) as f64 / best.as_secs_f64() / 1e9
}
