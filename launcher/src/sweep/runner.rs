//! Runs the jobs of a sweep as processes of this program, as many side by side as there are slots.
//!
//! The first signal is passed on to all of them, and the sweep ends when they have written their checkpoints.
//! If the sweep is killed, they die with it.

use super::command::TrialCommand;
use super::outcome;
use super::schedule::Job;
use super::space::Space;
use super::state::{JobResult, State};
use crate::cli::{SearchName, SweepArgs};
use crate::failure::Failure;
use crate::hosts;
use crate::output::Output;
use crate::system::cores::CoreLimits;
use crate::system::escape::one_line;
use crate::system::status_line::StatusLine;
use crate::system::{host_facts, signals, variables};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

/// What a job prints, in the folder of its trial.
const OUTPUT: &str = "output.txt";

#[derive(Debug)]
enum Event {
    Ended { slot: usize, status: io::Result<ExitStatus> },
    Signal(i32),
}

/// A place for one job at a time.
#[derive(Debug)]
struct Slot {
    host: Option<String>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    job: Job,
    pid: Pid,
    start: Instant,
    /// Bytes that earlier tries have left in the file that the job prints to.
    printed_before: usize,
}

pub(super) struct Runner<'a> {
    command: &'a TrialCommand,
    space: &'a Space,
    state: &'a mut State,
    search: SearchName,
    slots: Vec<Slot>,
    threads: Option<usize>,
    queue: VecDeque<(Job, Vec<f64>)>,
    sender: Sender<Event>,
    events: Receiver<Event>,
    failures: u32,
    max_failures: u32,
    done: usize,
}

impl<'a> Runner<'a> {
    pub(super) fn new(
        args: &SweepArgs,
        command: &'a TrialCommand,
        space: &'a Space,
        state: &'a mut State,
    ) -> Result<Self, Failure> {
        let (sender, events) = channel();
        watch_signals(&sender)?;
        let slot = |host| Slot { host, running: None };
        let (mut slots, mut threads) = (Vec::new(), command.threads);
        match &args.hostfile {
            Some(file) => slots.extend(hosts::read(file)?.into_iter().map(|host| slot(Some(host.name)))),
            None => {
                let cores = CoreLimits::of_this_process().usable();
                let of_trial = threads.unwrap_or(1) * args.ranks as usize;
                let jobs = args.jobs.map_or((cores / of_trial).max(1), |jobs| jobs as usize);
                slots.extend((0..jobs).map(|_| slot(None)));
                threads = threads.or(Some((cores / jobs / args.ranks as usize).max(1)));
            }
        }
        slots.truncate(args.jobs.map_or(usize::MAX, |jobs| jobs as usize));
        let max_failures = args.max_failures;
        let queue = VecDeque::new();
        Ok(Self {
            command,
            space,
            state,
            search: args.search,
            slots,
            threads,
            queue,
            sender,
            events,
            failures: 0,
            max_failures,
            done: 0,
        })
    }

    /// Lets a job run as soon as there is room, unless it has ended already.
    pub(super) fn submit(&mut self, job: Job, place: &[f64]) {
        match self.state.of(job) {
            Some(_) => self.done += 1,
            None => self.queue.push_back((job, place.to_vec())),
        }
    }

    /// The score of a job by which the schedule goes on, when it has ended.
    pub(super) fn wait(&mut self, job: Job, out: &mut Output) -> Result<f64, Failure> {
        loop {
            if let Some(last) = self.state.of(job) {
                // By the result of a later try, TPE would give trials that have run by now other values.
                let first = self.state.first_of(job).filter(|_| self.search == SearchName::Tpe);
                return Ok(first.unwrap_or(last).score(self.command.section.is_max));
            }
            while let Some(slot) = self.slots.iter().position(|slot| slot.running.is_none()) {
                let Some((job, place)) = self.queue.pop_front() else { break };
                self.start(slot, job, &place)?;
            }
            match self.next_event() {
                Event::Signal(signal) => return Err(self.stop(signal)),
                Event::Ended { slot, status } => self.ended(slot, status, out)?,
            }
        }
    }

    fn next_event(&self) -> Event {
        let running = self.slots.iter().filter(|slot| slot.running.is_some()).count();
        let mut status = StatusLine::on_terminal();
        if let Some(status) = &mut status {
            status.show(&format!("{} jobs done, {running} running, {} waiting", self.done, self.queue.len()));
        }
        self.events.recv().expect("this has a sender")
    }

    fn output(&self, trial: usize) -> PathBuf {
        self.command.trial_folder(trial).join(OUTPUT)
    }

    fn start(&mut self, slot: usize, job: Job, place: &[f64]) -> Result<(), Failure> {
        let failure = |path: PathBuf| move |source| Failure::Write { option: "--out", path, source };
        let values = self.space.values(place);
        let host = self.slots[slot].host.as_deref();
        let words = self.command.words(job, &values, host, self.threads);
        let words = words.map_err(failure(self.command.trial_folder(job.trial)))?;
        let path = self.output(job.trial);
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(failure(path.clone()))?;
        let printed_before = file.metadata().map_err(failure(path.clone()))?.len() as usize;
        let second = file.try_clone().map_err(failure(path))?;
        let program = host_facts::own_file().map_err(Failure::Start)?;
        let mut command = Command::new(program);
        command.arg0("isograd").args(&words).stdin(Stdio::null()).stdout(file).stderr(second);
        // In a group of its own, a job gets the signals that it is to get, each once.
        command.env(variables::OWNER, std::process::id().to_string()).process_group(0);
        let child = command.spawn().map_err(Failure::Start)?;
        let pid = Pid::from_child(&child);
        self.slots[slot].running = Some(Running { job, pid, start: Instant::now(), printed_before });
        let sender = self.sender.clone();
        std::thread::spawn(move || {
            let mut child: Child = child;
            let status = child.wait();
            // When the sweep is over, nothing receives events any more.
            let _ = sender.send(Event::Ended { slot, status });
        });
        Ok(())
    }

    /// Notes what came of the job in `slot`, and says it.
    fn ended(
        &mut self,
        slot: usize,
        status: io::Result<ExitStatus>,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let Running { job, start, printed_before, .. } =
            self.slots[slot].running.take().expect("a job ran there");
        let status = status.map_err(Failure::Start)?;
        let Job { trial, rung, .. } = job;
        let metric = &self.command.section.metric;
        let mut result = JobResult {
            trial,
            rung,
            epochs: 0,
            value: None,
            seconds: start.elapsed().as_secs_f64(),
            problem: None,
        };
        if status.success() {
            let figure =
                outcome::figure(&self.command.run_folder(trial), metric, self.command.last_epoch(job));
            // All trials would fail by it.
            let figure = figure.map_err(|problem| Failure::Usage {
                problem: format!("trial {trial}: {problem}"),
                hint: None,
            })?;
            (result.epochs, result.value) = (figure.epochs, figure.value);
            if result.value.is_none() {
                result.problem = Some(format!("{metric} is not finite"));
            }
        } else {
            result.problem = Some(outcome::problem(&self.output(trial), printed_before, status));
        }
        self.failures = if result.problem.is_some() { self.failures + 1 } else { 0 };
        self.done += 1;
        let text = match (&result.problem, result.value) {
            (Some(problem), _) => format!("failed: {}", one_line(problem)),
            (None, Some(value)) => {
                let plural = if result.epochs == 1 { "" } else { "s" };
                format!("{metric} {value} after {} epoch{plural}, {:.1} s", result.epochs, result.seconds)
            }
            (None, None) => unreachable!("without a value there is a problem"),
        };
        self.state.add(result)?;
        out.line(&format!("trial {trial}: {text}"))?;
        if self.failures < self.max_failures {
            return Ok(());
        }
        self.pass_on(signal_hook::consts::SIGTERM);
        self.drain();
        Err(Failure::Usage {
            problem: format!("{} trials in a row have failed, the last one was trial {trial}", self.failures),
            hint: Some(format!(
                "--retry-failed runs them again, --max-failures allows more; {} has all that the last one printed",
                self.output(trial).display()
            )),
        })
    }

    /// Passes a signal on to all jobs.
    fn pass_on(&self, signal: i32) {
        let Some(signal) = Signal::from_named_raw(signal) else { return };
        for running in self.slots.iter().filter_map(|slot| slot.running.as_ref()) {
            // A job may have ended by now.
            let _ = kill_process(running.pid, signal);
        }
    }

    /// Ends all jobs for `signal`.
    fn stop(&mut self, signal: i32) -> Failure {
        self.pass_on(signal);
        self.drain();
        Failure::stopped(format!("{}; the same command goes on", signals::name(signal)), signal, None)
    }

    /// Waits until no job runs. Results are not noted: the jobs go on when the sweep does.
    fn drain(&mut self) {
        while self.slots.iter().any(|slot| slot.running.is_some()) {
            match self.next_event() {
                Event::Signal(signal) => self.pass_on(signal),
                Event::Ended { slot, .. } => self.slots[slot].running = None,
            }
        }
    }
}

impl Drop for Runner<'_> {
    fn drop(&mut self) {
        // After an error of the sweep itself.
        self.pass_on(signal_hook::consts::SIGTERM);
        self.drain();
    }
}

fn watch_signals(sender: &Sender<Event>) -> Result<(), Failure> {
    let mut watched = signal_hook::iterator::Signals::new(signals::ending()).map_err(Failure::Signals)?;
    let sender = sender.clone();
    std::thread::spawn(move || {
        for signal in watched.forever() {
            let _ = sender.send(Event::Signal(signal));
        }
    });
    Ok(())
}
