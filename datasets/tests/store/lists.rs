//! Objects of an S3-compatible store.

use isograd_datasets::pipeline::chunk_objects;

use crate::server::{Answer, Request, Server, list};
use crate::{SECRET, options, read_all, s3_options};

const OBJECTS: [(&str, &str); 6] = [
    ("lake/", ""),
    ("lake/part-10.bin", "ten"),
    ("lake/part-2.bin", "two"),
    ("lake/train/a.bin", "a"),
    ("lake/train", ""),
    ("lakes/part-3.bin", "of another lake"),
];

/// A bucket with these objects, whose lists have two of them a page.
fn bucket(request: &Request) -> Answer {
    let key = request.header("authorization").unwrap_or_default();
    if !key.starts_with("AWS4-HMAC-SHA256 Credential=key/") {
        return Answer::new(403, "<Error><Code>AccessDenied</Code></Error>");
    }
    if request.parameter("list-type").is_some() {
        let prefix = request.parameter("prefix").unwrap_or_default();
        let found: Vec<_> = OBJECTS.iter().filter(|(key, _)| key.starts_with(&prefix)).collect();
        let begin: usize = request.parameter("continuation-token").map_or(0, |token| token.parse().unwrap());
        let page: Vec<_> =
            found[begin..].iter().take(2).map(|(key, content)| (*key, content.len(), "\"t\"")).collect();
        let end = begin + page.len();
        return list(&page, (end < found.len()).then(|| end.to_string()).as_deref());
    }
    match OBJECTS.iter().find(|(key, _)| request.target == format!("/bucket/{key}")) {
        Some((_, content)) => Answer::object(request, content.as_bytes(), "\"t\""),
        None => Answer::new(404, "<Error><Code>NoSuchKey</Code></Error>"),
    }
}

#[test]
fn the_objects_below_a_prefix_come_by_name() {
    let server = Server::new(|request, _| bucket(request));
    let read = |address: &str| {
        let read = read_all(address, &s3_options(&server))?;
        Ok::<_, String>(read.into_iter().map(|bytes| String::from_utf8(bytes).unwrap()).collect::<Vec<_>>())
    };
    assert_eq!(read("s3://bucket/lake/").unwrap(), ["ten", "two", "a"]);
    assert_eq!(server.take_requests().iter().filter(|target| target.contains("list-type")).count(), 3);
    let objects = chunk_objects(&"s3://bucket/lake/*".parse().unwrap(), &s3_options(&server)).unwrap();
    let expected = ["s3://bucket/lake/part-10.bin", "s3://bucket/lake/part-2.bin"];
    assert!(objects.addresses().eq(expected));
    assert_eq!(read("s3://bucket/lake/part-?.bin").unwrap(), ["two"]);
    assert_eq!(read("s3://bucket/lake/*.bin").unwrap(), ["ten", "two"]);
    assert_eq!(read("s3://bucket").unwrap(), ["ten", "two", "a", "of another lake"]);
    assert_eq!(read("s3://bucket/lake/part-2.bin").unwrap(), ["two"]);
    assert_eq!(
        read("s3://bucket/lake/*.npz").unwrap_err(),
        "cannot read s3://bucket/lake/*.npz: there are no such objects"
    );
    assert_eq!(
        read("s3://bucket/none").unwrap_err(),
        "stage download at item 0: cannot read s3://bucket/none: the server answers 404 Not Found (NoSuchKey)"
    );
}

#[test]
fn an_object_is_as_the_list_has_it() {
    let server = Server::new(|request, _| match request.parameter("list-type") {
        Some(_) => list(&[("a", 3, "\"one\""), ("b", 4, "\"two\"")], None),
        None if request.target.ends_with("/a") => Answer::object(request, b"abc", "\"other\""),
        None => Answer::object(request, b"abc", "\"two\""),
    });
    let error = read_all("s3://bucket/a*", &s3_options(&server)).unwrap_err();
    assert_eq!(
        error,
        "stage download at item 0: cannot read s3://bucket/a: it has changed at byte 0 of the download: another version"
    );
    let error = read_all("s3://bucket/b*", &s3_options(&server)).unwrap_err();
    assert!(
        error.ends_with("s3://bucket/b: it has changed at byte 0 of the download: 3 bytes instead of 4"),
        "{error}"
    );
}

#[test]
fn credentials_are_needed_and_never_shown() {
    let server = Server::new(|request, _| bucket(request));
    let with = |name: &str, value: String| s3_options(&server).with_variables([(name.to_string(), value)]);
    let refused = read_all("s3://bucket/lake/", &with("AWS_SKIP_SIGNATURE", "true".to_string())).unwrap_err();
    assert_eq!(refused, "cannot read s3://bucket/lake/: the server answers 403 Forbidden (AccessDenied)");
    let wrong = read_all("s3://bucket/lake/", &with("AWS_SKIP_SIGNATURE", SECRET.to_string())).unwrap_err();
    assert!(wrong.contains("the variables AWS_* cannot be used: "), "{wrong}");
    // The list itself may fail for a while.
    let busy = Server::new(|request, number| if number < 2 { Answer::new(500, "") } else { bucket(request) });
    assert_eq!(read_all("s3://bucket/lake/train/", &s3_options(&busy)).unwrap(), [b"a"]);
    let down = Server::new(|_, _| Answer::new(500, ""));
    let error = read_all("s3://bucket/lake/", &s3_options(&down)).unwrap_err();
    let expected = "cannot read s3://bucket/lake/: no answer in 5 attempts: the server answers 500 Internal Server Error";
    assert_eq!(error, expected);
    assert!(!format!("{:?}", s3_options(&down)).contains(SECRET));
    assert!(!format!("{:?}", options()).is_empty());
}
