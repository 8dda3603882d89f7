//! Claims about the walk: order, roots, exclusions, failures.

use super::*;
use rustix::fs::CWD;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use tempfile::TempDir;

fn folder(files: &[&[u8]]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let path = folder.path().join(OsStr::from_bytes(file));
        if file.ends_with(b"/") {
            fs::create_dir_all(path).unwrap();
            continue;
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::File::create(path).unwrap();
    }
    folder
}

fn below(folder: &TempDir, path: &str) -> Vec<u8> {
    let path = folder.path().join(path);
    path.into_os_string().into_encoded_bytes()
}

fn path_of(entry: &WalkEntry) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(&entry.path_bytes()))
}

/// The events below the folder: names, `)` for leaving, `!` for failures.
fn events(folder: &TempDir, options: WalkOptions) -> Vec<String> {
    let top = folder.path().to_str().unwrap().to_owned() + "/";
    let shown = |path: PathBuf| {
        let path = path.to_string_lossy().into_owned();
        path.strip_prefix(&top).map(str::to_owned)
    };
    let mut depths = Vec::new();
    let mut found = Vec::new();
    for event in Walk::start(options).unwrap() {
        match event {
            WalkEvent::EnterDirectory(entry) => {
                let name = shown(path_of(&entry));
                depths.push(name.is_some());
                found.extend(name.map(|name| name + "("));
            }
            WalkEvent::Entry(entry) => found.extend(shown(path_of(&entry))),
            WalkEvent::LeaveDirectory => {
                if depths.pop().unwrap() {
                    found.push(")".to_owned());
                }
            }
            WalkEvent::Failed(failure) => {
                let root = if failure.is_root { "root" } else { "" };
                found.push(format!("!{root} {}", shown(failure.error.path).unwrap_or_default()));
            }
        }
    }
    assert!(depths.is_empty(), "every directory is left");
    found
}

#[track_caller]
fn check(folder: &TempDir, options: &WalkOptions, expected: &[&str]) {
    for threads in [0, 1, 3] {
        let found = events(folder, WalkOptions { threads, ..options.clone() });
        assert_eq!(found, expected, "{threads} threads");
    }
}

#[test]
fn entries_come_depth_first_and_sorted_by_name() {
    let folder = folder(&[b"b/2", b"b/10", b"a", b"b-", b"b/c/x", b"c/"]);
    let expected = ["a", "b(", "b/10", "b/2", "b/c(", "b/c/x", ")", ")", "b-", "c(", ")"];
    check(&folder, &WalkOptions::new(vec![below(&folder, "")]), &expected);
}

#[test]
fn several_roots_are_one_walk_with_the_way_to_them() {
    let folder = folder(&[b"u/docs/a", b"u/other/b", b"etc/c", b"file"]);
    let roots = ["u/docs", "etc", "u/docs/a", "file"].map(|root| below(&folder, root));
    let expected = ["etc(", "etc/c", ")", "file", "u(", "u/docs(", "u/docs/a", ")", ")"];
    check(&folder, &WalkOptions::new(roots.to_vec()), &expected);
}

#[test]
fn a_missing_root_is_a_failure_and_not_the_end() {
    let folder = folder(&[b"a/x", b"f"]);
    let roots = ["a", "missing", "none/b", "none/c", "f/x"].map(|root| below(&folder, root));
    let expected = ["a(", "a/x", ")", "!root f/x", "!root missing", "!root none/b", "!root none/c"];
    check(&folder, &WalkOptions::new(roots.to_vec()), &expected);
    let relative = WalkOptions::new(vec![b"relative".to_vec()]);
    check(&folder, &relative, &["!root "]);
}

#[test]
fn a_symbolic_link_above_a_root_is_followed_and_others_are_not() {
    let folder = folder(&[b"real/d/x"]);
    std::os::unix::fs::symlink("real", folder.path().join("link")).unwrap();
    let options = WalkOptions::new(vec![below(&folder, "link/d")]);
    check(&folder, &options, &["link(", "link/d(", "link/d/x", ")", ")"]);
    check(&folder, &WalkOptions::new(vec![below(&folder, "link")]), &["link"]);
}

#[test]
fn names_are_bytes() {
    let folder = folder(&[b"new\nline", b"\xff\xfe", b"\x01"]);
    let mut names = Vec::new();
    for event in Walk::start(WalkOptions::new(vec![below(&folder, "")])).unwrap() {
        if let WalkEvent::Entry(entry) = event {
            names.push(entry.name().to_vec());
        }
    }
    assert_eq!(names, [b"\x01".to_vec(), b"new\nline".to_vec(), b"\xff\xfe".to_vec()]);
}

#[test]
fn directories_larger_than_a_page_are_walked_in_order() {
    let folder = folder(&[b"d/"]);
    let mut expected = vec!["d(".to_owned()];
    for number in 0..10_000 {
        let name = format!("d/{number:05}");
        if number % 2500 == 0 {
            fs::create_dir(folder.path().join(&name)).unwrap();
            fs::File::create(folder.path().join(&name).join("x")).unwrap();
            expected.extend([format!("{name}("), format!("{name}/x"), ")".to_owned()]);
        } else {
            fs::File::create(folder.path().join(&name)).unwrap();
            expected.push(name);
        }
    }
    expected.push(")".to_owned());
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    check(&folder, &WalkOptions::new(vec![below(&folder, "d")]), &expected);
}

#[test]
fn excluded_entries_and_what_is_below_them_are_left_out() {
    let folder = folder(&[b"a/keep", b"a/no.tmp", b"cache/x", b"z"]);
    let mut options = WalkOptions::new(vec![below(&folder, "")]);
    options.exclude = Some(Arc::new(|path, is_directory| {
        path.extension().is_some_and(|ending| ending == "tmp")
            || (is_directory && path.ends_with("cache"))
    }));
    check(&folder, &options, &["a(", "a/keep", ")", "z"]);
}

#[test]
fn of_marked_directories_only_the_marker_is_shown() {
    let folder = folder(&[b"a/.nobackup", b"a/x/y", b"b/x", b"cache/big", b"fake/CACHEDIR.TAG"]);
    let tag = "Signature: 8a477f597d28d172789f06886806bc55\n# comment";
    fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .open(folder.path().join("cache/CACHEDIR.TAG"))
        .and_then(|mut file| std::io::Write::write_all(&mut file, tag.as_bytes()))
        .unwrap();
    let mut options = WalkOptions::new(vec![below(&folder, "")]);
    options.exclude_if_present = vec![b".nobackup".to_vec()];
    options.exclude_caches = true;
    let expected = [
        "a(",
        "a/.nobackup",
        ")",
        "b(",
        "b/x",
        ")",
        "cache(",
        "cache/CACHEDIR.TAG",
        ")",
        "fake(",
        "fake/CACHEDIR.TAG",
        ")",
    ];
    check(&folder, &options, &expected);
}

#[test]
fn an_unreadable_directory_is_shown_and_reported() {
    if rustix::process::geteuid().is_root() {
        // Root reads everything; the test of vanished entries takes the same way.
        return;
    }
    let folder = folder(&[b"a/x", b"b"]);
    let closed = folder.path().join("a");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    check(&folder, &WalkOptions::new(vec![below(&folder, "")]), &["a(", "! a", ")", "b"]);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_directory_that_vanishes_or_becomes_a_link_is_a_failure() {
    let folder = folder(&[b"a/x", b"b/x", b"c", b"outside/secret"]);
    let roots = vec![below(&folder, "")];
    let mut names = Vec::new();
    for event in Walk::start(WalkOptions::new(roots)).unwrap() {
        match event {
            WalkEvent::EnterDirectory(entry) if entry.name() == b"a" => {
                fs::remove_dir_all(folder.path().join("a")).unwrap();
            }
            WalkEvent::EnterDirectory(entry) if entry.name() == b"b" => {
                fs::remove_dir_all(folder.path().join("b")).unwrap();
                std::os::unix::fs::symlink("outside", folder.path().join("b")).unwrap();
            }
            WalkEvent::Entry(entry) => names.push(entry.name().to_vec()),
            WalkEvent::Failed(failure) => {
                assert!(!failure.is_root);
                names.push(b"!".to_vec());
            }
            WalkEvent::EnterDirectory(_) | WalkEvent::LeaveDirectory => {}
        }
    }
    assert_eq!(names, [&b"!"[..], b"!", b"c", b"secret"]);
}

#[test]
fn other_file_systems_are_shown_and_not_entered() {
    // The kernel's own file systems are there without the right to mount any.
    let device = |path: &CStr| Stat::of_entry(CWD, path).unwrap().inode.device;
    if device(c"/proc/self") != device(c"/proc") || device(c"/proc") == device(c"/") {
        return;
    }
    let mut options = WalkOptions::new(vec![b"/".to_vec()]);
    options.one_file_system = true;
    options.exclude = Some(Arc::new(|path, _| path != Path::new("/proc")));
    let shown: Vec<WalkEvent> = Walk::start(options).unwrap().collect();
    assert!(matches!(
        shown.as_slice(),
        [WalkEvent::EnterDirectory(entry), WalkEvent::LeaveDirectory] if entry.name() == b"proc"
    ));
}

#[test]
fn hard_links_pipes_and_devices_are_told_apart() {
    let folder = folder(&[b"a"]);
    fs::hard_link(folder.path().join("a"), folder.path().join("b")).unwrap();
    let fifo = folder.path().join("c");
    rustix::fs::mkfifoat(CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(folder.path().join("d")).unwrap();
    let mut seen = Vec::new();
    let mut inodes = Vec::new();
    for event in Walk::start(WalkOptions::new(vec![below(&folder, "")])).unwrap() {
        if let WalkEvent::Entry(entry) = event {
            let stat = entry.stat();
            seen.push((stat.kind, stat.links));
            inodes.push(stat.inode);
        }
    }
    drop(socket);
    let file = (FileKind::File, 2);
    assert_eq!(seen, [file, file, (FileKind::Fifo, 1), (FileKind::Socket, 1)]);
    assert_eq!(inodes[0], inodes[1]);
}

#[test]
fn a_panic_in_the_matcher_ends_the_walk_and_does_not_block_it() {
    let folder = folder(&[b"a/b/c/d", b"e/f"]);
    let mut options = WalkOptions::new(vec![below(&folder, "")]);
    options.threads = 2;
    options.exclude = Some(Arc::new(|path, _| {
        assert!(!path.ends_with("c"), "the matcher fails");
        false
    }));
    let walk = move || Walk::start(options).unwrap().count();
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(walk)).is_err());
}

#[test]
fn a_deep_tree_needs_few_descriptors() {
    let folder = folder(&[]);
    let mut directory = rustix::fs::open(
        folder.path(),
        rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )
    .unwrap();
    for _ in 0..600 {
        rustix::fs::mkdirat(&directory, c"deeper", rustix::fs::Mode::RWXU).unwrap();
        let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
        directory =
            rustix::fs::openat(&directory, c"deeper", flags, rustix::fs::Mode::empty()).unwrap();
    }
    let mut options = WalkOptions::new(vec![below(&folder, "")]);
    options.threads = 2;
    let found = events(&folder, options);
    assert_eq!(found.len(), 1200);
    assert!(!found.iter().any(|event| event.starts_with('!')), "no failures");
}
