//! Chunk files, records of files larger than a chunk, gzip, commands, CSV; and what is wrong with them.

use std::io::Write as _;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use isograd_datasets::pipeline::{
    ChunkFile, CommandOutput, CsvFile, CsvRecord, Pipeline, RecordFile, Source, chunk_files, once,
};

use crate::{LONG, within};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn all<S: Source>(source: S) -> Result<Vec<S::Item>, String> {
    let built = Pipeline::new().source("source", source).collect("all").build().unwrap();
    built.run().map(|mut out| out.take("all").unwrap()).map_err(|error| error.to_string())
}

#[test]
fn chunk_files_come_by_name_and_are_decoded_by_the_next_stage() {
    within("chunk files", LONG, || {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        write("c-10.bin", b"ten");
        write("c-02.bin", &gzip(b"two"));
        write("c-01.bin", b"one");
        write("c-00.bin", b"");
        write(".c-99.bin", b"hidden");
        write("c-03.tmp", b"not this");
        let pattern = folder.path().join("c-*.bin");
        let files = chunk_files(&pattern).unwrap();
        assert_eq!(files.paths().len(), 4);
        let read =
            |file: ChunkFile| file.read().map(|bytes| (file.number, String::from_utf8(bytes).unwrap()));
        let build = || {
            Pipeline::new().source("chunks", chunk_files(&pattern).unwrap()).stage("read", read).workers(2)
        };
        let mut out = build().collect("all").build().unwrap().run().unwrap();
        let expected =
            ["", "one", "two", "ten"].map(str::to_owned).into_iter().enumerate().collect::<Vec<_>>();
        assert_eq!(out.take::<Vec<(usize, String)>>("all").unwrap(), expected);

        let whole = gzip(&[7; 100_000]);
        write("c-01.bin", &whole[..whole.len() - 12]);
        let error = build().collect("all").build().unwrap().run().unwrap_err().to_string();
        assert!(
            error.starts_with("stage read at item 1: cannot read ") && error.contains("c-01.bin: "),
            "{error}"
        );

        let none = chunk_files(folder.path().join("*.npz")).unwrap_err().to_string();
        assert!(none.starts_with("no file matches ") && none.ends_with("*.npz"), "{none}");
        let deep = chunk_files("lake/*/a.npz").unwrap_err().to_string();
        assert!(
            deep.ends_with("has a wildcard in the name of a folder; only the name of the file may have one")
        );
    });
}

#[test]
fn a_file_is_read_in_chunks_of_whole_records() {
    within("records", LONG, || {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..=250).cycle().take(3 * 7000).collect();
        for (name, content) in [("plain", bytes.clone()), ("packed", gzip(&bytes))] {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            let chunks = all(RecordFile::new(&path, 3, 1024)).unwrap();
            assert_eq!(
                chunks.iter().map(Vec::len).collect::<Vec<_>>(),
                [3072, 3072, 3072, 3072, 3072, 3072, 2568]
            );
            assert_eq!(chunks.concat(), bytes);
            // Exactly a whole number of chunks, and no empty one behind them.
            assert_eq!(all(RecordFile::new(&path, 3, 7000)).unwrap().len(), 1);
            let cut = all(RecordFile::new(&path, 4096, 2)).unwrap_err();
            assert!(
                cut.ends_with("ends within a record: 520 bytes after the last whole record of 4096 bytes"),
                "{cut}"
            );
        }
        let missing = all(RecordFile::new(folder.path().join("none"), 3, 7)).unwrap_err();
        assert!(missing.starts_with("stage source: cannot read "), "{missing}");
        std::fs::write(folder.path().join("empty"), b"").unwrap();
        assert_eq!(all(RecordFile::new(folder.path().join("empty"), 3, 7)).unwrap().len(), 0);
    });
}

#[cfg(unix)]
#[test]
fn commands_must_end_well() {
    within("commands", LONG, || {
        let shell = |script: &str, record_bytes| CommandOutput::new("sh", ["-c", script], record_bytes, 2);
        assert_eq!(all(shell("printf abcdef", 2)).unwrap(), [b"abcd".to_vec(), b"ef".to_vec()]);
        assert_eq!(
            all(shell("printf abcd; echo no disk >&2; exit 3", 2)).unwrap_err(),
            "stage source at item 1: `sh -c printf abcd; echo no disk >&2; exit 3` ended with exit status: 3 after \
             4 bytes; it said: no disk"
        );
        let killed = all(shell("printf abc; kill -9 $$", 2)).unwrap_err();
        assert!(killed.ends_with("ended with signal: 9 (SIGKILL) after 3 bytes"), "{killed}");
        let cut = all(shell("printf abc", 2)).unwrap_err();
        assert!(
            cut.ends_with("ends within a record: 1 byte after the last whole record of 2 bytes"),
            "{cut}"
        );
        let none = all(CommandOutput::new("isograd-no-such-command", ["x"], 1, 1)).unwrap_err();
        assert!(none.starts_with("stage source: cannot start `isograd-no-such-command x`: "), "{none}");
        // More on its standard error than a pipe holds, of which the end is kept.
        let chatty =
            all(shell("i=0; while [ $i -lt 9000 ]; do echo line $i >&2; i=$((i+1)); done; exit 1", 1))
                .unwrap_err();
        assert!(chatty.ends_with("line 8999") && chatty.len() < 3000, "{chatty}");
    });
}

/// As a daemon does that a command starts, with the command's standard error.
#[cfg(unix)]
#[test]
fn processes_that_a_command_leaves_behind_are_not_waited_for() {
    within("daemon", LONG, || {
        let begin = Instant::now();
        let shell = |script: &str| CommandOutput::new("sh", ["-c", script], 1, 8);
        assert_eq!(all(shell("sleep 50 >/dev/null & printf data")).unwrap(), [b"data".to_vec()]);
        let error = all(shell("sleep 50 >/dev/null & echo no disk >&2; exit 3")).unwrap_err();
        assert!(error.ends_with("ended with exit status: 3 after 0 bytes; it said: no disk"), "{error}");
        assert!(begin.elapsed() < Duration::from_secs(40));
    });
}

#[cfg(unix)]
#[test]
fn a_command_that_never_ends_is_killed() {
    within("endless command", LONG, || {
        let begin = Instant::now();
        let silent = CommandOutput::new("sleep", ["1000"], 1, 1);
        let built = Pipeline::new().source("sleep", silent).collect("all").build().unwrap();
        let error = built.deadline(Duration::from_millis(100)).run().unwrap_err().to_string();
        assert!(error.starts_with("the pipeline has not ended within 100ms"), "{error}");
        let mut items =
            Pipeline::new().source("yes", CommandOutput::new("yes", [""; 0], 2, 100)).items().unwrap();
        assert_eq!(items.next().unwrap().unwrap(), b"y\n".repeat(100));
        drop(items);
        assert!(begin.elapsed() < Duration::from_secs(30));
    });
}

#[test]
fn csv_records_and_their_errors() {
    within("csv", LONG, || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        let read = |text: &str, file: CsvFile| {
            std::fs::write(&path, text).unwrap();
            all(file).map_err(|error| {
                error.rsplit_once("table.csv, ").map(|(_, end)| end.to_owned()).unwrap_or(error)
            })
        };
        let file = || CsvFile::new(&path);
        let records = read("a,b\r\n1,\"x,\ny\"\r\n\r\n2,z", file()).unwrap();
        let fields: Vec<(u64, Vec<String>)> = records.into_iter().map(|r| (r.line, r.fields)).collect();
        assert_eq!(
            fields,
            [(2, vec!["1".to_owned(), "x,\ny".to_owned()]), (5, vec!["2".to_owned(), "z".to_owned()])]
        );
        let records = read("1;2\n3;4\n", file().without_header().separator(b';')).unwrap();
        let floats: Vec<Vec<f32>> = records.iter().map(|record| record.floats().unwrap()).collect();
        assert_eq!(floats, [[1.0, 2.0], [3.0, 4.0]]);
        assert_eq!(
            read("a,b\n1,2\n1,2,3\n", file()).unwrap_err(),
            "line 3: 3 fields, expected 2 as in the first line"
        );
        assert_eq!(read("a,b\n1,\"2\n", file()).unwrap_err(), "line 2: the quote of field 2 is not closed");
        assert_eq!(
            read("a\n\"1\"2\n", file()).unwrap_err(),
            "line 2: \"2\" follows the closing quote of field 1"
        );
        let bad = &read("a,b\n1,2\n3,x\n", file()).unwrap()[1];
        assert!(bad.floats().unwrap_err().to_string().ends_with("line 3: field 2 is not a number: \"x\""));
        std::fs::write(&path, gzip(b"a\n1\n2\n")).unwrap();
        let line = |record: CsvRecord| record.fields[0].clone();
        assert_eq!(all(file()).unwrap().into_iter().map(line).collect::<Vec<_>>(), ["1", "2"]);
        std::fs::write(&path, b"a\n\xff\n").unwrap();
        assert!(all(file()).unwrap_err().ends_with("line 2: it is not UTF-8"));
        assert_eq!(read("", file()).unwrap().len(), 0);
    });
}

#[test]
fn a_csv_file_that_breaks_off_ends_though_errors_are_ignored() {
    within("broken csv", LONG, || {
        let file = tempfile::NamedTempFile::new().unwrap();
        let whole = gzip(&b"a,b\n".repeat(10_000));
        std::fs::write(&file, &whole[..whole.len() - 8]).unwrap();
        let build = || Pipeline::new().source("csv", CsvFile::new(file.path()));
        let error = build().collect("all").build().unwrap().run().unwrap_err().to_string();
        assert!(error.contains(": cannot read "), "{error}");
        let mut out = build().ignore(|_| true).collect("all").build().unwrap().run().unwrap();
        assert_eq!(out.take::<Vec<CsvRecord>>("all").unwrap().len(), 9_999);
    });
}

#[test]
fn what_can_be_read_once_says_so_the_second_time() {
    within("once", LONG, || {
        let (sender, receiver) = std::sync::mpsc::channel();
        (0..3).for_each(|n| sender.send(n).unwrap());
        drop(sender);
        let built =
            Pipeline::new().source("channel", once(receiver.into_iter())).collect("all").build().unwrap();
        assert_eq!(built.run().unwrap().take::<Vec<i32>>("all").unwrap(), [0, 1, 2]);
        assert_eq!(built.run().unwrap_err().to_string(), "stage channel: this source can be read once only");
    });
}
