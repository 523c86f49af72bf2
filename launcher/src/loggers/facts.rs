//! Facts of this machine and process, for logs.

/// The most memory that this process has used, in bytes.
pub(crate) fn peak_memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The name of this host.
pub(crate) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_facts() {
        assert!(!host().is_empty());
        let before = peak_memory_bytes().unwrap();
        let memory = vec![1u8; 64 << 20];
        assert!(
            std::hint::black_box(&memory).len() > 1 && peak_memory_bytes().unwrap() >= before.max(64 << 20)
        );
    }
}
