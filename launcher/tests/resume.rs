//! Runs that are interrupted and gone on with: the bits of a run that was not, whatever ended it, and on
//! whatever ranks and threads it goes on.

mod common;

use common::{Outcome, hash, isograd, lines, words};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Kills of the long run.
const KILLS: u32 = 30;

/// A small network with a part of everything that a checkpoint must hold, so that a step takes little time.
const NETWORK: &str = "input = [1, 28, 28]\nlayers = [{ type = 'AveragePool2D', size = 4 }, 'Flatten', \
    { type = 'Dense', outputs = 16 }, 'BatchNormalization', 'ReLU', { type = 'Dropout', rate = 0.25 }, \
    { type = 'Dense', outputs = 10 }, 'Softmax']";

/// A folder with the network and, later, the run.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("net.toml"), NETWORK).expect("room for a file");
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self) -> PathBuf {
        self.path("run")
    }

    /// `train` with `options`, on samples that fit the network.
    fn train(&self, options: &str) -> String {
        format!("train --dataset synthetic --model {} {options} --hash", self.path("net.toml").display())
    }

    /// The same with checkpoints.
    fn start(&self, options: &str) -> String {
        self.train(&format!("{options} --checkpoint {}", self.run().display()))
    }

    /// Goes on with the run.
    fn resume(&self, options: &str) -> String {
        format!("train --resume {} {options}", self.run().display())
    }
}

/// The names of the checkpoints and of what is being written.
fn names(folder: &Path, start: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|name| name.starts_with(start)).collect();
    names.sort();
    names
}

fn run(line: &str) -> Outcome {
    isograd(&words(line))
}

/// Starts the program; what it prints on standard error goes to `log`.
fn spawn(line: &str, log: &Path) -> Child {
    let log = fs::File::create(log).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_isograd"));
    command.args(words(line)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().expect("the program starts")
}

/// Waits until `done` or the end of `child`; returns whether it has ended.
fn wait(child: &mut Child, done: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if child.try_wait().expect("a child of this process").is_some() {
            return true;
        }
        if done() {
            return false;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "the run does not get there");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// The rows of a history without the column of speed.
fn history(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("a history");
    let without_speed = |line: &str| {
        let cells = line.split(',').enumerate().filter(|(column, _)| *column != 2).map(|(_, cell)| cell);
        cells.collect::<Vec<_>>().join(",")
    };
    text.lines().map(without_speed).collect()
}

/// Momentum, a schedule, averages, a validation and its callbacks: 270 steps in each of 8 epochs.
const LONG: &str = "--global-batch-size 20 --shard-size 5 --epochs 8 --optimizer adamw --schedule cosine \
    --warm-up-epochs 1 --ema 0.9 --clip-norm 1 --validation-split 0.1 --early-stopping \
    --early-stopping-patience 3 --early-stopping-metric val_accuracy --reduce-lr-on-plateau \
    --reduce-lr-on-plateau-patience 1 --reduce-lr-on-plateau-factor 0.5 --seed 3";

#[test]
fn a_run_that_is_killed_again_and_again_has_the_bits_of_one_that_is_not() {
    let place = Place::new();
    let csv = |name: &str| place.path(name);
    let expected = run(&place.train(&format!("{LONG} --history {}", csv("whole.csv").display())));

    let first = format!("{LONG} --checkpoint-every 3steps --history {}", csv("killed.csv").display());
    let log = place.path("log");
    let (mut kills, mut during_a_checkpoint, mut number) = (0, 0, 0);
    while kills < KILLS {
        let (before, stale) = (names(&place.run(), "epoch-"), names(&place.run(), ".isograd-"));
        let resumed = match number % 4 {
            0 => place.resume("--threads 1"),
            1 => format!("local -n 2 {}", place.resume("--threads 1")),
            2 => place.resume("--threads 3"),
            _ => format!("local -n 3 {}", place.resume("--transport tcp")),
        };
        let line = if before.is_empty() { place.start(&first) } else { resumed };
        let mut child = spawn(&line, &log);
        // In turn: as soon as there is a new checkpoint, and while one is written, with more or less of it.
        let has_ended = wait(&mut child, || {
            let mut parts = names(&place.run(), ".isograd-").into_iter().filter(|part| !stale.contains(part));
            let part = parts.next().and_then(|part| Some(fs::read_dir(place.run().join(part)).ok()?.count()));
            match number % 3 {
                0 => names(&place.run(), "epoch-").last() > before.last(),
                files => part.is_some_and(|part| part >= files),
            }
        });
        assert!(!has_ended, "{line}: {}", fs::read_to_string(&log).expect("a log"));
        child.kill().expect("a child of this process");
        child.wait().expect("a child of this process");
        during_a_checkpoint += u32::from(!names(&place.run(), ".isograd-").is_empty());
        kills += 1;
        number += 1;
    }
    let ended = run(&format!("local -n 2 {}", place.resume("")));
    assert_eq!(hash(&ended), hash(&expected), "{ended:?}");
    assert_eq!(ended.stderr, "");
    for line in ["averages: ", "test_acc: ", "training ended"] {
        assert_eq!(lines(&ended.stdout, line), lines(&expected.stdout, line));
    }
    assert_eq!(history(&csv("killed.csv")), history(&csv("whole.csv")));
    assert!(during_a_checkpoint > 0, "no kill came while a checkpoint was written");
    assert!(names(&place.run(), ".isograd-").is_empty(), "what killed writers left is removed");
    assert_eq!(names(&place.run(), "epoch-").len().min(3), 3);

    // The run has ended: going on with it gives its end again.
    assert_eq!(hash(&run(&place.resume("--threads 2"))), hash(&expected));
}

/// Three epochs of 54 steps, each of which takes a moment.
const SHORT: &str = "--batch-size 100 --epochs 3 --validation-split 0.1 --optimizer sgd";

#[test]
fn a_signal_leaves_a_checkpoint_of_its_very_step() {
    for start in ["", "local -n 2 "] {
        let place = Place::new();
        let options =
            format!("{SHORT} --shard-size 2 --global-batch-size 100").replace("--batch-size 100 ", "");
        let expected = hash(&run(&place.train(&options)));
        let (log, line) = (place.path("log"), place.start(&format!("{options} --checkpoint-every 1steps")));
        let mut child = spawn(&format!("{start}{line}"), &log);
        assert!(!wait(&mut child, || !names(&place.run(), "epoch-").is_empty()), "{start}: it ended early");
        let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill");
        assert!(killed.success());
        let code = child.wait().expect("a child of this process").code();
        let log = fs::read_to_string(&log).expect("a log");
        assert_eq!(code, Some(143), "{log}");
        let said = log.split("stopped by SIGTERM after step ").nth(1).unwrap_or_else(|| panic!("{log}"));
        let step: u64 = said.lines().next().and_then(|step| step.trim().parse().ok()).expect("a number");
        let hint = format!("isograd train --resume {} goes on after that step", place.run().display());
        assert!(log.contains(&hint), "{log}");
        let newest = names(&place.run(), "epoch-").pop().expect("a checkpoint");
        assert!(newest.ends_with(&format!("step-{step:08}")), "{newest}, step {step}");
        let resumed = run(&place.resume("--checkpoint-every 1epoch"));
        let line = lines(&resumed.stdout, "resumed: ")[0];
        assert!(line.ends_with(&format!("steps: {step})")), "{line}");
        assert_eq!(hash(&resumed), expected);
    }
}

#[test]
fn a_run_keeps_what_a_resume_has_given() {
    const MORE: &str = "--global-batch-size 54 --shard-size 10 --validation-split 0.2";
    let [whole, parts] = [Place::new(), Place::new()];
    assert_eq!(run(&whole.start(&format!("{MORE} --epochs 4"))).code, Some(0));
    assert_eq!(run(&parts.start(&format!("{MORE} --epochs 1"))).code, Some(0));
    let paused = run(&parts.resume("--epochs 4 --pause-after 2 --checkpoint-every 5epochs"));
    assert!(paused.stdout.contains("paused after epoch 2 of 4"), "{paused:?}");
    assert_eq!(names(&parts.run(), "epoch-0002-").len(), 1, "a pause has its checkpoint");
    let best = |place: &Place| fs::read_link(place.run().join("best")).expect("a link");
    let last = run(&parts.resume("--pause-after 3"));
    assert!(last.stdout.contains("paused after epoch 3 of 4"), "{last:?}");
    let last = run(&parts.resume("--hash"));
    let whole_again = run(&whole.resume("--hash"));
    assert_eq!(hash(&last), hash(&whole_again));
    assert_eq!(best(&parts), best(&whole), "the best value is that of the whole run");
}

#[test]
fn the_checkpoint_before_a_damaged_one_is_used_and_that_is_said() {
    let place = Place::new();
    let expected = hash(&run(&place.train(&format!("{SHORT} --ema 0.5"))));
    // It ends within the second epoch; more steps go on there.
    let first =
        run(&place.start(&format!("{SHORT} --ema 0.5 --steps 80 --checkpoint-every 30steps --keep 2")));
    assert_eq!(first.code, Some(0), "{first:?}");
    let all = names(&place.run(), "epoch-");
    let newest = place.run().join(all.last().expect("checkpoints"));
    assert_eq!(fs::canonicalize(place.run().join("last")).ok(), fs::canonicalize(&newest).ok());
    // A checkpoint can be tested as it was, with its averages.
    let tested = format!(
        "evaluate --dataset synthetic --model {} --load {}",
        place.path("net.toml").display(),
        place.run().join("last").display()
    );
    assert_eq!(lines(&run(&tested).stdout, "test_acc: "), lines(&first.stdout, "test_acc: "));

    let model = newest.join("model.safetensors");
    let bytes = fs::read(&model).expect("a file");
    fs::write(&model, &bytes[..bytes.len() - 1]).expect("a file");
    let more = |options: &str| run(&place.resume(&format!("--steps 1000 {options}")));
    let resumed = more("");
    assert_eq!(hash(&resumed), expected, "{resumed:?}");
    let (len, less) = (bytes.len(), bytes.len() - 1);
    let warning = format!(
        "warn: --resume {}: model.safetensors is damaged: it has {less} bytes, by the manifest it should have {len}; \
         the one before it is tried: ",
        newest.display()
    );
    assert!(resumed.stderr.starts_with(&warning), "{}", resumed.stderr);

    // Where none is whole, the newest is the one that is named.
    let all = names(&place.run(), "epoch-");
    all.iter().for_each(|name| fs::write(place.run().join(name).join("progress.bin"), "").expect("a file"));
    let refused = more("");
    assert_eq!(refused.code, Some(1));
    let name = all.last().expect("checkpoints");
    let error = format!("error: --resume {}: progress.bin is damaged", place.run().join(name).display());
    assert!(refused.stderr.contains(&error), "{}", refused.stderr);
}

/// A limit of the size of files stands for a disk that is full.
#[test]
fn a_full_disk_does_not_end_the_run() {
    let place = Place::new();
    let started = run(&place.start(&format!("{SHORT} --steps 60")));
    assert_eq!(started.code, Some(0), "{started:?}");
    let before = names(&place.run(), "epoch-");
    let script = format!(
        "trap '' XFSZ; ulimit -f 2; exec {} {}",
        env!("CARGO_BIN_EXE_isograd"),
        place.resume("--steps 1000")
    );
    let limited = Command::new("sh").args(["-c", &script]).output().expect("a shell");
    let stderr = String::from_utf8_lossy(&limited.stderr).into_owned();
    assert!(limited.status.success(), "{stderr}");
    assert!(stderr.contains(": cannot write model.safetensors: "), "{stderr}");
    let stays =
        format!("; training goes on; {} stays", place.run().join(&before[before.len() - 1]).display());
    assert!(stderr.contains(&stays), "{stderr}");
    assert_eq!(names(&place.run(), "epoch-"), before);
    assert!(names(&place.run(), ".isograd-").is_empty());
    let stdout = String::from_utf8_lossy(&limited.stdout).into_owned();
    let ended = lines(&stdout, "params: sha256:");
    assert_eq!(ended, [hash(&run(&place.train(SHORT)))]);
}

/// Requires the exit code and all of `parts` in the error.
#[track_caller]
fn assert_error(line: &str, code: i32, parts: &[&str]) {
    let outcome = run(line);
    assert_eq!(outcome.code, Some(code), "{outcome:?}");
    assert_eq!(lines(&outcome.stderr, "error: ").len(), 1, "{}", outcome.stderr);
    for part in parts {
        assert!(outcome.stderr.contains(part), "'{part}' in {}", outcome.stderr);
    }
}

#[test]
fn what_cannot_be_gone_on_with_is_refused() {
    let place = Place::new();
    let run_folder = place.run().display().to_string();
    assert_error(&place.resume(""), 1, &[&run_folder, "cannot read"]);
    assert_eq!(run(&place.start(&format!("{SHORT} --steps 2"))).code, Some(0));
    let started = "the checkpoints of an earlier run";
    assert_error(&place.start(SHORT), 2, &[started, &format!("hint: --resume {run_folder} goes on")]);
    assert_error(&place.resume("--seed 1"), 2, &["--seed 1: the run was started with 0", "hint: --load"]);
    assert_error(&place.resume("--epochs 2"), 2, &["--epochs 2: the run was started with 3"]);
    for (from, to) in [("16", "17"), ("0.25", "0.5")] {
        fs::write(place.path("net.toml"), NETWORK.replace(from, to)).expect("a file");
        assert_error(&place.resume(""), 2, &["net.toml is not as it was when the run was started"]);
    }
    fs::write(place.path("net.toml"), NETWORK).expect("a file");
    assert_error(
        &format!("local -n 2 {}", place.resume("--shards-per-rank 1")),
        2,
        &["1 number for 2 ranks"],
    );
    // Other samples.
    let [train, other] = [Some(0), Some(7)].map(|label| {
        let labels = label.map(|label: u8| common::idx(&[4], &[label, 1, 2, 3])).expect("a label");
        common::folder_of(28, Some(("train-labels-idx1-ubyte", &labels)))
    });
    let at = place.path("mnist");
    let options = |folder: &tempfile::TempDir| format!("--dataset-train-path {}", folder.path().display());
    let line = format!("train {} --steps 1 --checkpoint {}", options(&train), at.display());
    assert_eq!(run(&line).code, Some(0));
    let resume = |folder| format!("train --resume {} {}", at.display(), options(folder));
    assert_error(
        &resume(&other),
        1,
        &["training samples (--dataset, --dataset-train-path) 4 samples, sha256:"],
    );
    assert_eq!(run(&resume(&train)).code, Some(0));
}

#[test]
fn callbacks_that_cannot_work_are_refused_at_the_start() {
    let without = "train --dataset synthetic --epochs 1";
    for (options, part) in [
        (
            "--early-stopping --early-stopping-metric val_loss",
            "--early-stopping-metric: there are no validation",
        ),
        (
            "--checkpoint /nowhere/x --checkpoint-metric val_acc",
            "--checkpoint-metric: there are no validation",
        ),
        ("--stop-at-loss 1 --stop-at-loss-metric f1", "--stop-at-loss-metric: the run measures no 'f1'"),
        ("--keep 3", "--keep needs a folder for the checkpoints"),
        ("--callbacks model_checkpoint", "needs a folder for the checkpoints"),
    ] {
        assert_error(&format!("{without} {options}"), 2, &[part]);
    }
}

#[test]
fn callbacks_end_the_run_and_restore_what_was_best() {
    let place = Place::new();
    let saved = place.path("best.safetensors");
    let line = place.train(&format!(
        "{SHORT} --epochs 9 --validation-split 0.1 --early-stopping --early-stopping-patience 1 \
         --early-stopping-min-delta 10 --save {}",
        saved.display()
    ));
    let line = line.replace("--epochs 3 --validation-split 0.1 ", "");
    let outcome = run(&line);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(lines(&outcome.stdout, "training ended after epoch "), ["2 by a callback"]);
    // The parameters of the first epoch are tested and saved.
    let one = run(&line.replace("--epochs 9", "--epochs 1"));
    assert_eq!(hash(&outcome), hash(&one));
    assert_eq!(lines(&outcome.stdout, "test_acc: "), lines(&one.stdout, "test_acc: "));
    let goal = run(&place.train(&format!("{SHORT} --stop-at-loss 1e9 --reduce-lr-every 1")));
    assert_eq!(lines(&goal.stdout, "training ended after epoch "), ["1 by a callback"]);
    assert_eq!(lines(&goal.stdout, "reduce-lr-every:")[0].trim(), "1, factor 0.1, min-lr 0.0");
}

#[test]
fn a_range_test_prints_its_curve_and_trains_nothing() {
    let place = Place::new();
    let one = run(&place.train("--global-batch-size 100 --find-lr"));
    let rows = |outcome: &Outcome| -> Vec<String> {
        let rows = outcome.stdout.lines().skip_while(|line| !line.starts_with("step,learning_rate"));
        rows.map(str::to_string).collect()
    };
    let curve = rows(&one);
    assert!(curve.len() > 20 && curve[1].starts_with("1,1e-6,"), "{one:?}");
    assert!(curve[curve.len() - 1].starts_with("suggested learning rate: "), "{curve:?}");
    assert!(lines(&one.stdout, "epoch ").is_empty());
    let two = run(&format!("local -n 2 {}", place.train("--global-batch-size 100 --find-lr=1e-6,10")));
    assert_eq!(rows(&two), curve);
}
