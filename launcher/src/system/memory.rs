//! The memory of this process.

/// The most bytes that this process has had in memory at a time, where the system tells.
pub(crate) fn peak_bytes() -> Option<u64> {
    parse(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// `VmHWM` of Linux, in kB of 1024 bytes.
fn parse(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_in_bytes() {
        assert_eq!(parse("Name:\tx\nVmHWM:\t   12 kB\nVmRSS:\t 3 kB\n"), Some(12 * 1024));
        assert_eq!(parse("VmRSS:\t 3 kB\n"), None);
        assert_eq!(parse("VmHWM:\t 18446744073709551615 kB\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_one() {
        let memory = vec![1u8; 64 << 20];
        assert!(peak_bytes().unwrap() > std::hint::black_box(&memory).len() as u64);
    }
}
