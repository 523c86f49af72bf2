//! Runs the real program.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// What a run of the program left.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `isograd` with `args`.
pub(crate) fn isograd<S: AsRef<OsStr>>(args: &[S]) -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_isograd")).args(args).output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("the program prints UTF-8");
    Outcome { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs `isograd train` on synthetic data with the space-separated `options`, and requires success.
#[allow(dead_code, reason = "each test file compiles this module for itself")]
pub(crate) fn train(options: &str) -> String {
    let args = ["train", "--dataset", "synthetic"].into_iter().chain(options.split_whitespace());
    let outcome = isograd(&args.collect::<Vec<_>>());
    assert_eq!(outcome.code, Some(0), "{options}: {}", outcome.stderr);
    outcome.stdout
}

/// The lines of `text` that start with `prefix`, without it.
#[allow(dead_code, reason = "each test file compiles this module for itself")]
pub(crate) fn lines<'t>(text: &'t str, prefix: &str) -> Vec<&'t str> {
    text.lines().filter_map(|line| line.strip_prefix(prefix)).collect()
}

/// The name of a history file in `folder` that cannot take a byte. The first rank alone writes files.
#[allow(dead_code, reason = "each test file compiles this module for itself")]
pub(crate) fn full_history(folder: &Path) -> String {
    let history = folder.join("history.csv");
    std::os::unix::fs::symlink("/dev/full", &history).expect("a link");
    history.to_str().expect("a temporary folder's name is UTF-8").to_string()
}
