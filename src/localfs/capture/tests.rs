//! Claims about reading files and their attributes.

use super::*;
use crate::localfs::attributes;
use crate::localfs::walk::Walk;
use crate::localfs::walk::WalkEvent;
use crate::localfs::walk::WalkOptions;
use std::fs;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

fn entry(path: &Path) -> WalkEntry {
    let options = WalkOptions::new(vec![path.as_os_str().as_encoded_bytes().to_vec()]);
    let entries = Walk::start(options).unwrap().filter_map(|event| match event {
        WalkEvent::EnterDirectory(entry) | WalkEvent::Entry(entry) => Some(entry),
        WalkEvent::LeaveDirectory | WalkEvent::Failed(_) => None,
    });
    entries.last().unwrap()
}

fn write(path: &Path, content: &[u8]) {
    File::create(path).unwrap().write_all(content).unwrap();
}

#[test]
fn a_small_file_is_read_as_the_walk_saw_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    for size in [0, 1, 4096, 100_000] {
        let content = vec![7; size];
        write(&path, &content);
        let entry = entry(&path);
        let mut buffer = b"left over".to_vec();
        let read = read_small(&entry, 1 << 20, &mut buffer).unwrap();
        assert_eq!(read.unwrap().captured, Captured::Consistent(*entry.stat()));
        assert_eq!(buffer, content);
    }
}

#[test]
fn a_file_that_changed_since_the_walk_is_read_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    write(&path, b"old");
    let entry = entry(&path);
    write(&path, b"new and longer");
    let mut buffer = Vec::new();
    let read = read_small(&entry, 1 << 20, &mut buffer).unwrap().unwrap();
    assert!(matches!(read.captured, Captured::Consistent(stat) if stat.size == 14));
    assert_eq!(buffer, b"new and longer");
    assert!(read_small(&entry, 10, &mut buffer).unwrap().is_none());
}

#[test]
fn a_link_or_pipe_in_the_place_of_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    write(&path, b"x");
    let entry = entry(&path);
    fs::remove_file(&path).unwrap();
    let mut buffer = Vec::new();
    let error = read_small(&entry, 10, &mut buffer).unwrap_err();
    assert_eq!(error.source.kind(), std::io::ErrorKind::NotFound);
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    assert!(read_small(&entry, 1 << 20, &mut buffer).is_err());
    assert!(OpenFile::open(&entry).is_err());
    fs::remove_file(&path).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, Mode::RWXU).unwrap();
    assert!(read_small(&entry, 1 << 20, &mut buffer).is_err());
    assert!(OpenFile::open(&entry).is_err());
}

#[test]
fn a_change_while_reading_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    write(&path, b"0123456789");
    let mut file = OpenFile::open(&entry(&path)).unwrap();
    let mut buffer = [0; 4];
    assert_eq!(file.read(&mut buffer).unwrap(), 4);
    let mut other = fs::OpenOptions::new().append(true).open(&path).unwrap();
    other.write_all(b"more").unwrap();
    assert!(matches!(file.finish().unwrap(), Captured::Changed(stat) if stat.size == 10));
    let file = OpenFile::open(&entry(&path)).unwrap();
    assert_eq!(file.read_at(12, &mut buffer).unwrap(), 2);
    assert!(matches!(file.finish().unwrap(), Captured::Consistent(_)));
}

#[test]
fn the_holes_of_a_sparse_file_are_told_without_reading_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse");
    let file = File::create(&path).unwrap();
    let far = 1_u64 << 40;
    if file.set_len(far + 8192).is_err() {
        return;
    }
    rustix::io::pwrite(&file, &[1; 4096], far).unwrap();
    let entry = entry(&path);
    assert!(entry.stat().may_be_sparse());
    let file = OpenFile::open(&entry).unwrap();
    assert_eq!(file.data_run(0).unwrap(), Some(far..far + 4096));
    assert_eq!(file.data_run(far + 10).unwrap(), Some(far + 10..far + 4096));
    assert_eq!(file.data_run(far + 4096).unwrap(), None);
    assert_eq!(file.data_run(u64::MAX).unwrap(), None);
}

#[test]
fn link_targets_and_attributes_are_captured_without_following() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    write(&path, b"");
    let link = folder.path().join("l");
    std::os::unix::fs::symlink("f", &link).unwrap();
    assert_eq!(attributes::symlink_target(&entry(&link)).unwrap(), b"f");
    assert!(attributes::symlink_target(&entry(&path)).is_err());
    let flags = rustix::fs::XattrFlags::empty();
    let large = vec![b'v'; 2000];
    if rustix::fs::setxattr(&path, "user.b", &large, flags).is_err() {
        return;
    }
    rustix::fs::setxattr(&path, "user.a", b"", flags).unwrap();
    let found = attributes::xattrs(&entry(&path)).unwrap();
    let shown = |name: &[u8]| found.iter().find(|x| x.name == name).map(|x| x.value.clone());
    assert_eq!(shown(b"user.a"), Some(Vec::new()));
    assert_eq!(shown(b"user.b"), Some(large));
    assert!(found.is_sorted());
    let open = OpenFile::open(&entry(&path)).unwrap();
    assert_eq!(attributes::xattrs_of_file(&open).unwrap(), found);
    let of_link = attributes::xattrs(&entry(&link)).unwrap();
    assert!(!of_link.iter().any(|attribute| attribute.name.starts_with(b"user.")));
}
