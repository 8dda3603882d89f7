//! What a snapshot reads, leaves out, reports and refuses.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::scratch::Scratch;
use crate::scratch::SetAtEnd;
use crate::scratch::Tree;
use crate::scratch::assert_same;
use crate::scratch::assert_same_trees;
use crate::scratch::expect_code;
use crate::scratch::is_root;
use crate::scratch::noise;
use crate::scratch::put;
use crate::scratch::skip;
use crate::scratch::tree;
use sbf_repo::ops::error::OpError;
use sbf_repo::ops::progress::NoProgress;
use sbf_repo::ops::progress::Progress;
use sbf_repo::ops::snapshot::options::CommandSource;
use sbf_repo::ops::snapshot::options::FilesSource;
use sbf_repo::ops::snapshot::options::SnapshotOptions;
use sbf_repo::ops::snapshot::options::Source;
use sbf_repo::ops::snapshot::options::StreamSource;
use std::ffi::OsString;
use std::fs;
use std::io::Cursor;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

fn files(paths: &[PathBuf]) -> FilesSource {
    FilesSource::new(paths.to_vec())
}

/// The paths below the source that a restore of the newest snapshot brings back.
fn restored_names(scratch: &Scratch) -> Vec<String> {
    scratch.restore("latest", "restored");
    let names = tree(&scratch.below("restored"));
    names.keys().skip(1).map(|path| String::from_utf8(path[1..].to_vec()).unwrap()).collect()
}

#[test]
fn unchanged_files_are_not_read_again() {
    let scratch = Scratch::new();
    for number in 0..50_u64 {
        put(scratch.source().join(format!("{number}")), noise(number, 3000));
    }
    put(scratch.source().join("long"), noise(99, 20_000_000));
    let first = scratch.snapshot();
    assert_eq!(first.run.bytes_read, 20_150_000);
    let second = scratch.snapshot();
    assert_eq!((second.run.files_unchanged, second.run.bytes_read), (51, 0));
    // Only the directories above the source changed, since the repository is below them, too.
    assert!(second.run.bytes_new < 2000, "{:?}", second.run);
    assert_eq!(second.parent, first.snapshot);
    assert_eq!(second.totals, first.totals);
    scratch.restore("latest", "restored");
    assert_same(&scratch.source(), &scratch.below("restored"));
}

#[test]
fn a_file_of_the_same_size_and_time_is_read_if_its_inode_changed() {
    let scratch = Scratch::new();
    let path = scratch.source().join("file");
    put(&path, "before");
    let before = fs::metadata(&path).unwrap();
    scratch.snapshot();
    put(&path, "after!");
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(before.modified().unwrap()).unwrap();
    let after = fs::metadata(&path).unwrap();
    assert_eq!((before.len(), before.mtime_nsec()), (after.len(), after.mtime_nsec()));
    let report = scratch.snapshot();
    assert_eq!((report.run.files_changed, report.run.bytes_read), (1, 6));
    scratch.restore("latest", "restored");
    assert_eq!(fs::read(scratch.below("restored").join("file")).unwrap(), b"after!");
}

#[test]
fn a_changed_mode_is_stored_without_storing_the_content_again() {
    let scratch = Scratch::new();
    let path = scratch.source().join("file");
    put(&path, noise(1, 100_000));
    scratch.snapshot();
    rustix::fs::chmod(&path, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let report = scratch.snapshot();
    assert!(report.run.bytes_new < 2000, "{:?}", report.run);
    scratch.restore("latest", "restored");
    assert_same(&scratch.source(), &scratch.below("restored"));
}

#[test]
fn files_and_directories_may_change_places() {
    let scratch = Scratch::new();
    let (one, two) = (scratch.source().join("one"), scratch.source().join("two"));
    put(&one, "file");
    fs::create_dir(&two).unwrap();
    put(two.join("inside"), "inside");
    scratch.snapshot();
    let first = tree(&scratch.source());
    fs::remove_file(&one).unwrap();
    fs::create_dir(&one).unwrap();
    put(one.join("inside"), "other");
    fs::remove_dir_all(&two).unwrap();
    symlink("one", &two).unwrap();
    let report = scratch.snapshot();
    assert_eq!(report.skipped_count, 0);
    let selector = format!("{}", report.parent.unwrap());
    scratch.restore("latest", "newest");
    assert_same(&scratch.source(), &scratch.below("newest"));
    scratch.restore(&selector, "older");
    assert_same_trees(&first, &tree(&scratch.below("older")));
}

#[test]
fn files_that_change_and_vanish_while_they_are_read_are_reported() {
    let scratch = Scratch::new();
    put(scratch.source().join("calm"), noise(1, 1000));
    let stop = AtomicBool::new(false);
    let mut incomplete_count = 0;
    std::thread::scope(|scope| {
        let _stops_it = SetAtEnd(&stop);
        for name in ["a", "b"] {
            let (path, stop) = (scratch.source().join(name), &stop);
            scope.spawn(move || {
                let mut length = 1;
                while !stop.load(Ordering::Relaxed) {
                    put(&path, noise(7, length % 90_000));
                    length += 7919;
                    if length % 3 == 0 {
                        fs::remove_file(&path).unwrap();
                    }
                }
            });
        }
        for round in 0..40 {
            let report = scratch.snapshot();
            assert!(report.totals.files <= 3);
            assert_eq!(report.is_incomplete(), !report.skipped.is_empty());
            incomplete_count += u32::from(report.is_incomplete());
            for skipped in &report.skipped {
                assert!(!skipped.path.ends_with("calm"), "{skipped:?}");
                let is_mixed = skipped.reason.contains("may mix older and newer bytes");
                assert!(is_mixed || skipped.reason.starts_with("cannot "), "{skipped:?}");
            }
            scratch.restore("latest", &format!("target-{round}"));
            // Whatever was caught, it is the content of no other file.
            for name in ["a", "b"] {
                let path = scratch.below(&format!("target-{round}")).join(name);
                let content = fs::read(path).unwrap_or_default();
                assert!(noise(7, 90_000).starts_with(&content), "{} bytes", content.len());
            }
        }
    });
    assert!(incomplete_count > 0, "nothing changed at the right moment in 40 rounds");
    scratch.check_is_clean();
}

#[test]
fn unreadable_files_are_reported_and_the_rest_is_stored() {
    if !is_root() {
        return skip("only root can become a user who may not read a file");
    }
    let scratch = Scratch::new();
    put(scratch.source().join("open"), "open");
    put(scratch.source().join("secret"), "secret");
    let mode = |name: &str, mode| {
        let mode = rustix::fs::Mode::from_raw_mode(mode);
        rustix::fs::chmod(scratch.path(name), mode).unwrap();
    };
    mode("source/secret", 0o000);
    let output = scratch.run_as_nobody(&["snapshot", scratch.source().to_str().unwrap()]);
    expect_code(&output, 3);
    assert!(String::from_utf8_lossy(&output.stderr).contains("secret"));
    assert_eq!(restored_names(&scratch), ["open"]);
}

#[test]
fn excluded_paths_are_left_out() {
    let scratch = Scratch::new();
    for path in ["keep/a.txt", "keep/b.tmp", "drop/inside/c", "d.tmp"] {
        let path = scratch.source().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        put(path, "x");
    }
    let source = scratch.source();
    let arguments =
        ["snapshot", source.to_str().unwrap(), "--exclude", "*.tmp", "--exclude", "drop/"];
    scratch.run(&arguments, 0);
    assert_eq!(restored_names(&scratch), ["keep", "keep/a.txt"]);
}

#[test]
fn marked_directories_are_stored_without_their_content() {
    let scratch = Scratch::new();
    for path in [
        "marked/.nobackup",
        "marked/x",
        "cache/CACHEDIR.TAG",
        "cache/x",
        "false/CACHEDIR.TAG",
        "false/x",
    ] {
        let path = scratch.source().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        put(path, "Signature: 8a477f597d28d172789f06886806bc55\n");
    }
    put(scratch.source().join("false/CACHEDIR.TAG"), "no signature");
    let mut source = files(&[scratch.source()]);
    source.exclude_if_present = vec![OsString::from(".nobackup")];
    source.exclude_caches = true;
    scratch.try_snapshot(Source::Files(source)).unwrap();
    let expected = [
        "cache",
        "cache/CACHEDIR.TAG",
        "false",
        "false/CACHEDIR.TAG",
        "false/x",
        "marked",
        "marked/.nobackup",
    ];
    assert_eq!(restored_names(&scratch), expected);
}

#[test]
fn other_file_systems_are_left_out_when_asked() {
    let scratch = Scratch::new();
    let mount = scratch.source().join("mount");
    fs::create_dir(&mount).unwrap();
    put(scratch.source().join("here"), "here");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&mount).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        return skip("a file system cannot be mounted here");
    }
    put(mount.join("elsewhere"), "elsewhere");
    let mut source = files(&[scratch.source()]);
    source.one_file_system = true;
    let one = scratch.try_snapshot(Source::Files(source));
    let all = scratch.try_snapshot(Source::Files(files(&[scratch.source()])));
    let unmounted = Command::new("umount").arg(&mount).status().unwrap();
    assert!(unmounted.success());
    assert_eq!((one.unwrap().totals.files, all.unwrap().totals.files), (1, 2));
}

#[test]
fn several_paths_and_single_files_are_stored_under_their_paths() {
    let scratch = Scratch::new();
    let (one, two) = (scratch.path("one"), scratch.path("two"));
    fs::create_dir(&one).unwrap();
    put(one.join("inside"), "inside");
    put(&two, "a file");
    scratch.try_snapshot(Source::Files(files(&[two.clone(), one.clone()]))).unwrap();
    scratch.restore("latest", "restored");
    let at = |path: &Path| scratch.path("restored").join(path.strip_prefix("/").unwrap());
    assert_same(&one, &at(&one));
    assert_eq!(fs::read(at(&two)).unwrap(), b"a file");
}

#[test]
fn a_path_that_is_missing_commits_nothing() {
    let scratch = Scratch::new();
    let missing = scratch.path("missing");
    let refused = scratch.try_snapshot(Source::Files(files(&[scratch.source(), missing.clone()])));
    assert!(matches!(refused, Err(OpError::Local { path, .. }) if path == missing));
    let source = scratch.source();
    scratch.run(&["snapshot", source.to_str().unwrap(), missing.to_str().unwrap()], 1);
    assert_eq!(scratch.snapshot_count(), 0);
}

#[test]
fn an_empty_source_is_a_snapshot_of_an_empty_directory() {
    let scratch = Scratch::new();
    let report = scratch.snapshot();
    assert_eq!(report.totals.files, 0);
    assert!(restored_names(&scratch).is_empty());
    scratch.check_is_clean();
}

fn stream(bytes: Vec<u8>) -> Source {
    Source::Stream(StreamSource::new("dump".to_owned(), Box::new(Cursor::new(bytes))))
}

#[test]
fn a_stream_of_the_same_name_is_stored_anew() {
    let scratch = Scratch::new();
    for content in ["first", "other", ""] {
        let mut child = scratch
            .command(&["snapshot", "--stdin-name", "dump"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(content.as_bytes()).unwrap();
        expect_code(&child.wait_with_output().unwrap(), 0);
        assert_eq!(scratch.run(&["dump", "latest"], 0).stdout, content.as_bytes());
    }
}

#[test]
fn a_command_that_fails_leaves_no_snapshot() {
    let scratch = Scratch::new();
    for script in ["printf text; exit 3", "printf text; kill -9 $$"] {
        let argv = ["sh", "-c", script].map(OsString::from).to_vec();
        let command = CommandSource::new("dump".to_owned(), argv);
        let refused = scratch.try_snapshot(Source::Command(command));
        assert!(matches!(refused, Err(OpError::SourceCommand { .. })), "{refused:?}");
        let run = ["snapshot", "--stdin-name", "dump", "--from-command", "--", "sh", "-c", script];
        scratch.run(&run, 4);
    }
    let missing = ["snapshot", "--stdin-name", "x", "--from-command", "--", "/no/such/program"];
    scratch.run(&missing, 4);
    assert_eq!(scratch.snapshot_count(), 0);
    let good = ["snapshot", "--stdin-name", "x", "--from-command", "--", "printf", "text"];
    scratch.run(&good, 0);
    assert_eq!(scratch.run(&["dump", "latest:/x"], 0).stdout, b"text");
}

#[test]
fn repeated_content_of_a_long_stream_is_stored_once() {
    let scratch = Scratch::new();
    let once = noise(3, 8 << 20);
    // Shifted by a few bytes, so that only cutting by content finds it again.
    let twice = [once.as_slice(), b"between", &once].concat();
    let report = scratch.try_snapshot(stream(twice.clone())).unwrap();
    assert_eq!(report.totals.bytes, u64::try_from(twice.len()).unwrap());
    let stored = report.run.bytes_stored;
    assert!((8 << 20..9 << 20).contains(&stored), "{stored} bytes are stored");
    let dumped = scratch.run(&["dump", "latest"], 0).stdout;
    assert!(dumped == twice, "the stream comes back as it was");
    let again = scratch.try_snapshot(stream(twice)).unwrap();
    assert!(again.run.bytes_new < 100_000, "{:?}", again.run);
    scratch.check_is_clean();
}

/// Asks to stop once so many bytes were read.
#[derive(Debug)]
struct StopAfter {
    bytes_left: AtomicU64,
}

impl Progress for StopAfter {
    fn begin(&self, _phase: &'static str, _files_expected: u64, _bytes_expected: u64) {}

    fn advance(&self, _files: u64, bytes: u64) {
        let less = |left: u64| Some(left.saturating_sub(bytes));
        self.bytes_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).unwrap();
    }

    fn warn(&self, _text: &str) {}

    fn is_cancelled(&self) -> bool {
        self.bytes_left.load(Ordering::Relaxed) == 0
    }
}

#[test]
fn an_interrupted_run_leaves_its_uploads_to_the_next() {
    let scratch = Scratch::new();
    for number in 0..192_u64 {
        put(scratch.source().join(format!("{number:03}")), noise(number, 1 << 18));
    }
    let repository = scratch.open();
    let options = SnapshotOptions::new("test".to_owned(), "host".to_owned());
    let source = || Source::Files(files(&[scratch.source()]));
    let stop = StopAfter { bytes_left: AtomicU64::new(16 << 20) };
    let stopped = sbf_repo::ops::snapshot::snapshot(&repository, &options, source(), &stop);
    assert!(matches!(stopped, Err(OpError::Interrupted)), "{stopped:?}");
    assert_eq!(scratch.snapshot_count(), 0);
    let first = scratch.place.bytes_below("");
    assert!(first > 10 << 20, "{first} bytes were stored before the interruption");
    let report =
        sbf_repo::ops::snapshot::snapshot(&repository, &options, source(), &NoProgress::new());
    assert_eq!(report.unwrap().totals.files, 192);
    let both = scratch.place.bytes_below("");
    assert!(both < 51 << 20, "{both} bytes are stored for 48 MiB");
    scratch.restore("latest", "restored");
    assert_same(&scratch.source(), &scratch.below("restored"));
    scratch.check_is_clean();
}

#[test]
fn filters_of_the_library_see_absolute_paths() {
    let scratch = Scratch::new();
    put(scratch.source().join("a"), "a");
    put(scratch.source().join("b"), "b");
    let unwanted = scratch.source().join("a");
    let mut source = files(&[scratch.source()]);
    source.exclude = Some(Arc::new(move |path, _is_directory| path == unwanted));
    scratch.try_snapshot(Source::Files(source)).unwrap();
    assert_eq!(restored_names(&scratch), ["b"]);
}

#[test]
fn every_snapshot_of_a_changing_tree_stays_as_it_was() {
    let scratch = Scratch::new();
    let mut kept: Vec<(String, Tree)> = Vec::new();
    for round in 0..12_u64 {
        for number in 0..40 {
            let path = scratch.source().join(format!("{}", (number * 7 + round) % 90));
            if (number + round) % 5 == 0 {
                fs::remove_file(&path).ok();
            } else {
                let length = usize::try_from((number * 3571 + round * 911) % 200_000).unwrap();
                put(path, noise(number % 11, length));
            }
        }
        let report = scratch.snapshot();
        kept.push((report.snapshot.unwrap().to_string(), tree(&scratch.source())));
    }
    for (snapshot, expected) in &kept {
        scratch.restore(snapshot, snapshot);
        assert_same_trees(expected, &tree(&scratch.below(snapshot)));
    }
    scratch.check_is_clean();
}

#[test]
fn what_a_lost_pack_held_is_stored_again() {
    // A snapshot that relied on packs that were gone ended with success and could not be restored.
    let scratch = Scratch::new();
    put(scratch.source().join("small"), "small");
    put(scratch.source().join("long"), noise(1, 300_000));
    scratch.snapshot();
    scratch.place.remove("packs");
    let report = scratch.snapshot();
    assert!(report.run.bytes_stored > 300_000, "{:?}", report.run);
    scratch.restore("latest", "restored");
    assert_same(&scratch.source(), &scratch.below("restored"));
    // One that was cut short, too.
    for pack in scratch.place.keys("packs") {
        scratch.place.alter(&pack, |bytes| bytes.truncate(bytes.len() - 1));
    }
    scratch.snapshot();
    scratch.restore("latest", "again");
    assert_same(&scratch.source(), &scratch.below("again"));
}

#[test]
fn what_only_the_cache_has_an_index_of_is_stored_again() {
    // Such a snapshot could be restored by this host alone.
    let scratch = Scratch::new();
    put(scratch.source().join("long"), noise(1, 300_000));
    scratch.snapshot();
    scratch.place.remove("index");
    let report = scratch.snapshot();
    assert!(report.run.bytes_stored > 300_000, "{:?}", report.run);
    fs::remove_dir_all(scratch.path("cache")).unwrap();
    scratch.restore("latest", "restored");
    assert_same(&scratch.source(), &scratch.below("restored"));
}
