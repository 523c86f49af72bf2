//! The agent on a remote host: this program, copied there if it is not there already.
//!
//! The copy's name is the SHA-256 of its content, so another version is another file and a job under way keeps its own. A copy
//! appears under its name only when all its bytes have come, and the agent that it starts tells the hash of its own file
//! again: a copy that was changed since, or does not start any more, is replaced.

use crate::host_facts;
use crate::job::{Connection, Ear, Event, FromAgent, HostFacts, Wire};
use crate::quote::quote;
use crate::ssh::{Exit, Input, Session, Stream, input};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

/// What a host says that has no copy.
const ABSENT: &str = "isograd absent: ";
/// What a host says that starts its copy.
const PRESENT: &str = "isograd present\n";
/// Days after which copies of other versions are removed, when a new one comes.
const KEPT_DAYS: u32 = 30;
/// What is kept of what a host prints beside the agent's messages, in bytes.
const SAID: usize = 4096;

/// A program's file.
#[derive(Debug, Clone)]
pub(super) struct Program {
    path: PathBuf,
    digest: [u8; 32],
    /// Operating system and architecture that it is for.
    platform: String,
}

impl Program {
    /// This one.
    pub(super) fn own() -> std::io::Result<Self> {
        let path = std::env::current_exe()?;
        Ok(Self { digest: host_facts::digest(&path)?, path, platform: host_facts::platform() })
    }

    /// The one for `platform`: this one, or one that lies beside it.
    fn for_platform(&self, platform: &str) -> Result<Self, String> {
        if platform == self.platform {
            return Ok(self.clone());
        }
        let is_word = |c: char| c.is_ascii_alphanumeric() || "_-. ".contains(c);
        if platform.is_empty() || !platform.chars().all(is_word) {
            return Err(format!("it does not tell its platform, but {platform:?}"));
        }
        let name = format!("isograd-{}", platform.replace(' ', "-"));
        let path = self.path.with_file_name(&name);
        match host_facts::digest(&path) {
            Ok(digest) => Ok(Self { path, digest, platform: platform.to_string() }),
            Err(error) => Err(format!(
                "it is {platform}, this program is for {}; one for {platform} would be {}: {error}",
                self.platform,
                path.display()
            )),
        }
    }

    fn hash(&self) -> String {
        self.digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Starts the agent, or says that the file is absent: one line for any login shell.
    pub(super) fn start_command(&self, cache: &Cache) -> String {
        let (folder, hash) = (&cache.0, self.hash());
        let script = format!(
            "f={folder}/{hash}; if [ -x \"$f\" ]; then echo {}; exec \"$f\" agent --digest; fi; \
             echo \"{ABSENT}$(uname -sm)\"",
            PRESENT.trim_end()
        );
        format!("exec sh -c {}", quote(&script))
    }

    /// Makes a file of standard input, instead of one that is there if that is to be `replaced`. Hosts may share the folder,
    /// and copy at the same time.
    fn install_command(&self, cache: &Cache, bytes: u64, replaced: bool) -> String {
        let (folder, hash) = (&cache.0, self.hash());
        let place = match replaced {
            true => format!("mv -f \"$t\" \"$d/{hash}\""),
            false => format!(
                "{{ ln \"$t\" \"$d/{hash}\" 2>/dev/null || [ -x \"$d/{hash}\" ] || mv -f \"$t\" \"$d/{hash}\"; }}"
            ),
        };
        let script = format!(
            "umask 077; d={folder}; t=\"$d/.{hash}.$$\"; mkdir -p \"$d\" || exit 1; \
             trap 'rm -f \"$t\"' EXIT; trap 'exit 1' HUP INT TERM; \
             cat > \"$t\" && [ \"$(wc -c < \"$t\")\" -eq {bytes} ] && chmod 700 \"$t\" && \
             {place} || exit 1; \
             find \"$d\" -type f -mtime +{KEPT_DAYS} ! -name {hash} -exec rm -f {{}} + 2>/dev/null; exit 0"
        );
        format!("exec sh -c {}", quote(&script))
    }
}

/// The folder of a host that keeps copies, as a word of its shell.
#[derive(Debug, Clone)]
pub(super) struct Cache(String);

impl Cache {
    /// `folder`, or where programs of the user keep such things.
    pub(super) fn new(folder: Option<&Path>) -> Self {
        Self(folder.map_or_else(
            || "\"${XDG_CACHE_HOME:-$HOME/.cache}/isograd\"".to_string(),
            |folder| quote(&folder.to_string_lossy()),
        ))
    }
}

/// The way to an agent over SSH: nothing passes before the agent runs.
#[derive(Clone, Default)]
pub(super) struct SshWire(Arc<Mutex<Option<Input>>>);

impl SshWire {
    pub(super) fn connection(&self) -> Connection {
        Connection::new(self.clone())
    }

    fn with(&self, change: impl FnOnce(&mut Option<Input>)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Wire for SshWire {
    fn send(&self, bytes: Vec<u8>) {
        self.with(|input| {
            if let Some(input) = input {
                input.send(bytes);
            }
        });
    }

    fn close(&self) {
        self.with(|input| *input = None);
    }

    fn cut(&self) {
        self.with(|input| {
            if let Some(input) = input {
                input.abort();
            }
        });
    }
}

/// Runs the agent of host `host` until it or the connection ends; its messages go to `events`. Returns why it ended.
pub(super) fn run_agent(
    session: &mut Session,
    host: usize,
    own: &Program,
    cache: &Cache,
    wire: &SshWire,
    events: &Sender<Event>,
) -> Result<(), String> {
    let (mut program, mut is_installed) = (own.clone(), false);
    loop {
        let mut hearing = Hearing { ear: Ear::new(host, events.clone()), said: String::new(), verdict: None };
        let exit = run(session, wire, &program.start_command(cache), None, |stream, bytes| {
            hearing.hear(stream, bytes, &program);
            if hearing.verdict.as_ref().is_some_and(Result::is_err) {
                wire.close();
            }
        });
        let noise = hearing.ear.noise();
        // The shell may have printed a line without an end before.
        let absent = || noise.split_once(ABSENT).and_then(|(_, rest)| rest.lines().next()).map(str::trim);
        let mut is_replaced = false;
        match (hearing.verdict, exit) {
            (Some(Ok(())), Ok(_)) => return Ok(()),
            (Some(Ok(())) | None, Err(problem)) => return Err(problem),
            (Some(Err(Unfit::OtherFile)), Ok(_)) if !is_installed => is_replaced = true,
            (Some(Err(unfit)), _) => return Err(unfit.describe()),
            (None, Ok(exit)) => match absent() {
                Some(platform) if platform != program.platform => {
                    program = own.for_platform(platform)?;
                    // It may be there.
                    continue;
                }
                Some(_) if !is_installed => (),
                Some(_) => {
                    let folder = &cache.0;
                    return Err(format!(
                        "what is copied to {folder} cannot be executed; --cache names another folder"
                    ));
                }
                None if !is_installed && noise.contains(PRESENT) => is_replaced = true,
                None => return Err(no_agent(&exit, &noise.replace(PRESENT, ""), &hearing.said)),
            },
        }
        let command = |bytes| program.install_command(cache, bytes, is_replaced);
        install(session, host, &program.path, &cache.0, command, wire, events)?;
        is_installed = true;
    }
}

/// Runs a command whose input is what the wire sends or, with `bytes`, these alone.
fn run(
    session: &mut Session,
    wire: &SshWire,
    command: &str,
    bytes: Option<Vec<u8>>,
    hear: impl FnMut(Stream, &[u8]),
) -> Result<Exit, String> {
    let (input, source) = input().map_err(|error| error.to_string())?;
    if let Some(bytes) = bytes {
        input.send(bytes);
        input.close();
    }
    wire.with(|place| *place = Some(input));
    let exit = session.run(command, source, hear);
    wire.with(|place| *place = None);
    exit.map_err(|error| error.to_string())
}

/// Copies the program into `folder` of the host.
fn install(
    session: &mut Session,
    host: usize,
    path: &Path,
    folder: &str,
    command: impl Fn(u64) -> String,
    wire: &SshWire,
    events: &Sender<Event>,
) -> Result<(), String> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let length = bytes.len() as u64;
    // Nobody waits any more when the job is over.
    let _ = events.send(Event::Copying(host, length));
    let mut said = String::new();
    match run(session, wire, &command(length), Some(bytes), |_, bytes| keep(&mut said, bytes))? {
        Exit::Code(0) => Ok(()),
        _ => Err(format!("cannot copy the program to {folder} ({length} bytes): {}", one_line(&said))),
    }
}

/// What comes from a host while its agent should run.
struct Hearing {
    ear: Ear,
    /// On standard error.
    said: String,
    /// Of the agent that said hello.
    verdict: Option<Result<(), Unfit>>,
}

/// Why an agent cannot be used.
#[derive(Debug)]
enum Unfit {
    /// Its file is not what was copied.
    OtherFile,
    /// It sent what is no message.
    Message(String),
}

impl Unfit {
    fn describe(self) -> String {
        match self {
            Self::OtherFile => "the copy of the program there is not what was sent".to_string(),
            Self::Message(problem) => problem,
        }
    }
}

impl Hearing {
    fn hear(&mut self, stream: Stream, bytes: &[u8], program: &Program) {
        if stream == Stream::Stderr {
            return keep(&mut self.said, bytes);
        }
        if matches!(self.verdict, Some(Err(_))) {
            return;
        }
        let verdict = &mut self.verdict;
        let check = |message: &FromAgent| match (verdict.is_some(), message) {
            (false, FromAgent::Hello(facts)) => {
                let is_fit = is_copy(facts, program);
                *verdict = Some(if is_fit { Ok(()) } else { Err(Unfit::OtherFile) });
                is_fit
            }
            (has_spoken, _) => has_spoken,
        };
        if let Err(problem) = self.ear.hear(bytes, check) {
            self.verdict = Some(Err(Unfit::Message(problem)));
        }
    }
}

fn is_copy(facts: &HostFacts, program: &Program) -> bool {
    facts.digest == Some(program.digest)
}

/// Appends to the last part of what a host has said.
fn keep(said: &mut String, bytes: &[u8]) {
    said.push_str(&String::from_utf8_lossy(bytes));
    let mut cut = said.len().saturating_sub(SAID);
    while !said.is_char_boundary(cut) {
        cut += 1;
    }
    said.drain(..cut);
}

fn no_agent(exit: &Exit, noise: &str, said: &str) -> String {
    let end = match exit {
        Exit::Code(code) => format!("exit status {code}"),
        Exit::Signal(name) => format!("signal {name}"),
    };
    let words = [said, noise].map(one_line);
    let words = words.iter().find(|words| !words.is_empty()).map_or("nothing", String::as_str);
    format!("its agent did not start ({end}); the host said: {words}")
}

/// The last lines of what a host has said, as one.
fn one_line(text: &str) -> String {
    const LINES: usize = 3;
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..].join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn program(folder: &Path, content: &str) -> Program {
        let path = folder.join("program");
        fs::write(&path, content).unwrap();
        Program { digest: host_facts::digest(&path).unwrap(), path, platform: host_facts::platform() }
    }

    /// What a shell does with `command` and `input`: whether it succeeds, and what it prints.
    fn shell(command: &str, input: &[u8]) -> (bool, String) {
        let mut child = Command::new("sh");
        child.args(["-c", command]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().unwrap();
        // A shell that refuses does not read.
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), input);
        let output = child.wait_with_output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    }

    #[test]
    fn a_copy_is_made_once_and_started() {
        let folder = tempfile::tempdir().unwrap();
        // A name that a shell would take apart.
        let cache = Cache::new(Some(&folder.path().join("it's a $HOME")));
        let content = "#!/bin/sh\necho \"$*\"\n";
        let program = program(folder.path(), content);
        let start = program.start_command(&cache);
        assert_eq!(shell(&start, b""), (true, format!("{ABSENT}{}\n", host_facts::platform())));
        for replaced in [false, false, true] {
            let install = program.install_command(&cache, content.len() as u64, replaced);
            assert_eq!(shell(&install, content.as_bytes()), (true, String::new()));
        }
        assert_eq!(shell(&start, b""), (true, format!("{PRESENT}agent --digest\n")));
        let files = fs::read_dir(folder.path().join("it's a $HOME")).unwrap();
        assert_eq!(files.count(), 1, "nothing is left beside the copy");
    }

    #[test]
    fn a_copy_that_breaks_off_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(Some(&folder.path().join("cache")));
        let program = program(folder.path(), "#!/bin/sh\n");
        assert!(!shell(&program.install_command(&cache, 100, false), b"#!/bin").0);
        assert_eq!(fs::read_dir(folder.path().join("cache")).unwrap().count(), 0);
        let (is_done, said) =
            shell(&program.install_command(&Cache::new(Some(Path::new("/dev/null/x"))), 1, false), b"x");
        assert!(!is_done && said.contains("/dev/null"), "{said}");
    }

    #[test]
    fn a_program_for_another_platform_lies_beside_this_one() {
        let folder = tempfile::tempdir().unwrap();
        let own = program(folder.path(), "own");
        assert_eq!(own.for_platform(&host_facts::platform()).unwrap().digest, own.digest);
        let error = own.for_platform("Plan9 mips").unwrap_err();
        let expected = format!("it is Plan9 mips, this program is for {}; one for", host_facts::platform());
        assert!(error.starts_with(&expected) && error.contains("isograd-Plan9-mips: "), "{error}");
        fs::write(folder.path().join("isograd-Plan9-mips"), "other").unwrap();
        assert_ne!(own.for_platform("Plan9 mips").unwrap().digest, own.digest);
        assert!(own.for_platform("../../x y").is_err());
    }

    #[test]
    fn long_talk_is_cut_at_a_character() {
        let mut said = String::new();
        (0..3000).for_each(|_| keep(&mut said, "é\n".as_bytes()));
        assert!(said.len() <= SAID && said.ends_with("é\n"));
        assert_eq!(one_line("a\n\nb\nc\nd\n"), "b; c; d");
    }
}
