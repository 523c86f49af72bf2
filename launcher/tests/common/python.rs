//! A Python with packages that read what this program writes.

use std::env;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Command;

/// The variable that names it.
const PYTHON: &str = "ISOGRAD_PYTHON";

/// That Python, if it has `package`; otherwise this says on the real standard error that a test is skipped.
///
/// # Panics
/// It must not be skipped, since the variable CI is set.
pub(crate) fn python_with(package: &str) -> Option<PathBuf> {
    let python = env::var_os(PYTHON).map(PathBuf::from);
    let has = |python: &PathBuf| {
        let found = format!("import importlib.util as u; raise SystemExit(u.find_spec('{package}') is None)");
        Command::new(python).args(["-c", &found]).status().is_ok_and(|status| status.success())
    };
    if let Some(python) = python.filter(has) {
        return Some(python);
    }
    assert!(env::var_os("CI").is_none(), "CI is set, and {PYTHON} names no Python with {package}");
    let _ = writeln!(io::stderr(), "\nSKIPPED, since {PYTHON} names no Python with {package}\n");
    None
}

/// Runs `script` with `args` and returns what it prints, which it must do without an error.
#[track_caller]
pub(crate) fn run(python: &PathBuf, script: &str, args: &[&OsStr]) -> String {
    let output = Command::new(python)
        .args(["-c", script])
        .args(args)
        .env("MLFLOW_ALLOW_FILE_STORE", "true")
        .env("TF_CPP_MIN_LOG_LEVEL", "3")
        .output()
        .expect("Python starts");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}
