//! `isograd local`: ranks on this machine.

use crate::args::{Bind, LocalArgs};
use crate::cores;
use crate::failure::Failure;
use crate::output::Output;
use crate::ranks::MEETING;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// How long the other ranks may take to end by themselves once one has failed: they notice at once, and say so.
const GRACE: Duration = Duration::from_secs(5);
/// Time between two looks at the ranks.
const LOOK: Duration = Duration::from_millis(10);

/// Runs the command on each of the ranks; ends when all have ended.
pub(crate) fn start(args: &LocalArgs, out: &mut Output) -> Result<(), Failure> {
    let ranks = args.ranks as usize;
    let cores = cores::available();
    let division = match args.bind {
        Bind::Cores => cores::divide(&cores, ranks),
        Bind::None => None,
    };
    out.line(&binding(ranks, &cores, division.as_deref()))?;

    let folder = tempfile::Builder::new().prefix("isograd-").tempdir().map_err(Failure::Meeting)?;
    let program = std::env::current_exe().map_err(Failure::Start)?;
    let mut children = Vec::new();
    for rank in 0..ranks {
        let mut command = Command::new(&program);
        command.args(&args.command).env(MEETING, folder.path().join("meeting"));
        let numbers =
            [("RANK", rank), ("WORLD_SIZE", ranks), ("LOCAL_RANK", rank), ("LOCAL_WORLD_SIZE", ranks)];
        command.envs(numbers.map(|(name, number)| (name, number.to_string())));
        command.env_remove("MASTER_ADDR").env_remove("MASTER_PORT");
        // A child has the cores that its parent has when it starts.
        if let Some(division) = &division {
            cores::bind(&division[rank]).map_err(Failure::Bind)?;
        }
        match command.spawn() {
            Ok(child) => children.push(child),
            Err(source) => {
                end(&mut children);
                return Err(Failure::Start(source));
            }
        }
    }
    if division.is_some() {
        cores::bind(&cores).map_err(Failure::Bind)?;
    }
    supervise(children)
}

/// One line: which rank has which cores.
fn binding(ranks: usize, cores: &[usize], division: Option<&[Vec<usize>]>) -> String {
    match division {
        Some(division) => {
            let parts = division.iter().enumerate();
            let parts: Vec<_> = parts.map(|(rank, own)| format!("{rank} on {}", cores::list(own))).collect();
            format!("ranks and their cores: {}", parts.join("; "))
        }
        None => format!("ranks and their cores: all {ranks} on {}, not bound", cores::list(cores)),
    }
}

/// Waits for all children. When one fails, the others get some time to notice and to end by themselves.
fn supervise(mut children: Vec<Child>) -> Result<(), Failure> {
    let mut running: Vec<usize> = (0..children.len()).collect();
    let mut failure: Option<(usize, ExitStatus, Instant)> = None;
    while !running.is_empty() {
        let mut ended = Vec::new();
        for rank in &running {
            if let Some(status) = children[*rank].try_wait().map_err(Failure::Start)? {
                ended.push((*rank, status));
            }
        }
        running.retain(|rank| ended.iter().all(|(other, _)| other != rank));
        // Of those that ended at once, one that was killed is the cause: others fail because of it.
        ended.sort_by_key(|(rank, status)| (status.signal().is_none(), *rank));
        if let Some((rank, status)) = ended.into_iter().find(|(_, status)| !status.success()) {
            failure.get_or_insert((rank, status, Instant::now()));
        }
        if failure.is_some_and(|(.., since)| since.elapsed() > GRACE) {
            end(&mut children);
        }
        std::thread::sleep(LOOK);
    }
    failure.map_or(Ok(()), |(rank, status, _)| Err(Failure::Rank { rank, status }))
}

/// Ends what still runs.
fn end(children: &mut [Child]) {
    for child in children {
        // It may have ended by itself in between.
        let _ = child.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Child {
        Command::new("sh").args(["-c", script]).spawn().expect("a shell")
    }

    fn failure(scripts: &[&str]) -> Option<(usize, Option<i32>, Option<i32>)> {
        match supervise(scripts.iter().map(|script| shell(script)).collect()) {
            Ok(()) => None,
            Err(Failure::Rank { rank, status }) => Some((rank, status.code(), status.signal())),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn the_first_failure_is_reported() {
        assert_eq!(failure(&["true", "true"]), None);
        assert_eq!(failure(&["sleep 0.5; exit 3", "exit 7", "true"]), Some((1, Some(7), None)));
        assert_eq!(failure(&["kill -9 $$"]), Some((0, None, Some(9))));
    }

    #[test]
    fn cores_are_listed_once() {
        let division = [vec![0, 1], vec![2]];
        assert_eq!(binding(2, &[0, 1, 2], Some(&division)), "ranks and their cores: 0 on 0-1; 1 on 2");
        assert_eq!(binding(4, &[0, 1], None), "ranks and their cores: all 4 on 0-1, not bound");
    }
}
