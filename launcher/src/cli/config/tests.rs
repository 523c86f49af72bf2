use super::*;
use crate::cli::plan::TrainPlan;
use crate::cli::{Command, Parsed, parse};
use std::path::Path;

/// The words that `train` gets of the space-separated `options`.
fn expanded(options: &str) -> Result<Vec<String>, String> {
    let known = CommandOptions::of("train").unwrap();
    let words = options.split_whitespace().map(OsString::from).collect();
    let expanded = expand(&known, known.with_plain_switches(words)).map_err(|failure| failure.to_string())?;
    Ok(expanded.words.into_iter().map(|word| word.into_string().unwrap()).collect())
}

fn plan(options: &str) -> Result<TrainPlan, String> {
    let words = ["isograd", "train"].into_iter().chain(options.split_whitespace()).map(OsString::from);
    match parse(words).map_err(|failure| failure.to_string())? {
        Parsed::Command(command) => match *command {
            Command::Train(args) => TrainPlan::try_from(args).map_err(|failure| failure.to_string()),
            other => panic!("{other:?}"),
        },
        Parsed::Text(text) => Err(text),
    }
}

/// A folder with files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, text)| std::fs::write(folder.path().join(name), text).unwrap());
    folder
}

/// The words that a file with `text` stands for, or what is wrong with it, without the name of the file.
fn file(name: &str, text: &str) -> Result<Vec<String>, String> {
    let folder = folder(&[(name, text)]);
    let path = folder.path().join(name);
    let path = path.display();
    expanded(&format!("--config {path}")).map_err(|error| error.replace(&format!("--config {path}: "), ""))
}

#[test]
fn toml_and_yaml_say_the_same() {
    let expected = [
        "--model=resnet20",
        "--learning-rate=1e-1",
        "--nesterov",
        "--optimizer=sgd",
        "--milestones=3,4.5",
        "--freeze=a*",
        "--freeze=b",
        "--flip",
        "--label-column=7",
        "--epochs=16",
    ];
    let toml = "model = 'resnet20'\n[optimizer]\nlearning_rate = 1e-1\nnesterov = true\noptimizer = 'sgd'\n\
                decay_all = false\n[any.name]\nmilestones = [3, 4.5]\nfreeze = ['a*', 'b']\nflip = true\n\
                label-column = 7\nnum_epochs = 0x10\n";
    assert_eq!(file("x.toml", toml).unwrap(), expected);
    let yaml = "# a comment\nmodel: resnet20\noptimizer:\n  learning_rate: 1e-1\n  nesterov: true\n  \
                optimizer: \"sgd\"\n  decay_all: false\nany:\n  name:\n    milestones: [3, 4.5]\n    \
                freeze:\n      - a*\n      - b\n    flip: true\n    label-column: 7\n    num_epochs: 16\nseed: ~\n";
    assert_eq!(file("x.yaml", yaml).unwrap(), expected);
    let anchors = "a: &rate 0.5\nlearning_rate: *rate\n";
    assert!(file("x.yml", anchors).unwrap_err().starts_with("line 1, column 1: unknown key 'a'"));
    assert_eq!(file("x.yml", "gamma: &rate 0.5\nrho: *rate\n").unwrap(), ["--gamma=0.5", "--rho=0.5"]);
    assert!(file("x.yml", "").unwrap().is_empty() && file("x.toml", "").unwrap().is_empty());
}

#[test]
fn mistakes_have_their_places() {
    for (name, text, expected) in [
        (
            "x.toml",
            "\n[a]\nlerning_rate = 1",
            "line 3, column 1: unknown key 'lerning_rate'; did you mean 'learning_rate'?",
        ),
        (
            "x.yaml",
            "a:\n  lerning_rate: 1",
            "line 2, column 3: unknown key 'lerning_rate'; did you mean 'learning_rate'?",
        ),
        ("x.toml", "zzz = 1", "line 1, column 1: unknown key 'zzz'"),
        ("x.toml", "epochs = 1\nepochs = 2", "line 2, column 1: 'epochs' is given twice"),
        (
            "x.yaml",
            "epochs: 1\nepochs: 2",
            "line 2, column 1: 'epochs' is given twice, first in line 1, column 1",
        ),
        (
            "x.toml",
            "epochs = 1\n[a]\nnum-epochs = 2",
            "line 3, column 1: 'num-epochs' is given twice, first in line 1, column 1",
        ),
        (
            "x.toml",
            "nesterov = 'maybe'",
            "line 1, column 12: 'nesterov' must be true or false, it is 'maybe'",
        ),
        ("x.yaml", "nesterov: [1]", "line 1, column 11: 'nesterov' must be true or false, it is a list of 1"),
        (
            "x.toml",
            "metrics = [['a']]",
            "line 1, column 11: 'metrics' must be a list of numbers, texts, true or false",
        ),
        ("x.toml", "epochs = ", "line 1, column 10: "),
        ("x.yaml", "epochs: [1", "line "),
        ("x.yaml", "- 1", "line 1, column 1: expected keys with values, found a list of 1"),
        ("x.yaml", "epochs: !int 1", "line 1, column "),
        ("x.yaml", "epochs: 1\n---\nepochs: 2", "line 3, column 1: a configuration is one document"),
        ("x.yaml", "? [a]\n: 1", "line 1, column 3: expected a name"),
        ("x.json", "{}", "must end in .toml, .yaml or .yml"),
        ("x.toml", "config = 'a'", "line 1, column 1: unknown key 'config'"),
    ] {
        let error = file(name, text).unwrap_err();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
    let deep = format!("freeze: {}1{}", "[".repeat(100), "]".repeat(100));
    assert!(file("x.yaml", &deep).unwrap_err().contains("80 deep"), "{deep}");
    let laughs: String = (1..30).map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1)).collect();
    assert!(file("x.yaml", &format!("a0: &a0 [1, 1]\n{laughs}")).unwrap_err().contains("1000000 values"));
}

#[test]
fn values_are_checked_where_they_stand() {
    let folder =
        folder(&[("x.toml", "seed = 1\nlearning_rate = true\n[a]\nbatch_size = 1\nglobal_batch_size = 2")]);
    let path = folder.path().join("x.toml");
    let path = path.display();
    let error = plan(&format!("--config {path}")).unwrap_err();
    assert_eq!(
        error,
        format!(
            "--config {path}: line 2, column 1: --learning-rate: must be a finite number of at least 0, it is 'true'"
        )
    );
    let error = plan(&format!("--config {path} --learning-rate 1")).unwrap_err();
    assert!(
        error.starts_with(&format!("--config {path}: line ")) && error.contains("--global-batch-size"),
        "{error}"
    );
    let error = plan("--set epochs=1.5").unwrap_err();
    assert_eq!(error, "--set epochs: --epochs: must be a whole number from 1 to 4294967295, it is '1.5'");
    let error = plan("--set a.rho=0.5 --optimizer adam").unwrap_err();
    assert!(error.starts_with("--set a.rho: --rho is not a parameter of the optimizer adam"), "{error}");
    let error = plan("--set a.epoch=1").unwrap_err();
    assert!(error.starts_with("--set a.epoch: unknown key 'epoch'; did you mean 'epochs'?"), "{error}");
    for set in ["epochs", "=1", "a.=1"] {
        let expected = format!("--set {set}: must be as optimizer.learning_rate=0.1");
        assert_eq!(plan(&format!("--set {set}")).unwrap_err(), expected);
    }
    assert_eq!(plan("--set").unwrap_err(), "a value is required for '--set' but none was supplied");
    assert!(plan("--recipe resnet20-cifar").unwrap_err().contains("did you mean 'resnet20-cifar10'?"));
}

#[test]
fn the_command_line_counts_before_set_and_set_before_files() {
    let folder = folder(&[
        ("base.toml", "epochs = 3\nseed = 1\nlearning_rate = 0.5\nbatch_size = 8"),
        ("x.toml", "include = 'base.toml'\nseed = 2"),
        ("y.yaml", "learning_rate: 0.25"),
    ]);
    let [x, y] = ["x.toml", "y.yaml"].map(|name| folder.path().join(name).display().to_string());
    let words = |options: &str| {
        let mut words = expanded(&format!("--config {x} {options}")).unwrap();
        words.sort();
        words.join(" ")
    };
    assert_eq!(words(""), "--batch-size=8 --epochs=3 --learning-rate=0.5 --seed=2");
    assert_eq!(words(&format!("--config={y}")), "--batch-size=8 --epochs=3 --learning-rate=0.25 --seed=2");
    assert_eq!(
        words(&format!("--set a.learning_rate=0.125 --config {y} --set epochs=4 --set epochs=5")),
        "--batch-size=8 --epochs=5 --learning-rate=0.125 --seed=2"
    );
    assert_eq!(
        words("--num-epochs=9 --set epochs=4 --seed=7"),
        "--batch-size=8 --learning-rate=0.5 --num-epochs=9 --seed=7"
    );
    // What excludes the other counts instead of it.
    assert_eq!(
        words("--global-batch-size=5"),
        "--epochs=3 --global-batch-size=5 --learning-rate=0.5 --seed=2"
    );
    assert_eq!(
        words("--set global_batch_size=5"),
        "--epochs=3 --global-batch-size=5 --learning-rate=0.5 --seed=2"
    );
    // A switch of a lower level is turned off.
    let off = expanded("--recipe resnet20-cifar10 --set flip=false --set freeze=['a','b']").unwrap();
    assert!(!off.iter().any(|word| word.starts_with("--flip")), "{off:?}");
    assert!(off.contains(&"--freeze=b".to_string()));
}

#[test]
fn another_optimizer_or_schedule_does_not_get_the_parameters_of_the_first() {
    let changed =
        plan("--recipe resnet20-cifar10 --optimizer adam --schedule cosine --dataset synthetic").unwrap();
    assert!(format!("{:?}", changed.optimizer).starts_with("Adam"), "{changed:?}");
    let kept =
        plan("--recipe resnet20-cifar10 --optimizer lars --dataset synthetic --set gamma=0.5").unwrap();
    assert!(format!("{:?}", kept.optimizer).contains("momentum: 0.9"), "{kept:?}");
    assert!(format!("{:?}", kept.schedule).contains("gamma: 0.5"), "{kept:?}");
    // Within one level there is nothing to choose.
    assert!(plan("--optimizer adam --momentum 0.5").unwrap_err().contains("--momentum is not a parameter"));
}

#[test]
fn files_build_on_others_but_not_in_a_circle() {
    let folder = folder(&[
        ("a.toml", "seed = 1\ninclude = ['b.yaml']"),
        ("b.yaml", "include: a.toml"),
        ("c.toml", "include = 'nowhere.toml'"),
        ("d.toml", "include = 3"),
        ("e.toml", "recipe = 'resnet20-cifar10'\nepochs = 7"),
        ("f.toml", "recipe = 'x'"),
        ("twice.toml", "include = ['e.toml', 'e.toml']"),
    ]);
    let of = |name: &str| expanded(&format!("--config {}", folder.path().join(name).display()));
    let error = of("a.toml").unwrap_err();
    let [a, b] = ["a.toml", "b.yaml"].map(|name| std::fs::canonicalize(folder.path().join(name)).unwrap());
    let circle = format!("in a circle: {} -> {} -> {}", a.display(), b.display(), a.display());
    assert!(
        error.contains("b.yaml: line 1, column 1: files include each other ") && error.ends_with(&circle),
        "{error}"
    );
    assert!(of("c.toml").unwrap_err().contains("c.toml: line 1, column 1: cannot include "));
    assert!(of("d.toml").unwrap_err().ends_with("'include' must be a file or a list of files"));
    assert!(of("f.toml").unwrap_err().contains("f.toml: line 1, column 1: unknown recipe 'x'; known are "));
    for name in ["e.toml", "twice.toml"] {
        let words = of(name).unwrap();
        assert!(
            words.contains(&"--epochs=7".to_string())
                && words.contains(&"--model=resnet20_cifar10".to_string())
        );
        assert_eq!(words.iter().filter(|word| word.starts_with("--epochs")).count(), 1);
    }
}

#[test]
fn a_network_stands_inside() {
    let toml = "epochs = 2\n[model]\ninput = [1, 8, 8]\n[model.variables]\nwidth = 4\n[[model.layers]]\ntype = 'Conv2D'\n\
                filters = 'width'\nkernel = 3\n[[model.layers]]\nrepeat = 2\nlayers = ['ReLU']\n[[model.layers]]\n\
                type = 'Flatten'\n[[model.layers]]\ntype = 'Dense'\noutputs = 10\nbias = false\n";
    let yaml = "epochs: 2\nmodel:\n  input: [1, 8, 8]\n  variables: {width: 4}\n  layers:\n    - {type: Conv2D, filters: width, \
                kernel: 3}\n    - {repeat: 2, layers: [ReLU]}\n    - type: Flatten\n    - {type: Dense, outputs: 10, bias: false}\n";
    let folder = folder(&[("x.toml", toml), ("x.yaml", yaml)]);
    for name in ["x.toml", "x.yaml"] {
        let plan =
            plan(&format!("--dataset synthetic --config {}", folder.path().join(name).display())).unwrap();
        assert_eq!(plan.model.name(), "model");
        assert_eq!(plan.model.made_for().1, 10);
    }
    let error = plan_of("[model]\ninput = 3\nlayers = ['ReLu']").unwrap_err();
    assert!(error.contains("unknown type 'ReLu'"), "{error}");
    // A table without a network is a section.
    assert_eq!(
        plan_of("[model]\nmodel = 'simplemlp'\n[dataset]\ndataset = 'synthetic'").unwrap().model.name(),
        "simplemlp"
    );
}

fn plan_of(text: &str) -> Result<TrainPlan, String> {
    let folder = folder(&[("x.toml", text)]);
    plan(&format!("--dataset synthetic --config {}", folder.path().join("x.toml").display()))
        .or_else(|_| plan(&format!("--config {}", folder.path().join("x.toml").display())))
}

/// The plan without the words that it was made of.
fn meaning(plan: TrainPlan) -> String {
    format!("{:?}", TrainPlan { words: Vec::new(), ..plan })
}

#[test]
fn what_is_printed_means_the_same() {
    let folder = folder(&[(
        "net.toml",
        "[model]\ninput = [1, 28, 28]\nlayers = ['Flatten', {type = 'Dense', outputs = 10}]",
    )]);
    let network = format!("--config {}", folder.path().join("net.toml").display());
    for options in [
        "",
        "--recipe simplecnn-mnist --seed 18446744073709551615 --freeze a*b --freeze c\"d --find-lr",
        "--optimizer sgd --nesterov --schedule multi-step --milestones 3,4.5 --color-jitter 0.1,0.2 --crop 24x20",
        "--early-stopping --stop-at-loss=-1e-3 --metrics acc,top5 --flip --random-crop 2 --crop-border edge",
        "--dataset ./photos --label-column 007 --missing -3.5 --checkpoint runs/é --checkpoint-every 10min --keep 2",
        "--global-batch-size 7 --accumulate 3 --scale-learning-rate=no --encrypt=True --shards-per-rank 1,2 --timeout 3",
        &network,
    ] {
        let printed = plan(&format!("{options} --print-config")).unwrap_err();
        let file = self::folder(&[("x.toml", &printed)]);
        let path = file.path().join("x.toml");
        let again = format!("--config {}", path.display());
        let [first, second] = [options, &again].map(|options| {
            meaning(plan(options).unwrap_or_else(|error| panic!("{options}: {error}\n{printed}")))
        });
        assert_eq!(first, second, "{printed}");
        assert_eq!(plan(&format!("{again} --print-config")).unwrap_err(), printed);
    }
    let printed = plan("--learning-rate 0.5 --print-config").unwrap_err();
    for line in [
        "[rate]",
        "learning_rate = 0.5",
        "schedule = \"constant\"",
        "[output]",
        "loss = \"categorical_cross_entropy\"",
    ] {
        assert!(printed.lines().any(|own| own == line) || line == "[output]", "{line} in\n{printed}");
    }
}

#[test]
fn a_file_is_for_several_commands() {
    let folder = folder(&[("x.toml", "model = 'simplemlp'\nepochs = 3\nload = 'x.st'\nlearning_rat = 1")]);
    let path = folder.path().join("x.toml");
    let of = |command: &str| {
        let known = CommandOptions::of(command).unwrap();
        expand(&known, vec!["--config".into(), path.clone().into()]).map(|expanded| expanded.words)
    };
    // Neither command has it.
    assert!(of("evaluate").unwrap_err().to_string().contains("unknown key 'learning_rat'"));
    std::fs::write(&path, "model = 'simplemlp'\nepochs = 3\nload = 'x.st'").unwrap();
    assert_eq!(of("evaluate").unwrap(), ["--model=simplemlp", "--load=x.st"]);
    assert_eq!(of("summary").unwrap(), ["--model=simplemlp"]);
    assert!(CommandOptions::of("keygen").is_none() && CommandOptions::of("data").is_none());
    assert!(CommandOptions::of("data check").is_some());
}

#[test]
fn ranks_get_plain_options() {
    let folder = folder(&[("x.toml", "seed = 3\n[a]\nlearning_rate = -1")]);
    let path = folder.path().join("x.toml");
    let job = |options: &str| {
        let words = format!("isograd local -n 2 train --config {} {options}", path.display());
        parse(words.split_whitespace().map(OsString::from)).map_err(|failure| failure.to_string())
    };
    let error = job("").unwrap_err();
    assert!(
        error.starts_with(&format!("--config {}: line 3, column 1: --learning-rate: must", path.display())),
        "{error}"
    );
    match job("--learning-rate 1 --evaluate=True") {
        Ok(Parsed::Command(command)) => match *command {
            Command::Local(args) => {
                assert_eq!(args.job.command, ["train", "--seed=3", "--learning-rate", "1", "--evaluate"]);
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
    match job("--learning-rate 1 --print-config") {
        Ok(Parsed::Text(text)) => assert!(text.contains("seed = 3\n"), "{text}"),
        other => panic!("{other:?}"),
    }
    // Of a parameter that the optimizer does not have, too.
    std::fs::write(&path, "rho = 0.5").unwrap();
    let error = job("").unwrap_err();
    assert!(
        error.starts_with(&format!("--config {}: line 1, column 1: --rho is not", path.display())),
        "{error}"
    );
}

#[test]
fn recipes_can_be_run() {
    for recipe in recipes::ALL {
        assert!(recipe.title().len() > 20, "{recipe:?}");
        let options = format!("--recipe {}", recipe.name.replace('-', "_"));
        let plan = plan(&format!("{options} --dataset synthetic"))
            .unwrap_or_else(|error| panic!("{options}: {error}"));
        assert!(recipe.text.contains(&format!("model = \"{}\"", plan.model.name())), "{options}");
    }
    let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes")).unwrap();
    assert_eq!(files.count(), recipes::ALL.len());
}

#[test]
fn switches_may_have_values() {
    let plain = |options: &str| expanded(options).unwrap().join(" ");
    assert_eq!(plain("--nesterov=True --evaluate=1 --hash=no --grey=FALSE"), "--nesterov --evaluate");
    assert_eq!(
        plain("--nesterov True --flip False --evaluate --seed 3"),
        "--nesterov --flip=False --evaluate --seed 3"
    );
    assert_eq!(plain("--nesterov=maybe"), "--nesterov=maybe");
    assert!(plan("--nesterov=maybe").is_err());
}

#[test]
fn numbers_are_those_of_toml() {
    for text in ["0", "-1", "12", "0.5", "1e-7", "1.5E+3", "-0.0"] {
        assert!(is_number(text), "{text}");
    }
    for text in
        ["", "-", "01", "1.", ".5", "1e", "1_000", "0x1", "inf", "nan", "18446744073709551615", "1 2", "+1"]
    {
        assert!(!is_number(text), "{text}");
    }
}
