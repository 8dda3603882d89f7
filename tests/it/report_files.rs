//! Where `report` writes: files are replaced where they stand, anything else is written into or refused.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::out;
use crate::report_site::Site;
use crate::scratch::put;
use rustix::fs::Mode;
use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::path::PathBuf;

struct Files {
    site: Site,
    folder: PathBuf,
}

impl Files {
    fn new() -> Self {
        let site = Site::empty();
        site.snapshot("2025-10-02T02:00:01Z", "app-db");
        let folder = site.scratch.path("files");
        fs::create_dir(&folder).unwrap();
        Self { site, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Runs `report` beside the files, and returns what it says on standard output and in errors.
    #[track_caller]
    fn report(&self, arguments: &[&str], code: i32) -> (String, String) {
        let mut command =
            self.site.scratch.command(&[&["report", "--month", "2025-10"], arguments].concat());
        let output = command.current_dir(&self.folder).output().unwrap();
        crate::scratch::expect_code(&output, code);
        (out(&output), String::from_utf8(output.stderr).unwrap())
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn is_page(path: &Path) -> bool {
    fs::read_to_string(path).unwrap().contains("</html>")
}

#[test]
fn a_symlink_stays_and_the_file_it_leads_to_is_replaced() {
    let files = Files::new();
    fs::create_dir(files.path("there")).unwrap();
    put(files.path("there/page"), b"old");
    symlink("there/page", files.path("link")).unwrap();
    files.report(&["--html", "link", "--sign"], 0);
    assert!(fs::symlink_metadata(files.path("link")).unwrap().is_symlink());
    assert!(is_page(&files.path("there/page")));
    assert!(files.path("link.sig").is_file());
    // One that leads to a file that is not there yet.
    symlink("there/new", files.path("second")).unwrap();
    symlink("second", files.path("third")).unwrap();
    files.report(&["--html", "third"], 0);
    assert!(fs::symlink_metadata(files.path("second")).unwrap().is_symlink());
    assert!(is_page(&files.path("there/new")));
    assert_eq!(files.names(), ["link", "link.sig", "second", "there", "third"]);
    assert_eq!(fs::read_dir(files.path("there")).unwrap().count(), 2);
}

#[test]
fn fifos_and_devices_are_written_into_and_not_signed() {
    let files = Files::new();
    let fifo = files.path("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
    let reader = std::thread::spawn({
        let fifo = fifo.clone();
        move || fs::read_to_string(fifo).unwrap()
    });
    files.report(&["--html", "fifo"], 0);
    assert!(reader.join().unwrap().contains("</html>"));
    assert!(fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo());
    let (page, _said) = files.report(&["--html", "/dev/stdout"], 0);
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"), "{page}");
    files.report(&["--html", "/dev/null"], 0);
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    let (_page, said) = files.report(&["--html", "fifo", "--sign"], 2);
    assert!(said.contains("`--sign` signs files, and fifo is none"), "{said}");
    assert_eq!(files.names(), ["fifo"]);
}

#[test]
fn two_files_in_one_place_are_refused_before_anything_is_written() {
    let files = Files::new();
    put(files.path("one"), b"old");
    symlink("one", files.path("link")).unwrap();
    for arguments in [
        &["--html", "one", "--csv", "one"][..],
        &["--html", "one", "--csv", "link"],
        &["--html", "new", "--csv", "./new"],
        &["--html", "/dev/null", "--csv", "/dev/null"],
        &["--html", "new.sig", "--csv", "new", "--sign"],
    ] {
        let (_out, said) = files.report(arguments, 2);
        assert!(said.contains("two files cannot both be written to"), "{said}");
    }
    assert_eq!(fs::read(files.path("one")).unwrap(), b"old");
    assert_eq!(files.names(), ["link", "one"]);
}

#[test]
fn what_cannot_be_a_file_is_refused_before_anything_is_written() {
    let files = Files::new();
    symlink("self", files.path("self")).unwrap();
    for wrong in [".", "..", "new/", "no/such", "self"] {
        files.report(&["--csv", "table", "--html", wrong], 1);
        files.report(&["--html", "page", "--csv", wrong], 1);
    }
    assert_eq!(files.names(), ["self"]);
    assert!(!files.site.scratch.path("..new").exists());
}
