//! Programs as components: JSON on standard input and output.

use super::component::{Component, ComponentError, Port};
use super::value::{Value, Values};
use serde_json::Value as Json;
use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, scope, sleep};
use std::time::{Duration, Instant};

/// The most bytes of an answer.
const LIMIT: u64 = 64 << 20;
/// The time between two looks at a program.
const LOOK: Duration = Duration::from_millis(5);

/// A program that gets its inputs as one JSON object on its standard input, writes its outputs as one JSON
/// object to its standard output, and exits with 0. Its standard error is that of this process. It has a
/// process group of its own, which is killed at the time limit.
#[derive(Debug, Clone)]
pub struct CommandComponent {
    words: Vec<String>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    limit: Option<Duration>,
    fingerprint: Option<String>,
    stop: Option<Arc<AtomicBool>>,
}

impl CommandComponent {
    /// The program `words[0]` with the other words as arguments.
    ///
    /// # Panics
    ///
    /// If there are no words.
    pub fn new(words: Vec<String>, inputs: Vec<Port>, outputs: Vec<Port>) -> Self {
        assert!(!words.is_empty(), "a command has a program");
        Self { words, inputs, outputs, limit: None, fingerprint: None, stop: None }
    }

    /// Killed when it takes longer.
    #[must_use]
    pub fn with_limit(self, limit: Option<Duration>) -> Self {
        Self { limit, ..self }
    }

    /// Taken from a cache while `fingerprint`, such as the digest of a script, is the same.
    #[must_use]
    pub fn with_fingerprint(self, fingerprint: Option<String>) -> Self {
        Self { fingerprint, ..self }
    }

    /// Killed when `stop` is set.
    #[must_use]
    pub fn with_stop(self, stop: Arc<AtomicBool>) -> Self {
        Self { stop: Some(stop), ..self }
    }

    fn error(&self, problem: &str) -> ComponentError {
        format!("`{}` {problem}", self.words.join(" ")).into()
    }

    /// Waits for the program, at most until its time is over.
    fn wait(&self, child: &mut Child) -> Result<ExitStatus, ComponentError> {
        let start = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                return Err(self.error("was stopped"));
            }
            if let Some(limit) = self.limit.filter(|limit| start.elapsed() > *limit) {
                return Err(self.error(&format!("did not end in {} s and was killed", limit.as_secs_f64())));
            }
            sleep(LOOK);
        }
    }

    fn parse(&self, answer: &[u8]) -> Result<Values, ComponentError> {
        if answer.len() as u64 > LIMIT {
            return Err(self.error(&format!("printed more than {LIMIT} bytes")));
        }
        let json: Json = serde_json::from_slice(answer).map_err(|error| {
            let start: String = String::from_utf8_lossy(answer).chars().take(60).collect();
            self.error(&format!("must print one JSON object, it printed {start:?}: {error}"))
        })?;
        let Json::Object(mut given) = json else {
            return Err(self.error(&format!("must print one JSON object, it printed {json}")));
        };
        let mut values = Values::new();
        for Port { name, kind, .. } in &self.outputs {
            let json = given.remove(name);
            let json = json.ok_or_else(|| self.error(&format!("printed no output '{name}'")))?;
            let text = json.to_string();
            let value = Value::from_json(kind, json);
            let wrong = || self.error(&format!("printed {text} as '{name}', which must be of type {kind}"));
            values.push(name.clone(), value.ok_or_else(wrong)?);
        }
        match given.keys().next() {
            Some(name) => Err(self.error(&format!("printed '{name}', which is no output of it"))),
            None => Ok(values),
        }
    }
}

impl Component for CommandComponent {
    fn inputs(&self) -> Vec<Port> {
        self.inputs.clone()
    }

    fn outputs(&self) -> Vec<Port> {
        self.outputs.clone()
    }

    fn execute(&mut self, inputs: Values) -> Result<Values, ComponentError> {
        let question = inputs.to_json().ok_or("an input is no JSON, which a command takes")?.to_string();
        let mut command = Command::new(&self.words[0]);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.args(&self.words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| self.error(&format!("cannot start: {error}")))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (status, answer) = scope(|scope| {
            // A program may answer before it has read all: neither side waits for the other.
            let writer = Builder::new().spawn_scoped(scope, move || {
                // One that reads nothing closes its input, and its answer counts.
                stdin.map_or(Ok(()), |mut stdin| stdin.write_all(question.as_bytes()))
            });
            let reader = Builder::new().spawn_scoped(scope, move || {
                let mut answer = Vec::new();
                let read = stdout.map(|stdout| stdout.take(LIMIT + 1).read_to_end(&mut answer));
                read.transpose().map(|_| answer)
            });
            let status = match (&writer, &reader) {
                (Ok(_), Ok(_)) => self.wait(&mut child),
                _ => Err(self.error("cannot start: no thread")),
            };
            // Also where it has ended: what it started holds its output open.
            kill(&mut child);
            let _ = child.wait();
            let answer =
                reader.map(|reader| reader.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into())));
            (status, answer.and_then(|answer| answer))
        });
        let status = status?;
        if !status.success() {
            return Err(self.error(&format!("ended with {status}")));
        }
        self.parse(&answer?)
    }

    fn fingerprint(&self) -> Option<String> {
        let fingerprint = self.fingerprint.as_ref()?;
        Some(format!("{:?} {:?} {fingerprint}", self.words, self.outputs))
    }
}

/// Kills a program with all that it started.
fn kill(child: &mut Child) {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::kill_process_group(
        rustix::process::Pid::from_child(child),
        rustix::process::Signal::KILL,
    );
    let _ = child.kill();
}
