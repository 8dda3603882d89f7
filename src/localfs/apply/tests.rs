//! Claims about the target of a restore.

use super::*;
use crate::format::tree::DeviceNumber;
use crate::format::tree::ExtendedAttribute;
use crate::format::tree::InodeNumber;
use crate::format::tree::Timestamp;
use crate::localfs::apply::path::TargetPath;
use crate::localfs::apply::report::Aspect;
use crate::localfs::apply::special::Special;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tempfile::TempDir;

const UNTRUSTED: ApplyOptions = ApplyOptions { ownership: Ownership::Ids, trust: Trust::Untrusted };
const TRUSTED: ApplyOptions = ApplyOptions { ownership: Ownership::Ids, trust: Trust::Trusted };

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn metadata(mode: u16) -> Metadata {
    Metadata {
        mode,
        owner: 0,
        modified: Timestamp { seconds: 981_173_106, nanoseconds: 123_456_789 },
        changed: Timestamp::default(),
        born: None,
        inode: InodeNumber { device: 1, inode: 1 },
        links: 1,
        flags: 0,
        xattrs: Vec::new(),
    }
}

fn owner(user_id: u32, group_id: u32) -> Owner {
    Owner { user_id, group_id, user_name: Vec::new(), group_name: Vec::new() }
}

fn own() -> Owner {
    owner(rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

fn target(folder: &TempDir, options: ApplyOptions) -> Arc<Target> {
    Target::open(&folder.path().join("target"), options).unwrap()
}

/// The same once more. A child that another test starts at this moment holds the lock of the one before, until
/// it becomes another program.
fn target_again(folder: &TempDir) -> Arc<Target> {
    for _ in 0..10_000 {
        match Target::open(&folder.path().join("target"), UNTRUSTED) {
            Err(error) if error.call == LOCK => std::thread::sleep(Duration::from_millis(1)),
            opened => return opened.unwrap(),
        }
    }
    target(folder, UNTRUSTED)
}

/// Sets a flag when it is dropped: a thread that waits for it also ends when a claim fails.
struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn path(text: &str) -> TargetPath {
    let names = text.split('/').filter(|name| !name.is_empty());
    names.fold(TargetPath::root(), |path, name| path.join(name.as_bytes()).unwrap())
}

/// Puts a file with mode 0644 whose content is its path.
fn put(target: &Arc<Target>, at: &str) -> Result<(), LocalError> {
    let whole = path(at);
    let (parent, name) = whole.split().unwrap();
    let directory = target.make_directory(&parent)?;
    let (metadata, owner) = (metadata(0o644), own());
    let wanted = EntryMetadata { metadata: &metadata, owner: &owner };
    target.put_file((&directory, name), at.as_bytes(), wanted).map(|_placed| ())
}

fn read(folder: &TempDir, at: &str) -> Vec<u8> {
    fs::read(folder.path().join("target").join(at)).unwrap()
}

#[test]
fn files_get_their_content_mode_and_time_to_the_nanosecond() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(&folder, UNTRUSTED);
    for (name, mode) in [("a/b/one", 0o644), ("a/two", 0o400), ("three", 0o777), ("four", 0o1)] {
        let whole = path(name);
        let (parent, last) = whole.split().unwrap();
        let directory = target.make_directory(&parent).unwrap();
        let (metadata, owner) = (metadata(mode), own());
        let wanted = EntryMetadata { metadata: &metadata, owner: &owner };
        target.put_file((&directory, last), b"content", wanted).unwrap();
        let stat = fs::metadata(folder.path().join("target").join(name)).unwrap();
        assert_eq!(stat.mode() & 0o7777, u32::from(mode), "{name}");
        assert_eq!((stat.mtime(), stat.mtime_nsec()), (981_173_106, 123_456_789));
        assert_eq!(stat.len(), 7);
    }
    assert!(target.finish().unwrap().is_complete());
}

#[test]
fn files_are_written_by_many_threads_and_keep_their_holes() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(&folder, UNTRUSTED);
    let directory = target.make_directory(&TargetPath::root()).unwrap();
    let file = target.create_file(&directory, b"sparse").unwrap();
    let far = 1_u64 << 36;
    file.set_length(far + 65_536).unwrap();
    std::thread::scope(|scope| {
        for part in 0..8_u64 {
            let file = &file;
            scope.spawn(move || file.write_at(far + part * 4096, &[1; 4096]).unwrap());
        }
    });
    let (metadata, owner) = (metadata(0o600), own());
    file.finish(EntryMetadata { metadata: &metadata, owner: &owner }).unwrap();
    let stat = fs::metadata(folder.path().join("target/sparse")).unwrap();
    assert_eq!(stat.len(), far + 65_536);
    assert!(stat.blocks() * 512 < 1 << 20, "{} blocks", stat.blocks());
}

#[test]
fn a_file_that_is_not_finished_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("target/old")).unwrap();
    let target = target(&folder, UNTRUSTED);
    for parent in ["old", "new"] {
        let directory = target.make_directory(&path(parent)).unwrap();
        let file = target.create_file(&directory, b"f").unwrap();
        file.write_at(0, b"half").unwrap();
        drop(file);
        assert_eq!(fs::read_dir(folder.path().join("target").join(parent)).unwrap().count(), 0);
    }
}

#[test]
fn what_is_in_the_way_is_replaced_and_never_followed() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside");
    fs::create_dir_all(&outside).unwrap();
    fs::File::create(outside.join("victim")).unwrap();
    let top = folder.path().join("target");
    fs::create_dir_all(top.join("d")).unwrap();
    symlink(outside.join("victim"), top.join("d/link")).unwrap();
    symlink("nowhere", top.join("d/dangling")).unwrap();
    fs::hard_link(outside.join("victim"), top.join("d/hard")).unwrap();
    symlink(&outside, top.join("dir")).unwrap();
    let target = target(&folder, UNTRUSTED);
    for at in ["d/link", "d/dangling", "d/hard", "dir/file", "dir/victim"] {
        put(&target, at).unwrap();
        assert_eq!(read(&folder, at), at.as_bytes());
    }
    assert_eq!(fs::read(outside.join("victim")).unwrap(), b"");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert!(fs::symlink_metadata(top.join("dir")).unwrap().is_dir());
    assert!(put(&target, "d").is_err(), "a directory is not replaced by a file");
    assert_eq!(fs::read_dir(&top).unwrap().count(), 2, "no temporary files");
}

#[test]
fn one_name_is_not_restored_twice() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(&folder, UNTRUSTED);
    put(&target, "new/a").unwrap();
    assert!(put(&target, "new/a").is_err());
    assert_eq!(read(&folder, "new/a"), b"new/a");
}

#[test]
fn names_that_lead_elsewhere_are_refused_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(&folder, UNTRUSTED);
    let directory = target.make_directory(&path("a")).unwrap();
    let (metadata, owner) = (metadata(0o600), own());
    let wanted = EntryMetadata { metadata: &metadata, owner: &owner };
    for name in [b"..".as_slice(), b"../x", b"", b"x/y", b".", b"/x"] {
        let place = (&*directory, name);
        assert!(target.create_file(&directory, name).is_err());
        assert!(target.put_file((&directory, name), b"", wanted).is_err());
        assert!(target.make_symlink(place, b"x", wanted).is_err());
        assert!(target.make_special(place, Special::Fifo, wanted).is_err());
        assert!(target.make_hard_link(&path("a/f"), place).is_err());
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_directory_that_is_swapped_for_a_link_never_leads_outside() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside");
    fs::create_dir_all(&outside).unwrap();
    let top = folder.path().join("target");
    fs::create_dir_all(top.join("d/e")).unwrap();
    symlink(&outside, top.join("link")).unwrap();
    let is_done = AtomicBool::new(false);
    let exchange = || {
        let flags = rustix::fs::RenameFlags::EXCHANGE;
        let cwd = rustix::fs::CWD;
        // Fails while the restore has replaced the link; another is put there then.
        if rustix::fs::renameat_with(cwd, top.join("d"), cwd, top.join("link"), flags).is_err()
            || fs::symlink_metadata(top.join("link")).is_ok_and(|s| s.is_dir())
                && fs::symlink_metadata(top.join("d")).is_ok_and(|s| s.is_dir())
        {
            fs::remove_dir_all(top.join("link")).ok();
            symlink(&outside, top.join("link")).ok();
        }
    };
    let (mut made, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        let _ends_it = SetAtEnd(&is_done);
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                exchange();
            }
        });
        for number in 0..10_000 {
            let target = target_again(&folder);
            target.has_openat2.store(number % 2 == 0, Ordering::Relaxed);
            match put(&target, if number % 3 == 0 { "d/e/file" } else { "d/file" }) {
                Ok(()) => made += 1,
                Err(_) => refused += 1,
            }
            let directory = target.open_directory(&path("d"));
            let (metadata, owner) = (metadata(0o711), own());
            let wanted = EntryMetadata { metadata: &metadata, owner: &owner };
            directory.and_then(|_| target.finish_directory(&path("d"), wanted)).ok();
        }
    });
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{made} made, {refused} refused");
    assert_ne!(fs::metadata(&outside).unwrap().mode() & 0o777, 0o711);
    assert!(made > 0);
}

#[test]
fn set_id_bits_are_dropped_unless_trusted() {
    let folder = tempfile::tempdir().unwrap();
    for (name, options, kept) in [("u", UNTRUSTED, false), ("t", TRUSTED, is_root())] {
        let target = target(&folder, options);
        let directory = target.make_directory(&path(name)).unwrap();
        let (metadata, owner) = (metadata(0o6755), own());
        let wanted = EntryMetadata { metadata: &metadata, owner: &owner };
        target.put_file((&directory, b"f"), b"x", wanted).unwrap();
        target.finish_directory(&path(name), wanted).unwrap();
        for place in [name.to_owned(), format!("{name}/f")] {
            let stat = fs::metadata(folder.path().join("target").join(place)).unwrap();
            assert_eq!(stat.mode() & 0o7777, if kept { 0o6755 } else { 0o755 });
        }
        let report = target.finish().unwrap();
        let expected = if kept { None } else { Some(&2) };
        assert_eq!(report.counts.get(&Aspect::SetId), expected);
    }
}

#[test]
fn foreign_owners_are_set_by_trusted_root_alone() {
    let folder = tempfile::tempdir().unwrap();
    for (name, options, kept) in [("u", UNTRUSTED, false), ("t", TRUSTED, is_root())] {
        let target = target(&folder, options);
        let directory = target.make_directory(&path(name)).unwrap();
        let (metadata, owner) = (metadata(0o4755), owner(12_345, 54_321));
        let wanted = EntryMetadata { metadata: &metadata, owner: &owner };
        target.put_file((&directory, b"f"), b"x", wanted).unwrap();
        target.make_symlink((&directory, b"l"), b"f", wanted).unwrap();
        target.make_special((&directory, b"p"), Special::Fifo, wanted).unwrap();
        for entry in ["f", "l", "p"] {
            let place = folder.path().join("target").join(name).join(entry);
            let stat = fs::symlink_metadata(place).unwrap();
            let expected = if kept { (12_345, 54_321) } else { (own().user_id, own().group_id) };
            assert_eq!((stat.uid(), stat.gid()), expected, "{entry}");
            let set_id = stat.mode() & 0o4000 != 0;
            assert_eq!(set_id, kept && entry != "l", "{entry}");
        }
        let report = target.finish().unwrap();
        assert_eq!(report.counts.get(&Aspect::Ownership), if kept { None } else { Some(&3) });
    }
}

#[test]
fn links_pipes_sockets_and_devices_are_made() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("target/old")).unwrap();
    let target = target(&folder, TRUSTED);
    let (metadata, owner) = (metadata(0o640), own());
    let wanted = EntryMetadata { metadata: &metadata, owner: &owner };
    for parent in ["old", "new"] {
        let directory = target.make_directory(&path(parent)).unwrap();
        put(&target, &format!("{parent}/file")).unwrap();
        target.make_symlink((&directory, b"link"), b"\xff dangling", wanted).unwrap();
        target.make_special((&directory, b"pipe"), Special::Fifo, wanted).unwrap();
        target.make_special((&directory, b"socket"), Special::Socket, wanted).unwrap();
        let null = Special::CharacterDevice(DeviceNumber { major: 1, minor: 3 });
        target.make_special((&directory, b"null"), null, wanted).unwrap();
        let existing = path(&format!("{parent}/file"));
        target.make_hard_link(&existing, (&directory, b"hard")).unwrap();
        let place = folder.path().join("target").join(parent);
        let stat = |name: &str| fs::symlink_metadata(place.join(name));
        assert_eq!(fs::read_link(place.join("link")).unwrap().as_os_str().as_bytes()[0], 0xff);
        assert_eq!(stat("link").unwrap().mtime_nsec(), 123_456_789);
        assert_eq!(stat("pipe").unwrap().mode(), 0o010_640);
        assert_eq!(stat("socket").unwrap().mode(), 0o140_640);
        assert_eq!(stat("pipe").unwrap().mtime(), 981_173_106);
        assert_eq!(stat("hard").unwrap().ino(), stat("file").unwrap().ino());
        assert_eq!(stat("null").is_ok(), is_root());
        if let Ok(null) = stat("null") {
            assert_eq!((null.mode(), null.rdev()), (0o020_640, rustix::fs::makedev(1, 3)));
        }
        // Again, over what is there: in an old directory everything is replaced.
        if parent == "old" {
            target.make_hard_link(&existing, (&directory, b"hard")).unwrap();
            target.make_symlink((&directory, b"pipe"), b"x", wanted).unwrap();
            let entries = if is_root() { 6 } else { 5 };
            assert_eq!(fs::read_dir(&place).unwrap().count(), entries, "no temporary names");
        }
    }
    let devices = target.finish().unwrap().counts.get(&Aspect::Device).copied();
    assert_eq!(devices, if is_root() { None } else { Some(2) });
}

#[test]
fn read_only_directories_are_restored_with_their_contents_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..2 {
        let target = target(&folder, UNTRUSTED);
        put(&target, "a/b/f").unwrap();
        let (metadata, owner) = (metadata(0o555), own());
        let wanted = EntryMetadata { metadata: &metadata, owner: &owner };
        target.finish_directory(&path("a/b"), wanted).unwrap();
        target.finish_directory(&path("a"), wanted).unwrap();
        for place in ["target/a", "target/a/b"] {
            let stat = fs::metadata(folder.path().join(place)).unwrap();
            let found = (stat.mode() & 0o7777, stat.mtime(), stat.mtime_nsec());
            assert_eq!(found, (0o555, 981_173_106, 123_456_789), "round {round}");
        }
    }
    for place in ["target/a", "target/a/b"] {
        let open = fs::Permissions::from_mode(0o700);
        fs::set_permissions(folder.path().join(place), open).unwrap();
    }
}

#[test]
fn attributes_and_acls_come_back_and_security_attributes_need_trust() {
    let folder = tempfile::tempdir().unwrap();
    // Version 2: owner r, user 12345 r, group r, mask r, others none.
    let acl = b"\x02\0\0\0\x01\0\x04\0\xff\xff\xff\xff\x02\0\x04\0\x39\x30\0\0\x04\0\x04\0\xff\xff\
        \xff\xff\x10\0\x04\0\xff\xff\xff\xff\x20\0\0\0\xff\xff\xff\xff";
    let attribute = |name: &[u8], value: &[u8]| ExtendedAttribute {
        name: name.to_vec(),
        value: value.to_vec(),
    };
    let mut metadata = metadata(0o440);
    metadata.xattrs = vec![
        attribute(b"security.sbf_test", b"label"),
        attribute(b"system.posix_acl_access", acl),
        attribute(b"user.comment", b"\0binary\xff"),
    ];
    let target = target(&folder, UNTRUSTED);
    let directory = target.make_directory(&TargetPath::root()).unwrap();
    let owner = own();
    let wanted = EntryMetadata { metadata: &metadata, owner: &owner };
    target.put_file((&directory, b"f"), b"x", wanted).unwrap();
    let report = target.finish().unwrap();
    let place = folder.path().join("target/f");
    let found = |name: &str| {
        let mut value = vec![0; 256];
        let length = rustix::fs::getxattr(&place, name, &mut value[..]).ok()?;
        value.truncate(length);
        Some(value)
    };
    let missing: Vec<_> = report.named.iter().map(|one| one.attribute.clone()).collect();
    assert!(missing.contains(&Some(b"security.sbf_test".to_vec())), "{missing:?}");
    assert_eq!(found("security.sbf_test"), None);
    if missing.len() == 1 {
        assert_eq!(found("user.comment").unwrap(), b"\0binary\xff");
        assert_eq!(found("system.posix_acl_access").unwrap(), acl);
    }
    assert_eq!(fs::metadata(&place).unwrap().mode() & 0o7777, 0o440);
}

#[test]
fn inherited_acls_do_not_reach_restored_entries() {
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path().join("target");
    fs::create_dir(&top).unwrap();
    // Version 2: owner rwx, group rwx, others rwx.
    let acl = b"\x02\0\0\0\x01\0\x07\0\xff\xff\xff\xff\x04\0\x07\0\xff\xff\xff\xff\x20\0\x07\0\xff\
        \xff\xff\xff";
    let flags = rustix::fs::XattrFlags::empty();
    if rustix::fs::setxattr(&top, "system.posix_acl_default", acl, flags).is_err() {
        return;
    }
    let target = target(&folder, UNTRUSTED);
    put(&target, "f").unwrap();
    put(&target, "d/f").unwrap();
    for place in ["f", "d/f"] {
        assert_eq!(fs::metadata(top.join(place)).unwrap().mode() & 0o7777, 0o644, "{place}");
    }
    assert!(!has_attribute(&top.join("d"), "system.posix_acl_default"));
    assert!(target.finish().unwrap().is_complete());
}

fn has_attribute(path: &Path, name: &str) -> bool {
    rustix::fs::getxattr(path, name, &mut [0_u8; 256][..]).is_ok()
}

#[test]
fn directories_beyond_the_cache_are_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(&folder, UNTRUSTED);
    for openat2 in [true, false] {
        target.has_openat2.store(openat2, Ordering::Relaxed);
        for number in 0..600 {
            put(&target, &format!("a/{number}/b/{openat2}")).unwrap();
        }
    }
    let (metadata, owner) = (metadata(0o700), own());
    let wanted = EntryMetadata { metadata: &metadata, owner: &owner };
    for number in 0..600 {
        target.finish_directory(&path(&format!("a/{number}/b")), wanted).unwrap();
        assert_eq!(
            fs::read_dir(folder.path().join(format!("target/a/{number}/b"))).unwrap().count(),
            2
        );
    }
}
