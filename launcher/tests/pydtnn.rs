//! The command of PyDTNN's README, as it stands, under both launchers of MPI.

#![cfg(feature = "bundled-mnist")]

mod common;

use common::{lines, words};
use isograd_datasets::mnist::{Split, bundled};
use isograd_datasets::{Dataset, Pixels, Request, SampleBuffer, Target};
use std::path::Path;
use std::process::Command;

const COMMAND: &str = "train --model=simplecnn --dataset=mnist --dataset_train_path=datasets/mnist \
                       --dataset_test_path=datasets/mnist --batch_size=64 --validation_split=0.2 --num_epochs=10 \
                       --optimizer=Adam --learning_rate=0.01 --loss_func=categorical_accuracy,categorical_cross_entropy \
                       --parallel=data --blocking_mpi --dtype=float32 --evaluate";

/// Writes MNIST as the files that everybody has.
fn write_mnist(folder: &Path) {
    std::fs::create_dir_all(folder).expect("a temporary folder");
    for (split, name) in [(Split::Train, "train"), (Split::Test, "t10k")] {
        let (set, mut buffer) = (bundled(split), SampleBuffer::new());
        let head = |dims: &[usize]| {
            let lengths = dims.iter().flat_map(|dim| (*dim as u32).to_be_bytes());
            [0, 0, 8, dims.len() as u8].into_iter().chain(lengths).collect::<Vec<u8>>()
        };
        let [_, height, width] = set.sample_shape();
        let (mut images, mut labels) = (head(&[set.len(), height, width]), head(&[set.len()]));
        for index in 0..set.len() {
            let sample = set.read(Request::new(index), &mut buffer).expect("a sample in memory");
            match (sample.pixels, sample.target) {
                (Pixels::U8(pixels), Target::Class(label)) => {
                    images.extend(pixels);
                    labels.push(label as u8);
                }
                other => panic!("{other:?}"),
            }
        }
        for (file, bytes) in [("images-idx3", images), ("labels-idx1", labels)] {
            std::fs::write(folder.join(format!("{name}-{file}-ubyte")), bytes).expect("a temporary folder");
        }
    }
}

#[test]
fn the_command_of_the_readme_runs_as_it_stands() {
    let folder = tempfile::tempdir().expect("a folder");
    write_mnist(&folder.path().join("datasets/mnist"));
    let mut results = Vec::new();
    for (mpirun, options) in
        [("mpirun.openmpi", &["--allow-run-as-root", "--oversubscribe"][..]), ("mpirun.mpich", &[])]
    {
        let mut command = Command::new(mpirun);
        command.args(options).args(["-np", "2", env!("CARGO_BIN_EXE_isograd")]).args(words(COMMAND));
        let output = match command.current_dir(folder.path()).output() {
            Ok(output) => output,
            Err(error) if std::env::var_os("CI").is_none() => {
                eprintln!("SKIPPED: {mpirun}: {error}");
                continue;
            }
            Err(error) => panic!("{mpirun}: {error}"),
        };
        let [stdout, stderr] =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert!(output.status.success(), "{mpirun}: {stdout}\n{stderr}");
        // The table, the parameters, the test before and after, the epochs, the time, and the memory, once.
        assert!(stdout.starts_with("layer  type"), "{stdout}");
        let of = |name: &str| match lines(&stdout, name).as_slice() {
            [value] => value.trim().to_string(),
            found => panic!("{name} {found:?} in {stdout}"),
        };
        let expected = [
            ("model:", "simplecnn"),
            ("training samples:", "48000"),
            ("validation samples:", "12000"),
            ("global-batch-size:", "128"),
            ("optimizer:", "adam"),
            ("learning-rate:", "0.01"),
            ("loss:", "categorical_cross_entropy"),
            ("metrics:", "categorical_accuracy"),
            ("ranks:", "2"),
        ];
        expected.iter().for_each(|(name, value)| assert_eq!(of(name), *value, "{name}"));
        (1..=10)
            .for_each(|epoch| assert!(of(&format!("epoch {epoch}/10:")).contains(", val_acc "), "{stdout}"));
        assert!(of("Time:").ends_with(" s"), "{stdout}");
        for name in ["Throughput:", "Throughput from the last half of each epoch:"] {
            let rate = of(name).strip_suffix(" samples/s").and_then(|rate| rate.parse::<f64>().ok());
            assert!(rate.is_some_and(|rate| rate > 0.0), "{name} {stdout}");
        }
        if cfg!(target_os = "linux") {
            assert!(
                of("Memory:").starts_with("peak ") && of("Memory:").contains("mean over 2 ranks"),
                "{stdout}"
            );
        }
        let tests = lines(&stdout, "test_acc: ");
        let accuracy = |line: &str| line.split('%').next().and_then(|number| number.parse::<f64>().ok());
        let [before, after] = tests.as_slice() else { panic!("{stdout}") };
        assert!(accuracy(before).is_some_and(|accuracy| accuracy < 50.0), "{before}");
        assert!(accuracy(after).is_some_and(|accuracy| accuracy >= 97.5), "{after}");
        results.push(after.to_string());
    }
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{results:?}");
}
