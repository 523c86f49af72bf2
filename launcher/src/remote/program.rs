//! The program that is copied to the hosts, and the scripts that copy and start it there.
//!
//! A copy lies in a folder `isograd` of the cache, under the SHA-256 of its content. It is started, and the
//! folder written to, only if both belong to the user and nobody else can write to them: otherwise somebody
//! else could choose what is started. The command lines are for any login shell, the scripts for any POSIX
//! `sh`.

use crate::system::host_facts;
use crate::system::quote::quote;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What a host without a copy prints, before its platform.
pub(super) const ABSENT: &str = "isograd absent: ";
/// What a host prints when it starts its copy.
pub(super) const PRESENT: &str = "isograd present\n";
/// What a host prints if others can write to its folder, before the folder.
pub(super) const UNSAFE: &str = "isograd unsafe: ";
/// Days after which copies of other versions are removed when a new one is made.
const KEPT_DAYS: u32 = 30;
const SAFE: &str = include_str!("safe.sh");
const START: &str = include_str!("start.sh");
const INSTALL: &str = include_str!("install.sh");

/// The program for one platform.
#[derive(Debug, Clone)]
pub(super) struct Program {
    /// The content of the file, shared by all hosts that get it.
    pub(super) bytes: Arc<[u8]>,
    pub(super) digest: [u8; 32],
    /// The operating system and the architecture that it is for.
    pub(super) platform: String,
}

impl Program {
    /// Reads a file.
    fn read(path: &Path, platform: &str) -> io::Result<Self> {
        let bytes: Arc<[u8]> = std::fs::read(path)?.into();
        Ok(Self { digest: Sha256::digest(&bytes).into(), bytes, platform: platform.to_string() })
    }

    fn hash(&self) -> String {
        self.digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Where a host has its copy, for people.
    pub(super) fn place(&self, cache: &Cache) -> String {
        let folder = match cache.folder() {
            "" => "~/.cache/isograd (or $XDG_CACHE_HOME/isograd)",
            folder => folder,
        };
        format!("{folder}/{}", self.hash())
    }

    /// The command line that starts the agent, or prints why it does not.
    pub(super) fn start_command(&self, cache: &Cache) -> String {
        command(START, &[cache.folder(), &self.hash()])
    }

    /// The command line that makes a copy of standard input.
    pub(super) fn install_command(&self, cache: &Cache, existing: Existing) -> String {
        let existing = match existing {
            Existing::Keep => "keep",
            Existing::Replace => "replace",
        };
        let (length, days) = (self.bytes.len().to_string(), KEPT_DAYS.to_string());
        command(INSTALL, &[cache.folder(), &self.hash(), &length, existing, &days])
    }
}

/// What to do if there is a copy already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    Keep,
    Replace,
}

/// The command line that runs a script, for any login shell: as one line, since csh allows no line break in
/// quotes.
fn command(script: &str, args: &[&str]) -> String {
    let lines = SAFE.lines().chain(script.lines()).map(str::trim);
    let code: Vec<&str> = lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let words =
        [code.join(" ").as_str(), "isograd"].map(quote).into_iter().chain(args.iter().map(|arg| quote(arg)));
    format!("exec sh -c {}", words.collect::<Vec<_>>().join(" "))
}

/// The programs of a run: this one, and those for other platforms in the same folder.
pub(super) struct Programs {
    own: Program,
    path: PathBuf,
    /// By platform, the ones that were needed so far.
    others: Mutex<HashMap<String, Program>>,
}

impl Programs {
    /// Reads this program's file.
    pub(super) fn own() -> io::Result<Self> {
        let own = Program::read(&host_facts::own_file()?, &host_facts::platform())?;
        Ok(Self { own, path: std::env::current_exe()?, others: Mutex::default() })
    }

    /// The program for this machine.
    pub(super) fn here(&self) -> &Program {
        &self.own
    }

    /// The program for `platform`, read once in a run.
    pub(super) fn for_platform(&self, platform: &str) -> Result<Program, String> {
        if platform == self.own.platform {
            return Ok(self.own.clone());
        }
        let is_word = |c: char| c.is_ascii_alphanumeric() || "_-. ".contains(c);
        if platform.is_empty() || !platform.chars().all(is_word) {
            return Err(format!("expected the name of its platform, it sent {platform:?}"));
        }
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(program) = others.get(platform) {
            return Ok(program.clone());
        }
        let path = self.path.with_file_name(format!("isograd-{}", platform.replace(' ', "-")));
        let program = Program::read(&path, platform).map_err(|error| {
            let own = &self.own.platform;
            let path = path.display();
            format!(
                "it is {platform}, this program is for {own}; the one for {platform} would be {path}: {error}"
            )
        })?;
        others.insert(platform.to_string(), program.clone());
        Ok(program)
    }
}

/// The folder of a host that has the copies; `None` for one in the user's cache.
#[derive(Debug, Clone)]
pub(super) struct Cache(Option<String>);

impl Cache {
    /// The folder `isograd` in `folder`, or where the programs of the user keep such things.
    pub(super) fn new(folder: Option<&Path>) -> Self {
        Self(folder.map(|folder| folder.join("isograd").to_string_lossy().into_owned()))
    }

    /// The scripts' argument.
    fn folder(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }
}

impl fmt::Display for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or("${XDG_CACHE_HOME:-~/.cache}/isograd"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::{Command, Stdio};
    use std::time::{Duration, SystemTime};

    const CONTENT: &str = "#!/bin/sh\necho \"$*\"\n";

    fn program(content: &str) -> Program {
        Program {
            bytes: content.as_bytes().into(),
            digest: Sha256::digest(content).into(),
            platform: host_facts::platform(),
        }
    }

    /// Runs `command` with `input`: whether it succeeds, and what it prints.
    fn shell(command: &str, input: &[u8]) -> (bool, String) {
        shell_of("sh", command, input)
    }

    fn shell_of(shell: &str, command: &str, input: &[u8]) -> (bool, String) {
        let mut child = Command::new(shell);
        child.args(["-c", command]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().unwrap();
        // A shell that refuses does not read its input.
        let _ = io::Write::write_all(&mut child.stdin.take().unwrap(), input);
        let output = child.wait_with_output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    }

    fn install(program: &Program, cache: &Cache, existing: Existing) -> (bool, String) {
        shell(&program.install_command(cache, existing), &program.bytes)
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn absent() -> (bool, String) {
        (true, format!("{ABSENT}{}\n", host_facts::platform()))
    }

    fn present() -> (bool, String) {
        (true, format!("{PRESENT}agent --digest\n"))
    }

    #[test]
    fn a_copy_is_made_once_and_started() {
        let folder = tempfile::tempdir().unwrap();
        // A name that a shell would take apart.
        let given = folder.path().join("it's a $HOME");
        let (cache, program) = (Cache::new(Some(&given)), program(CONTENT));
        let start = program.start_command(&cache);
        assert_eq!(shell(&start, b""), absent());
        for existing in [Existing::Keep, Existing::Keep, Existing::Replace] {
            assert_eq!(install(&program, &cache, existing), (true, String::new()));
        }
        assert_eq!(shell(&start, b""), present());
        let files = fs::read_dir(given.join("isograd")).unwrap();
        assert_eq!(files.count(), 1, "nothing is left beside the copy");
    }

    #[test]
    fn shellcheck_has_nothing_to_say_of_the_scripts() {
        let scripts = ["safe", "start", "install"]
            .map(|name| format!("{}/src/remote/{name}.sh", env!("CARGO_MANIFEST_DIR")));
        match Command::new("shellcheck").args(&scripts).output() {
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
            Err(error) => assert!(std::env::var_os("CI").is_none(), "shellcheck: {error}"),
        }
    }

    #[test]
    fn any_login_shell_takes_the_command_lines() {
        let folder = tempfile::tempdir().unwrap();
        for login_shell in ["sh", "bash", "dash", "csh", "tcsh", "fish", "zsh", "ksh"] {
            let given = folder.path().join(format!("it's {login_shell} in \"$HOME\""));
            let (cache, program) = (Cache::new(Some(&given)), program(CONTENT));
            let install = program.install_command(&cache, Existing::Keep);
            if Command::new(login_shell).args(["-c", "true"]).status().is_err() {
                continue;
            }
            assert_eq!(
                shell_of(login_shell, &install, &program.bytes),
                (true, String::new()),
                "{login_shell}"
            );
            let started = shell_of(login_shell, &program.start_command(&cache), b"");
            assert_eq!(started, present(), "{login_shell}");
        }
    }

    #[test]
    fn a_copy_that_breaks_off_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(Some(folder.path()));
        let program = program(CONTENT);
        assert!(!shell(&program.install_command(&cache, Existing::Keep), b"#!/bin").0);
        assert_eq!(fs::read_dir(folder.path().join("isograd")).unwrap().count(), 0);
        let (is_done, said) = install(&program, &Cache::new(Some(Path::new("/dev/null/x"))), Existing::Keep);
        assert!(!is_done && said.contains("/dev/null"), "{said}");
    }

    #[test]
    fn only_old_copies_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("isograd");
        let (digits, deeper) = ("0123456789abcdef".repeat(4), inner.join("deeper"));
        fs::create_dir_all(&deeper).unwrap();
        for path in [&inner, &deeper] {
            set_mode(path, 0o700);
        }
        let long_ago = SystemTime::now() - Duration::from_secs(86_400 * u64::from(KEPT_DAYS + 2));
        let file = |path: PathBuf, time| {
            File::create(&path).unwrap().set_modified(time).unwrap();
            path
        };
        let kept = [
            file(folder.path().join("thesis.tex"), long_ago),
            file(folder.path().join(&digits), long_ago),
            file(inner.join("notes"), long_ago),
            file(inner.join(&digits[1..]), long_ago),
            file(inner.join(format!("{digits}0")), long_ago),
            file(inner.join(digits.replace('f', "g")), long_ago),
            file(deeper.join(&digits), long_ago),
            file(inner.join(digits.replace('f', "e")), SystemTime::now()),
        ];
        let removed =
            [file(inner.join(&digits), long_ago), file(inner.join(format!(".{digits}.1234")), long_ago)];
        assert_eq!(
            install(&program(CONTENT), &Cache::new(Some(folder.path())), Existing::Keep),
            (true, String::new())
        );
        for path in kept {
            assert!(path.exists(), "{} is gone", path.display());
        }
        for path in removed {
            assert!(!path.exists(), "{} is there", path.display());
        }
    }

    #[test]
    fn what_others_can_write_is_neither_started_nor_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let (inner, program) = (folder.path().join("isograd"), program(CONTENT));
        let cache = Cache::new(Some(folder.path()));
        let start = program.start_command(&cache);
        assert!(install(&program, &cache, Existing::Keep).0);
        for mode in [0o720, 0o702, 0o1777] {
            set_mode(&inner, mode);
            let place = inner.canonicalize().unwrap();
            assert_eq!(shell(&start, b""), (false, format!("{UNSAFE}{}\n", place.display())), "{mode:o}");
            let (is_done, said) = install(&program, &cache, Existing::Replace);
            assert!(!is_done && said.contains("others can write"), "{mode:o}: {said}");
        }
        set_mode(&inner, 0o755);
        assert_eq!(shell(&start, b""), present());

        // In a folder of the user's own, what somebody else may have left is replaced.
        let copy = inner.join(program.hash());
        set_mode(&copy, 0o777);
        assert_eq!(shell(&start, b""), absent());
        assert_eq!(install(&program, &cache, Existing::Keep), (true, String::new()));
        assert_eq!(shell(&start, b""), present());
    }

    #[test]
    fn the_folder_of_somebody_else_is_refused() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("isograd");
        fs::create_dir(&inner).unwrap();
        set_mode(&inner, 0o755);
        std::os::unix::fs::chown(&inner, Some(65_534), None).unwrap();
        let (cache, program) = (Cache::new(Some(folder.path())), program(CONTENT));
        assert!(shell(&program.start_command(&cache), b"").1.starts_with(UNSAFE));
        let (is_done, said) = install(&program, &cache, Existing::Keep);
        assert!(!is_done && said.contains("does not belong to the user"), "{said}");
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 0);
    }

    #[test]
    fn a_planted_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, program) = (Cache::new(Some(folder.path())), program(CONTENT));
        assert!(install(&program, &cache, Existing::Keep).0);
        let (copy, victim) =
            (folder.path().join("isograd").join(program.hash()), folder.path().join("victim"));
        fs::write(&victim, "precious").unwrap();
        fs::remove_file(&copy).unwrap();
        symlink(&victim, &copy).unwrap();
        assert_eq!(shell(&program.start_command(&cache), b""), absent());
        assert_eq!(install(&program, &cache, Existing::Keep), (true, String::new()));
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert_eq!(shell(&program.start_command(&cache), b""), present());
    }

    #[test]
    fn a_program_for_another_platform_lies_beside_this_one_and_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let programs =
            Programs { own: program("own"), path: folder.path().join("isograd"), others: Mutex::default() };
        assert_eq!(programs.for_platform(&host_facts::platform()).unwrap().digest, programs.here().digest);
        let error = programs.for_platform("Plan9 mips").unwrap_err();
        let expected =
            format!("it is Plan9 mips, this program is for {}; the one for", host_facts::platform());
        assert!(error.starts_with(&expected) && error.contains("isograd-Plan9-mips: "), "{error}");
        fs::write(folder.path().join("isograd-Plan9-mips"), "other").unwrap();
        let [first, second] = [(); 2].map(|()| programs.for_platform("Plan9 mips").unwrap());
        assert_eq!(first.digest, program("other").digest);
        assert!(Arc::ptr_eq(&first.bytes, &second.bytes));
        assert!(programs.for_platform("../../x y").is_err());
    }
}
