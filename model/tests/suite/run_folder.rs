//! The folder of a run: which checkpoints stay, and what killed writers leave.

use crate::resume::{config, info, network};
use crate::training::pattern;
use isograd_model::{Error, FolderError, RunFolder, RunInfo, Trainer};
use std::fs;
use std::path::Path;

/// A trainer before its first epoch.
fn trainer() -> Trainer<f32> {
    Trainer::new(network(), config()).expect("a valid configuration")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

#[test]
fn the_newest_and_the_best_checkpoint_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, data, mut trainer) = (folder.path().join("runs/a"), pattern(0..40), trainer());
    let folder = RunFolder::open(&path, 2).expect("a new folder");
    assert!(!RunFolder::has_checkpoints(&path));
    let error = RunFolder::checkpoints(&path).expect_err("no checkpoint").to_string();
    assert_eq!(error, format!("{}: there is no checkpoint in it", path.display()));
    let mut write = |is_best| {
        trainer.train_epoch(&data, |_| ()).expect("finite losses");
        let snapshot = trainer.snapshot(&[]).expect("memory");
        let written = folder.write(&snapshot, &info(), is_best).expect("room");
        assert_eq!(fs::canonicalize(path.join("last")).ok(), fs::canonicalize(&written).ok());
        written
    };
    let (first, second) = (write(true), write(false));
    assert_eq!(RunFolder::checkpoints(&path).expect("two"), [second.clone(), first.clone()]);
    // The best one stays beside the newest ones.
    trainer_goes_on(&mut write, &path, [".lock", "best", "epoch-0001-step-00000002"]);
    assert_eq!(fs::canonicalize(path.join("best")).ok(), fs::canonicalize(&first).ok());
    assert!(!second.exists());
    // A link, and a checkpoint by its name, are what they lead to, in the same run folder.
    for one in [path.join("best"), first] {
        assert_eq!(RunFolder::checkpoints(&one).expect("one"), std::slice::from_ref(&one));
        assert_eq!(RunFolder::of(&one), path);
        assert_eq!(RunInfo::read(&one).expect("a checkpoint"), info());
    }
}

#[test]
fn the_checkpoint_that_was_written_last_stays_behind_newer_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, data) = (folder.path().join("run"), pattern(0..40));
    let folder = RunFolder::open(&path, 1).expect("a new folder");
    let write = |epochs: u32| {
        let mut trainer = trainer();
        (0..epochs).for_each(|_| drop(trainer.train_epoch(&data, |_| ()).expect("finite losses")));
        folder.write(&trainer.snapshot(&[]).expect("memory"), &info(), false).expect("room")
    };
    let newest = write(3);
    // A run that goes on from an older checkpoint than the newest one.
    for epochs in [1, 2] {
        let written = write(epochs);
        assert_eq!(fs::canonicalize(path.join("last")).ok(), fs::canonicalize(&written).ok());
        assert_eq!(RunFolder::checkpoints(&path).expect("two"), [newest.clone(), written]);
    }
}

/// Writes two more checkpoints. Then the folder has `names`, the two newest and `last`.
fn trainer_goes_on(write: &mut impl FnMut(bool) -> std::path::PathBuf, path: &Path, expected: [&str; 3]) {
    let newest = [write(false), write(false)];
    let newest = newest.map(|path| path.file_name().expect("a name").to_string_lossy().into_owned());
    let mut expected: Vec<_> = expected.map(str::to_string).into_iter().chain(newest).collect();
    expected.push("last".to_string());
    assert_eq!(names(path), expected);
}

#[test]
fn one_run_alone_writes_to_a_folder_and_removes_what_is_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a");
    let open = RunFolder::open(&path, 1).expect("a new folder");
    let error = RunFolder::open(&path, 1).expect_err("another run");
    assert!(
        matches!(&error, Error::Folder { reason, .. } if matches!(**reason, FolderError::InUse)),
        "{error}"
    );
    drop(open);
    // As killed writers leave it, beside a file of the user.
    fs::create_dir(path.join(".isograd-abcdef.part")).expect("a folder");
    fs::write(path.join(".isograd-abcdef.part/model.safetensors"), "half").expect("a file");
    std::os::unix::fs::symlink("nowhere", path.join(".isograd-last.part")).expect("a link");
    fs::write(path.join("notes.txt"), "mine").expect("a file");
    let folder = RunFolder::open(&path, 1).expect("a folder");
    assert_eq!(names(&path), [".lock", "notes.txt"]);

    // A damaged checkpoint of the same name makes room for the whole one.
    let snapshot = trainer().snapshot(&[]).expect("memory");
    let written = folder.write(&snapshot, &info(), false).expect("room");
    fs::write(written.join("progress.bin"), "").expect("a file");
    assert_eq!(folder.write(&snapshot, &info(), false).expect("room"), written);
    trainer().resume(&written, &info(), &mut []).expect("a whole checkpoint");
    assert_eq!(names(&path), [".lock", "epoch-0000-step-00000000", "last", "notes.txt"]);
}

#[test]
fn a_failed_checkpoint_leaves_what_was_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a");
    let run = RunFolder::open(&path, 1).expect("a new folder");
    let mut trainer = trainer();
    let written = run.write(&trainer.snapshot(&[]).expect("memory"), &info(), true).expect("room");
    let before = names(&path);
    trainer.state_mut().params_mut()[3] = f32::NAN;
    trainer.set_epoch(1);
    let error = run.write(&trainer.snapshot(&[]).expect("memory"), &info(), false).expect_err("a NaN");
    let expected =
        "epoch-0001-step-00000000: not written: 'conv2d1.weight' has a value that is infinite or NaN";
    assert!(error.to_string().ends_with(expected), "{error}");
    assert_eq!(names(&path), before);
    // A library user's own folder is not overwritten.
    let error = trainer.save(&written, &info(), &[]).expect_err("a folder").to_string();
    assert!(error.ends_with(": there is something of this name already"), "{error}");
}
