//! Runs of several ranks: the bits of one process, whatever starts them, and one clear error when they cannot
//! work together.

mod common;

use common::{Outcome, damaged_run, folder_of, hash, idx, isograd, lines, train, words};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const RUN: &str = "train --dataset synthetic --global-batch-size 54 --shard-size 10 --steps 12 --hash";

/// The hash that all runs of `RUN` must have.
fn expected() -> String {
    hash(&isograd(&words(RUN)))
}

/// A rank that is started by hand.
fn rank(number: usize, world: usize, master: &str, key: &Path, options: &str) -> Child {
    let (host, port) = master.split_once(':').expect("host:port");
    let mut command = Command::new(env!("CARGO_BIN_EXE_isograd"));
    command.args(words(options)).env("RANK", number.to_string()).env("WORLD_SIZE", world.to_string());
    command.env("MASTER_ADDR", host).env("MASTER_PORT", port).env("ISOGRAD_KEY_FILE", key);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

fn outcome(child: Child) -> Outcome {
    let Output { status, stdout, stderr } = child.wait_with_output().expect("a child of this process");
    let text = |bytes| String::from_utf8(bytes).expect("the program prints UTF-8");
    Outcome { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

fn key(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("key");
    let made = isograd(&["keygen".as_ref(), path.as_os_str()]);
    assert_eq!(made.code, Some(0), "{made:?}");
    path
}

/// An address of this host whose port nobody used a moment ago.
fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").to_string()
}

#[test]
fn local_ranks_have_the_bits_of_one_process() {
    let expected = expected();
    for start in ["local -n 2", "local -n 3", "local -n 2 --bind none", "local -n 1"] {
        for options in ["", "--transport tcp", "--no-overlap --bucket-bytes 1000", "--threads 2"] {
            let line = format!("{start} {RUN} {options}");
            assert_eq!(hash(&isograd(&words(&line))), expected, "{line}");
        }
    }
    let unequal = format!("local -n 3 {RUN} --shards-per-rank 5,0,1 --blocking_mpi");
    assert_eq!(hash(&isograd(&words(&unequal))), expected);
}

#[test]
fn only_the_first_rank_prints() {
    let outcome = isograd(&words(&format!("local -n 3 {RUN} --threads 1 --validation-split 0.1 --evaluate")));
    assert_eq!(outcome.stderr, "");
    for (prefix, count) in
        [("ranks and their cores: ", 1), ("layer  type", 1), ("epoch 1/10: ", 1), ("test_", 2)]
    {
        assert_eq!(lines(&outcome.stdout, prefix).len(), count, "{prefix} in {}", outcome.stdout);
    }
    assert_eq!(lines(&outcome.stdout, "ranks:"), ["              3"]);
}

#[test]
fn a_batch_per_rank_is_a_larger_global_one() {
    let options = "--dataset synthetic --steps 6 --hash";
    let together = isograd(&words(&format!("local -n 2 train {options} --batch-size 40")));
    assert_eq!(hash(&together), hash(&isograd(&words(&format!("train {options} --batch-size 80")))));
    let accumulated = isograd(&words(&format!("train {options} --batch-size 20 --accumulate 4")));
    assert_eq!(hash(&accumulated), hash(&together));
}

/// A network with batch normalisation, in a file.
const NORMALISED: &str = "input = [1, 28, 28]\nlayers = [{ type = 'MaxPool2D', size = 4 }, \
    { type = 'Conv2D', filters = 4, kernel = 3 }, 'BatchNormalization', 'ReLU', 'Flatten', \
    { type = 'Dense', outputs = 10 }, 'Softmax']";

/// Statistics over the whole batch are those over all ranks, and ranks must all want them.
#[test]
fn statistics_of_the_whole_batch_do_not_depend_on_the_ranks() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (key, file) = (key(folder.path()), folder.path().join("net.toml"));
    std::fs::write(&file, NORMALISED).expect("room for a file");
    let options = format!("{RUN} --model {}", file.display());
    let run = |start: &str, sync: &str| isograd(&words(&format!("{start} {options} {sync}")));
    let alone = run("", "--sync-stats");
    assert_eq!(lines(&alone.stdout, "sync-stats:").len(), 1, "{}", alone.stdout);
    assert_eq!(hash(&run("local -n 3", "--sync-stats")), hash(&alone));
    assert_ne!(hash(&run("", "")), hash(&alone));

    let (address, options) = (free_address(), format!("{options} --timeout 20"));
    let synced = format!("{options} --sync-stats");
    let ranks = [rank(0, 2, &address, &key, &options), rank(1, 2, &address, &key, &synced)];
    for outcome in ranks.map(outcome) {
        let difference =
            "ranks 0 and 1 differ in whether statistics are those of the whole batch: false against";
        assert_error(&outcome, 1, &[difference]);
    }
}

/// Unlike the batch, a schedule does not depend on the ranks, unless the learning rate is to.
#[test]
fn optimizers_and_schedules_have_the_bits_of_one_process() {
    for options in [
        "--optimizer muon --schedule one-cycle --ema 0.9",
        "--optimizer lars --schedule polynomial --power 2 --warm-up-epochs 0.1",
    ] {
        let run = |start: &str| isograd(&words(&format!("{start} {RUN} {options}")));
        let (alone, together) = (run(""), run("local -n 2"));
        assert_eq!(hash(&together), hash(&alone), "{options}");
        assert_eq!(lines(&together.stdout, "averages: "), lines(&alone.stdout, "averages: "), "{options}");
    }
    let options = "--dataset synthetic --steps 6 --hash --optimizer sgd";
    let scaled =
        format!("local -n 2 train {options} --batch-size 40 --learning-rate 0.01 --scale-learning-rate");
    let scaled = isograd(&words(&scaled));
    let alone = isograd(&words(&format!("train {options} --batch-size 80 --learning-rate 0.02")));
    assert_eq!(hash(&scaled), hash(&alone));
    assert_eq!(lines(&scaled.stdout, "learning-rate:")[0].trim(), "0.02 (0.01 for each rank)");
}

#[test]
fn what_one_rank_saves_several_test_and_load() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("net.safetensors");
    let file = file.to_str().expect("a temporary folder's name is UTF-8");
    let saved = isograd(&words(&format!("local -n 2 {RUN} --save {file}")));
    let test = lines(&saved.stdout, "test_acc: ")[0].to_string();
    for start in ["", "local -n 2", "local -n 3"] {
        let tested =
            isograd(&words(&format!("{start} evaluate --dataset synthetic --shard-size 10 --load {file}")));
        assert_eq!(lines(&tested.stdout, "test_acc: "), [test.as_str()], "{start}: {tested:?}");
    }
    let loaded = |start: &str| hash(&isograd(&words(&format!("{start} {RUN} --load {file}"))));
    assert_eq!(loaded("local -n 2"), loaded(""));
}

#[test]
fn ranks_started_by_hand_meet_with_a_key() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let key = key(folder.path());
    for options in ["", "--encrypt --transport tcp", "--host-name a"] {
        let address = free_address();
        let ranks: Vec<Child> =
            (0..2).map(|number| rank(number, 2, &address, &key, &format!("{RUN} {options}"))).collect();
        let outcomes: Vec<Outcome> = ranks.into_iter().map(outcome).collect();
        assert_eq!(hash(&outcomes[0]), expected(), "{options}");
        assert_eq!((outcomes[1].code, outcomes[1].stdout.as_str()), (Some(0), ""), "{:?}", outcomes[1]);
    }
}

#[test]
fn mpirun_starts_ranks_without_any_mpi_in_the_program() {
    for (mpirun, options) in [("mpirun.openmpi", "--allow-run-as-root --oversubscribe"), ("mpirun.mpich", "")]
    {
        let mut command = Command::new(mpirun);
        command.args(words(options)).args(["-np", "3", env!("CARGO_BIN_EXE_isograd")]).args(words(RUN));
        match command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() {
            Ok(child) => assert_eq!(hash(&outcome(child)), expected(), "{mpirun}"),
            Err(error) if std::env::var_os("CI").is_none() => eprintln!("SKIPPED: {mpirun}: {error}"),
            Err(error) => panic!("{mpirun} must be there in CI: {error}"),
        }
    }
}

/// Requires that all of `parts` are in the error lines of `outcome`, which has exit code `code`.
#[track_caller]
fn assert_error(outcome: &Outcome, code: i32, parts: &[&str]) {
    assert_eq!(outcome.code, Some(code), "{outcome:?}");
    assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
    for part in parts {
        assert!(
            lines(&outcome.stderr, "error: ").iter().any(|line| line.contains(part)),
            "'{part}' in {outcome:?}"
        );
    }
}

#[test]
fn command_lines_without_meaning() {
    let both = isograd(&words("train --batch-size 8 --global-batch-size 8"));
    assert_error(&both, 2, &["--batch-size", "--global-batch-size"]);
    assert_error(&isograd(&words("local -n 0 train")), 2, &["from 1 to"]);
    assert_error(&isograd(&words("local -n 2")), 2, &["COMMAND"]);
    assert_error(&isograd(&words("local -n 2 --bind sockets train")), 2, &["'sockets'", "cores, none"]);
    assert_error(&isograd(&words("train --transport pigeon")), 2, &["'pigeon'", "auto, shm, tcp, mpi"]);
    if !cfg!(feature = "mpi") {
        assert_error(&isograd(&words("train --transport mpi")), 2, &["without MPI", "--features mpi"]);
    }
    assert_error(&isograd(&words("train --timeout 0")), 2, &["--timeout", "'0'"]);
    assert_error(&isograd(&words("train --clip-norm -1")), 2, &["--clip-norm", "'-1'"]);
    assert_error(&isograd(&words("bench comm")), 2, &["at least two ranks"]);
    let shares = isograd(&words("local -n 2 train --dataset synthetic --shards-per-rank 1,2,3"));
    assert_error(&shares, 2, &["--shards-per-rank has 3 numbers for 2 ranks"]);
}

#[test]
fn half_a_set_of_variables() {
    let run = |variables: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_isograd"));
        command.args(["train", "--dataset", "synthetic", "--steps", "1"]).envs(variables.iter().copied());
        outcome(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts"))
    };
    assert_error(&run(&[("RANK", "1")]), 1, &["RANK is set, but WORLD_SIZE is not"]);
    let master = [("RANK", "1"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "127.0.0.1")];
    assert_error(&run(&master), 1, &["MASTER_PORT is not"]);
    assert_error(&run(&[("RANK", "2"), ("WORLD_SIZE", "2")]), 1, &["RANK=2"]);
    let keyless = [("RANK", "1"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "9")];
    assert_error(&run(&keyless), 2, &["--key-file", "ISOGRAD_KEY_FILE"]);
}

#[test]
fn ranks_that_differ_or_are_missing_are_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let key = key(folder.path());
    for (other, difference) in [
        ("--seed 7", "the seed: 0 against 7"),
        (
            "--warm-up-epochs 2",
            "the schedule: Constant against WarmUp { over: Epochs(2.0), from: 0.01, then: Constant }",
        ),
        ("--ema 0.5", "the decay of the averages: None against Some(0.5)"),
        ("--dtype bfloat16", "the element type: float32 against bfloat16"),
    ] {
        let address = free_address();
        let options = format!("{RUN} --timeout 20");
        let ranks =
            [rank(0, 2, &address, &key, &options), rank(1, 2, &address, &key, &format!("{options} {other}"))];
        for outcome in ranks.map(outcome) {
            assert_error(&outcome, 1, &[&format!("ranks 0 and 1 differ in {difference}")]);
        }
    }
    let address = free_address();
    let ranks = [0, 2].map(|number| rank(number, 3, &address, &key, &format!("{RUN} --timeout 1")));
    for outcome in ranks.map(outcome) {
        assert_error(&outcome, 1, &["rank 1 did not come within 1 s"]);
    }
}

/// The summary of both networks is the same.
#[test]
fn ranks_with_other_networks_in_their_files_are_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let key = key(folder.path());
    let options = |name: &str, rate: f64| {
        let file = folder.path().join(name).join("net.toml");
        std::fs::create_dir(folder.path().join(name)).expect("a new folder");
        let dense = "{ type = 'Dense', outputs = 10 }, 'Softmax'";
        let text = format!(
            "input = [1, 28, 28]\nlayers = ['Flatten', {{ type = 'Dropout', rate = {rate} }}, {dense}]"
        );
        std::fs::write(&file, text).expect("room for a file");
        format!("{RUN} --timeout 20 --model {}", file.display())
    };
    let [quarter, same, half] = [options("a", 0.25), options("b", 0.25), options("c", 0.5)];
    let run = |others: [&str; 2]| {
        let address = free_address();
        [0, 1].map(|number| rank(number, 2, &address, &key, others[number])).map(outcome)
    };
    for outcome in run([&quarter, &half]) {
        assert_error(&outcome, 1, &["ranks 0 and 1 differ in the model: net sha256:"]);
    }
    let alone = hash(&isograd(&words(&quarter)));
    assert_eq!(hash(&run([&quarter, &same])[0]), alone);
}

#[test]
fn ranks_with_other_samples_are_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (key, file) = (key(folder.path()), folder.path().join("net.st"));
    let (good, file) = (folder_of(8, None), file.display());
    let path = |folder: &tempfile::TempDir| folder.path().display().to_string();
    let train = "train --steps 1 --batch-size 2 --timeout 20 --dataset-train-path";
    let saved = isograd(&words(&format!("{train} {} --save {file}", path(&good))));
    assert_eq!(saved.code, Some(0), "{saved:?}");
    // One pixel differs, or one label.
    let pixel = folder_of(8, Some(("train-images-idx3-ubyte", &idx(&[4, 8, 8], &[1]))));
    let label = folder_of(8, Some(("t10k-labels-idx1-ubyte", &idx(&[4], &[0, 1, 2, 4]))));
    let evaluate = format!("evaluate --load {file} --timeout 20 --dataset-train-path");
    for (command, other, what) in [
        (train, &pixel, "the training samples (--dataset, --dataset-train-path): 4 samples, sha256:"),
        (train, &label, "the test samples (--dataset, --dataset-train-path): sha256:"),
        (&evaluate, &label, "the test samples (--dataset, --dataset-train-path): 4 samples, sha256:"),
    ] {
        let address = free_address();
        let options = |folder| format!("{command} {}", path(folder));
        let ranks =
            [rank(0, 2, &address, &key, &options(&good)), rank(1, 2, &address, &key, &options(other))];
        for outcome in ranks.map(outcome) {
            assert_error(&outcome, 1, &[&format!("ranks 0 and 1 differ in {what}")]);
        }
    }
    // What is equal may come from somewhere else.
    let (address, twin) = (free_address(), folder_of(8, None));
    let options = |folder| format!("{train} {} --hash", path(folder));
    let ranks = [rank(0, 2, &address, &key, &options(&good)), rank(1, 2, &address, &key, &options(&twin))];
    for outcome in ranks.map(outcome) {
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
    }
}

/// The processes that have `word` in their environment.
fn processes_with(word: &str) -> Vec<u32> {
    let numbers = std::fs::read_dir("/proc").expect("the processes").filter_map(|entry| {
        let number = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let environment = std::fs::read(format!("/proc/{number}/environ")).ok()?;
        environment.split(|byte| *byte == 0).any(|variable| variable == word.as_bytes()).then_some(number)
    });
    numbers.collect()
}

#[test]
#[cfg(target_os = "linux")]
fn a_killed_or_stopped_rank_or_launcher_leaves_nothing() {
    let wait_for = |what: &str, done: &dyn Fn() -> bool| {
        let start = Instant::now();
        while !done() {
            assert!(start.elapsed() < Duration::from_secs(30), "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    for (victim, signal, code, parts) in [
        (
            "RANK=0",
            "-KILL",
            Some(137),
            &["lost rank 0", "rank 0 on localhost ended with signal 9 (SIGKILL)"][..],
        ),
        ("RANK=2", "-KILL", Some(137), &["lost rank 2", "rank 2 on localhost ended with signal 9 (SIGKILL)"]),
        (
            "RANK=0",
            "-STOP",
            Some(1),
            &["rank 0 (process ", "rank 0 on localhost was silent while the others waited"],
        ),
        ("launcher", "-KILL", None, &[]),
    ] {
        // A mark that all processes of this run have in their environment, and no others.
        let mark = format!("ISOGRAD_TEST_MARK={}-{victim}{signal}", std::process::id());
        let (name, value) = mark.split_once('=').expect("name=value");
        let mut launcher = Command::new(env!("CARGO_BIN_EXE_isograd"));
        launcher
            .args(words("local -n 3 train --dataset synthetic --epochs 100000 --timeout 10"))
            .env(name, value);
        let mut launcher =
            launcher.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        // Training is under way when the first epoch is reported.
        let mut stdout = std::io::BufReader::new(launcher.stdout.take().expect("a pipe"));
        let mut line = String::new();
        while !line.starts_with("epoch 1/") {
            line.clear();
            assert_ne!(
                std::io::BufRead::read_line(&mut stdout, &mut line).expect("output"),
                0,
                "it ended early"
            );
        }
        let ranks = || processes_with(&mark);
        let reader = std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        if victim == "launcher" {
            launcher.kill().expect("a child of this process");
        } else {
            let is_victim = |number: &&u32| processes_with(victim).contains(number);
            let number = ranks().iter().find(is_victim).copied().expect("the rank is running");
            let killed = Command::new("kill").args([signal, &number.to_string()]).status().expect("kill");
            assert!(killed.success());
        }
        let ended = outcome(launcher);
        assert_eq!(ended.code, code, "{ended:?}");
        // On a loaded machine, the other ranks can be so slow that the launcher kills them before they
        // notice.
        let is_late = ended.stderr.contains("killed, as the job was over");
        for part in parts.iter().filter(|part| !(is_late && part.starts_with("lost rank"))) {
            assert!(ended.stderr.contains(part), "'{part}' in {ended:?}");
        }
        wait_for("processes are left", &|| ranks().is_empty());
        let _ = reader.join();
    }
}

#[test]
fn the_benchmark_of_collectives_prints_a_table() {
    let outcome = isograd(&words("local -n 2 bench comm --max-bytes 70000"));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let rows: Vec<&str> = outcome.stdout.lines().filter(|line| line.ends_with('%')).collect();
    assert_eq!(rows.len(), 4, "{}", outcome.stdout);
    assert!(rows.iter().all(|row| row.contains(" us ")), "{rows:?}");
}

#[test]
fn a_key_is_made_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = key(folder.path());
    let again = isograd(&["keygen".as_ref(), path.as_os_str()]);
    assert_error(&again, 1, &["key"]);
}

#[test]
fn one_process_needs_no_others() {
    assert!(train("--steps 2").contains("ranks:              1"), "a run without any variables");
}

#[test]
fn all_ranks_end_with_the_cause_of_the_first_failure() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = damaged_run(folder.path());
    let outcome = isograd(&words(&format!("local -n 2 train {options}")));
    assert_error(&outcome, 1, &["rank 0: --resume", "rank 0 on localhost ended with exit status 1"]);
}
