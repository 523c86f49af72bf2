//! Where checkpoints are written, and what is there before and after.

use crate::common::build;
use isograd_model::{Network, check_save, layer::*, layers, load, save};
use std::path::{Path, PathBuf};

const MODEL: &str = "vector";

/// 40,200 bytes of parameters.
fn network() -> Network<f32> {
    build(layers![Input::vector(100), Dense::new(100).without_bias(), Dense::new(1)])
}

/// Saves the state before training that `seed` gives.
fn save_seed(path: &Path, seed: u64) -> Result<(), isograd_model::Error> {
    let network = network();
    save(path, MODEL, &network, &network.initial_state(seed)?)
}

/// Asserts that the file at `path` holds the state that `seed` gives.
fn assert_holds(path: &Path, seed: u64) {
    let network = network();
    let loaded = load(path, MODEL, &network).expect("a checkpoint");
    assert_eq!(loaded.params(), network.initial_state(seed).expect("memory").params(), "{}", path.display());
}

/// Asserts that saving to `path` fails for `reason`, found in advance too, and leaves `folder` as it is.
fn refused(path: &Path, folder: &Path, reason: &str) {
    let before = names(folder);
    for result in [save_seed(path, 1), check_save(path, MODEL, &network())] {
        let message = result.expect_err("a path that cannot be written").to_string();
        let expected = format!("{}: cannot write: {reason}", path.display());
        assert!(message.starts_with(&expected), "the error is\n{message}\nexpected\n{expected}");
        assert_eq!(names(folder), before);
    }
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).expect("a folder").map(|f| f.expect("a file").path()).collect();
    names.sort();
    names
}

#[test]
fn a_check_leaves_everything_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("weights");
    check_save(&path, MODEL, &network()).expect("a path that can be written");
    assert_eq!(names(folder.path()), [] as [&Path; 0]);
    save_seed(&path, 1).expect("a path that can be written");
    check_save(&path, MODEL, &network()).expect("a path that can be written");
    assert_eq!(names(folder.path()), [&*path]);
    assert_holds(&path, 1);
}

#[test]
fn paths_that_cannot_be_written_are_errors() {
    let folder = tempfile::tempdir().expect("a folder");
    let (folder, missing) = (folder.path(), folder.path().join("missing"));
    refused(&missing.join("weights"), folder, &format!("there is no folder {}", missing.display()));
    refused(folder, folder, "is a directory");
    refused(&folder.join("folder/"), folder, "it names no file");
    std::fs::write(folder.join("file"), "text").expect("a file");
    refused(&folder.join("file/weights"), folder, "");
    refused(Path::new(""), folder, "it names no file");
}

/// Beside the checkpoint lie a file and a link of names that a writer might think of.
#[test]
fn files_of_the_user_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, part) = (folder.path().join("weights"), folder.path().join("weights.part"));
    std::fs::write(&part, "mine").expect("a file");
    save_seed(&path, 1).expect("a path that can be written");
    assert_eq!(std::fs::read(&part).expect("a file"), b"mine");
    assert_eq!(names(folder.path()), [&*path, &*part]);
}

/// Files that killed writers have left: before their first byte, with space reserved, and in the middle of
/// the data.
#[test]
fn unfinished_files_of_killed_writers_are_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("weights");
    save_seed(&path, 1).expect("a path that can be written");
    let whole = std::fs::read(&path).expect("a file");
    for (name, bytes) in [("000000", &[][..]), ("aZ09xy", &[0; 5000]), ("Middle", &whole[..whole.len() / 2])]
    {
        std::fs::write(folder.path().join(format!(".isograd-{name}.part")), bytes).expect("a file");
    }
    check_save(&path, MODEL, &network()).expect("a path that can be written");
    assert_eq!(names(folder.path()).len(), 4, "a check changes nothing");
    save_seed(&path, 2).expect("a path that can be written");
    assert_eq!(names(folder.path()), [&*path]);
    assert_holds(&path, 2);
}

#[test]
fn unfinished_files_of_others_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, inside) = (folder.path().join("weights"), |name: &str| folder.path().join(name));
    // Locked, as by a writer that lives.
    let locked = std::fs::File::create(inside(".isograd-locked.part")).expect("a file");
    locked.lock().expect("a lock");
    for name in [
        ".isograd-backup.part",
        ".isograd-notes.part",
        ".isograd-.part",
        ".isograd-a.b.cd.part",
        "isograd-000000.part",
    ] {
        std::fs::write(inside(name), if name == ".isograd-backup.part" { "my notes" } else { "" })
            .expect("a file");
    }
    std::fs::create_dir(inside(".isograd-folder.part")).expect("a folder");
    let before = names(folder.path());
    save_seed(&path, 1).expect("a path that can be written");
    let after: Vec<_> = names(folder.path()).into_iter().filter(|name| *name != path).collect();
    assert_eq!(after, before);
    // Without its writer it goes. A process that another test is starting has a copy of the handle for a
    // moment, so closing the handle need not end the lock.
    locked.unlock().expect("a lock");
    drop(locked);
    save_seed(&path, 1).expect("a path that can be written");
    assert!(!inside(".isograd-locked.part").exists());
}

#[cfg(unix)]
mod unix {
    use super::*;
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).expect("a file").permissions().mode() & 0o7777
    }

    #[test]
    fn links_are_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let inside = |name: &str| folder.path().join(name);
        std::fs::create_dir(inside("runs")).expect("a folder");
        // Through two links to a file that does not exist yet, then to one that does.
        symlink("latest", inside("best")).expect("a link");
        symlink("runs/7", inside("latest")).expect("a link");
        for seed in [1, 2] {
            check_save(&inside("best"), MODEL, &network()).expect("a path that can be written");
            save_seed(&inside("best"), seed).expect("a path that can be written");
            assert_holds(&inside("runs/7"), seed);
            for link in ["best", "latest"] {
                assert!(inside(link).is_symlink(), "{link}");
            }
            assert_eq!(names(&inside("runs")), [inside("runs/7")]);
        }
        symlink("circle", inside("circle")).expect("a link");
        refused(&inside("circle"), folder.path(), "");
    }

    #[test]
    fn what_is_no_regular_file_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let fifo = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo");
        assert!(made.success());
        refused(&fifo, folder.path(), "it is no regular file");
        assert!(fifo.metadata().expect("a FIFO").file_type().is_fifo());
        // Nobody writes into it: reading would not end.
        let error = load(&fifo, MODEL, &network()).expect_err("no file").to_string();
        assert_eq!(error, format!("{}: cannot read: it is no regular file", fifo.display()));

        let device = folder.path().join("device");
        symlink("/dev/null", &device).expect("a link");
        refused(&device, folder.path(), "it is no regular file");
        assert!(Path::new("/dev/null").metadata().expect("a device").file_type().is_char_device());
    }

    #[test]
    fn permissions_are_those_of_the_file_before_or_of_any_new_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, plain) = (folder.path().join("weights"), folder.path().join("plain"));
        std::fs::write(&plain, "").expect("a file");
        save_seed(&path, 1).expect("a path that can be written");
        assert_eq!(mode(&path), mode(&plain));
        for before in [0o640, 0o666, 0o600] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(before)).expect("permissions");
            save_seed(&path, 2).expect("a path that can be written");
            assert_eq!(mode(&path), before);
        }
        // Root could write it.
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o444)).expect("permissions");
        refused(&path, folder.path(), "the file is read-only");
        assert_holds(&path, 2);
    }

    /// A file system too small for the checkpoint, unmounted at the end.
    struct SmallDisk<'a>(&'a Path);

    impl<'a> SmallDisk<'a> {
        /// Of 32 KiB; `None` where the user may not mount one.
        fn mount(folder: &'a Path) -> Option<Self> {
            let mut mount = std::process::Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", "size=32k", "tmpfs"]).arg(folder);
            mount.output().is_ok_and(|output| output.status.success()).then_some(Self(folder))
        }
    }

    impl Drop for SmallDisk<'_> {
        fn drop(&mut self) {
            let _ = std::process::Command::new("umount").arg(self.0).status();
        }
    }

    #[test]
    fn a_full_disk_is_found_in_advance_and_nothing_is_left_on_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let Some(disk) = SmallDisk::mount(folder.path()) else { return };
        let path = disk.0.join("weights");
        refused(&path, disk.0, "No space left on device");
        std::fs::write(&path, "an older file").expect("room for a few bytes");
        refused(&path, disk.0, "No space left on device");
        assert_eq!(std::fs::read(&path).expect("a file"), b"an older file");
    }
}
