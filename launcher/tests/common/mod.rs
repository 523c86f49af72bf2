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

/// Runs `isograd` with the space-separated `args` in `folder`, where it keeps its cache as well.
#[allow(dead_code, reason = "each test file compiles this module for itself")]
pub(crate) fn isograd_in(folder: &Path, args: &str) -> Outcome {
    let mut command = Command::new(env!("CARGO_BIN_EXE_isograd"));
    command.args(words(args)).current_dir(folder).env("XDG_CACHE_HOME", folder.join("cache"));
    let output = command.output().expect("the program starts");
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

/// The words of a line of options.
#[allow(dead_code, reason = "each test file compiles this module for itself")]
pub(crate) fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// The hash of the parameters that a run printed, which must have ended well.
#[allow(dead_code, reason = "each test file compiles this module for itself")]
#[track_caller]
pub(crate) fn hash(outcome: &Outcome) -> String {
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    match lines(&outcome.stdout, "params: sha256:").as_slice() {
        [hash] => (*hash).to_string(),
        found => panic!("{found:?} in {outcome:?}"),
    }
}

/// The options of a run that fails at the first rank alone, which reads checkpoints: the only one is damaged.
#[allow(dead_code, reason = "each test file compiles this module for itself")]
pub(crate) fn damaged_run(folder: &Path) -> String {
    let run = folder.join("run");
    train(&format!("--steps 1 --checkpoint {}", run.display()));
    let parameters = run.join("last").join("model.safetensors");
    let bytes = std::fs::read(&parameters).expect("a checkpoint has parameters");
    std::fs::write(&parameters, &bytes[..bytes.len() / 2]).expect("room for less");
    format!("--resume {}", run.display())
}

/// An IDX file of bytes: zeros, but for what `values` says of the first of them.
#[allow(dead_code, reason = "each test file compiles this module for itself")]
pub(crate) fn idx(dims: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dims.len() as u8];
    dims.iter().for_each(|dim| bytes.extend(dim.to_be_bytes()));
    let total = dims.iter().product::<u32>() as usize;
    bytes.extend(values.iter().copied().chain(std::iter::repeat(0)).take(total));
    bytes
}

/// A folder with a small data set of `side` x `side` images, good unless `file` says otherwise.
#[allow(dead_code, reason = "each test file compiles this module for itself")]
pub(crate) fn folder_of(side: u32, file: Option<(&str, &[u8])>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    for split in ["train", "t10k"] {
        write(&format!("{split}-images-idx3-ubyte"), &idx(&[4, side, side], &[]));
        write(&format!("{split}-labels-idx1-ubyte"), &idx(&[4], &[0, 1, 2, 3]));
    }
    if let Some((name, bytes)) = file {
        write(name, bytes);
    }
    folder
}
