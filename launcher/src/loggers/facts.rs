//! Facts of this machine and process, for logs.

/// The model of the CPU, as the system names it.
pub(crate) fn cpu() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let value = |key: &str| {
        let line = text.lines().find(|line| line.split(':').next().is_some_and(|name| name.trim() == key))?;
        Some(line.split_once(':')?.1.trim().to_string())
    };
    let named = value("model name").or_else(|| value("Model")).or_else(|| value("CPU implementer"));
    named.unwrap_or_else(|| std::env::consts::ARCH.to_string())
}

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
        assert!(!cpu().is_empty() && !host().is_empty());
        let before = peak_memory_bytes().unwrap();
        let memory = vec![1u8; 64 << 20];
        assert!(
            std::hint::black_box(&memory).len() > 1 && peak_memory_bytes().unwrap() >= before.max(64 << 20)
        );
    }
}
