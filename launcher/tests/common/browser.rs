//! What a browser makes of pages: Chromium, driven by `browser.py` over the WebDriver protocol.

use std::path::Path;
use std::process::Command;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/browser.py");

/// Python, if it and the browser are there. Where CI is set, they must be.
pub(crate) fn python() -> Option<String> {
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

/// Opens `page` and checks it. Its first chart has a line whose name begins with `y` over an axis `x` with a
/// value 2; `parts` are what its text must have.
#[track_caller]
pub(crate) fn look_at(python: &str, page: &Path, [x, y]: [&str; 2], parts: &[&str]) {
    let output =
        Command::new(python).arg(SCRIPT).arg(page).args([x, y]).args(parts).output().expect("Python starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}
