//! One object: whole, broken, changed, wrong, refused, larger than what may be ahead.

use std::io::{Read, Write};
use std::sync::atomic::Ordering;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use isograd_datasets::pipeline::{Pipeline, Source, StoreOptions, chunk_objects};

use crate::server::{Answer, Request, Server};
use crate::{SECRET, bytes, options, read_all};

const TAG: &str = "\"one\"";

/// What reading an object says.
fn error_of(answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> String {
    let server = Server::new(answer);
    let url = server.url(&format!("/a/b.bin?signature={SECRET}"));
    let error = read_all(&url, &options()).unwrap_err();
    let prefix = format!("stage download at item 0: cannot read {}: ", server.url("/a/b.bin"));
    error.strip_prefix(&prefix).unwrap_or_else(|| panic!("{error}")).to_string()
}

#[test]
fn an_object_is_read_whole() {
    let content = bytes(3_000_000);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&content).unwrap();
    for sent in [content.clone(), encoder.finish().unwrap()] {
        let server = Server::new(move |request, _| Answer::object(request, &sent, TAG));
        assert!(read_all(&server.url("/a%20b.bin?x=y"), &options()).unwrap() == [content.clone()]);
        assert_eq!(server.take_requests(), ["/a%20b.bin?x=y"]);
    }
    let server = Server::new(|request, _| Answer::object(request, &[], TAG));
    assert_eq!(read_all(&server.url("/empty"), &options()).unwrap(), [Vec::<u8>::new()]);
}

#[test]
fn records_are_read_while_the_download_goes_on() {
    let server = Server::new(|request, _| Answer::object(request, &bytes(1000), TAG));
    let chunks = |record_bytes| {
        let address = server.url("/records").parse().unwrap();
        let records = chunk_objects(&address, &options()).unwrap().records(record_bytes, 40);
        let built = Pipeline::new().source("records", records).collect("all").build().unwrap();
        built.run().map(|mut out| out.take::<Vec<Vec<u8>>>("all").unwrap())
    };
    let read = chunks(10).unwrap();
    assert_eq!(read.iter().map(Vec::len).collect::<Vec<_>>(), [400, 400, 200]);
    assert_eq!(read.concat(), bytes(1000));
    let cut = chunks(30).unwrap_err().to_string();
    assert!(
        cut.ends_with("/records ends within a record: 10 bytes after the last whole record of 30 bytes"),
        "{cut}"
    );
}

#[test]
fn a_download_goes_on_where_it_broke_off() {
    let content = bytes(10_000);
    let sent = content.clone();
    let server = Server::new(move |request, number| {
        assert_eq!(request.header("if-match"), (number > 0).then_some(TAG));
        let answer = Answer::object(request, &sent, TAG);
        match number {
            0..3 => answer.cut(1000),
            3 => Answer::new(503, "busy"),
            _ => answer,
        }
    });
    assert!(read_all(&server.url("/a"), &options()).unwrap() == [content]);
    let ranges =
        ["/a", "/a bytes=1000-9999", "/a bytes=2000-9999", "/a bytes=3000-9999", "/a bytes=3000-9999"];
    assert_eq!(server.take_requests(), ranges);
}

#[test]
fn a_server_without_ranges_sends_again_what_is_there() {
    let content = bytes(5000);
    for has_date in [true, false] {
        let sent = content.clone();
        let server = Server::new(move |_, number| {
            let answer = Answer::new(200, sent.clone()).with("Content-Length", sent.len());
            let answer = match has_date {
                true => answer.with("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT"),
                false => answer,
            };
            if number == 0 { answer.cut(2000) } else { answer }
        });
        let read = read_all(&server.url("/a"), &options());
        match has_date {
            true => assert!(read.unwrap() == std::slice::from_ref(&content)),
            // Nothing would tell whether it is the same object.
            false => {
                let error = read.unwrap_err();
                let expected = "broke off at byte 2000 of 5000, and the server cannot go on from there: it ignores ranges";
                assert!(error.ends_with(expected), "{error}");
            }
        }
    }
}

#[test]
fn what_breaks_off_too_often_is_an_error_with_the_byte() {
    let error = error_of(|request, _| {
        let content = bytes(5000);
        let answer = Answer::object(request, &content, TAG);
        if request.range().is_some() { answer.cut(0) } else { answer.cut(1234) }
    });
    assert!(error.starts_with("the download broke off at byte 1234 of 5000, 5 times in a row: "), "{error}");
    let error = error_of(|_, _| Answer::new(503, "<Error><Code>SlowDown</Code></Error>"));
    assert_eq!(error, "no answer in 5 attempts: the server answers 503 Service Unavailable (SlowDown)");
    let error = read_all("http://127.0.0.1:1/x", &options()).unwrap_err();
    assert!(error.contains("cannot read http://127.0.0.1:1/x: no answer in 5 attempts: "), "{error}");
    assert!(error.to_lowercase().contains("connection refused"), "{error}");
}

#[test]
fn lies_about_the_length_are_errors() {
    let short = error_of(|request, _| match request.range() {
        None => Answer::object(request, &bytes(60), TAG).with("Content-Length", 100),
        Some(_) => Answer::new(416, ""),
    });
    assert_eq!(short, "it has changed at byte 60 of the download: it is shorter now");
    let short = error_of(|request, _| match request.range() {
        None => Answer::object(request, &bytes(100), TAG).cut(60),
        Some((first, _)) => Answer::new(206, bytes(0))
            .with("ETag", TAG)
            .with("Content-Length", 0)
            .with("Content-Range", format!("bytes {first}-99/100")),
    });
    assert_eq!(short, "the download broke off at byte 60 of 100, 5 times in a row: the answer ends early");
    let long = error_of(|request, _| match request.range() {
        None => Answer::object(request, &bytes(100), TAG).cut(60),
        Some((first, _)) => Answer::new(206, bytes(50))
            .with("ETag", TAG)
            .with("Content-Length", 50)
            .with("Content-Range", format!("bytes {first}-99/100")),
    });
    assert_eq!(long, "the server sends more than the 100 bytes that it has announced");
    let unknown = error_of(|_, _| Answer::new(200, bytes(10)));
    assert!(
        unknown.starts_with("the server's answer cannot be used: ") && unknown.contains("ength"),
        "{unknown}"
    );
}

#[test]
fn an_object_that_changes_is_an_error() {
    let change = |is_checked: bool| {
        error_of(move |request, number| {
            let answer =
                Answer::object(request, &bytes(5000), if is_checked && number > 0 { "\"two\"" } else { TAG });
            let answer = if number > 0 && !is_checked { answer.with("ETag", "\"two\"") } else { answer };
            if number == 0 { answer.cut(700) } else { answer }
        })
    };
    // By a server that heeds `If-Match`, and by one that does not.
    for is_checked in [true, false] {
        assert_eq!(change(is_checked), "it has changed at byte 700 of the download: another version");
    }
    let grown = error_of(|request, number| match number {
        0 => Answer::object(request, &bytes(5000), "W/\"weak\"").cut(700),
        _ => Answer::object(request, &bytes(6000), "W/\"weak\""),
    });
    assert_eq!(grown, "it has changed at byte 700 of the download: 6000 bytes instead of 5000");
}

#[test]
fn refusals_are_errors_at_once() {
    for (status, expected) in [
        (404, "the server answers 404 Not Found"),
        (403, "the server answers 403 Forbidden"),
        (401, "the server answers 401 Unauthorized"),
        (410, "the server answers 410 Gone"),
    ] {
        assert_eq!(error_of(move |_, _| Answer::new(status, format!("no {SECRET}"))), expected);
    }
    let server = Server::new(|_, _| Answer::new(404, ""));
    read_all(&server.url("/none"), &options()).unwrap_err();
    assert_eq!(server.take_requests().len(), 1);
}

#[test]
fn a_download_is_not_far_ahead_of_its_reader() {
    let server = Server::new(|request, _| Answer::object(request, &vec![7; 128 << 20], TAG));
    let options = StoreOptions { read_ahead_bytes: 1 << 20, ..options() };
    let objects = chunk_objects(&server.url("/large").parse().unwrap(), &options).unwrap();
    let object = objects.open().unwrap().next().unwrap().unwrap();
    let mut reader = object.open().unwrap();
    reader.read_exact(&mut [0; 1000]).unwrap();
    // Until nothing more goes out.
    let sent = || server.sent_bytes.load(Ordering::Relaxed);
    let mut before = 0;
    while sent() == 0 || sent() != before {
        before = sent();
        std::thread::sleep(Duration::from_millis(300));
    }
    // What may be ahead, and what the two ends of the connection hold.
    assert!(before < 48 << 20, "{before} bytes are ahead of the reader");
    let mut rest = 0;
    let mut buffer = vec![0; 1 << 20];
    while let count @ 1.. = reader.read(&mut buffer).unwrap() {
        assert!(buffer[..count].iter().all(|byte| *byte == 7));
        rest += count;
    }
    assert_eq!(rest + 1000, 128 << 20);
}

#[test]
fn the_end_of_a_run_ends_downloads() {
    let silent = |request: &Request, _| {
        let mut answer = Answer::object(request, &bytes(5000), TAG).cut(100);
        answer.is_silent = true;
        answer
    };
    let server = Server::new(silent);
    let address = server.url("/slow").parse().unwrap();
    let records = chunk_objects(&address, &options()).unwrap().records(1, 1000);
    let from_source =
        Pipeline::new().source("records", records).map("length", |chunk| chunk.len()).collect("all");
    let objects = chunk_objects(&address, &options()).unwrap();
    let read = |object: isograd_datasets::pipeline::ChunkObject| object.read();
    let from_stage =
        Pipeline::new().source("objects", objects).stage("read", read).map("length", |chunk| chunk.len());
    for built in [from_source.build().unwrap(), from_stage.collect("all").build().unwrap()] {
        // The server says nothing for longer than a test may take.
        let error = built.deadline(Duration::from_millis(300)).run().unwrap_err().to_string();
        assert!(error.starts_with("the pipeline has not ended within 300ms"), "{error}");
    }
    let impatient = StoreOptions { timeout: Duration::from_secs(1), retries: 1, ..options() };
    let error = read_all(&server.url("/slow"), &impatient).unwrap_err();
    assert!(error.contains("the download broke off at byte 200 of 5000, 2 times in a row: "), "{error}");
}
