//! Data sets at addresses of servers: downloaded with the feature `object-store`, refused without.

mod common;
#[cfg(feature = "object-store")]
#[path = "../../datasets/tests/store/server.rs"]
#[allow(dead_code, reason = "the tests of the data sets use the rest")]
mod server;

#[cfg(not(feature = "object-store"))]
#[test]
fn the_feature_is_named_where_it_is_missing() {
    for option in ["--dataset=s3://bucket/photos/", "--dataset-test-path=https://host/a.tar"] {
        let outcome = common::isograd(&["train", option, "--dataset-train-path=x"]);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        let expected =
            "this isograd reads no addresses of servers: it was built without the feature object-store";
        assert!(outcome.stderr.contains(expected), "{outcome:?}");
    }
}

#[cfg(feature = "object-store")]
mod with_a_server {
    use super::common::{Outcome, hash, lines, words};
    use super::server::{Answer, Server, list};
    use std::path::Path;
    use std::process::Command;
    use std::sync::{Arc, Mutex};

    const SECRET: &str = "hidden-secret";

    /// Runs the program in `folder`, which has its cache, with the store at `endpoint`.
    fn isograd(folder: &Path, endpoint: &str, args: &str) -> Outcome {
        let mut command = Command::new(env!("CARGO_BIN_EXE_isograd"));
        command.args(words(args)).current_dir(folder).env("XDG_CACHE_HOME", folder.join("cache"));
        command.env("AWS_ENDPOINT_URL", endpoint).env("NO_PROXY", "127.0.0.1");
        command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", SECRET);
        let output = command.output().expect("the program starts");
        let text = |bytes| String::from_utf8(bytes).expect("the program prints UTF-8");
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        assert!(!stdout.contains(SECRET) && !stderr.contains(SECRET), "{stdout}{stderr}");
        Outcome { code: output.status.code(), stdout, stderr }
    }

    /// Rows of three columns, the last of which are classes.
    fn table(rows: usize) -> Vec<u8> {
        let row = |row: usize| format!("{},{},{}\n", row % 7, (3 * row) % 5, ["a", "b"][row % 2]);
        ("x,y,class\n".to_string() + &(0..rows).map(row).collect::<String>()).into_bytes()
    }

    #[test]
    fn a_workflow_gets_its_data_from_a_server() {
        let content = Arc::new(Mutex::new((table(200), "\"one\"")));
        let shared = Arc::clone(&content);
        let server = Server::new(move |request, number| {
            let (bytes, tag) = &*shared.lock().unwrap();
            let answer = Answer::object(request, bytes, tag);
            // The first download breaks off once.
            if number == 0 { answer.cut(500) } else { answer }
        });
        let folder = tempfile::tempdir().unwrap();
        let url = server.url(&format!("/lake/rows.csv?signature={SECRET}"));
        let file = format!(
            "workflow:\n  - getter: {{ dataset: \"{url}\" }}\n  - splitter: {{ validation: 0.1 }}\n  \
             - trainer: {{ model: simplemlp, steps: 3, global_batch_size: 20, shard_size: 10 }}\n"
        );
        std::fs::write(folder.path().join("w.yaml"), file).unwrap();
        let run = || {
            let outcome = isograd(folder.path(), "", "run w.yaml");
            assert_eq!(outcome.code, Some(0), "{outcome:?}");
            outcome.stdout
        };
        let first = run();
        assert!(first.contains("== getter: done") && first.contains("== trainer: done"), "{first}");
        assert!(server.take_requests().iter().any(|request| request.ends_with(" bytes=500-1209")));
        // The server is asked, and has nothing new.
        let second = run();
        assert!(
            second.contains("== getter: done") && second.contains("== trainer: nothing has changed"),
            "{second}"
        );
        assert!(!server.take_requests().is_empty());
        *content.lock().unwrap() = (table(300), "\"two\"");
        assert!(run().contains("== trainer: done"));
        let planned = isograd(folder.path(), "", "run w.yaml --dry-run");
        assert_eq!(planned.code, Some(0), "{planned:?}");
    }

    #[test]
    fn ranks_train_on_a_folder_of_a_bucket() {
        let idx = |head: &[u8], body: usize, most: usize| {
            [head, &(0..body).map(|k| (k % most) as u8).collect::<Vec<_>>()].concat()
        };
        let images =
            |count: u8| idx(&[0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 8, 0, 0, 0, 8], count as usize * 64, 251);
        let labels = |count: u8| idx(&[0, 0, 8, 1, 0, 0, 0, count], count as usize, 10);
        let files = [
            ("set/train-images-idx3-ubyte", images(120)),
            ("set/train-labels-idx1-ubyte", labels(120)),
            ("set/t10k-images-idx3-ubyte", images(20)),
            ("set/t10k-labels-idx1-ubyte", labels(20)),
        ];
        let server = Server::new(move |request, _| {
            if request.parameter("list-type").is_some() {
                return list(&files.each_ref().map(|(key, bytes)| (*key, bytes.len(), "\"t\"")), None);
            }
            match files.iter().find(|(key, _)| request.target == format!("/bucket/{key}")) {
                Some((_, bytes)) => Answer::object(request, bytes, "\"t\""),
                None => Answer::new(404, "<Error><Code>NoSuchKey</Code></Error>"),
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let options = "train --dataset s3://bucket/set/ --model simplemlp --steps 4 --global-batch-size 20 --shard-size 5 --hash";
        let run = |job: &str| isograd(folder.path(), &server.url(""), &format!("{job} {options}"));
        let ranks = run("local -n 2");
        assert_eq!(server.take_requests().iter().filter(|target| !target.contains("list-type")).count(), 4);
        assert_eq!(hash(&ranks), hash(&run("")));
        assert_eq!(lines(&ranks.stdout, "dataset: ")[0].trim(), "s3://bucket/set/", "{ranks:?}");
        let none = isograd(folder.path(), &server.url(""), "train --dataset s3://bucket/none.npz");
        assert_eq!(none.code, Some(1), "{none:?}");
        let expected =
            "--dataset: cannot read s3://bucket/none.npz: the server answers 404 Not Found (NoSuchKey)";
        assert!(none.stderr.contains(expected), "{none:?}");
        let wrong = isograd(folder.path(), "", "train --dataset https://host/folder/");
        assert_eq!(wrong.code, Some(2), "{wrong:?}");
        assert!(wrong.stderr.contains("it names a folder"), "{wrong:?}");
    }
}
