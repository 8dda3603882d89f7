//! `dump --archive` as stock tools see it: what they unpack, and that they see when it is not whole.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::reader::python;
use crate::scratch::assert_same;
use crate::scratch::put;
use crate::support::bytes_of;
use rustix::fs::AtFlags;
use rustix::fs::CWD;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::Timespec;
use rustix::fs::Timestamps;
use rustix::fs::XattrFlags;
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::process::Output;

/// Everything that a tree can hold, a user may make, and both a tar archive and a restore keep.
fn fill(desk: &Desk) {
    let data = desk.path("data");
    put(data.join("large"), bytes_of(1, 3_000_000, 256));
    put(data.join("empty"), b"");
    fs::hard_link(data.join("large"), data.join("inner/the-same")).unwrap();
    symlink("a.txt", data.join("link")).unwrap();
    symlink("x".repeat(300), data.join("long-link")).unwrap();
    for (name, bytes) in [("first", 5_u64), ("last", 70_000), ("hole", 0)] {
        let path = data.join(format!("sparse-{name}"));
        put(&path, bytes_of(bytes, usize::try_from(bytes).unwrap(), 256));
        fs::File::options().write(true).open(&path).unwrap().set_len(9_000_000).unwrap();
    }
    let end = fs::File::options().write(true).open(data.join("sparse-last")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&end, b"end", 8_999_997).unwrap();
    let deep = data.join("d".repeat(200)).join("e".repeat(255));
    fs::create_dir_all(&deep).unwrap();
    put(deep.join("f".repeat(255)), b"deep");
    put(data.join(OsStr::from_bytes(b"not\xff-utf8\n")), b"bytes");
    put(data.join(format!("\u{e4}{}", "\u{fc}".repeat(100))), b"umlauts");
    fs::set_permissions(data.join("a.txt"), fs::Permissions::from_mode(0o4751)).unwrap();
    rustix::fs::mknodat(CWD, data.join("pipe"), FileType::Fifo, Mode::from(0o640), 0).unwrap();
    let _unsupported = rustix::fs::lsetxattr(
        data.join("large"),
        "user.a=b%c",
        b"\0bytes\xff\n",
        XattrFlags::empty(),
    );
    for (name, seconds, nanoseconds) in
        [("a.txt", 1_600_000_000, 123_456_789), ("empty", -5, 250_000_000), ("inner", 7, 1)]
    {
        let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(CWD, data.join(name), &times, AtFlags::empty()).unwrap();
    }
}

fn selector(desk: &Desk) -> String {
    format!("latest:{}", desk.path("data").display())
}

/// Writes an archive into a file.
fn archive(desk: &Desk, selector: &str, form: &str, exit: i32) -> Output {
    let output = desk.run(&["dump", selector, "--archive", form]);
    check(&output, exit);
    put(desk.path("archive"), &output.stdout);
    output
}

fn tool(desk: &Desk, words: &[&str]) -> Output {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).current_dir(desk.path("")).env("LC_ALL", "C.UTF-8").output().unwrap()
}

fn python_says(desk: &Desk, script: &str, arguments: &[&str]) -> Output {
    let python = python().canonicalize().unwrap_or_else(|_error| python());
    let python = if python.is_absolute() { python } else { Path::new("python3").to_path_buf() };
    let mut command = Command::new(python);
    command.arg("-c").arg(script).args(arguments).current_dir(desk.path("")).output().unwrap()
}

#[test]
fn tar_unpacks_what_a_restore_restores() {
    let desk = Desk::with_repository();
    fill(&desk);
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    for (form, how) in [("tar", "-xpf"), ("tar.zst", "--zstd -xpf")] {
        archive(&desk, &selector(&desk), form, 0);
        let target = format!("from-{form}");
        fs::create_dir(desk.path(&target)).unwrap();
        let how: Vec<&str> = how.split(' ').collect();
        let words = [
            &["tar", "--xattrs", "--xattrs-include=*", "--acls"],
            how.as_slice(),
            &["archive", "-C", &target],
        ];
        check(&tool(&desk, &words.concat()), 0);
        // The directory that is selected is not a member, so that its time is another.
        let time = fs::metadata(desk.path("data")).unwrap().modified().unwrap();
        fs::set_permissions(
            desk.path(&target),
            fs::metadata(desk.path("data")).unwrap().permissions(),
        )
        .unwrap();
        fs::File::open(desk.path(&target)).unwrap().set_modified(time).unwrap();
        assert_same(&desk.path("data"), &desk.path(&target));
        let sparse = fs::metadata(desk.path(&target).join("sparse-hole")).unwrap();
        assert!(sparse.blocks() * 512 < 1_000_000, "holes are made again");
    }
}

#[test]
fn python_reads_the_same_tar() {
    let desk = Desk::with_repository();
    fill(&desk);
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    archive(&desk, &selector(&desk), "tar", 0);
    let script = "
import hashlib, json, os, sys, tarfile
wrong = []
with tarfile.open('archive', 'r:') as archive:
    members = archive.getmembers()
    for member in members:
        path = os.path.join('data', member.name)
        stat = os.lstat(path)
        if member.isreg():
            same = archive.extractfile(member).read() == open(path, 'rb').read()
        elif member.issym():
            same = member.linkname == os.readlink(path)
        elif member.islnk():
            same = os.stat(os.path.join('data', member.linkname)).st_ino == stat.st_ino
        else:
            same = member.isdir() or member.isfifo()
        same = same and member.mode == stat.st_mode & 0o7777 and member.uid == stat.st_uid
        if not same or abs(member.mtime - stat.st_mtime) > 0.001:
            wrong.append(repr(member.name))
    count = sum(len(names) + len(files) for _, names, files in os.walk('data'))
    print(json.dumps({'wrong': wrong, 'members': len(members), 'there': count}))
";
    let output = python_says(&desk, script, &[]);
    check(&output, 0);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["wrong"].as_array().unwrap().len(), 0, "{said}");
    assert_eq!(said["members"], said["there"]);
}

#[test]
fn a_list_of_access_rights_is_unpacked() {
    let desk = Desk::with_repository();
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, id) in [
        (1_u16, 6_u16, u32::MAX),
        (2, 6, 1234),
        (4, 4, u32::MAX),
        (16, 6, u32::MAX),
        (32, 4, u32::MAX),
    ] {
        list.extend([tag.to_le_bytes(), rights.to_le_bytes()].concat());
        list.extend(id.to_le_bytes());
    }
    let name = "system.posix_acl_access";
    let file = desk.path("data/a.txt");
    if rustix::fs::setxattr(&file, name, &list, XattrFlags::empty()).is_err() {
        return crate::scratch::skip("no lists of access rights here");
    }
    check(&desk.run(&["snapshot", "data"]), 0);
    archive(&desk, &selector(&desk), "tar", 0);
    let bytes = fs::read(desk.path("archive")).unwrap();
    let words = b"SCHILY.acl.access=user::rw-,user:1234:rw-,group::r--,mask::rw-,other::r--\n";
    assert!(bytes.windows(words.len()).any(|window| window == words));
    fs::create_dir(desk.path("back")).unwrap();
    check(&tool(&desk, &["tar", "--acls", "-xpf", "archive", "-C", "back"]), 0);
    let mut back = vec![0; 100];
    let length = rustix::fs::getxattr(desk.path("back/a.txt"), name, &mut back).unwrap();
    assert_eq!(back[..length], list);
}

#[test]
fn unzip_and_python_read_a_zip() {
    let desk = Desk::with_repository();
    let data = desk.path("data");
    put(data.join("large"), bytes_of(1, 3_000_000, 256));
    put(data.join("\u{e4}\u{fc}"), b"umlauts");
    put(data.join("empty"), b"");
    symlink("a.txt", data.join("link")).unwrap();
    fs::create_dir(data.join("nothing-inside")).unwrap();
    fs::hard_link(data.join("large"), data.join("inner/the-same")).unwrap();
    fs::set_permissions(data.join("a.txt"), fs::Permissions::from_mode(0o751)).unwrap();
    check(&desk.run(&["snapshot", "data"]), 0);
    archive(&desk, &selector(&desk), "zip", 0);
    check(&tool(&desk, &["unzip", "-q", "archive", "-d", "back"]), 0);
    for name in ["large", "inner/the-same", "\u{e4}\u{fc}", "empty", "inner/b.txt"] {
        assert_eq!(
            fs::read(data.join(name)).unwrap(),
            fs::read(desk.path("back").join(name)).unwrap()
        );
    }
    assert_eq!(fs::read_link(desk.path("back/link")).unwrap(), Path::new("a.txt"));
    assert!(desk.path("back/nothing-inside").is_dir());
    let (before, after) =
        (fs::metadata(data.join("a.txt")).unwrap(), fs::metadata(desk.path("back/a.txt")).unwrap());
    assert_eq!((before.mode(), before.mtime()), (after.mode(), after.mtime()));
    let script = "
import zipfile
archive = zipfile.ZipFile('archive')
assert archive.testzip() is None
assert archive.read('inner/b.txt') == b'second'
assert 'nothing-inside/' in archive.namelist()
";
    check(&python_says(&desk, script, &[]), 0);
}

#[test]
fn more_than_four_gibibytes_fit_into_one_entry() {
    let desk = Desk::with_repository();
    let huge = desk.path("data/huge");
    put(&huge, b"begin");
    let length = 9 << 30;
    fs::File::options().write(true).open(&huge).unwrap().set_len(length).unwrap();
    check(&desk.run(&["snapshot", "data"]), 0);
    archive(&desk, &format!("{}/huge", selector(&desk)), "tar", 0);
    fs::create_dir(desk.path("back")).unwrap();
    check(&tool(&desk, &["tar", "-xf", "archive", "-C", "back"]), 0);
    let back = fs::metadata(desk.path("back/huge")).unwrap();
    assert_eq!(back.len(), length);
    assert!(back.blocks() * 512 < 1_000_000);
    let length = (1 << 32) + 5;
    fs::File::options().write(true).open(&huge).unwrap().set_len(length).unwrap();
    check(&desk.run(&["snapshot", "data"]), 0);
    archive(&desk, &format!("{}/huge", selector(&desk)), "zip", 0);
    let script = format!(
        "
import zipfile
archive = zipfile.ZipFile('archive')
[entry] = archive.infolist()
assert entry.file_size == {length}, entry
with archive.open(entry) as file:
    assert file.read(6) == b'begin\\0'
"
    );
    check(&python_says(&desk, &script, &[]), 0);
}

#[test]
fn what_an_archive_cannot_hold_is_told() {
    let desk = Desk::with_repository();
    let _socket = std::os::unix::net::UnixListener::bind(desk.path("data/socket")).unwrap();
    check(&desk.run(&["snapshot", "data"]), 0);
    for form in ["tar", "zip"] {
        let output = archive(&desk, &selector(&desk), form, 3);
        assert!(err(&output).contains("socket is left out"), "{}", err(&output));
    }
    check(&tool(&desk, &["unzip", "-q", "archive", "-d", "back"]), 0);
    assert_eq!(fs::read(desk.path("back/a.txt")).unwrap(), b"first");
    put(desk.path("data").join(OsStr::from_bytes(b"not\xff-utf8")), b"bytes");
    check(&desk.run(&["snapshot", "data"]), 0);
    let refused = archive(&desk, &selector(&desk), "zip", 2);
    assert!(err(&refused).contains("not\\xff-utf8`, which is not UTF-8"), "{}", err(&refused));
    assert_eq!(tool(&desk, &["unzip", "-tq", "archive"]).status.code(), Some(9));
    check(&desk.run(&["dump", &selector(&desk), "--archive", "rar"]), 2);
    check(&desk.run(&["dump", &selector(&desk), "--archive", "tar", "--json"]), 2);
}

#[test]
fn an_archive_of_something_damaged_is_not_well_formed() {
    let desk = Desk::with_repository();
    // Before and behind the damage there is something that is whole.
    desk.put("data/m-large", &bytes_of(1, 9_000_000, 256));
    desk.put("data/z-last", b"last");
    check(&desk.run(&["snapshot", "data"]), 0);
    let python_tar = "
import tarfile
with tarfile.open('archive', 'r|*') as archive:
    for member in archive:
        if member.isreg():
            archive.extractfile(member).read()
";
    let checks = |form: &str, is_whole: bool| {
        let succeeds: Vec<bool> = match form {
            "zip" => vec![
                tool(&desk, &["unzip", "-tq", "archive"]).status.success(),
                python_says(&desk, "import zipfile; zipfile.ZipFile('archive')", &[])
                    .status
                    .success(),
            ],
            "tar.zst" => vec![
                tool(&desk, &["zstd", "-tq", "archive"]).status.success(),
                tool(&desk, &["tar", "--zstd", "-tf", "archive"]).status.success(),
            ],
            _tar => vec![
                tool(&desk, &["tar", "-tf", "archive"]).status.success(),
                python_says(&desk, python_tar, &[]).status.success(),
            ],
        };
        assert!(succeeds.iter().all(|succeeds| *succeeds == is_whole), "{form}: {succeeds:?}");
    };
    let forms = ["tar", "tar.zst", "zip"];
    for form in forms {
        archive(&desk, &selector(&desk), form, 0);
        checks(form, true);
    }
    let pack = desk.place.longest("packs");
    desk.place.alter(&pack, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    for form in forms {
        let output = archive(&desk, &selector(&desk), form, 5);
        assert!(err(&output).contains("m-large"), "{}", err(&output));
        assert!(!output.stdout.is_empty() || form != "tar");
        checks(form, false);
    }
}

#[test]
fn an_archive_that_ends_between_entries_is_not_well_formed() {
    let desk = Desk::with_repository();
    fs::create_dir(desk.path("data/many")).unwrap();
    for number in 0..2000 {
        desk.put(&format!("data/many/a-file-with-a-long-name-{number}"), b"");
    }
    check(&desk.run(&["snapshot", "data"]), 0);
    // Nearly everything that is stored is the listing of `many`.
    let pack = desk.place.longest("packs");
    desk.place.alter(&pack, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    for form in ["tar", "zip"] {
        archive(&desk, &selector(&desk), form, 5);
        for words in [["tar", "-tf"], ["unzip", "-tq"]] {
            let output = tool(&desk, &[&words[..], &["archive"]].concat());
            assert!(!output.status.success(), "{form}: {words:?}");
        }
    }
}
