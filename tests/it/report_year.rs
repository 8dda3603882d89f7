//! The generator of a simulated year lives through days of it with this program, and reports tell what happened in them.

use crate::scratch::skip;
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn simulated_days_are_reported_as_they_were_lived() {
    let libraries = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut clocks = libraries.map(|entry| entry.path().join("faketime/libfaketime.so.1"));
    if !clocks.any(|clock| clock.exists()) {
        skip("there is no libfaketime");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("year");
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/year");
    let mut command = Command::new("python3");
    command.arg(program).arg(&root).args(["--days", "50", "--binary"]);
    let output = command.arg(env!("CARGO_BIN_EXE_sbf-repo")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("50 days in") && told.contains("report of the year"), "{told}");
    // February to its 19th: two runs of the database failed, as the generator's days say.
    let table = fs::read_to_string(root.join("month.csv")).unwrap();
    let runs = |outcome: &str| {
        let rows = table.lines().filter(|row| row.starts_with("run,") && row.contains("app-db"));
        rows.filter(|row| row.split(',').any(|field| field == outcome)).count()
    };
    assert_eq!((runs("failed"), runs("succeeded")), (2, 17), "{table}");
    for name in ["report-month.html", "report-year.html"] {
        let page = fs::read_to_string(root.join(name)).unwrap();
        assert!(page.contains("</html>") && page.contains("app-db"), "{name}");
        assert!(root.join(format!("{name}.sig")).exists(), "{name}");
    }
}
