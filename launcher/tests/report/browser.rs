//! What a browser makes of pages.

use crate::chromium::{look_at, python};
use crate::logs::Log;
use crate::pages::{report, train};

/// The axis and a line of the first chart.
const CHART: [&str; 2] = ["epoch", "loss"];

#[test]
fn a_browser_shows_pages_and_every_part_can_be_reached() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let a = folder.path().join("a");
    train(folder.path(), "a", "--epochs 1 --steps 40 --metrics acc");
    Log { epochs: 30, ..Log::default() }.write(&a);
    assert_eq!(report(&[a.to_str().unwrap()]).code, Some(0));
    look_at(
        &python,
        &a.join("report.html"),
        CHART,
        &["Loss by step", "Most confused pairs", "AMD EPYC 9555"],
    );

    let b =
        Log { learning_rate: 0.02, cpu: "<script>document.title = 'x'</script>".into(), ..Log::default() };
    let b = b.write(&folder.path().join("b"));
    let both = folder.path().join("both.html");
    let outcome = report(&[a.to_str().unwrap(), b.to_str().unwrap(), "--out", both.to_str().unwrap()]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    look_at(&python, &both, CHART, &["Settings that differ", "<script>document.title"]);
}
