//! The program as hosts get it, and what their shells do with it.
//!
//! A copy lies in a folder `isograd` of the cache, under the SHA-256 of its content. It is started, and the folder written to, only
//! if both belong to the user and nobody else can write to them: elsewhere somebody else could choose what is started. The commands
//! are for any login shell, and their scripts for any POSIX `sh`.

use crate::system::host_facts;
use crate::system::quote::quote;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What a host says that has no copy, before its platform.
pub(super) const ABSENT: &str = "isograd absent: ";
/// What a host says that starts its copy.
pub(super) const PRESENT: &str = "isograd present\n";
/// What a host says whose folder others can write to, before the folder.
pub(super) const UNSAFE: &str = "isograd unsafe: ";
/// Days after which copies of other versions are removed, when a new one comes.
const KEPT_DAYS: u32 = 30;
/// Whether a file or folder is the user's, and nobody else's to write to. The mode of `ls` is one of the few things that all
/// systems print alike.
const IS_SAFE: &str =
    r#"safe() { [ -O "$1" ] && case "$(ls -ldL "$1")" in ?????-??-*) ;; *) false ;; esac; }"#;

/// The program for one platform.
#[derive(Debug, Clone)]
pub(super) struct Program {
    /// The file; shared by all hosts that get it.
    pub(super) bytes: Arc<[u8]>,
    pub(super) digest: [u8; 32],
    /// Operating system and architecture that it is for.
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

    /// Starts the agent, or says that the copy is absent or the folder unsafe. A copy that others can write to counts as absent:
    /// in a folder that is safe it can be replaced.
    pub(super) fn start_command(&self, cache: &Cache) -> String {
        let (folder, hash) = (&cache.0, self.hash());
        let script = format!(
            "{IS_SAFE}; d={folder}; if d=$(cd -P -- \"$d\" 2>/dev/null >&2 && pwd -P); then \
             safe \"$d\" || {{ echo \"{UNSAFE}$d\"; exit 1; }}; f=\"$d/{hash}\"; \
             if [ -x \"$f\" ] && safe \"$f\"; then echo {}; exec \"$f\" agent --digest; fi; fi; \
             echo \"{ABSENT}$(uname -sm)\"",
            PRESENT.trim_end()
        );
        format!("exec sh -c {}", quote(&script))
    }

    /// Makes a file of standard input, instead of one that is there if that is to be `replaced`. Hosts may share the folder,
    /// and copy at the same time.
    pub(super) fn install_command(&self, cache: &Cache, replaced: bool) -> String {
        let (folder, hash, length) = (&cache.0, self.hash(), self.bytes.len());
        let place = match replaced {
            true => "mv -f \"$t\" \"$f\"",
            false => {
                "{ ln \"$t\" \"$f\" 2>/dev/null || { [ -x \"$f\" ] && safe \"$f\"; } || mv -f \"$t\" \"$f\"; }"
            }
        };
        // The pattern h is of the 64 digits of a copy's name; what `mktemp` made for one has more behind them.
        let script = format!(
            "{IS_SAFE}; umask 077; d={folder}; mkdir -p \"$d\" && d=$(cd -P -- \"$d\" >/dev/null && pwd -P) || exit 1; \
             safe \"$d\" || {{ echo \"$d: not the user's, or others can write to it\" >&2; exit 1; }}; \
             f=\"$d/{hash}\"; t=; trap '[ -z \"$t\" ] || rm -f \"$t\"' EXIT; trap 'exit 1' HUP INT TERM; \
             t=$(mktemp \"$d/.{hash}.XXXXXX\") && cat > \"$t\" && [ \"$(wc -c < \"$t\")\" -eq {length} ] && \
             chmod 700 \"$t\" && {place} || exit 1; \
             h='[0-9a-f]'; h=$h$h$h$h; h=$h$h$h$h; h=$h$h$h$h; \
             find \"$d\" -maxdepth 1 -type f -mtime +{KEPT_DAYS} \\( -name \"$h\" -o -name \".$h.*\" \\) ! -name {hash} \
             -exec rm -f {{}} + 2>/dev/null; exit 0"
        );
        format!("exec sh -c {}", quote(&script))
    }
}

/// The programs of a run: this one, and those for other platforms that lie beside it.
pub(super) struct Programs {
    own: Program,
    path: PathBuf,
    /// By platform, those that were asked for.
    others: Mutex<HashMap<String, Program>>,
}

impl Programs {
    /// Reads this program's file.
    pub(super) fn own() -> io::Result<Self> {
        let own = Program::read(&host_facts::own_file()?, &host_facts::platform())?;
        Ok(Self { own, path: std::env::current_exe()?, others: Mutex::default() })
    }

    /// The one for this machine.
    pub(super) fn here(&self) -> &Program {
        &self.own
    }

    /// The one for `platform`, read once in a run.
    pub(super) fn for_platform(&self, platform: &str) -> Result<Program, String> {
        if platform == self.own.platform {
            return Ok(self.own.clone());
        }
        let is_word = |c: char| c.is_ascii_alphanumeric() || "_-. ".contains(c);
        if platform.is_empty() || !platform.chars().all(is_word) {
            return Err(format!("it does not tell its platform, but {platform:?}"));
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
                "it is {platform}, this program is for {own}; one for {platform} would be {path}: {error}"
            )
        })?;
        others.insert(platform.to_string(), program.clone());
        Ok(program)
    }
}

/// The folder of a host that keeps copies, as a word of its shell.
#[derive(Debug, Clone)]
pub(super) struct Cache(pub(super) String);

impl Cache {
    /// `isograd` in `folder`, or where programs of the user keep such things.
    pub(super) fn new(folder: Option<&Path>) -> Self {
        Self(folder.map_or_else(
            || "\"${XDG_CACHE_HOME:-$HOME/.cache}/isograd\"".to_string(),
            |folder| quote(&folder.join("isograd").to_string_lossy()),
        ))
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

    /// What a shell does with `command` and `input`: whether it succeeds, and what it prints.
    fn shell(command: &str, input: &[u8]) -> (bool, String) {
        let mut child = Command::new("sh");
        child.args(["-c", command]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().unwrap();
        // A shell that refuses does not read.
        let _ = io::Write::write_all(&mut child.stdin.take().unwrap(), input);
        let output = child.wait_with_output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    }

    fn install(program: &Program, cache: &Cache, replaced: bool) -> (bool, String) {
        shell(&program.install_command(cache, replaced), &program.bytes)
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
        for replaced in [false, false, true] {
            assert_eq!(install(&program, &cache, replaced), (true, String::new()));
        }
        assert_eq!(shell(&start, b""), present());
        let files = fs::read_dir(given.join("isograd")).unwrap();
        assert_eq!(files.count(), 1, "nothing is left beside the copy");
    }

    #[test]
    fn a_copy_that_breaks_off_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(Some(folder.path()));
        let program = program(CONTENT);
        assert!(!shell(&program.install_command(&cache, false), b"#!/bin").0);
        assert_eq!(fs::read_dir(folder.path().join("isograd")).unwrap().count(), 0);
        let (is_done, said) = install(&program, &Cache::new(Some(Path::new("/dev/null/x"))), false);
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
            install(&program(CONTENT), &Cache::new(Some(folder.path())), false),
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
        assert!(install(&program, &cache, false).0);
        for mode in [0o720, 0o702, 0o1777] {
            set_mode(&inner, mode);
            let place = inner.canonicalize().unwrap();
            assert_eq!(shell(&start, b""), (false, format!("{UNSAFE}{}\n", place.display())), "{mode:o}");
            let (is_done, said) = install(&program, &cache, true);
            assert!(!is_done && said.contains("others can write"), "{mode:o}: {said}");
        }
        set_mode(&inner, 0o755);
        assert_eq!(shell(&start, b""), present());

        // In a folder of the user's own, what somebody else may have left is replaced.
        let copy = inner.join(program.hash());
        set_mode(&copy, 0o777);
        assert_eq!(shell(&start, b""), absent());
        assert_eq!(install(&program, &cache, false), (true, String::new()));
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
        let (is_done, said) = install(&program, &cache, false);
        assert!(!is_done && said.contains("not the user's"), "{said}");
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 0);
    }

    #[test]
    fn a_planted_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, program) = (Cache::new(Some(folder.path())), program(CONTENT));
        assert!(install(&program, &cache, false).0);
        let (copy, victim) =
            (folder.path().join("isograd").join(program.hash()), folder.path().join("victim"));
        fs::write(&victim, "precious").unwrap();
        fs::remove_file(&copy).unwrap();
        symlink(&victim, &copy).unwrap();
        assert_eq!(shell(&program.start_command(&cache), b""), absent());
        assert_eq!(install(&program, &cache, false), (true, String::new()));
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
        let expected = format!("it is Plan9 mips, this program is for {}; one for", host_facts::platform());
        assert!(error.starts_with(&expected) && error.contains("isograd-Plan9-mips: "), "{error}");
        fs::write(folder.path().join("isograd-Plan9-mips"), "other").unwrap();
        let [first, second] = [(); 2].map(|()| programs.for_platform("Plan9 mips").unwrap());
        assert_eq!(first.digest, program("other").digest);
        assert!(Arc::ptr_eq(&first.bytes, &second.bytes));
        assert!(programs.for_platform("../../x y").is_err());
    }
}
