//! The profile of a training run: started, gathered, printed and written.

use crate::cli::profile_plan::{ProfileFile, ProfileFormat, ProfilePlan, TracePlan};
use crate::failure::Failure;
use crate::output::Output;
use crate::system::count::count;
use isograd_model::profile::{Limit, TraceSummary};
use isograd_model::{Element, Profile, Profiler, Trainer};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// A profile under way.
#[derive(Debug)]
pub(crate) struct Profiling<'a> {
    plan: &'a ProfilePlan,
    /// Whether samples are read ahead.
    has_prefetch: bool,
    /// New files beside those of the plan, at the first rank.
    out: Option<NamedTempFile>,
    trace: Option<NamedTempFile>,
}

impl<'a> Profiling<'a> {
    /// Makes the files, so that a run ends at its start if they cannot be written.
    pub(crate) fn open(plan: &'a ProfilePlan, has_prefetch: bool, is_first: bool) -> Result<Self, Failure> {
        let (mut out, mut trace) = (None, None);
        if is_first {
            let file =
                |option, path: &Path| new_beside(path).map_err(|source| write_failure(option, path, source));
            let to = plan.file.as_ref().filter(|to| !to.is_stdout());
            out = to.map(|to| file("--profile-out", &to.path)).transpose()?;
            trace = plan.trace.as_ref().map(|to| file("--trace", &to.path)).transpose()?;
        }
        Ok(Self { plan, has_prefetch, out, trace })
    }

    /// Lets `trainer` record from now on. `host` is the name of this host, if it was given one.
    pub(crate) fn start<T: Element>(
        &self,
        trainer: &mut Trainer<T>,
        host: Option<&str>,
    ) -> Result<(), Failure> {
        let node = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        let host = host.map_or_else(node, str::to_string);
        let profiler = self.plan.trace_bytes().map_or_else(Profiler::new, Profiler::with_trace);
        Ok(trainer.set_profiler(&profiler.on_host(host))?)
    }

    /// Gathers the profile of all ranks, prints it and writes the files.
    pub(crate) fn finish<T: Element>(
        self,
        trainer: &mut Trainer<T>,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let Some(profile) = trainer.take_profile()? else { return Ok(()) };
        if self.plan.table {
            out.line(&format!("\n{profile}\n"))?;
        }
        let limit = profile.limit();
        let line = match advice(&limit, self.has_prefetch) {
            Some(advice) => format!("limit: {limit}: {advice}"),
            None => format!("limit: {limit}"),
        };
        out.line(&line)?;
        if self.plan.file.as_ref().is_some_and(ProfileFile::is_stdout) {
            out.text(&profile.to_json())?;
        }
        match self.write(&profile)? {
            Some((path, summary)) => out.line(&trace_line(&path, &summary)),
            None => Ok(()),
        }
    }

    /// Writes what this rank has recorded of a run that failed, without the other ranks.
    pub(crate) fn rescue<T: Element>(self, trainer: &mut Trainer<T>) {
        let Some(profile) = trainer.take_own_profile() else { return };
        // The run's own failure matters more.
        if let Err(failure) = self.write(&profile) {
            log::warn!("{failure}");
        }
    }

    /// Writes the files; returns what the trace holds.
    fn write(self, profile: &Profile) -> Result<Option<(PathBuf, TraceSummary)>, Failure> {
        if let (Some(ProfileFile { path, format }), Some(mut file)) = (&self.plan.file, self.out) {
            let text = match format {
                ProfileFormat::Csv => profile.to_csv(),
                ProfileFormat::Json => profile.to_json(),
            };
            let written = file.write_all(text.as_bytes()).and_then(|()| put(file, path));
            written.map_err(|source| write_failure("--profile-out", path, source))?;
        }
        let (Some(TracePlan { path, bytes }), Some(file)) = (&self.plan.trace, self.trace) else {
            return Ok(None);
        };
        let mut to = BufWriter::new(file);
        let written = profile.write_trace(&mut to, *bytes).and_then(|summary| {
            let file = to.into_inner().map_err(io::IntoInnerError::into_error)?;
            put(file, path).map(|()| Some((path.clone(), summary)))
        });
        written.map_err(|source| write_failure("--trace", path, source))
    }
}

/// A new file in the folder of `path`. It takes that name when it is whole; until then, what has the name
/// stays.
fn new_beside(path: &Path) -> io::Result<NamedTempFile> {
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let beside = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = if is_special(path) { std::env::temp_dir() } else { beside.to_path_buf() };
    let permissions = std::fs::Permissions::from_mode(0o666);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".isograd-").permissions(permissions).tempfile_in(folder)
}

fn put(file: NamedTempFile, path: &Path) -> io::Result<()> {
    if is_special(path) {
        return std::fs::write(path, std::fs::read(file.path())?);
    }
    file.persist(path).map(|_| ()).map_err(|failed| failed.error)
}

/// Whether this is a pipe or a device, such as /dev/stdout, which is written and not replaced.
fn is_special(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| !found.is_file())
}

fn write_failure(option: &'static str, path: &Path, source: io::Error) -> Failure {
    Failure::Write { option, path: path.to_path_buf(), source }
}

/// `trace: trace.json (2310 spans, clocks of ranks within 1.2 us)`.
fn trace_line(path: &Path, summary: &TraceSummary) -> String {
    let TraceSummary { events, stopped, clock_error, .. } = summary;
    let mut line = format!("trace: {} ({}", path.display(), count(*events, "span"));
    if !clock_error.is_zero() {
        line += &format!(", clocks of ranks within {:.1} us", clock_error.as_secs_f64() * 1e6);
    }
    line += ")";
    if let Some(stopped) = stopped {
        line += &format!("; it ends after {:.2} s, at --trace-bytes", stopped.as_secs_f64());
    }
    line
}

/// What can be done about a limit.
fn advice(limit: &Limit, has_prefetch: bool) -> Option<&'static str> {
    Some(match limit {
        Limit::SlowRank { .. } => "--shards-per-rank gives each rank the share that it can do",
        Limit::Exchange { .. } => "larger batches or fewer ranks",
        Limit::Reading { .. } if has_prefetch => "more --prefetch-threads",
        Limit::Reading { .. } => "--prefetch reads ahead",
        Limit::Idle { .. } => "larger batches, or a --shard-size that gives each thread equally many shards",
        Limit::Update { .. } => "larger batches",
        Limit::Between { .. } => "fewer checkpoints, or larger batches",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_has_a_way_out() {
        let reading = Limit::Reading { share: 0.09 };
        assert_eq!(advice(&reading, true), Some("more --prefetch-threads"));
        assert_eq!(advice(&reading, false), Some("--prefetch reads ahead"));
        let computation = Limit::Computation { share: 0.9, most: None, peak_share: None };
        assert_eq!(advice(&computation, false), None);
    }

    #[test]
    fn a_file_appears_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.json");
        std::fs::write(&path, "old").unwrap();
        let mut file = new_beside(&path).unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        put(file, &path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        assert!(new_beside(folder.path()).is_err());
        assert!(new_beside(&folder.path().join("none").join("trace.json")).is_err());
    }
}
