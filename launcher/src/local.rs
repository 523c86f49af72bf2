//! `isograd local`: a job whose ranks are all on this machine.

use crate::cli::LocalArgs;
use crate::failure::Failure;
use crate::job::{self, Assignment, Connection, HostRanks, JobPlan, Meeting};
use std::sync::mpsc::channel;

/// Runs the command on each rank, and returns when all have ended.
pub(crate) fn start(args: LocalArgs) -> Result<(), Failure> {
    let ranks = args.ranks;
    let plan = JobPlan::new(args.job, false)?;
    plan.check_world(ranks)?;
    let JobPlan { args, env, bind, relay, .. } = plan;
    let (sender, events) = channel();
    job::watch_signals(&sender)?;
    let connection = Connection::here(0, &sender).map_err(Failure::Start)?;
    let assignment = Assignment {
        args,
        env,
        folder: None,
        world: ranks,
        first_rank: 0,
        ranks,
        cores: None,
        bind,
        progress: None,
        meeting: Meeting::Here,
    };
    let host = HostRanks { number: 0, name: "localhost".to_string(), connection, assignment };
    job::supervise(vec![host], &events, relay)
}
