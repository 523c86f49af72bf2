//! `isograd tune`, and runs with the choices of a file: the bits of the choices on any number of threads and
//! ranks, kept by a run whatever becomes of the file, and one clear line for each mistake.

mod common;

use common::{Outcome, hash, isograd_in, lines};
use std::fs;
use std::path::Path;

/// A network with a shape for Winograd's algorithm and one with a stride.
const NETWORK: &str = "input = [1, 12, 12]\nlayers = [\n\
    { type = 'Conv2D', filters = 16, kernel = 3, padding = 1, bias = false },\n'BatchNormalization',\n'ReLU',\n\
    { type = 'Conv2D', filters = 16, kernel = 3, padding = 1 },\n'ReLU',\n\
    { type = 'Conv2D', filters = 6, kernel = 3, stride = 2 },\n'ReLU',\n'Flatten',\n\
    { type = 'Dense', outputs = 4 },\n'Softmax',\n]\n";

/// Choices that differ from those by shape in each pass of each convolution.
const CHOICES: &str = "format = 1\nversion = '0.0.1'\nmodel = 'net'\nmachine = 'another CPU'\nisa = 'portable'\n\
    dtype = 'float32'\nthreads = 1\nbatch_size = 64\nshard_size = 10\nconvolutions = [\n\
    { input = [1, 12, 12], filters = 16, kernel = 3, padding = 1, forward = 'im2col', input_gradient = 'im2col', weight_gradient = 'winograd4' },\n\
    { input = [16, 12, 12], filters = 16, kernel = 3, padding = 1, forward = 'winograd2', input_gradient = 'direct', weight_gradient = 'im2col' },\n\
    { input = [16, 12, 12], filters = 6, kernel = 3, stride = 2, forward = 'im2col', input_gradient = 'im2col', weight_gradient = 'im2col' },\n\
    ]\n";

const RUN: &str = "train --model net.toml --dataset synthetic --global-batch-size 54 --shard-size 10 --hash";

/// A folder with the network and its choices.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("net.toml"), NETWORK).expect("room for a file");
    fs::write(folder.path().join("choices.toml"), CHOICES).expect("room for a file");
    folder
}

#[track_caller]
fn ok(outcome: Outcome) -> Outcome {
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    outcome
}

/// A failure of one line, which has `part`.
#[track_caller]
fn problem(folder: &Path, args: &str, part: &str) {
    let outcome = isograd_in(folder, args);
    assert_ne!(outcome.code, Some(0), "{args}: {outcome:?}");
    let errors = lines(&outcome.stderr, "error: ");
    assert!(errors.len() == 1 && errors[0].contains(part), "{args}: {}", outcome.stderr);
}

#[test]
fn the_bits_are_those_of_the_choices_on_any_threads_and_ranks() {
    let folder = folder();
    let run = |line: &str| isograd_in(folder.path(), line);
    let of = |options: &str| hash(&run(&format!("{RUN} --steps 8 {options}")));
    let expected = of("--tuned choices.toml --threads 1");
    assert_ne!(expected, of(""), "the choices are others than those by shape");
    assert_eq!(of("--tuned choices.toml --threads 3"), expected);
    for start in ["local -n 2", "local -n 3"] {
        let line = format!("{start} {RUN} --steps 8 --tuned choices.toml --threads 2");
        assert_eq!(hash(&run(&line)), expected, "{line}");
    }
    // As an option of a configuration.
    fs::write(folder.path().join("run.toml"), "tuned = 'choices.toml'\n").expect("room for a file");
    assert_eq!(of("--config run.toml"), expected);
    let printed = ok(run(&format!("{RUN} --steps 8 --tuned choices.toml --print-config"))).stdout;
    fs::write(folder.path().join("printed.toml"), printed).expect("room for a file");
    fs::remove_file(folder.path().join("choices.toml")).expect("a file");
    let printed = run("train --config printed.toml");
    assert_eq!(hash(&printed), expected, "the configuration has the choices themselves");
    let warning = printed.stderr.lines().filter(|line| line.contains("another CPU (here ")).count();
    assert_eq!(warning, 1, "choices of another machine hold, and are told of: {}", printed.stderr);
}

#[test]
fn a_run_keeps_its_choices() {
    let folder = folder();
    let run = |line: &str| isograd_in(folder.path(), line);
    let whole = run(&format!("{RUN} --epochs 2 --steps 40 --tuned choices.toml --save whole.st"));
    let expected = hash(&whole);
    let first = run(&format!("{RUN} --epochs 2 --steps 17 --tuned choices.toml --checkpoint run"));
    assert_ne!(hash(&first), expected);
    // The same choices in a file of other words.
    let same = CHOICES.replace("another CPU", "a third CPU");
    fs::write(folder.path().join("same.toml"), &same).expect("room for a file");
    fs::write(folder.path().join("other.toml"), same.replace("winograd2", "winograd4")).expect("room");
    fs::remove_file(folder.path().join("choices.toml")).expect("a file");
    let other = "--tuned choices: the run was started with choices, and another value would change its bits";
    problem(folder.path(), "train --resume run --steps 40 --tuned other.toml", other);
    problem(
        folder.path(),
        "train --resume run --steps 40 --conv direct",
        "--conv direct: the run was started",
    );
    let resumed = run("train --resume run --steps 40 --hash --threads 1 --tuned same.toml");
    assert_eq!(hash(&resumed), expected);

    // What uses the network takes the paths of its training, unless it is told otherwise.
    let test = |options: &str| {
        let outcome = ok(run(&format!("evaluate --load run --dataset synthetic {options}")));
        let digits = outcome.stdout.lines().next().map(str::to_string);
        (digits, outcome.stderr.contains("another CPU"))
    };
    let (told, warns) = test("");
    assert!(warns, "the choices are of another machine");
    assert_eq!(told, test("--tuned same.toml").0);
    assert!(told.as_ref().is_some_and(|line| line.contains("loss")));
    // Options that repeat what is so change nothing.
    for options in ["--model net.toml", "--conv-precision full", "--model net.toml --conv-precision full"] {
        assert_eq!(test(options), (told.clone(), true), "{options}");
    }
    assert!(!test("--conv direct").1, "no choices, no warning");
    let summary = |options: &str| {
        let outcome = ok(run(&format!("summary --model net.toml {options}")));
        let rows = outcome.stdout.lines().filter(|line| line.contains("Conv2D"));
        rows.filter_map(|line| line.split_whitespace().last()).map(str::to_string).collect::<Vec<_>>()
    };
    let tuned = ["im2col/im2col/winograd4", "winograd2/direct/im2col", "im2col"];
    assert_eq!(summary("--tuned same.toml"), tuned);
    assert_ne!(summary(""), tuned);
}

#[test]
fn a_workflow_trains_again_with_other_choices() {
    let folder = folder();
    let workflow = "workflow:\n  - getter: { dataset: synthetic }\n  - trainer: { model: net.toml, steps: 4, \
                    global_batch_size: 54, shard_size: 10, hash: true, tuned: choices.toml }\n  - evaluator: { tuned: \
                    choices.toml }\n";
    fs::write(folder.path().join("w.yaml"), workflow).expect("room for a file");
    let run = || ok(isograd_in(folder.path(), "run w.yaml --results results"));
    let trained = |outcome: &Outcome| outcome.stdout.contains("params: ");
    let first = run();
    let of_command = isograd_in(folder.path(), &format!("{RUN} --steps 4 --tuned choices.toml"));
    assert_eq!(hash(&first), hash(&of_command), "the bits of the choices");
    assert!(!trained(&run()), "nothing has changed");
    let other = CHOICES.replace("winograd2", "winograd4");
    fs::write(folder.path().join("choices.toml"), other).expect("room for a file");
    let second = run();
    assert_ne!(hash(&second), hash(&first));
    // The network, too.
    fs::write(folder.path().join("net.toml"), NETWORK.replace("'Flatten'", "'Flatten',\n'ReLU'"))
        .expect("room");
    assert!(trained(&run()));
}

#[test]
fn mistakes_have_one_line() {
    let folder = folder();
    let at = |name: &str, text: String| fs::write(folder.path().join(name), text).expect("room for a file");
    at("broken.toml", CHOICES.replace("'winograd2'", "'winograd3'"));
    at("unfit.toml", CHOICES.replace("stride = 2, forward = 'im2col'", "stride = 2, forward = 'winograd4'"));
    at("newer.toml", CHOICES.replace("format = 1", "format = 9"));
    let train = |options: &str| format!("{RUN} --steps 1 {options}");
    let path = folder.path();
    problem(path, "tune net.toml --crop 8", "net is for samples of 1x12x12, not of 1x8x8");
    problem(path, &train("--tuned missing.toml"), "--tuned missing.toml: cannot read: ");
    at("run.toml", "tuned = 'missing.toml'\n".to_string());
    let place = "--config run.toml: line 1, column 1: --tuned missing.toml: cannot read: ";
    problem(path, &train("--config run.toml"), place);
    problem(
        path,
        &train("--tuned net.toml"),
        "--tuned net.toml: line 1, column 1: a file of choices needs 'format'",
    );
    problem(path, &train("--tuned broken.toml"), "--tuned broken.toml: line 12, column ");
    problem(path, &train("--tuned unfit.toml"), "Winograd's algorithm is for kernels of 3x3 with stride 1");
    problem(path, &train("--tuned newer.toml"), "line 1, column 10: 'format' is 9, this version reads 1");
    problem(path, &train("--tuned choices.toml --conv direct"), "cannot be used with");
    let other = "train --model simplecnn --dataset synthetic --steps 1 --tuned choices.toml";
    problem(
        path,
        other,
        "--tuned: there is no choice for layer 1 (Conv2D), a convolution of 1x28x28, 4 filters of 3x3",
    );
    problem(path, "summary --model simplecnn --tuned choices.toml", "the choices are of another network");
    problem(path, "tune simplemlp", "simplemlp has no convolution: there is nothing to choose");
    problem(
        path,
        "tune net.toml --out net.toml",
        "--out net.toml: it is there and is no file of choices: line 1",
    );
    problem(path, "tune nett", "unknown model 'nett'");
    problem(path, "tune net.toml --out nowhere/x.toml", "--out nowhere/x.toml: there is no folder nowhere");
}

#[test]
fn what_tune_writes_is_taken() {
    let folder = folder();
    let run = |line: &str| isograd_in(folder.path(), line);
    let outcome = ok(run("tune net.toml --batch-size 40 --shard-size 10 --threads 2"));
    assert!(outcome.stdout.starts_with("net: 3 shapes of convolutions, 2 threads, shards of 10 samples, "));
    for row in [
        "16x12x12, 16 filters of 3x3, padding 1",
        "input gradient",
        "a step of 40 samples: ",
        "written: net.tuned.toml",
    ] {
        assert!(outcome.stdout.contains(row), "{row} in {}", outcome.stdout);
    }
    let text = fs::read_to_string(folder.path().join("net.tuned.toml")).expect("the file is written");
    assert_eq!(text.lines().filter(|line| line.contains("forward = ")).count(), 3, "{text}");
    let trained = run(&format!("{RUN} --steps 3 --tuned net.tuned.toml --threads 1"));
    hash(&trained);
    assert!(
        !trained.stderr.contains("--tuned"),
        "measured on this machine, for such shards: {}",
        trained.stderr
    );
    // A second time, the file is replaced.
    ok(run("tune net.toml --batch-size 40 --shard-size 10 --threads 1 --isa portable"));
    let again = fs::read_to_string(folder.path().join("net.tuned.toml")).expect("the file is written");
    assert!(again.contains("isa = \"portable\""), "{again}");
}
