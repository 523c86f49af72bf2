//! Notices that the process of another rank of this host has ended.

#[cfg(target_os = "linux")]
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, getpid, test_kill_process};
use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::OwnedFd;

/// Another process of this host.
#[derive(Debug)]
pub(crate) enum Process {
    /// A pidfd, which is readable once the process has ended.
    #[cfg(target_os = "linux")]
    Handle(OwnedFd),
    /// The number, where there are no pidfds. A process that has ended keeps its number until its parent has
    /// asked for its status.
    Number(Pid),
}

impl Process {
    /// Finds the process with a number. `None` for this process: ranks that are threads of it, as in tests,
    /// end together.
    pub(crate) fn find(number: u64) -> io::Result<Option<Self>> {
        let pid = i32::try_from(number).ok().and_then(Pid::from_raw);
        let pid =
            pid.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no process has that number"))?;
        if pid == getpid() {
            return Ok(None);
        }
        #[cfg(target_os = "linux")]
        return Self::with_handle(pid, |pid| {
            rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
        })
        .map(Some);
        #[cfg(not(target_os = "linux"))]
        return Ok(Some(Self::Number(pid)));
    }

    /// Kernels before 5.3 have no pidfds, and some containers do not let programs use them.
    #[cfg(target_os = "linux")]
    fn with_handle(pid: Pid, open: impl FnOnce(Pid) -> Result<OwnedFd, Errno>) -> io::Result<Self> {
        match open(pid) {
            Ok(handle) => Ok(Self::Handle(handle)),
            Err(Errno::NOSYS | Errno::PERM) => Ok(Self::Number(pid)),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the process has ended.
    pub(crate) fn has_ended(&self) -> bool {
        match self {
            #[cfg(target_os = "linux")]
            Self::Handle(handle) => {
                poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&Timespec::default())) == Ok(1)
            }
            Self::Number(pid) => test_kill_process(*pid) == Err(Errno::SRCH),
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::process::{PidfdFlags, pidfd_open};
    use std::process::{Command, Stdio};

    #[test]
    fn the_end_of_a_process_is_noticed_with_and_without_a_handle() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_child(&child);
        let mut ways = vec![Process::find(child.id().into()).unwrap().unwrap()];
        for refusal in [Errno::NOSYS, Errno::PERM] {
            let way = Process::with_handle(pid, |_| Err(refusal)).unwrap();
            assert!(matches!(way, Process::Number(number) if number == pid), "{refusal}: {way:?}");
            ways.push(way);
        }
        assert!(!ways.iter().any(Process::has_ended));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(ways.iter().all(Process::has_ended), "{ways:?}");
    }

    #[test]
    fn what_cannot_be_watched_is_an_error() {
        assert!(Process::find(0).is_err() && Process::find(u64::MAX).is_err());
        let error = Process::with_handle(getpid(), |_| Err(Errno::MFILE)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::MFILE.raw_os_error()));
        let mut child = Command::new("true").spawn().unwrap();
        let pid = Pid::from_child(&child);
        child.wait().unwrap();
        let open = |pid| pidfd_open(pid, PidfdFlags::empty());
        assert_eq!(
            Process::with_handle(pid, open).unwrap_err().raw_os_error(),
            Some(Errno::SRCH.raw_os_error())
        );
    }

    #[test]
    fn this_process_is_not_watched() {
        assert!(Process::find(std::process::id().into()).unwrap().is_none());
    }
}
