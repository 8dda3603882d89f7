//! `mount` through the kernel, as people work with it.
#![cfg(feature = "mount")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::files_below;
use crate::servers::gcs;
use crate::servers::weed;
use crate::support::bytes_of;
use crate::support::damage_large_pack;
use std::fs;
use std::fs::File;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

/// Where snapshots are mounted; unmounts at the end whatever happens.
struct Mounted {
    target: PathBuf,
    child: Option<Child>,
    told: Vec<String>,
}

impl Mounted {
    /// Mounts and waits until everything is there; `None` where nobody may mount.
    fn at(desk: &Desk, name: &str, arguments: &[&str]) -> Option<Self> {
        Self::with(desk.command(&[]), desk, name, arguments)
    }

    fn with(mut command: Command, desk: &Desk, name: &str, arguments: &[&str]) -> Option<Self> {
        if is_hindered() {
            return None;
        }
        let target = desk.path(name);
        fs::create_dir(&target).unwrap();
        command.args(["mount", name]).args(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.as_mut().unwrap()).lines();
        let mut told = Vec::new();
        while !told.last().is_some_and(|line: &String| line.contains("mounted at")) {
            let line = lines.next();
            assert!(line.is_some(), "not mounted: {told:?}");
            told.extend(line.unwrap());
        }
        Some(Self { target, child: Some(child), told })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.target.join(name)
    }

    /// Sends the signal of Ctrl-C's name or of another, and waits for the end.
    fn end(mut self, signal: &str) -> Output {
        let child = self.child.take().unwrap();
        let (signal, process) = (format!("-{signal}"), child.id().to_string());
        assert!(Command::new("kill").args([signal, process]).status().unwrap().success());
        child.wait_with_output().unwrap()
    }

    fn unmount(mut self) -> Output {
        let child = self.child.take().unwrap();
        assert!(Command::new("umount").arg(&self.target).status().unwrap().success());
        child.wait_with_output().unwrap()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let _ignored = Command::new("umount").arg("-l").arg(&self.target).status();
        let _ignored = child.kill();
        let _ignored = child.wait();
    }
}

/// Whether this machine cannot show what is claimed, which is said.
#[expect(clippy::print_stdout, reason = "tests print why they skip")]
fn is_hindered() -> bool {
    let obstacle = obstacle();
    if let Some(why) = obstacle {
        println!("skip: {why}");
    }
    obstacle.is_some()
}

fn obstacle() -> Option<&'static str> {
    if !Path::new("/dev/fuse").exists() {
        return Some("there is no /dev/fuse");
    }
    let is_root = rustix::process::geteuid().is_root();
    let may_mount = is_root && File::options().read(true).write(true).open("/dev/fuse").is_ok();
    (!may_mount).then_some("this user may not mount")
}

/// The directory of `data` below the top of a snapshot.
fn inside(desk: &Desk, top: &str) -> String {
    format!("{top}{}", desk.path("data").display())
}

/// Entries of every kind that a test can make.
fn fill(desk: &Desk) {
    desk.put("data/large", &large());
    fs::set_permissions(desk.path("data/large"), fs::Permissions::from_mode(0o4640)).unwrap();
    fs::hard_link(desk.path("data/a.txt"), desk.path("data/second name")).unwrap();
    symlink("inner/b.txt", desk.path("data/link")).unwrap();
    let made = Command::new("mkfifo").arg(desk.path("data/pipe")).status().unwrap();
    assert!(made.success());
    let sparse = File::create(desk.path("data/sparse")).unwrap();
    sparse.set_len(50_000_000).unwrap();
    sparse.write_all_at(b"end", 49_999_990).unwrap();
    drop(sparse);
    rustix::fs::setxattr(
        desk.path("data/a.txt"),
        "user.colour",
        b"green",
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
}

fn large() -> Vec<u8> {
    bytes_of(7, 30_000_000, 256)
}

#[test]
fn snapshots_are_files_and_directories() {
    let desk = Desk::with_repository();
    fill(&desk);
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    desk.put("data/a.txt", b"changed since");
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    let ids: Vec<String> = desk.json(&["snapshots"], 0)["snapshots"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["snapshot"].as_str().unwrap().to_owned())
        .collect();
    let Some(mounted) = Mounted::at(&desk, "mnt", &[]) else { return };
    let listed: Vec<String> = names(&mounted.target);
    assert_eq!(listed, ["by-source", "latest", "snapshots"]);
    let mut sorted = ids.clone();
    sorted.sort();
    assert_eq!(names(&mounted.path("snapshots")), sorted);
    let dates = names(&mounted.path("by-source/docs"));
    assert_eq!(dates.len(), 3, "{dates:?}");
    let newest = mounted.path(&inside(&desk, "latest"));
    assert_eq!(fs::read(newest.join("a.txt")).unwrap(), b"changed since");
    let latest = mounted.path(&inside(&desk, "by-source/docs/latest"));
    assert_eq!(fs::read(latest.join("a.txt")).unwrap(), b"changed since");

    let before = mounted.path(&inside(&desk, &format!("snapshots/{}", oldest(&desk))));
    assert_eq!(fs::read(before.join("a.txt")).unwrap(), b"first");
    // So many digits as are shown elsewhere are enough.
    let short = mounted.path(&inside(&desk, &format!("snapshots/{}", &oldest(&desk)[..8])));
    assert_eq!(fs::read(short.join("inner/b.txt")).unwrap(), b"second");
    let (first, second) = (before.join("a.txt"), before.join("second name"));
    let (first, second) = (fs::metadata(first).unwrap(), fs::metadata(second).unwrap());
    assert_eq!((first.nlink(), first.ino()), (2, second.ino()));
    assert_eq!(fs::read_link(before.join("link")).unwrap(), Path::new("inner/b.txt"));
    assert_eq!(fs::read(before.join("link")).unwrap(), b"second");
    check_metadata(&desk.path("data"), &before);
    check_contents(&before);
    check_options(&mounted.target);
    // Nothing can be changed.
    let refused = File::options().write(true).open(before.join("a.txt")).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(rustix::io::Errno::ROFS.raw_os_error()));
    assert!(fs::create_dir(mounted.path("new")).is_err());
    assert_eq!(fs::read(mounted.path("nothing")).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    let ended = mounted.end("TERM");
    check(&ended, 0);
    assert_eq!(names(&desk.path("mnt")), [""; 0], "it is unmounted");
}

fn check_metadata(data: &Path, before: &Path) {
    assert!(fs::metadata(before.join("pipe")).unwrap().file_type().is_fifo());
    for name in ["large", "inner", "link", "pipe", "sparse"] {
        let here = fs::symlink_metadata(data.join(name)).unwrap();
        let there = fs::symlink_metadata(before.join(name)).unwrap();
        assert_eq!(there.mode(), here.mode(), "{name}");
        assert_eq!((there.uid(), there.gid()), (here.uid(), here.gid()), "{name}");
        assert_eq!(
            (there.mtime(), there.mtime_nsec()),
            (here.mtime(), here.mtime_nsec()),
            "{name}"
        );
        if !here.is_dir() {
            assert_eq!(there.len(), here.len(), "{name}");
        }
    }
    let mut value = [0; 16];
    let length = rustix::fs::getxattr(before.join("a.txt"), "user.colour", &mut value).unwrap();
    assert_eq!(&value[..length], b"green");
}

fn check_contents(before: &Path) {
    let large = large();
    assert!(fs::read(before.join("large")).unwrap() == large);
    let file = File::open(before.join("large")).unwrap();
    for offset in [29_999_990_u64, 5, 16_777_216, 2_097_151, 29_999_999, 12_345_678] {
        let length = 10.min(large.len() - usize::try_from(offset).unwrap());
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, offset).unwrap();
        let at = usize::try_from(offset).unwrap();
        assert_eq!(bytes, &large[at..at + length], "at {offset}");
    }
    assert_eq!(file.read_at(&mut [0; 10], 30_000_000).unwrap(), 0);
    let mut all = Vec::new();
    File::open(before.join("sparse")).unwrap().read_to_end(&mut all).unwrap();
    assert!(all.len() == 50_000_000 && all.ends_with(b"end\0\0\0\0\0\0\0"));
    assert!(all[..49_999_990].iter().all(|byte| *byte == 0));
}

fn check_options(target: &Path) {
    let table = fs::read_to_string("/proc/self/mounts").unwrap();
    let place = target.display().to_string();
    let line = table.lines().find(|line| line.contains(&place)).unwrap();
    for option in ["ro", "nosuid", "nodev", "noexec"] {
        let options = line.split(' ').nth(3).unwrap();
        assert!(options.split(',').any(|found| found == option), "{line}");
    }
}

#[test]
fn what_a_tree_holds_is_what_restore_writes() {
    let desk = Desk::with_repository();
    for directory in 0..20_u64 {
        fs::create_dir(desk.path(&format!("data/d{directory}"))).unwrap();
        for number in 0..200 {
            let seed = directory * 1000 + number;
            desk.put(&format!("data/d{directory}/{number}"), &bytes_of(seed, 3_000, 256));
        }
    }
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    let inside = format!("docs@latest:{}", desk.path("data").display());
    let Some(mounted) = Mounted::at(&desk, "mnt", &[&inside]) else { return };
    // What is shown is named before it ends.
    let begun = desk.json(&["audit", "list"], 0)["runs"].clone();
    let run = begun.as_array().unwrap().iter().find(|run| run["operation"] == "mount").unwrap();
    assert!(run["exit_code"].is_null(), "{run}");
    assert_eq!(run["snapshots"].as_array().unwrap().len(), 1, "{run}");
    let trees = [desk.path("data"), mounted.path(".")];
    assert!(Command::new("diff").arg("-r").args(trees).status().unwrap().success());
    check(&mounted.unmount(), 0);
    let log = desk.json(&["audit", "list"], 0)["runs"].clone();
    let run = log.as_array().unwrap().iter().find(|run| run["operation"] == "mount").unwrap();
    assert!(run["bytes"].as_u64() >= Some(20 * 200 * 3_000), "{run}");
    assert_eq!((&run["exit_code"], run["snapshots"].as_array().unwrap().len()), (&0.into(), 1));
}

#[test]
fn places_where_nothing_can_be_mounted_are_refused() {
    let desk = Desk::with_repository();
    check(&desk.run(&["snapshot", "data"]), 0);
    if is_hindered() {
        return;
    }
    let full = desk.run(&["mount", "data"]);
    check(&full, 14);
    assert!(err(&full).contains("not empty"), "{}", err(&full));
    check(&desk.run(&["mount", "missing"]), 1);
    fs::create_dir(desk.path("repo/inside")).unwrap();
    let own = desk.run(&["mount", "repo/inside"]);
    check(&own, 14);
    assert!(err(&own).contains("repository"), "{}", err(&own));
    fs::create_dir(desk.path("mnt")).unwrap();
    let missing = desk.run(&["ls", "latest:/not/there"]).status.code().unwrap();
    check(&desk.run(&["mount", "mnt", "latest:/not/there"]), missing);
    let file = format!("latest:{}/a.txt", desk.path("data").display());
    let of_file = desk.run(&["mount", "mnt", &file]);
    check(&of_file, 2);
    assert!(err(&of_file).contains("dump"), "{}", err(&of_file));
    check(&desk.run(&["key", "add", "--role", "writer", "--new-key-file", "blind"]), 0);
    check(&desk.run(&["mount", "mnt", "--key-file", "blind"]), 15);
}

#[test]
fn damage_is_an_error_of_what_it_hit() {
    let desk = Desk::with_repository();
    desk.put("data/large", &bytes_of(3, 9_000_000, 256));
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    damage_large_pack(&desk.path("repo/packs"));
    let inside = format!("docs@latest:{}", desk.path("data").display());
    let Some(mounted) = Mounted::at(&desk, "mnt", &[&inside]) else { return };
    assert_eq!(fs::read(mounted.path("inner/b.txt")).unwrap(), b"second");
    let error = fs::read(mounted.path("large")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::IO.raw_os_error()));
    // The rest of the file is read.
    let file = File::open(mounted.path("large")).unwrap();
    file.read_exact_at(&mut [0; 1000], 8_900_000).unwrap();
    // It ends though a file is open.
    let ended = mounted.end("INT");
    check(&ended, 0);
    assert!(err(&ended).contains("cannot read what was asked for"), "{}", err(&ended));
    drop(file);
    assert_eq!(names(&desk.path("mnt")), [""; 0], "it is unmounted");
}

#[test]
fn buckets_are_mounted() {
    for bucket in [weed::bucket(), gcs::bucket()] {
        let desk = Desk::with_repository();
        let with = |arguments: &[&str]| {
            let mut command = desk.command(arguments);
            command.env("SBF_REPO_REPOSITORY", &bucket.url);
            command.env("SBF_REPO_KEY_FILE", desk.path("other"));
            command.envs(bucket.variables.iter().map(|(name, value)| (name, value)));
            command
        };
        let large = bytes_of(5, 9_000_000, 256);
        desk.put("data/large", &large);
        check(&with(&["init"]).output().unwrap(), 0);
        check(&with(&["snapshot", "data", "--source", "docs"]).output().unwrap(), 0);
        let Some(mounted) = Mounted::with(with(&[]), &desk, "mnt", &[]) else { return };
        let inner = mounted.path(&inside(&desk, "by-source/docs/latest"));
        assert!(fs::read(inner.join("large")).unwrap() == large);
        assert_eq!(fs::read(inner.join("a.txt")).unwrap(), b"first");
        check(&mounted.end("TERM"), 0);
    }
}

#[test]
fn a_snapshot_that_is_made_meanwhile_appears() {
    let desk = Desk::with_repository();
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    let Some(mounted) = Mounted::at(&desk, "mnt", &[]) else { return };
    assert_eq!(names(&mounted.path("snapshots")).len(), 1);
    desk.put("data/a.txt", b"changed since");
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    let file = mounted.path(&inside(&desk, "latest")).join("a.txt");
    while fs::read(&file).unwrap() != b"changed since" {
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    assert_eq!(names(&mounted.path("snapshots")).len(), 2);
    assert!(mounted.told.iter().all(|line| !line.contains("warning")), "{:?}", mounted.told);
    check(&mounted.end("TERM"), 0);
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The snapshot that was made first.
fn oldest(desk: &Desk) -> String {
    let rows = desk.json(&["snapshots"], 0)["snapshots"].clone();
    let rows = rows.as_array().unwrap();
    let oldest = rows
        .iter()
        .min_by_key(|row| row["manifest"]["times"]["data"].as_str().unwrap().to_owned())
        .unwrap();
    oldest["snapshot"].as_str().unwrap().to_owned()
}

#[test]
fn a_mount_goes_on_while_another_process_prunes() {
    let desk = Desk::with_repository();
    let (kept, gone) = (bytes_of(5, 3_000_000, 256), bytes_of(6, 3_000_000, 256));
    desk.put("data/kept", &kept);
    desk.put("data/gone", &gone);
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    fs::remove_file(desk.path("data/gone")).unwrap();
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    let Some(mounted) = Mounted::at(&desk, "mnt", &[]) else { return };
    let newest = mounted.path(&inside(&desk, "latest"));
    assert_eq!(fs::read(newest.join("inner/b.txt")).unwrap(), b"second");
    let packs = || files_below(&desk.path("repo/packs"));
    let before = packs();
    check(&desk.run(&["forget", &oldest(&desk), "--force"]), 0);
    check(&desk.run(&["prune", "--max-unused", "0"]), 0);
    assert!(before.iter().any(|pack| !packs().contains(pack)), "no pack was repacked");
    assert!(fs::read(newest.join("kept")).unwrap() == kept);
    assert!(!newest.join("gone").exists());
    check(&mounted.end("TERM"), 0);
}

#[test]
fn whoever_mounts_where_a_mount_was_killed_is_told_what_to_do() {
    let desk = Desk::with_repository();
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    let Some(mounted) = Mounted::at(&desk, "mnt", &[]) else { return };
    mounted.end("KILL");
    let again = desk.run(&["mount", "mnt"]);
    check(&again, 14);
    assert!(err(&again).contains("umount"), "{}", err(&again));
    assert!(Command::new("umount").arg(desk.path("mnt")).status().unwrap().success());
    assert_eq!(names(&desk.path("mnt")), [""; 0]);
}
