//! A thread that talks to a server, so that training does not wait for it.

use super::server::{RequestError, Server};
use isograd_model::logger::{LogError, Logger, Record};
use std::borrow::Cow;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Records that wait for the thread; others are dropped.
const CAPACITY: usize = 10_000;
/// How long numbers are gathered before they are sent, and the time between two tries.
const GATHER: Duration = Duration::from_secs(1);
/// How long the end of a run waits for the server.
const LAST_WAIT: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(10);

/// Passes records on to the thread.
#[derive(Debug)]
pub(crate) struct Queue {
    name: String,
    records: Option<SyncSender<Record>>,
    /// Gets the result of the thread when it ends.
    result: Receiver<Result<(), String>>,
    /// Records that found no room.
    dropped: usize,
    /// The end of the run, if it found no room yet.
    end: Option<Record>,
}

impl Queue {
    /// Starts the thread for `server`, which is called `name` in warnings.
    pub(crate) fn start(server: Server, name: String) -> Self {
        let (records, to_send) = sync_channel(CAPACITY);
        let (end, result) = sync_channel(1);
        let warning = name.clone();
        thread::spawn(move || {
            // The run may have stopped waiting.
            let _ = end.send(run(server, &to_send, &warning));
        });
        Self { name, records: Some(records), result, dropped: 0, end: None }
    }

    fn result_now(&self) -> Result<(), LogError> {
        match self.result.recv_timeout(LAST_WAIT) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(problem)) => Err(problem.into()),
            Err(_) => {
                Err(format!("the server has not taken all numbers within {} s", LAST_WAIT.as_secs()).into())
            }
        }
    }
}

impl Logger for Queue {
    fn name(&self) -> Cow<'_, str> {
        self.name.as_str().into()
    }

    fn log(&mut self, record: &Record) -> Result<(), LogError> {
        let Some(records) = &self.records else { return Ok(()) };
        match records.try_send(record.clone()) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(record @ Record::End(_))) => {
                self.end = Some(record);
                Ok(())
            }
            Err(TrySendError::Full(_)) => {
                self.dropped += 1;
                Ok(())
            }
            // The thread has given up, and says why.
            Err(TrySendError::Disconnected(_)) => self.result_now(),
        }
    }

    fn finish(&mut self) -> Result<(), LogError> {
        let Some(records) = self.records.take() else { return Ok(()) };
        let start = Instant::now();
        let mut end = self.end.take();
        while let Some(record) = end.take().filter(|_| start.elapsed() < LAST_WAIT) {
            if let Err(TrySendError::Full(record)) = records.try_send(record) {
                end = Some(record);
                thread::sleep(LOOK);
            }
        }
        drop(records);
        self.result_now()?;
        match self.dropped {
            0 => Ok(()),
            dropped => Err(format!("{dropped} records were not sent, since the server was slow").into()),
        }
    }
}

/// Sends records until there are no more. A server that does not answer is told once, and tried again; what
/// it refuses ends the thread.
fn run(mut server: Server, records: &Receiver<Record>, name: &str) -> Result<(), String> {
    let (mut sent, mut is_gone) = (Instant::now(), false);
    loop {
        let wait = GATHER.saturating_sub(sent.elapsed());
        let is_over = match records.recv_timeout(wait) {
            Ok(record) => {
                server.take(&record);
                false
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => true,
        };
        let is_due = is_over || sent.elapsed() >= GATHER || (server.is_full() && !is_gone);
        if !is_due {
            continue;
        }
        match server.send() {
            Ok(()) => {
                if is_gone {
                    log::warn!("{name}: the server answers again");
                }
                is_gone = false;
            }
            Err(RequestError::Gone(problem)) if !is_over => {
                if !is_gone {
                    log::warn!(
                        "{name}: the server does not answer: {problem}; training goes on, and numbers wait"
                    );
                }
                is_gone = true;
            }
            Err(error) => return Err(format!("{error}; {} numbers were not sent", server.unsent())),
        }
        sent = Instant::now();
        if is_over {
            return Ok(());
        }
    }
}
