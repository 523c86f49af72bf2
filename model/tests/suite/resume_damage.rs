//! Checkpoints that are damaged, or of another run: each is refused by what is wrong with it.

use crate::resume::{config, info, network};
use crate::training::pattern;
use isograd_model::callback::{Callback, EarlyStopping};
use isograd_model::layer::*;
use isograd_model::optimizer::Sgd;
use isograd_model::schedule::Constant;
use isograd_model::{Error, Network, RunInfo, TrainConfig, Trainer, layers};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FILES: [&str; 6] = [
    "manifest.json",
    "run.json",
    "model.safetensors",
    "averages.safetensors",
    "optimizer.safetensors",
    "progress.bin",
];

/// A checkpoint after two epochs, with the state of a callback.
fn checkpoint(folder: &Path) -> PathBuf {
    let mut trainer = Trainer::new(network(), config()).expect("a valid configuration");
    let mut stopping = EarlyStopping::new(3).restore_best();
    trainer.fit(&pattern(0..55), None, 1, &mut [&mut stopping]).expect("finite losses");
    // The averages begin anew when the best state has been restored.
    trainer.train_epoch(&pattern(0..55), |_| ()).expect("finite losses");
    let path = folder.join("whole");
    trainer.save(&path, &info(), &[&mut stopping]).expect("room");
    path
}

/// What resuming from `checkpoint` says.
fn refusal(checkpoint: &Path) -> String {
    let mut trainer = Trainer::new(network(), config()).expect("a valid configuration");
    let before = trainer.state().params_sha256();
    let error = trainer.resume(checkpoint, &info(), &mut [&mut EarlyStopping::new(3).restore_best()]);
    let error = error.expect_err("a damaged checkpoint");
    assert_eq!((trainer.state().params_sha256(), trainer.steps()), (before, 0));
    assert!(matches!(&error, Error::Folder { reason, .. } if reason.is_damage()), "{error}");
    let message = error.to_string();
    message.strip_prefix(&format!("{}: ", checkpoint.display())).expect("the folder's name").to_string()
}

#[test]
fn every_damage_of_every_file_is_found_and_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = checkpoint(folder.path());
    let mut found: Vec<_> = fs::read_dir(&path)
        .expect("a folder")
        .map(|file| file.expect("a file").file_name().into_string().expect("UTF-8"))
        .collect();
    found.sort();
    let mut expected = FILES.map(str::to_string);
    expected.sort();
    assert_eq!(found, expected);
    for name in FILES {
        let file = path.join(name);
        let whole = fs::read(&file).expect("a file");
        let check = |what: &str, bytes: Option<&[u8]>| {
            match bytes {
                Some(bytes) => fs::write(&file, bytes).expect("room"),
                None => fs::remove_file(&file).expect("a file"),
            }
            let message = refusal(&path);
            assert!(message.contains(name), "{name}, {what}: {message}");
            fs::write(&file, &whole).expect("room");
        };
        check("missing", None);
        for len in [0, whole.len() / 2, whole.len() - 1] {
            check(&format!("{len} bytes"), Some(&whole[..len]));
        }
        check("a byte more", Some(&[&whole[..], b"\n"].concat()));
        let places = (0..whole.len()).step_by((whole.len() / 40).max(1)).chain([whole.len() - 1]);
        for place in places {
            let mut bytes = whole.clone();
            bytes[place] ^= 1;
            check(&format!("byte {place}"), Some(&bytes));
        }
    }
    let mut trainer = Trainer::new(network(), config()).expect("a valid configuration");
    let mut stopping = EarlyStopping::new(3).restore_best();
    trainer.resume(&path, &info(), &mut [&mut stopping]).expect("a whole checkpoint");
    assert!(stopping.best().is_some());
}

#[test]
fn a_checkpoint_of_another_run_is_refused_by_the_difference() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = checkpoint(folder.path());
    let refuse = |network: Network<f32>, config: TrainConfig, info: &RunInfo, expected: &str| {
        let mut trainer = Trainer::new(network, config).expect("a valid configuration");
        let error = trainer.resume(&path, info, &mut [&mut EarlyStopping::new(3)]).expect_err(expected);
        assert!(!matches!(&error, Error::Folder { reason, .. } if reason.is_damage()), "{error}");
        assert!(error.to_string().contains(expected), "'{expected}' in '{error}'");
    };
    let small =
        Network::build(layers![Input::new(1, 8, 8), Flatten, Dense::new(4), Softmax]).expect("a network");
    refuse(small, config(), &info(), "the saved run has the network one of ");
    let rounded = network().with_bfloat16_values().expect("f32");
    let expected = "the saved run has the element type float32, this run has bfloat16 in memory";
    refuse(rounded, config(), &info(), expected);
    for (config, expected) in [
        (TrainConfig { seed: 6, ..config() }, "the saved run has the seed 5, this run has 6"),
        (TrainConfig { batch_size: 10, ..config() }, "the batch size 20, this run has 10"),
        (TrainConfig { shard_size: 5, ..config() }, "the shard size 4, this run has 5"),
        (TrainConfig { optimizer: Arc::new(Sgd::default()), ..config() }, "the optimizer Adam { beta1: 0.9"),
        (TrainConfig { schedule: Arc::new(Constant), ..config() }, "the schedule Cosine {"),
        (TrainConfig { ema: None, ..config() }, "the decay of the averages 0.5, this run has none"),
        (
            TrainConfig { max_epochs: Some(3), ..config() },
            "epochs, which the schedule spans, 2, this run has 3",
        ),
    ] {
        refuse(network(), config, &info(), expected);
    }
    let mut other = info();
    let mut nameless = info();
    nameless.class_names.clear();
    other.must_agree[0].1 = "sha256:18".to_string();
    refuse(network(), config(), &other, "the training samples sha256:17, this run has sha256:18");
    refuse(network(), config(), &nameless, "the names of classes [\"a\"");

    // Another element type, and other callbacks.
    let wide = Network::<f64>::build(layers![Input::new(1, 8, 8), Flatten, Dense::new(4), Softmax]);
    let mut wide = Trainer::new(wide.expect("a network"), TrainConfig::default()).expect("a configuration");
    let error = wide.resume(&path, &info(), &mut []).expect_err("another type").to_string();
    assert!(error.ends_with("the saved run has the element type float32, this run has float64"), "{error}");
    let mut trainer = Trainer::new(network(), config()).expect("a valid configuration");
    let error = trainer.resume(&path, &info(), &mut []).expect_err("other callbacks").to_string();
    assert_eq!(error, "the saved run has the list of callbacks EarlyStopping, this run has none");
    let error = Callback::<f32>::restore(&mut EarlyStopping::<f32>::new(1), &[1]).expect_err("no state");
    assert!(matches!(error, Error::CallbackState { .. }), "{error}");
}

#[test]
fn what_is_no_checkpoint_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("missing");
    assert!(refusal(&missing).starts_with("cannot read manifest.json: "));
    fs::create_dir(&missing).expect("a folder");
    assert!(refusal(&missing).starts_with("cannot read manifest.json: "));
    fs::write(missing.join("manifest.json"), "{}").expect("a file");
    assert_eq!(refusal(&missing), "manifest.json is damaged: it is too short");
}
