//! Objects as files that are kept up to date.

use std::path::Path;
use std::sync::{Arc, Mutex};

use isograd_datasets::pipeline::mirror;

use crate::server::{Answer, Server, list};
use crate::{bytes, options, s3_options};

fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(contents(&path)),
            false => found
                .push((path.file_name().unwrap().to_string_lossy().into(), std::fs::read(&path).unwrap())),
        }
    }
    found.sort();
    found
}

#[test]
fn files_follow_what_is_in_a_bucket() {
    let objects = Arc::new(Mutex::new(vec![
        ("lake/train/a.tar", b"aa".to_vec(), "\"1\""),
        ("lake/b", vec![2], "\"2\""),
    ]));
    let shared = Arc::clone(&objects);
    let server = Server::new(move |request, _| {
        let objects = shared.lock().unwrap();
        if request.parameter("list-type").is_some() {
            let listed: Vec<_> = objects.iter().map(|(key, bytes, tag)| (*key, bytes.len(), *tag)).collect();
            return list(&listed, None);
        }
        let (_, bytes, tag) = objects.iter().find(|(key, ..)| request.target.ends_with(key)).unwrap();
        Answer::object(request, bytes, tag)
    });
    let folder = tempfile::tempdir().unwrap();
    let update = || {
        let address = "s3://bucket/lake/".parse().unwrap();
        let path = mirror(&address, folder.path(), &s3_options(&server)).unwrap();
        let downloads = server.take_requests().iter().filter(|target| !target.contains("list-type")).count();
        (contents(&path), downloads)
    };
    let first = vec![("a.tar".to_string(), b"aa".to_vec()), ("b".to_string(), vec![2])];
    assert_eq!(update(), (first.clone(), 2));
    assert_eq!(update(), (first.clone(), 0));
    // Another process at the same time waits, and finds what is there.
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert_eq!(update().0, first));
        }
    });
    server.take_requests();
    *objects.lock().unwrap() =
        vec![("lake/train/a.tar", b"bb".to_vec(), "\"3\""), ("lake/c", vec![3], "\"2\"")];
    assert_eq!(update(), (vec![("a.tar".to_string(), b"bb".to_vec()), ("c".to_string(), vec![3])], 2));
    // A folder in the place of an object, and an object in that of a folder; a folder that is empty goes.
    *objects.lock().unwrap() = vec![("lake/c/x", vec![4], "\"4\"")];
    assert_eq!(update(), (vec![("x".to_string(), vec![4])], 1));
    assert!(!folder.path().join("data/train").exists());
    *objects.lock().unwrap() = vec![("lake/c", vec![5], "\"5\"")];
    assert_eq!(update(), (vec![("c".to_string(), vec![5])], 1));
    for part in ["data", "versions"] {
        assert_eq!(std::fs::read_dir(folder.path().join(part)).unwrap().count(), 1, "{part}");
    }
}

#[test]
fn a_download_that_was_killed_goes_on() {
    let state = Arc::new(Mutex::new((true, "\"one\"")));
    let shared = Arc::clone(&state);
    let server = Server::new(move |request, _| {
        let (is_broken, tag) = *shared.lock().unwrap();
        let content = bytes(if tag == "\"one\"" { 5000 } else { 4000 });
        let answer = Answer::object(request, &content, tag);
        if is_broken { answer.cut(1000) } else { answer }
    });
    let folder = tempfile::tempdir().unwrap();
    let impatient = isograd_datasets::pipeline::StoreOptions { retries: 0, ..options() };
    let update = || {
        let read = mirror(&server.url("/a.bin").parse().unwrap(), folder.path(), &impatient);
        (read.map(|path| std::fs::read(path).unwrap()), server.take_requests())
    };
    let error = update().0.unwrap_err().to_string();
    assert!(error.contains("the download broke off at byte 1000 of 5000, 1 time in a row: "), "{error}");
    let (read, requests) = update();
    assert!(read.unwrap_err().to_string().contains("at byte 2000 of 5000"));
    assert_eq!(requests, ["/a.bin bytes=1000-4999"]);
    state.lock().unwrap().0 = false;
    let (read, requests) = update();
    assert!(read.unwrap() == bytes(5000));
    assert_eq!(requests, ["/a.bin bytes=2000-4999"]);
    // What is up to date is asked for, and left when the answer has begun.
    assert!(update().0.unwrap() == bytes(5000));

    // A part of an object that is no more.
    *state.lock().unwrap() = (true, "\"two\"");
    update().0.unwrap_err();
    *state.lock().unwrap() = (false, "\"one\"");
    let (read, requests) = update();
    assert!(read.unwrap() == bytes(5000));
    assert_eq!(requests, ["/a.bin bytes=1000-3999", "/a.bin"]);
}
