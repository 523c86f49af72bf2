//! The ranks of a workflow. The first one runs the steps; the others wait until it asks them to train.
//!
//! ```text
//! rank 0                                  others
//! meet                                    meet
//! steps; meanwhile a thread says          wait
//!   "still here" in a broadcast
//! "train with these words"                get the words
//! train, all together                     train, all together
//! meet again, if another training comes   meet again, or end
//! ```

use crate::cli::plan::RankPlan;
use crate::cli::{self, Command, Parsed};
use crate::failure::Failure;
use crate::output::Output;
use crate::rank::identity::RankIdentity;
use crate::rank::resume::{self, Joined, share};
use crate::rank::stop::StopRequest;
use isograd_comm::{Communicator, Error};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;

/// Signs of life in the time that a rank waits for another one.
const BEATS: u32 = 6;
/// What rank 0 says in a broadcast of one number.
const STILL_HERE: f32 = 0.0;
const ORDER_FOLLOWS: f32 = 1.0;

/// What the first rank asks the others to do.
#[derive(Debug, Serialize, Deserialize)]
enum Order {
    Train { words: Vec<String>, is_last: bool },
    End,
}

/// The ranks, as one of them sees them.
pub(super) struct Crew {
    identity: RankIdentity,
    plan: RankPlan,
    request: StopRequest,
    /// Trainings to come.
    left: usize,
    waiting: Option<Waiting>,
}

/// The others wait; a thread says that this rank is still here.
struct Waiting {
    stop: Sender<()>,
    beat: JoinHandle<Result<Communicator, Error>>,
}

impl Crew {
    pub(super) fn new(identity: RankIdentity, plan: RankPlan) -> Result<Self, Failure> {
        let request = StopRequest::listen().map_err(Failure::Signals)?;
        Ok(Self { identity, plan, request, left: 0, waiting: None })
    }

    pub(super) fn is_first(&self) -> bool {
        self.identity.is_first()
    }

    pub(super) fn identity(&self) -> &RankIdentity {
        &self.identity
    }

    /// Is set by a signal.
    pub(super) fn stop(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.request.flag)
    }

    /// The failure of a run that a signal has ended.
    pub(super) fn stopped(&self) -> Failure {
        self.request.early_failure()
    }

    /// The first rank: meets the others, for as many trainings as are `left`.
    pub(super) fn meet(&mut self, left: usize) -> Result<(), Failure> {
        self.left = left;
        if self.identity.world == 1 {
            return Ok(());
        }
        let mut communicator = self.join()?;
        let (stop, stopped) = channel();
        let pause = self.plan.timeout / BEATS;
        let beat = std::thread::Builder::new().name("beat".to_string()).spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(pause) {
                communicator.broadcast(&mut [STILL_HERE], 0)?;
            }
            Ok(communicator)
        });
        self.waiting = Some(Waiting { stop, beat: beat.map_err(Failure::Start)? });
        Ok(())
    }

    fn join(&self) -> Result<Communicator, Failure> {
        let agreement = || {
            let version = ("the program's version", env!("CARGO_PKG_VERSION").to_string());
            Ok(vec![version, ("the command", "run".to_string())])
        };
        self.identity.join(&self.plan, &self.request, agreement)
    }

    /// The first rank: trains together with the others. `words` are those of a command line without the name
    /// of the program.
    pub(super) fn train(&mut self, words: &[String], out: &mut Output) -> Result<(), Failure> {
        let mut communicator = Communicator::solo();
        self.left = self.left.saturating_sub(1);
        if self.identity.world > 1 {
            communicator = self.order(&Order::Train { words: words.to_vec(), is_last: self.left == 0 })?;
        }
        train(words, &self.identity, Joined { request: self.request.clone(), communicator }, out)?;
        if self.left > 0 { self.meet(self.left) } else { Ok(()) }
    }

    /// The first rank: says what the others are to do.
    fn order(&mut self, order: &Order) -> Result<Communicator, Failure> {
        let Some(Waiting { stop, beat }) = self.waiting.take() else {
            return Err(Failure::Step { problem: "the other ranks have ended".to_string() });
        };
        drop(stop);
        let mut communicator = beat.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        communicator.broadcast(&mut [ORDER_FOLLOWS], 0)?;
        let mut text = serde_json::to_vec(order).expect("an order is JSON");
        share(&mut communicator, &mut text)?;
        Ok(communicator)
    }

    /// The first rank: lets the others end, for the reason of `failure` if there is one.
    pub(super) fn end(&mut self, failure: Option<&Failure>) {
        if self.waiting.is_none() {
            return;
        }
        // Others that are gone have ended.
        if let Ok(mut communicator) = self.order(&Order::End)
            && let Some(failure) = failure
        {
            communicator.abort(&failure.to_string());
        }
    }

    /// Another rank: does what the first one says until there is no more to do.
    pub(super) fn follow(&mut self, out: &mut Output) -> Result<(), Failure> {
        loop {
            let mut communicator = self.join()?;
            let mut word = [STILL_HERE];
            while word[0] == STILL_HERE {
                communicator.broadcast(&mut word, 0)?;
            }
            let mut text = Vec::new();
            share(&mut communicator, &mut text)?;
            let order: Result<Order, _> = serde_json::from_slice(&text);
            match order
                .map_err(|error| Failure::Differ { problem: format!("rank 0 sent no order: {error}") })?
            {
                Order::End => return Ok(()),
                Order::Train { words, is_last } => {
                    let joined = Joined { request: self.request.clone(), communicator };
                    train(&words, &self.identity, joined, out)?;
                    if is_last {
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// Trains as one of the ranks that have met.
fn train(words: &[String], identity: &RankIdentity, joined: Joined, out: &mut Output) -> Result<(), Failure> {
    let program = std::iter::once("isograd").chain(words.iter().map(String::as_str)).map(OsString::from);
    match cli::parse(program)? {
        Parsed::Command(command) => match *command {
            Command::Train(args) => resume::train_joined(*args, identity, joined, out),
            other => unreachable!("{other:?} for a training"),
        },
        Parsed::Text(text) => out.text(&text),
    }
}
