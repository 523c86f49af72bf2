//! The CPU time that the control groups of this process allow, as containers set it.
//!
//! A quota leaves all cores visible and stops the process when its share of a period is used up: more threads
//! than the quota has CPUs only make it stop earlier. A group's quota holds for all groups below it, so the
//! smallest one on the way from the process's group to the root counts. Version 2 has one hierarchy and one
//! file, `cpu.max`; version 1 has a hierarchy for each controller, and two files.

use std::fs;
use std::path::{Path, PathBuf};

/// The CPUs that this process may use at a time, on average; `None` without a limit.
pub(crate) fn cpu_quota() -> Option<f64> {
    quota_below(Path::new("/"))
}

/// The same with `root` in the place of the root folder.
fn quota_below(root: &Path) -> Option<f64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).ok()?;
    let quotas = mounts.lines().filter_map(Mount::parse).filter_map(|mount| {
        let group = mount.group(&groups)?;
        let point = root.join(mount.point.strip_prefix("/").ok()?);
        smallest(&point, &group, mount.version)
    });
    quotas.reduce(f64::min)
}

/// The versions of control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// A mounted hierarchy of control groups that can limit CPU time.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    version: Version,
    /// The group that the mount point shows.
    root: PathBuf,
    point: PathBuf,
}

impl Mount {
    /// A line of `mountinfo`, if it is such a mount:
    /// `36 35 98:0 /root /point options … - type source super-options`.
    fn parse(line: &str) -> Option<Self> {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, point) = (unescape(mount.next()?), unescape(mount.next()?));
        let mut filesystem = filesystem.split(' ');
        let (kind, options) = (filesystem.next()?, filesystem.nth(1).unwrap_or_default());
        let version = match kind {
            "cgroup2" => Version::V2,
            "cgroup" if options.split(',').any(|option| option == "cpu") => Version::V1,
            _ => return None,
        };
        Some(Self { version, root, point })
    }

    /// The process's group, as a path below the mount point, from `/proc/self/cgroup`: lines of
    /// `number:controllers:path`.
    fn group(&self, groups: &str) -> Option<PathBuf> {
        let path = groups.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?);
            let is_own = match self.version {
                Version::V1 => controllers.split(',').any(|controller| controller == "cpu"),
                Version::V2 => controllers.is_empty(),
            };
            is_own.then_some(path)
        })?;
        // A container may see its own group alone, mounted under the name that it has outside.
        Some(Path::new(path).strip_prefix(&self.root).map_or_else(|_| PathBuf::new(), Path::to_path_buf))
    }
}

/// The smallest quota of the group and those above it.
fn smallest(point: &Path, group: &Path, version: Version) -> Option<f64> {
    group.ancestors().filter_map(|group| quota_of(&point.join(group), version)).reduce(f64::min)
}

/// The quota of one group, if it has one.
fn quota_of(group: &Path, version: Version) -> Option<f64> {
    let read = |name| fs::read_to_string(group.join(name)).ok();
    let (quota, period) = match version {
        Version::V1 => (read("cpu.cfs_quota_us")?, read("cpu.cfs_period_us")?),
        Version::V2 => {
            let max = read("cpu.max")?;
            let (quota, period) = max.split_once(' ')?;
            (quota.to_string(), period.to_string())
        }
    };
    // Without a limit, version 1 says -1 and version 2 "max".
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| *number > 0.0);
    Some(number(&quota)? / number(&period)?)
}

/// A path of `mountinfo`, where blanks are written as `\040`.
fn unescape(text: &str) -> PathBuf {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(text.to_string(), |text, (escape, meant)| text.replace(escape, meant)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root folder with these files.
    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn quota(files: &[(&str, &str)]) -> Option<f64> {
        quota_below(root(files).path())
    }

    const V2: &str = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn the_smallest_quota_on_the_way_to_the_root_counts() {
        let with = |inner, outer| {
            quota(&[
                ("proc/self/cgroup", "0::/a.slice/b.scope\n"),
                ("proc/self/mountinfo", V2),
                ("sys/fs/cgroup/a.slice/cpu.max", outer),
                ("sys/fs/cgroup/a.slice/b.scope/cpu.max", inner),
            ])
        };
        assert_eq!(with("max 100000\n", "max 100000\n"), None);
        assert_eq!(with("50000 100000\n", "max 100000\n"), Some(0.5));
        assert_eq!(with("400000 100000\n", "150000 100000\n"), Some(1.5));
        assert_eq!(with("nonsense\n", "0 100000\n"), None);
    }

    #[test]
    fn a_container_sees_its_own_group_as_the_root() {
        let files = |group| {
            [
                ("proc/self/cgroup", group),
                ("proc/self/mountinfo", V2),
                ("sys/fs/cgroup/cpu.max", "200000 100000\n"),
            ]
        };
        assert_eq!(quota(&files("0::/\n")), Some(2.0));
        assert_eq!(quota(&files("0::/../elsewhere\n")), Some(2.0));
    }

    #[test]
    fn version_1_has_a_hierarchy_for_its_controller() {
        let mounts = "31 29 0:27 /docker/7 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n\
                      32 29 0:28 /docker/7 /sys/fs/cgroup/cpu,cpuacct ro master:9 - cgroup cgroup rw,cpu,cpuacct\n";
        let files = |period, quota| {
            [
                (
                    "proc/self/cgroup",
                    "5:memory:/docker/7\n4:cpu,cpuacct:/docker/7/inner\n1:name=systemd:/\n0::/\n",
                ),
                ("proc/self/mountinfo", mounts),
                ("sys/fs/cgroup/cpu,cpuacct/inner/cpu.cfs_quota_us", quota),
                ("sys/fs/cgroup/cpu,cpuacct/inner/cpu.cfs_period_us", period),
                ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "300000\n"),
                ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
            ]
        };
        assert_eq!(quota(&files("50000\n", "50000\n")), Some(1.0));
        assert_eq!(quota(&files("50000\n", "-1\n")), Some(3.0));
    }

    #[test]
    fn without_control_groups_there_is_no_quota() {
        assert_eq!(quota(&[]), None);
        assert_eq!(quota(&[("proc/self/cgroup", "0::/\n"), ("proc/self/mountinfo", "x\n")]), None);
        let blank = Mount::parse("1 2 0:1 / /a\\040b rw - cgroup2 cgroup2 rw").unwrap();
        assert_eq!(blank.point, Path::new("/a b"));
    }
}
