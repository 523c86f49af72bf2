//! Workflow files: the examples, one rank and several, what is kept, and mistakes.

mod common;

use common::{Outcome, isograd, lines, words};
use std::path::Path;

fn example(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name).display().to_string()
}

/// A workflow file in `folder`.
fn file(folder: &Path, text: &str) -> String {
    let path = folder.join("w.yaml");
    std::fs::write(&path, text).expect("a temporary folder");
    path.display().to_string()
}

fn run(options: &str) -> Outcome {
    isograd(&words(options))
}

const SMALL: &str = "
training: { model: simplemlp, steps: 4, global_batch_size: 54, shard_size: 10, hash: true }
workflow:
  - getter: { dataset: synthetic }
  - trainer: ${training}
  - evaluator
  - saver: { file: FILE, metrics: METRICS }
";

fn small(folder: &Path) -> String {
    let text = SMALL.replace("FILE", &folder.join("x.safetensors").display().to_string());
    file(folder, &text.replace("METRICS", &folder.join("x.json").display().to_string()))
}

#[test]
#[cfg(feature = "bundled-mnist")]
fn the_example_trains_mnist_end_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    let options = format!(
        "run {} --set +training.steps=5 --set files={path} --results {path}/results",
        example("mnist.yaml")
    );
    let outcome = run(&options);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    for step in ["getter", "splitter", "trainer", "evaluator", "saver"] {
        assert_eq!(lines(&outcome.stdout, &format!("== {step}: done in ")).len(), 1, "{outcome:?}");
    }
    assert_eq!(lines(&outcome.stdout, "validation samples:")[0].trim(), "5000", "{outcome:?}");
    let tested = run(&format!("evaluate --load {path}/mnist.safetensors"));
    let of_step = lines(&outcome.stdout, "test_acc: ");
    assert_eq!(lines(&tested.stdout, "test_acc: ").first(), of_step.last(), "{tested:?}");
    let metrics = std::fs::read_to_string(folder.path().join("mnist.json")).unwrap();
    assert!(metrics.contains("\"loss\": "), "{metrics}");
}

#[test]
fn the_example_with_a_sweep_is_a_workflow() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    let outcome =
        run(&format!("run {} --dry-run --results {path}/results --set ~processor", example("cifar10.yaml")));
    // What is not there is neither replaced nor deleted.
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    let outcome = run(&format!("run {} --dry-run --results {path}/results", example("cifar10.yaml")));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(
        outcome.stdout.contains("3 trainer: runs")
            && outcome.stdout.contains("takes dataset from processor.dataset"),
        "{outcome:?}"
    );
    assert!(outcome.stderr.is_empty(), "{outcome:?}");
}

#[test]
fn what_has_not_changed_is_not_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let (file, results) = (small(folder.path()), folder.path().join("results"));
    let run = |options: &str| {
        let outcome = run(&format!("run {file} --results {} {options}", results.display()));
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        outcome.stdout
    };
    let first = run("");
    assert!(first.contains("== trainer: done"), "{first}");
    let second = run("");
    assert!(
        second.contains("== trainer: nothing has changed") && second.contains("== saver: done"),
        "{second}"
    );
    assert!(run("--set training.steps=5").contains("== trainer: done"));
    assert!(run("").contains("== trainer: nothing has changed"));
    let fresh = run("--no-cache --steps trainer");
    assert!(fresh.contains("== trainer: done") && !fresh.contains("== evaluator"), "{fresh}");
    assert_eq!(lines(&fresh, "params: "), lines(&first, "params: "));
    let planned = run("--dry-run --steps 0..2");
    assert!(planned.contains("1 trainer: taken from an earlier run\n"), "{planned}");
    assert!(planned.contains("2 evaluator: not selected\n"), "{planned}");
}

#[test]
fn ranks_train_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let file = small(folder.path());
    let run = |job: &str, results: &str| {
        let outcome = run(&format!("{job} run {file} --results {}", folder.path().join(results).display()));
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let hash = lines(&outcome.stdout, "params: ").into_iter().map(str::to_string).collect::<Vec<_>>();
        assert_eq!(hash.len(), 1, "{outcome:?}");
        hash
    };
    assert_eq!(run("local -n 2", "two"), run("", "one"));
}

#[test]
fn a_pause_in_the_training_changes_no_bit() {
    let folder = tempfile::tempdir().unwrap();
    let text = "to: x.safetensors\nworkflow:\n  - getter: {dataset: synthetic}\n  \
         - trainer: {model: simplemlp, epochs: 3, steps_per_epoch: 2, global_batch_size: 64}\n  - evaluator\n  \
         - saver: {file: '${to}'}\n";
    let file = file(folder.path(), text);
    let run = |to: &str, job: &str, options: &str| {
        let results = folder.path().join(to).display().to_string();
        let outcome =
            run(&format!("{job} run {file} --results {results} --set to={results}.safetensors {options}"));
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        outcome.stdout
    };
    let saved = |to: &str| std::fs::read(folder.path().join(format!("{to}.safetensors")));
    run("whole", "", "");
    for epoch in 1..3 {
        let paused = run("paused", "local -n 2", &format!("--pause-after {epoch} --threads 1"));
        assert!(paused.contains(&format!("paused after epoch {epoch} of 3")), "{paused}");
        assert!(paused.contains("== trainer: paused in") && !paused.contains("== evaluator"), "{paused}");
        assert!(saved("paused").is_err(), "{paused}");
    }
    let rest = run("paused", "", "--pause-after 3");
    assert!(
        rest.contains("epoch 3/3") && !rest.contains("epoch 2/3") && rest.contains("== saver: done"),
        "{rest}"
    );
    assert!(saved("paused").unwrap() == saved("whole").unwrap(), "other bits");
    // Nothing is left to pause in.
    assert!(run("paused", "", "--pause-after 1").contains("== trainer: nothing has changed"));
}

#[test]
fn mistakes_have_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.yaml");
    let path = path.display();
    for (text, options, expected) in [
        ("workflow:\n  - gettr\n", "", format!("{path}: line 2, column 5: unknown component 'gettr'; known are ")),
        ("workflow:\n  - getter: {datset: mnist}\n", "", format!("{path}: line 2, column 14: unknown key 'datset'; known are ")),
        ("t: {lerning_rate: 1}\nworkflow:\n  - trainer: ${t}\n", "", format!("{path}: line 1, column 5: unknown key 'lerning_rate'; did you mean 'learning_rate'?")),
        ("t: {epochs: -1}\nworkflow:\n  - trainer: ${t}\n", "", format!("{path}: line 1, column 5: --epochs: must be a whole number")),
        ("workflow:\n  - splitter: {validation: many}\n", "", format!("{path}: line 2, column 28: 'validation' must be a share below 1, as 0.1, or a number of samples, as 5000, it is 'many'")),
        ("workflow:\n  - getter\n  - saver: {file: x.onnx}\n", "", format!("{path}: line 3, column 5: step 'saver': input 'model': expected model, given dataset ('dataset')")),
        ("workflow:\n  - getter\n  - trainer: {from: {dataset: geter}}\n", "", format!("{path}: line 3, column 5: step 'trainer': input 'dataset': 'geter' is no output of a step in front; there are getter.dataset")),
        ("workflow: [getter, getter]\n", "", format!("{path}: line 1, column 20: two steps are called 'getter'")),
        ("workflow:\n  - getter\n  - getter: {name: other}\n", "", format!("{path}: line 3, column 5: step 'other': expected 0 (none), given 1 (dataset: dataset)")),
        ("a: ${b}\nb: ${a}\nworkflow:\n  - getter: ${a}\n", "", format!("{path}: line 2, column 4: references in a circle: a -> b -> a")),
        ("workflow:\n  - getter: ${c}\n", "", format!("{path}: line 2, column 13: ${{c}}: unknown key 'c'; known are workflow")),
        ("workflow: [getter: {dataset: '${env:ISOGRAD_NO_SUCH}'}]\n", "", format!("{path}: line 1, column 30: the variable ISOGRAD_NO_SUCH is not set")),
        ("include: w.yaml\nworkflow: [getter]\n", "", format!("{path}: line 1, column 10: files include each other in a circle: ")),
        ("workflow: [getter]\n", "--set workflow.geter.dataset=mnist", "--set workflow.geter.dataset=mnist: unknown step 'geter'; known are getter; did you mean 'getter'?".to_string()),
        ("a: {b: 1}\nworkflow: [getter]\n", "--set a.c=1", "--set a.c=1: unknown key 'c'; known are b; +a.c=VALUE adds it".to_string()),
        ("a: {b: 1}\nworkflow: [getter]\n", "--set +a.b=1", "--set +a.b=1: 'b' is there already; ++a.b=VALUE replaces it".to_string()),
        ("workflow: [getter]\n", "--pipe work", format!("{path}: unknown key 'work'; known are workflow; did you mean 'workflow'?")),
        ("workflow: [getter]\n", "--steps 0..2", "--steps 0..2: 0..2 must be a range of the steps 0..1".to_string()),
        ("workflow: [\n", "", format!("{path}: line ")),
    ] {
        file(folder.path(), text);
        let outcome = run(&format!("run {path} --results {} {options}", folder.path().join("results").display()));
        assert_eq!(outcome.code, Some(2), "{text}: {outcome:?}");
        let errors = lines(&outcome.stderr, "error: ");
        assert!(errors.len() == 1 && errors[0].starts_with(&expected), "{text}\n{errors:?}\n{expected}");
        assert!(outcome.stdout.is_empty(), "{text}: {outcome:?}");
        assert!(!folder.path().join("results").exists(), "{text}");
    }
}

#[test]
fn an_adapter_takes_outputs_of_any_steps() {
    let folder = tempfile::tempdir().unwrap();
    let text = "workflow:\n  getter: {dataset: synthetic}\n  \
        two: {component: command, run: [echo, '{\"n\": 2}'], outputs: {n: number}, from: {}}\n  \
        adapter: {from: {set: getter.dataset, count: two}, policy: ['INPUT#1', text, 'INPUT#0']}\n  \
        last: {component: command, run: [sh, -c, 'cat > FILE; echo \"{}\"'], inputs: {count: number, word: text, set: dataset}}\n";
    let given = folder.path().join("given.json");
    let path = file(folder.path(), &text.replace("FILE", &given.display().to_string()));
    let outcome = run(&format!("run {path} --results {}", folder.path().join("results").display()));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let given = std::fs::read_to_string(given).unwrap();
    assert!(given.contains("\"count\":2") && given.contains("\"word\":\"text\""), "{given}");
    assert!(given.contains("--dataset=synthetic"), "{given}");
}

#[test]
fn a_stratified_splitter_takes_of_each_class_its_share() {
    let folder = tempfile::tempdir().unwrap();
    let of = |splitter: &str, train: &str| {
        let text = format!(
            "workflow:\n  - getter: {{dataset: synthetic}}\n  - splitter: {splitter}\n  \
             - trainer: {{model: simplemlp, steps: 2, hash: true{train}}}\n"
        );
        let path = file(folder.path(), &text);
        run(&format!("run {path} --no-cache --results {}", folder.path().join("results").display()))
    };
    let stratified = of("{validation: 600, stratified: true}", "");
    assert_eq!(stratified.code, Some(0), "{stratified:?}");
    assert_eq!(lines(&stratified.stdout, "validation samples:")[0].trim(), "600", "{stratified:?}");
    assert_eq!(lines(&stratified.stdout, "stratify:")[0].trim(), "true", "{stratified:?}");
    // Other samples are left to train on.
    let plain = of("{validation: 600}", "");
    assert_ne!(lines(&plain.stdout, "params: "), lines(&stratified.stdout, "params: "), "{plain:?}");
    let direct =
        run("train --dataset synthetic --model simplemlp --steps 2 --hash --validation-split 0.1 --stratify");
    assert_eq!(lines(&direct.stdout, "params: "), lines(&stratified.stdout, "params: "), "{direct:?}");
    let wrong = of("{validation: 0.1, stratified: perhaps}", "");
    assert!(
        wrong.code == Some(2) && wrong.stderr.contains("'stratified' must be true or false, it is 'perhaps'"),
        "{wrong:?}"
    );
    let alone = run("train --dataset synthetic --stratify");
    assert!(alone.code == Some(2) && alone.stderr.contains("--validation-split"), "{alone:?}");
}

#[test]
fn commands_are_steps() {
    let folder = tempfile::tempdir().unwrap();
    let of = |script: &str| {
        let text = format!(
            "workflow:\n  - command: {{run: [sh, -c, {script:?}], outputs: {{n: number}}, timeout: 5}}\n"
        );
        let path = file(folder.path(), &text);
        run(&format!("run {path} --results {}", folder.path().join("results").display()))
    };
    let good = of("echo '{\"n\": 1}'");
    assert_eq!(good.code, Some(0), "{good:?}");
    for (script, expected) in
        [("echo hi", "must print one JSON object"), ("exit 3", "ended with exit status: 3")]
    {
        let outcome = of(script);
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        assert!(
            outcome.stderr.starts_with("error: step 'command': ") && outcome.stderr.contains(expected),
            "{outcome:?}"
        );
        assert!(outcome.stdout.contains("== command: failed in "), "{outcome:?}");
    }
}

#[test]
fn results_of_another_workflow_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(
        folder.path(),
        "workflow: [getter: {dataset: synthetic}]\nother: [getter: {dataset: synthetic}]\n",
    );
    let results = folder.path().join("results");
    let of = |options: &str| run(&format!("run {path} --results {} {options}", results.display()));
    assert_eq!(of("").code, Some(0));
    let outcome = of("--pipe other");
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(
        outcome
            .stderr
            .contains("it holds the results of w.yaml (--pipe workflow), not of w.yaml (--pipe other)"),
        "{outcome:?}"
    );
    let outcome = run(&format!("run {path} --results {}", folder.path().display()));
    assert!(outcome.stderr.contains("it has files, and is no results folder"), "{outcome:?}");
}
