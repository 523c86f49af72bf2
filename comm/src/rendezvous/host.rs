//! Which ranks share a host, and with it memory.

use std::fs;

use sha2::{Digest, Sha256};

/// Equal for ranks that can share memory, different for all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HostId(pub(crate) [u8; 32]);

impl HostId {
    /// Finds the host of this process: a hash of the boot, the user, and the network and process namespaces.
    /// On systems that do not tell these: of the host's name and the user.
    pub(crate) fn detect() -> Self {
        let user = rustix::process::geteuid().as_raw().to_string();
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id");
        let namespace = |name: &str| fs::read_link(format!("/proc/self/ns/{name}"));
        match (boot, namespace("net"), namespace("pid")) {
            (Ok(boot), Ok(net), Ok(pid)) => Self::hash(&[
                b"boot",
                user.as_bytes(),
                boot.trim().as_bytes(),
                net.as_os_str().as_encoded_bytes(),
                pid.as_os_str().as_encoded_bytes(),
            ]),
            _ => {
                let system = rustix::system::uname();
                Self::hash(&[b"node", user.as_bytes(), system.nodename().to_bytes()])
            }
        }
    }

    /// The host with a given name, instead of the detected one.
    pub(crate) fn named(name: &str) -> Self {
        Self::hash(&[b"name", name.as_bytes()])
    }

    /// A host for this rank alone.
    pub(crate) fn of_rank(rank: usize) -> Self {
        Self::hash(&[b"rank", &(rank as u64).to_le_bytes()])
    }

    fn hash(fields: &[&[u8]]) -> Self {
        let mut hash = Sha256::new_with_prefix(b"isograd host");
        for field in fields {
            hash.update((field.len() as u64).to_le_bytes());
            hash.update(field);
        }
        Self(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_itself_and_no_other() {
        assert_eq!(HostId::detect(), HostId::detect());
        assert_eq!(HostId::named("a"), HostId::named("a"));
        let ids = [
            HostId::detect(),
            HostId::named("a"),
            HostId::named("b"),
            HostId::named(""),
            HostId::of_rank(0),
            HostId::of_rank(1),
        ];
        for (i, a) in ids.iter().enumerate() {
            for b in &ids[..i] {
                assert_ne!(a, b);
            }
        }
    }
}
