//! What a command says, reads and ends with.

use std::thread;

use super::*;

#[test]
fn commands_run_one_after_the_other() {
    // The server has no place for commands that are not over.
    let Some(sshd) = Sshd::start_with(&["ed25519"], "MaxSessions 2") else { return };
    let mut session = session(&sshd);
    assert!(
        session.address().to_string().ends_with(&format!("@127.0.0.1:{}", sshd.port())),
        "{}",
        session.address()
    );
    for code in [0, 7, 255] {
        let (exit, stdout, stderr) =
            run(&mut session, &format!("echo to-{code}; echo of-{code} >&2; exit {code}"), b"");
        assert_eq!(exit, Exit::Code(code));
        assert_eq!(String::from_utf8_lossy(&stdout), format!("to-{code}\n"));
        assert_eq!(String::from_utf8_lossy(&stderr), format!("of-{code}\n"));
    }
    assert_eq!(run(&mut session, "kill -TERM $$", b"").0, Exit::Signal("TERM".to_string()));
    assert_eq!(run(&mut session, "kill -SEGV $$", b"").0, Exit::Signal("SEGV".to_string()));
    assert_eq!(run(&mut session, "no-such-command", b"").0, Exit::Code(127));
}

#[test]
fn megabytes_come_back_as_they_went() {
    let Some(sshd) = Sshd::start() else { return };
    let mut session = session(&sshd);
    let sent = noise(50 << 20);
    let (exit, stdout, stderr) = run(&mut session, "cat", &sent);
    assert_eq!(exit, Exit::Code(0));
    assert_eq!(stdout.len(), sent.len());
    assert!(stdout == sent, "what cat returned differs");
    assert!(stderr.is_empty());
}

#[test]
fn both_streams_flow_at_once_while_keys_are_renewed() {
    let Some(sshd) = Sshd::start_with(&["ed25519"], "RekeyLimit 1M") else { return };
    let mut session = narrow_session(&sshd);
    let sent = noise(12 << 20);
    let (exit, stdout, stderr) = run(&mut session, "tee /dev/stderr", &sent);
    assert_eq!(exit, Exit::Code(0));
    assert_eq!((stdout.len(), stderr.len()), (sent.len(), sent.len()));
    assert!(stdout == sent && stderr == sent, "what tee returned differs");
}

#[test]
fn many_small_pieces_arrive_in_order() {
    let Some(sshd) = Sshd::start() else { return };
    let mut session = session(&sshd);
    let (input, source) = input().expect("an input");
    let writer = thread::spawn(move || {
        for number in 0..5000 {
            input.send(format!("{number}\n").into_bytes());
        }
    });
    let mut heard = String::new();
    let exit = session.run("cat", source, |_, bytes| heard.push_str(&String::from_utf8_lossy(bytes)));
    writer.join().expect("the writer");
    assert_eq!(exit.expect("cat"), Exit::Code(0));
    assert_eq!(heard, (0..5000).map(|number| format!("{number}\n")).collect::<String>());
}

#[test]
fn an_answer_wakes_the_command_that_waits_for_it() {
    let Some(sshd) = Sshd::start() else { return };
    let mut session = session(&sshd);
    let (input, source) = input().expect("an input");
    let mut input = Some(input);
    let mut heard = Vec::new();
    // The other side speaks, we answer, it ends only upon that.
    let exit = session.run("echo question; read answer; echo got $answer; cat", source, |_, bytes| {
        heard.extend_from_slice(bytes);
        if heard.ends_with(b"question\n") {
            input.as_ref().expect("not yet closed").send(b"yes\n".to_vec());
        } else if heard.ends_with(b"got yes\n") {
            // A dropped input is the end of what cat reads.
            input = None;
        }
    });
    assert_eq!(exit.expect("the dialogue"), Exit::Code(0));
    assert_eq!(String::from_utf8_lossy(&heard), "question\ngot yes\n");
}

#[test]
fn closed_input_ends_what_reads_it() {
    let Some(sshd) = Sshd::start() else { return };
    let mut session = session(&sshd);
    let (input, source) = input().expect("an input");
    input.close();
    input.send(b"too late".to_vec());
    let exit = session.run("cat", source, |_, bytes| panic!("heard {bytes:?}"));
    assert_eq!(exit.expect("cat"), Exit::Code(0));
}

#[test]
fn input_that_nobody_reads_does_not_keep_a_command_from_ending() {
    let Some(sshd) = Sshd::start() else { return };
    let mut session = narrow_session(&sshd);
    let sent = noise(8 << 20);
    for code in 0..10 {
        assert_eq!(run(&mut session, &format!("exit {code}"), &sent).0, Exit::Code(code));
    }
    assert_eq!(run(&mut session, "head -c 5000000 /dev/zero", &sent).1.len(), 5_000_000);
    assert_eq!(run(&mut session, "echo next", b"").1, b"next\n");
}

#[test]
fn input_is_carried_after_the_output_is_closed() {
    let Some(sshd) = Sshd::start() else { return };
    let mut session = narrow_session(&sshd);
    let sum = sshd.folder().join("count");
    let command = format!("exec >&- 2>&-; wc -c > {}", sum.display());
    assert_eq!(run(&mut session, &command, &noise(8 << 20)).0, Exit::Code(0));
    assert_eq!(fs::read_to_string(sum).expect("the count").trim(), (8 << 20).to_string());
}

#[test]
fn errors_are_heard_after_the_output_is_closed() {
    let Some(sshd) = Sshd::start() else { return };
    let mut session = session(&sshd);
    for bytes in [1, 40_000, 3_000_000] {
        let command = format!("exec >&-; head -c {bytes} /dev/zero >&2; exit 5");
        let (exit, stdout, stderr) = run(&mut session, &command, b"");
        assert_eq!((exit, stdout.len(), stderr.len()), (Exit::Code(5), 0, bytes));
    }
}

#[test]
fn abort_ends_a_run_and_the_connection() {
    let Some(sshd) = Sshd::start() else { return };
    let mut session = session(&sshd);
    let (input, source) = input().expect("an input");
    let aborted = session.run("echo started; exec cat", source, |_, _| input.abort());
    assert!(matches!(aborted, Err(Error::Aborted { .. })), "{aborted:?}");
    let (_input, source) = super::input().expect("an input");
    let gone = session.run("true", source, |_, _| {});
    assert!(matches!(gone, Err(Error::Lost { .. })), "{gone:?}");
}

#[test]
fn abort_ends_a_run_under_full_load() {
    let Some(sshd) = Sshd::start() else { return };
    let mut session = session(&sshd);
    let (input, source) = input().expect("an input");
    input.send(noise(4 << 20));
    let mut heard = 0;
    let aborted = session.run("cat /dev/zero", source, |_, bytes| {
        heard += bytes.len();
        if heard > 1 << 20 {
            input.abort();
        }
    });
    assert!(matches!(aborted, Err(Error::Aborted { .. })), "{aborted:?}");
}

#[test]
fn a_server_that_runs_nothing_says_so() {
    let Some(sshd) = Sshd::start_with(&["ed25519"], "MaxSessions 0") else { return };
    let mut session = session(&sshd);
    for _ in 0..2 {
        let (_input, source) = input().expect("an input");
        let refused = session.run("true", source, |_, _| {});
        assert!(matches!(refused, Err(Error::Start { .. })), "{refused:?}");
    }
}

#[test]
fn a_server_that_dies_is_named() {
    let Some(mut sshd) = Sshd::start() else { return };
    let mut session = session(&sshd);
    let port = sshd.port();
    let (_input, source) = input().expect("an input");
    let lost = session.run("echo started; exec cat", source, |_, _| sshd.kill());
    let Err(lost @ Error::Lost { .. }) = lost else { panic!("{lost:?}") };
    assert!(lost.to_string().contains(&format!("@127.0.0.1:{port}: lost the connection: ")), "{lost}");
}
