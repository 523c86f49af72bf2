//! Sweeps and measurements whose runs are on other hosts.

use crate::assert_error;
use crate::common::{Outcome, lines};
use crate::job::Job;
use crate::network::Network;
use std::fs;

fn run(network: &Network, what: &str, options: &str) -> Outcome {
    Job::start(network.remote(what, options)).end()
}

#[test]
fn trials_run_on_hosts_with_the_results_of_one_machine() {
    let Some(network) = Network::of(2) else { return };
    let training =
        "model: simplemlp\ndataset: synthetic\nsteps: 4\nvalidation_split: 0.1\nlearning_rate: 0.01\n";
    let values = "sweep:\n  values:\n    learning_rate: { choice: [0.001, 0.1] }\n";
    let plain = network.file("plain.yaml", &format!("{training}{values}"));
    // What is searched stands in another file, and the step refers to it.
    let options: String =
        training.replace("dataset: synthetic\n", "").lines().map(|line| format!("  {line}\n")).collect();
    network.file("base.yaml", &format!("training:\n{options}"));
    let steps = "include: base.yaml\nworkflow:\n  - getter: {dataset: synthetic}\n  - trainer: ${training}\n";
    let workflow = network.file(
        "workflow.yaml",
        &(steps.to_string() + &values.replace("learning_rate", "workflow.trainer.learning_rate")),
    );
    let hosts = network.hostfile(&["slots=1"; 2]);
    for (file, hosts) in [
        (&plain, String::new()),
        (&plain, format!("--hostfile {}", hosts.display())),
        (&workflow, format!("--hostfile {}", hosts.display())),
    ] {
        let name = format!("{}-{}", file.file_stem().unwrap().to_string_lossy(), hosts.len());
        let out = network.folder().join(name);
        let options = format!("{hosts} {} --search grid --out {}", file.display(), out.display());
        let outcome = run(&network, "sweep", &options);
        assert_eq!(outcome.code, Some(0), "{options}: {outcome:?}");
        let mut values: Vec<String> = lines(&fs::read_to_string(out.join("results.jsonl")).unwrap(), "{")
            .iter()
            .map(|line| line.split("\"value\":").nth(1).unwrap().split(',').next().unwrap().to_string())
            .collect();
        values.sort();
        let expected = network.folder().join("values");
        match fs::read_to_string(&expected) {
            Ok(expected) => assert_eq!(values.join(" "), expected, "{options}"),
            Err(_) => fs::write(&expected, values.join(" ")).unwrap(),
        }
    }
    let nowhere =
        format!("--hostfile {} {}", network.file("none", "10.77.0.99\n").display(), plain.display());
    let out = network.folder().join("none-out");
    let outcome = run(
        &network,
        "sweep",
        &format!("{nowhere} --search grid --max-failures 1 --connect-timeout 1 --out {}", out.display()),
    );
    assert_error(&outcome, 2, &["1 trials in a row have failed"]);
    assert!(outcome.stdout.contains("failed: ") && outcome.stdout.contains("10.77.0.99"), "{outcome:?}");
    network.assert_nothing_but(&[].into());
}

#[test]
fn points_are_measured_over_hosts() {
    let Some(network) = Network::of(2) else { return };
    let (hosts, out) = (network.hostfile(&["slots=1"; 2]), network.folder().join("scaling"));
    let options = format!(
        "--hostfile {} --ranks 1,2 --repeat 1 --out {} train --dataset synthetic --global-batch-size 500 --steps 8 --threads 1",
        hosts.display(),
        out.display()
    );
    let outcome = run(&network, "scaling", &options);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.contains("us a message (measured):"), "{}", outcome.stdout);
    let table = fs::read_to_string(out.join("scaling.csv")).unwrap();
    let hosts: Vec<[&str; 3]> = table
        .lines()
        .skip(1)
        .map(|line| line.splitn(4, ',').collect::<Vec<_>>()[..3].try_into().unwrap())
        .collect();
    assert_eq!(
        hosts[..3],
        [["measured", "1", "1"], ["measured", "2", "2"], ["predicted", "4", "4"]],
        "{table}"
    );
    network.assert_nothing_but(&[].into());
}
