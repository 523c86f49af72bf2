//! What a browser makes of pages: Chromium, driven by `browser.py` over the WebDriver protocol.

use crate::logs::Log;
use crate::pages::{report, train};
use std::path::Path;
use std::process::Command;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/report/browser.py");

/// Python, if it and the browser are there. Where CI is set, they must be.
fn python() -> Option<String> {
    let python = std::env::var("ISOGRAD_PYTHON").unwrap_or_else(|_| "python3".to_string());
    let starts =
        |program: &str| Command::new(program).arg("--version").output().is_ok_and(|it| it.status.success());
    let missing: Vec<&str> = [python.as_str(), "chromium", "chromedriver"]
        .into_iter()
        .filter(|program| !starts(program))
        .collect();
    if missing.is_empty() {
        return Some(python);
    }
    let problem = format!("pages are not looked at: there is no {}", missing.join(", no "));
    assert!(std::env::var_os("CI").is_none(), "{problem}");
    eprintln!("SKIPPED: {problem}");
    None
}

/// Opens `page` and checks it; `parts` are what its text must have.
#[track_caller]
fn look_at(python: &str, page: &Path, parts: &[&str]) {
    let output = Command::new(python).arg(SCRIPT).arg(page).args(parts).output().expect("Python starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn a_browser_shows_pages_and_every_part_can_be_reached() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let a = folder.path().join("a");
    train(folder.path(), "a", "--epochs 1 --steps 40 --metrics acc");
    Log { epochs: 30, ..Log::default() }.write(&a);
    assert_eq!(report(&[a.to_str().unwrap()]).code, Some(0));
    look_at(&python, &a.join("report.html"), &["Loss by step", "Most confused pairs", "AMD EPYC 9555"]);

    let b =
        Log { learning_rate: 0.02, cpu: "<script>document.title = 'x'</script>".into(), ..Log::default() };
    let b = b.write(&folder.path().join("b"));
    let both = folder.path().join("both.html");
    let outcome = report(&[a.to_str().unwrap(), b.to_str().unwrap(), "--out", both.to_str().unwrap()]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    look_at(&python, &both, &["Settings that differ", "<script>document.title"]);
}
