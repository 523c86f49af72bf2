//! A program that runs while the test goes on.

use crate::common::Outcome;
use crate::network::LIMIT;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Killed when it is dropped.
pub(crate) struct Job {
    child: Child,
    stdout: Reader,
    stderr: Reader,
}

/// What a stream has said so far.
struct Reader {
    text: Arc<Mutex<Vec<u8>>>,
    thread: JoinHandle<()>,
}

impl Job {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let stdout = Reader::start(child.stdout.take().expect("a pipe"));
        let stderr = Reader::start(child.stderr.take().expect("a pipe"));
        Self { child, stdout, stderr }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `done`, which is given standard output and standard error so far.
    #[track_caller]
    pub(crate) fn wait_until(&mut self, what: &str, done: impl Fn(&str, &str) -> bool) {
        let start = Instant::now();
        loop {
            // Before the look at the output, which is all there if it has ended.
            let has_ended = self.child.try_wait().expect("a child of this process").is_some();
            let (stdout, stderr) = (self.stdout.text(), self.stderr.text());
            if done(&stdout, &stderr) {
                return;
            }
            let is_late = start.elapsed() > LIMIT;
            assert!(
                !has_ended && !is_late,
                "{what} (ended: {has_ended}): {}\n{}",
                tail(&stdout),
                tail(&stderr)
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until training is under way: the first epoch is reported.
    #[track_caller]
    pub(crate) fn wait_for_training(&mut self) {
        self.wait_until("it trains", |stdout, _| stdout.contains("epoch 1/"));
    }

    /// Sends it signals: `-INT`.
    pub(crate) fn signal(&self, name: &str) {
        signal(name, self.id());
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(mut self) -> Outcome {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child of this process") {
                break status;
            }
            let said = || [&self.stdout, &self.stderr].map(|reader| tail(&reader.text()));
            assert!(start.elapsed() < LIMIT, "it does not end: {:#?}", said());
            thread::sleep(Duration::from_millis(2));
        };
        let [stdout, stderr] = [&mut self.stdout, &mut self.stderr].map(Reader::end);
        Outcome { code: status.code(), stdout, stderr }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Reader {
    fn start(mut stream: impl Read + Send + 'static) -> Self {
        let text = Arc::<Mutex<Vec<u8>>>::default();
        let target = Arc::clone(&text);
        let thread = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                target.lock().expect("no holder panics").extend_from_slice(&buffer[..count]);
            }
        });
        Self { text, thread }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().expect("no holder panics")).into_owned()
    }

    /// All that it says: its end is that of the last process that has the stream.
    fn end(&mut self) -> String {
        let start = Instant::now();
        while !self.thread.is_finished() {
            assert!(start.elapsed() < LIMIT, "somebody still has a stream that said: {}", tail(&self.text()));
            thread::sleep(Duration::from_millis(2));
        }
        self.text()
    }
}

/// The last lines of a long text.
fn tail(text: &str) -> String {
    const LINES: usize = 30;
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// Sends a process a signal: `-INT`.
#[track_caller]
pub(crate) fn signal(name: &str, id: u32) {
    let sent = Command::new("kill").args([name, &id.to_string()]).status().expect("kill");
    assert!(sent.success(), "process {id} cannot be sent {name}");
}
