//! A quota of CPU time, as containers have one: ranks have no more threads than it has CPUs. Needs root, to
//! make a control group.

#![cfg(target_os = "linux")]

mod common;

use common::lines;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// A control group with a quota, until it is dropped.
struct Group(PathBuf);

impl Group {
    /// One CPU; `None` where no group can be made.
    fn of_one_cpu() -> Option<Self> {
        let name = format!("isograd-test-{}", std::process::id());
        let first = PathBuf::from("/sys/fs/cgroup/cpu").join(&name);
        if fs::create_dir(&first).is_ok() {
            let this = Self(first);
            let is_set =
                this.write("cpu.cfs_period_us", "100000") && this.write("cpu.cfs_quota_us", "100000");
            return is_set.then_some(this);
        }
        let this = Self(PathBuf::from("/sys/fs/cgroup").join(name));
        let is_set = fs::create_dir(&this.0).is_ok() && this.write("cpu.max", "100000 100000");
        is_set.then_some(this)
    }

    fn write(&self, file: &str, text: &str) -> bool {
        fs::write(self.0.join(file), text).is_ok()
    }

    /// What the program prints in this group.
    fn run(&self, args: &str) -> String {
        let script = format!(
            "echo $$ > '{}/cgroup.procs' && exec '{}' {args}",
            self.0.display(),
            env!("CARGO_BIN_EXE_isograd")
        );
        let output = Command::new("sh").args(["-c", &script]).output().expect("a shell");
        assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("the program prints UTF-8")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It is empty: all that ran in it has ended.
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn threads_and_bindings_keep_to_the_quota() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let Some(group) = Group::of_one_cpu().filter(|_| cores > 1) else {
        eprintln!(
            "SKIPPED: it takes two cores, and the right to make a control group with a quota of CPU time"
        );
        return;
    };
    let train = "train --dataset synthetic --steps 1";
    let threads = |text: &str| lines(text, "threads:").first().map(|value| value.trim().to_string());
    let reason = format!("1 (a quota of 1 CPU; {cores} cores are visible)");
    assert_eq!(threads(&group.run(train)), Some(reason.clone()));
    assert_eq!(threads(&group.run(&format!("{train} --threads 2"))), Some("2".to_string()));
    let two = group.run(&format!("local -n 2 {train}"));
    assert!(two.contains("ranks and their cores: all 2, not bound\n"), "{two}");
    assert_eq!(threads(&two), Some(reason));
}
