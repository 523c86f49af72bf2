//! The model of the CPU.

/// The model of the CPU, as the system names it.
pub(crate) fn cpu_model() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let value = |key: &str| {
        let line = text.lines().find(|line| line.split(':').next().is_some_and(|name| name.trim() == key))?;
        Some(line.split_once(':')?.1.trim().to_string())
    };
    let named = value("model name").or_else(|| value("Model")).or_else(|| value("CPU implementer"));
    named.unwrap_or_else(|| std::env::consts::ARCH.to_string())
}
