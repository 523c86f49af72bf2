//! What shells and `man` make of the scripts and pages that the program prints.

mod common;

use common::isograd;
use std::io::Write;
use std::process::{Command, Stdio};

/// Runs `program` with `input` on its standard input; `None`, said aloud, where there is none.
fn run(program: &str, args: &[&str], input: &str) -> Option<String> {
    let child = Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) if std::env::var_os("CI").is_none() => {
            eprintln!("SKIPPED: {program}: {error}");
            return None;
        }
        Err(error) => panic!("{program}: {error}"),
    };
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads its input");
    let output = child.wait_with_output().expect("a child of this process");
    assert!(output.status.success(), "{program}: {output:?}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn bash_completes_commands_and_options() {
    let script = isograd(&["completions", "bash"]).stdout;
    let complete = |words: &[&str]| {
        let last = words.last().expect("a word");
        let ask = format!(
            "{script}\nCOMP_WORDS=({})\nCOMP_CWORD={}\n_isograd isograd '{last}' ''\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
            words.join(" "),
            words.len() - 1
        );
        run("bash", &["--norc", "-s"], &ask)
    };
    for (words, expected) in [
        (&["isograd", "compl"][..], "completions"),
        (&["isograd", "train", "--learning-r"], "--learning-rate"),
        (&["isograd", "hosts", "ch"], "check"),
    ] {
        let Some(reply) = complete(words) else { return };
        assert_eq!(reply.lines().collect::<Vec<_>>(), [expected], "{words:?}");
    }
}

#[test]
fn other_shells_get_their_scripts() {
    for (shell, part) in [("zsh", "#compdef isograd"), ("fish", "complete -c isograd")] {
        let outcome = isograd(&["completions", shell]);
        assert!(outcome.stdout.contains(part) && outcome.stdout.contains("learning-rate"), "{shell}");
    }
    let unknown = isograd(&["completions", "bsh"]);
    assert_eq!(unknown.code, Some(2));
    assert!(
        unknown.stderr.contains("unknown shell 'bsh'") && unknown.stderr.contains("'bash'"),
        "{unknown:?}"
    );
}

#[test]
fn man_shows_the_pages() {
    let page = isograd(&["man", "train"]);
    assert_eq!(page.code, Some(0), "{page:?}");
    let Some(shown) = run("man", &["-l", "-"], &page.stdout) else { return };
    let plain = shown.replace("\u{8}", "");
    for part in [
        "isograd-train",
        "isograd train [OPTIONS]",
        "--learning-rate",
        "EXAMPLES",
        "train --steps 30 --hash --threads 1\n",
    ] {
        assert!(plain.contains(part), "'{part}' in {plain}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let all = folder.path().join("man1");
    let outcome = isograd(&["man", "--folder", all.to_str().expect("UTF-8")]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), ""), "{outcome:?}");
    for name in ["isograd.1", "isograd-train.1", "isograd-hosts-check.1"] {
        assert!(all.join(name).is_file(), "{name}");
    }
    assert!(!all.join("isograd-agent.1").exists());
    assert!(isograd(&["man", "trian"]).stderr.contains("did you mean 'train'?"));
}
