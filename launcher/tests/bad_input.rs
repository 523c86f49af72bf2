//! Bad input gives one `error:` line that names the problem, and the exit code of its kind;
//! never a panic.

mod common;

use common::{Outcome, folder_of, idx, isograd, lines};
use std::path::Path;

/// Requires that `outcome` is a failure with exit code `code` whose error line contains all of `parts`.
#[track_caller]
fn assert_error(outcome: &Outcome, code: i32, parts: &[&str]) {
    assert_eq!(outcome.code, Some(code), "{outcome:?}");
    assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
    let errors = lines(&outcome.stderr, "error: ");
    assert_eq!(errors.len(), 1, "error lines in: {}", outcome.stderr);
    for part in parts {
        assert!(errors[0].contains(part), "'{part}' is not in: {}", errors[0]);
    }
    let others = outcome.stderr.lines().filter(|line| !line.starts_with("error: "));
    assert!(
        others.clone().all(|line| line.starts_with("hint: ")) && others.count() <= 1,
        "{}",
        outcome.stderr
    );
}

/// A usage error of `isograd` with the space-separated `args`.
#[track_caller]
fn assert_usage(args: &str, parts: &[&str]) {
    let outcome = isograd(&args.split_whitespace().collect::<Vec<_>>());
    assert_error(&outcome, 2, parts);
    assert_eq!(outcome.stdout, "", "a usage error is found before anything is printed");
}

/// A failure of a short training run with more arguments.
#[track_caller]
fn assert_failure(args: &[&str], parts: &[&str]) -> Outcome {
    let outcome = isograd(&[&["train", "--steps", "2"], args].concat());
    assert_error(&outcome, 1, parts);
    outcome
}

#[test]
fn counts_of_zero() {
    for option in ["--batch-size", "--shard-size", "--epochs", "--num-epochs", "--threads", "--steps"] {
        // An alias is reported by the option's own name.
        let name = option.replace("num-", "");
        assert_usage(&format!("train {option} 0"), &[&name, "from 1 to", "'0'"]);
    }
    assert_usage("train --epochs -3", &["--epochs", "'-3'"]);
    assert_usage("train --threads many", &["--threads", "'many'"]);
    assert_usage("train --seed 1.5", &["--seed", "'1.5'"]);
}

#[test]
fn numbers_outside_their_ranges() {
    for rate in ["-0.1", "nan", "inf", "fast"] {
        assert_usage(&format!("train --learning-rate {rate}"), &["--learning-rate", "at least 0", rate]);
    }
    for share in ["-0.1", "1", "NaN"] {
        assert_usage(&format!("train --validation-split {share}"), &["--validation-split", "below 1", share]);
    }
    assert_usage("train --learning-rate inf", &["finite"]);
    assert_usage("train --clip-norm inf", &["finite", "above 0"]);
    assert_usage("train --optimizer sgd --momentum 1.5", &["--momentum", "below 1", "1.5"]);
    assert_usage("train --epsilon -1", &["--epsilon", "at least 0", "-1"]);
    assert_usage("train --ema 1", &["--ema", "below 1", "'1'"]);
    assert_usage("train --warm-up-epochs 0", &["--warm-up-epochs", "above 0", "'0'"]);
    assert_usage("train --schedule step --gamma -1", &["--gamma", "above 0", "'-1'"]);
    assert_usage("train --schedule multi-step --milestones 3,x", &["--milestones", "above 0", "'x'"]);
}

#[test]
fn unknown_names_with_the_nearest_known_one() {
    for (args, name) in [
        ("train --model simplecnnn", "simplecnn"),
        ("summary --model simple_mlp", "simplemlp"),
        ("train --dataset mnits", "mnist"),
        ("train --optimizer adm", "adam"),
        ("train --schedule one_cyle", "one-cycle"),
        ("train --loss-func categorical_crossentropy", "categorical_cross_entropy"),
        ("train --metrics categorical_accuracy,categorical_hing", "categorical_hinge"),
        ("train --dtype flaot32", "float32"),
        ("train --conv winogard", "winograd"),
        ("evaluate --load x --isa avx", "avx2"),
    ] {
        let unknown = args.rsplit([' ', ',']).next().expect("an argument");
        assert_usage(args, &["unknown", &format!("'{unknown}'"), &format!("did you mean '{name}")]);
    }
}

#[test]
fn command_lines_without_meaning() {
    assert_usage("", &["needs a command: train, evaluate,"]);
    assert_usage("trian", &["'trian'"]);
    assert_usage("train --bach-size 3", &["'--bach-size'"]);
    assert_usage("train --seed 1 --seed 2", &["--seed"]);
    assert_usage("evaluate", &["--load"]);
    assert_usage("train --momentum 0.9", &["--momentum", "adam", "--beta1"]);
    assert_usage("train --optimizer lars --beta1 0.9", &["--beta1", "lars", "--trust-coefficient"]);
    assert_usage("train --gamma 0.9", &["--gamma", "the schedule constant, which has none"]);
    assert_usage("train --schedule multi-step", &["multi-step needs --milestones"]);
    assert_usage("train --warm-up-factor 0.1", &["--warm-up-epochs"]);
    assert_usage(
        "train --scale-learning-rate --global-batch-size 64",
        &["--scale-learning-rate", "--global-batch-size"],
    );
    assert_usage("train --dataset fashion-mnist", &["--dataset-train-path"]);
    assert_usage("train --dataset synthetic --dataset-train-path x", &["--dataset-train-path", "synthetic"]);
    assert_usage("train --history run.txt", &["--history", ".csv", "'run.txt'"]);
    assert_usage("train --save run.csv --history run.csv", &["--save", "--history", "run.csv"]);
    assert_usage(
        "train --save run.csv --history ./run.csv",
        &["--save run.csv", "--history ./run.csv", "one file"],
    );
    assert_usage("train --save folder/", &["--save", "'folder/'"]);
}

/// The command of the ranks is parsed before anything starts: no login, no copy, no agent.
#[test]
fn the_command_of_ranks() {
    for job in ["local -n 2", "ssh -H nowhere.invalid", "ssh -H nowhere.invalid --dry-run", "slurm"] {
        assert_usage(&format!("{job} train --epochs -1"), &["--epochs", "'-1'"]);
        assert_usage(&format!("{job} train --bach-size 1"), &["'--bach-size'"]);
        assert_usage(&format!("{job} train --nesterov"), &["--nesterov", "adam"]);
        assert_usage(&format!("{job} trian"), &["'trian'", "did you mean 'train'?"]);
        let help = isograd(&format!("{job} train --help").split(' ').collect::<Vec<_>>());
        assert_eq!((help.code, lines(&help.stdout, "Usage: ").len()), (Some(0), 1), "{help:?}");
    }
    assert_usage("local -n 2 -x RANK=1 train", &["-x RANK", "is set by isograd itself"]);
    assert_usage("local -n 2 -x A=1 -x A=2 train", &["-x A=1 and -x A=2"]);
    assert_usage("local -n 2 train --shards-per-rank 1,1,1", &["3 numbers for 2 ranks"]);
    assert_usage("local -n 2 train --shards-per-rank 1", &["1 number for 2 ranks"]);
    assert_usage("ssh -H nowhere.invalid -n 2 train --shards-per-rank 1,1,1", &["3 numbers for 2 ranks"]);
}

/// A run that ends before its first epoch leaves an earlier run's history as it is; and no history takes the
/// place of parameters.
#[test]
fn an_earlier_history_and_parameters_to_load_survive() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| text(&folder.path().join(name)).to_string();
    let (old, saved) = (path("old.csv"), path("net.json"));
    std::fs::write(&old, "an earlier run\n").unwrap();
    let run = |options: &str| {
        let args = ["train", "--dataset", "synthetic", "--history", &old].into_iter();
        isograd(&args.chain(options.split_whitespace()).collect::<Vec<_>>())
    };
    assert_error(&run("--shards-per-rank 1,2"), 2, &["--shards-per-rank"]);
    assert_error(&run("--model simplecnn --save /dev/null/x"), 1, &["--save"]);
    assert_error(&run("--optimizer sgd --learning-rate 1e20"), 1, &["the loss became"]);
    assert_eq!(std::fs::read_to_string(&old).unwrap(), "an earlier run\n");

    common::train(&format!("--steps 1 --save {saved}"));
    let bytes = std::fs::read(&saved).unwrap();
    let link = path("link.json");
    std::os::unix::fs::symlink(&saved, &link).unwrap();
    let outcome = isograd(&["train", "--load", &saved, "--history", &link]);
    assert_error(&outcome, 2, &["--load", "net.json", "--history", "link.json", "one file"]);
    assert_eq!(std::fs::read(&saved).unwrap(), bytes);
}

#[test]
fn text_from_outside_stays_on_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a\nerror: b\x1b[2J");
    assert_error(
        &isograd(&["evaluate", "--load", text(&path)]),
        1,
        &["/a\\nerror: b\\u{1b}[2J: cannot read"],
    );
    let header = r#"{"__metadata__":{"model":"x\nerror: y\u001b[2J"}}"#;
    let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
    std::fs::write(&path, bytes).unwrap();
    let outcome = isograd(&["evaluate", "--dataset", "synthetic", "--load", text(&path)]);
    assert_error(&outcome, 1, &["model 'x\\nerror: y\\u{1b}[2J', not of 'simplecnn'"]);
    assert_error(&isograd(&["train", "--bad\nerror: c\x1b"]), 2, &["'--bad\\nerror: c\\u{1b}' found"]);
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary folder's name is UTF-8")
}

#[test]
fn a_good_folder_is_read() {
    let folder = folder_of(8, None);
    let path = text(folder.path());
    let outcome =
        isograd(&["train", "--dataset", "fashion-mnist", "--dataset-train-path", path, "--epochs", "1"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(outcome.stdout.contains("global-batch-size:  4\n"), "{}", outcome.stdout);
}

#[test]
fn data_files() {
    let images = idx(&[4, 8, 8], &[]);
    let (truncated, mut long) = (&images[..100], images.clone());
    long.push(0);
    // A gzip header and a stored block that promises more than there is.
    let broken_gzip =
        [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0, 200, 0, 55, 255][..], &idx(&[4], &[])].concat();
    let name = "train-images-idx3-ubyte";
    let other = "t10k-labels-idx1-ubyte";
    let cases: [(&str, &[u8], &[&str]); 8] = [
        (name, truncated, &[name, "100", "272"]),
        (name, &long, &[name, "273", "272"]),
        (name, b"a picture of a cat, perhaps", &[name]),
        (name, b"", &[name, "0"]),
        (name, &idx(&[5, 8, 8], &[]), &[name, "5 images", "4 labels"]),
        (name, &idx(&[4, 64], &[]), &[name, "2", "3"]),
        (other, &idx(&[4], &[0, 1, 10, 3]), &[other, "label 10 of sample 2", "10 classes"]),
        (other, &broken_gzip, &[other]),
    ];
    for (file, bytes, parts) in cases {
        let folder = folder_of(8, Some((file, bytes)));
        let path = text(folder.path());
        assert_failure(&["--dataset-train-path", path], &[&["--dataset-train-path", path], parts].concat());
    }
}

#[test]
fn classes_of_a_folder() {
    let folder = folder_of(8, Some(("train-labels-idx1-ubyte", &idx(&[4], &[26, 1, 2, 3]))));
    let path = text(folder.path());
    let refused = isograd(&["train", "--dataset-train-path", path]);
    assert_error(&refused, 1, &[path, "label 26 of sample 0", "10 classes"]);
    let hint =
        "\nhint: --classes is the number of classes, every label is below it; --dataset emnist-letters";
    assert!(refused.stderr.contains(hint), "{}", refused.stderr);
    let trained = isograd(&["train", "--dataset-train-path", path, "--classes", "27", "--epochs", "1"]);
    assert_eq!(trained.code, Some(0), "{}", trained.stderr);
    let row = trained.stdout.lines().find(|line| line.starts_with("classes: "));
    assert_eq!(row.and_then(|row| row.split_whitespace().last()), Some("27"), "{}", trained.stdout);
    assert_usage("train --classes 27", &["--classes", "--dataset-train-path"]);
    assert_usage("train --dataset-train-path x --classes 257", &["--classes", "256", "'257'"]);
}

#[test]
fn missing_files_and_folders() {
    let folder = folder_of(8, None);
    std::fs::remove_file(folder.path().join("t10k-images-idx3-ubyte")).unwrap();
    assert_failure(&["--dataset-train-path", text(folder.path())], &["t10k-images-idx3-ubyte"]);
    let missing = folder.path().join("nowhere");
    let outcome = isograd(&["summary", "--dataset-train-path", text(&missing)]);
    assert_error(&outcome, 1, &["--dataset-train-path", "nowhere"]);
}

#[test]
fn samples_that_fit_no_layer_or_no_other_samples() {
    let folder = folder_of(2, None);
    assert_failure(&["--dataset-train-path", text(folder.path())], &["layer 1 (Conv2D)", "2", "3"]);
    let folder = folder_of(8, Some(("t10k-images-idx3-ubyte", &idx(&[4, 8, 9], &[]))));
    assert_failure(&["--dataset-train-path", text(folder.path())], &["[1, 8, 8]", "[1, 8, 9]"]);
    let folder = folder_of(8, None);
    let args = ["--dataset-train-path", text(folder.path()), "--validation-split", "0.9"];
    assert_failure(&args, &["--validation-split", "0.9", "4 samples"]);
    let args = ["--dataset-train-path", text(folder.path()), "--validation-split", "1e-300"];
    assert_failure(&args, &["--validation-split", "1e-300", "4 samples", "none to validate on"]);
}

#[test]
fn output_files_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let inside = |name: &str| text(&folder.path().join(name)).to_string();
    for (option, path) in [
        ("--save", inside("missing/net.safetensors")),
        ("--history", inside("missing/run.csv")),
        ("--save", text(folder.path()).to_string()),
    ] {
        let outcome =
            assert_failure(&["--dataset", "synthetic", option, &path], &[option, &path, "cannot write"]);
        assert_eq!(outcome.stdout, "", "found before training");
    }
}

#[test]
fn network_files_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| text(&folder.path().join(name)).to_string();
    let dense = "{ type = 'Dense', outputs = 10 }";
    for (name, content, problem) in [
        ("syntax.toml", "input = [".to_string(), "line 1, column "),
        ("type.toml", "input = 4\nlayers = ['Desne']".to_string(), "line 2, column 11: unknown type 'Desne'"),
        (
            "fit.toml",
            format!("input = [1, 28, 28]\nlayers = [{dense}]"),
            "line 2, column 11: layer 1 (Dense): takes",
        ),
        (
            "shape.toml",
            format!("input = 784\nlayers = [{dense}, 'Softmax']"),
            "samples of 784, the data set has samples of",
        ),
    ] {
        let file = path(name);
        std::fs::write(&file, content).unwrap();
        let data = folder_of(28, None);
        let options = ["--model", &file, "--dataset-train-path", text(data.path()), "--batch-size", "2"];
        assert_failure(&options, &[problem]);
        if name != "shape.toml" {
            assert_error(&isograd(&["summary", "--model", &file]), 1, &["--model", name, problem]);
        }
    }
    assert_failure(&["--model", &path("missing.toml")], &["--model", "missing.toml", "cannot read"]);
    assert_usage("train --model .toml", &["unknown model '.toml'"]);
    let one_line = ["--conv", "no layer of the network can take the path winograd"];
    assert_usage("summary --model simplemlp --conv winograd", &one_line);
    assert_usage("summary --toml --shard-size 3", &["--toml", "--shard-size"]);
}

#[test]
fn parameters_that_cannot_be_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| text(&folder.path().join(name)).to_string();
    let evaluate = |name: &str, options: &[&str]| {
        isograd(&[&["evaluate", "--dataset", "synthetic", "--load", &path(name)], options].concat())
    };
    common::train(&format!("--steps 1 --save {}", path("cnn.st")));
    let model = ["simplecnn", "simplemlp", "--load", &path("cnn.st")];
    assert_error(&evaluate("cnn.st", &["--model", "simplemlp"]), 1, &model);
    assert_error(&evaluate("cnn.st", &["--dtype", "float64"]), 1, &["--load", "F32", "F64"]);
    assert_error(&evaluate("missing.st", &[]), 1, &["--load", "missing.st", "cannot read"]);
    std::fs::write(path("text.st"), "no tensors").unwrap();
    assert_error(&evaluate("text.st", &[]), 1, &["--load", "text.st", "not a safetensors file"]);
    let bytes = std::fs::read(path("cnn.st")).unwrap();
    std::fs::write(path("half.st"), &bytes[..bytes.len() / 2]).unwrap();
    let length = (bytes.len() / 2).to_string();
    assert_error(&evaluate("half.st", &[]), 1, &["--load", "half.st", "broken", &length]);
    let load = path("cnn.st");
    assert_failure(
        &["--dataset", "synthetic", "--model", "simplemlp", "--load", &load],
        &["--load", "simplemlp"],
    );
}

/// The mean test loss of the parameters at `path`.
fn test_loss(path: &str) -> f64 {
    let outcome = isograd(&["evaluate", "--dataset", "synthetic", "--load", path]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let (_, loss) = outcome.stdout.trim().split_once("test_loss: ").expect("a test line");
    loss.parse().expect("a number")
}

/// A batch of the whole set makes every epoch one step. The decay makes parameters grow until the loss is no
/// number.
#[test]
fn a_loss_that_is_no_number_keeps_the_last_good_parameters() {
    let folder = tempfile::tempdir().unwrap();
    let path = text(&folder.path().join("net.st")).to_string();
    for validation in ["0", "0.1"] {
        let options = ["--optimizer", "sgd", "--weight-decay", "1e6", "--validation-split", validation];
        let wild =
            [&["train", "--dataset", "synthetic", "--batch-size", "6000", "--save", &path], &options[..]]
                .concat();
        let outcome = isograd(&wild);
        assert_error(&outcome, 1, &["smaller learning rate"]);
        let epochs = lines(&outcome.stdout, "epoch ").len();
        assert!(epochs > 0, "{outcome:?}");
        let hint = format!("{path} holds the parameters after epoch {epochs}");
        assert_eq!(lines(&outcome.stderr, "hint: "), [hint]);
        assert!(test_loss(&path).is_finite());
    }
}

/// The loss of the only step and the parameters after it are finite, but nothing can be computed with them.
#[test]
fn parameters_without_a_loss_are_not_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = text(&folder.path().join("net.st")).to_string();
    std::fs::write(&path, "an earlier file").unwrap();
    for options in ["", " --validation-split 0.1"] {
        let wild = "--dataset synthetic --optimizer sgd --learning-rate 1e20 --batch-size 6000 --epochs 1";
        let wild = format!("{wild}{options} --save {path}");
        let args: Vec<&str> = wild.split_whitespace().collect();
        let outcome = isograd(&[&["train"], &args[..]].concat());
        assert_error(&outcome, 1, &["after epoch 1", "mean loss", "NaN", "smaller learning rate"]);
        let hint = format!("{path} was not written: no epoch ended well");
        assert_eq!(lines(&outcome.stderr, "hint: "), [hint]);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "an earlier file");
    }
}

#[test]
fn parameters_that_are_no_numbers_are_named_when_they_are_tested() {
    let folder = tempfile::tempdir().unwrap();
    let path = text(&folder.path().join("net.st")).to_string();
    common::train(&format!("--steps 1 --save {path}"));
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    let outcome = isograd(&["evaluate", "--dataset", "synthetic", "--load", &path]);
    assert_error(&outcome, 1, &["--load", "net.st", "1000 evaluated samples is NaN"]);
    assert_eq!(outcome.stdout, "");
    let args = ["--dataset", "synthetic", "--load", &path];
    assert_failure(
        &[&args[..], &["--evaluate"]].concat(),
        &["--load", "net.st", "1000 evaluated samples is NaN"],
    );
    assert_failure(&args, &["--load", "net.st", "bias' has a value that is infinite or NaN"]);
}

#[test]
fn what_may_help_is_what_is_out_of_the_ordinary() {
    let train = ["--dataset", "synthetic", "--batch-size", "6000"];
    let with = |options: &str, parts: &[&str]| {
        assert_failure(&[&train[..], &options.split(' ').collect::<Vec<_>>()].concat(), parts)
    };
    with(
        "--weight-decay 1e38",
        &["smaller learning rate may help, and so may a smaller --weight-decay than 1e38"],
    );
    let plain = with("--optimizer sgd --learning-rate 1e20", &["smaller learning rate may help"]);
    assert!(!plain.stderr.contains("and so may"), "{}", plain.stderr);
    with("--epsilon 0 --learning-rate 1e20", &["and so may an --epsilon above 0"]);
}

#[test]
fn statistics_of_a_batch_that_no_layer_takes() {
    let outcome = isograd(&["train", "--dataset", "synthetic", "--sync-stats"]);
    assert_error(&outcome, 2, &["--sync-stats: simplecnn has no batch normalisation"]);
}

/// The loss of the only step is finite, what it does to the parameters is not.
#[test]
fn parameters_that_are_no_numbers_are_not_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = text(&folder.path().join("net.st")).to_string();
    let wild = ["--dataset", "synthetic", "--optimizer", "sgd", "--learning-rate", "1e200", "--save", &path];
    let outcome = isograd(&[&["train", "--steps", "1"], &wild[..]].concat());
    assert_error(&outcome, 1, &["parameters became infinite or NaN", "step 1", "epoch 1"]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}
