//! What hosts of a role can do and cannot, with everything that is on them: a writer backs up what changed
//! and cannot read a byte of it; a pruner frees what was forgotten and cannot read contents.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::keys::Desk;
use crate::scratch::LaterEnvironment;
use crate::scratch::noise;
use crate::scratch::put;
use crate::support::words;
use sbf_repo::Credential;
use sbf_repo::KeyFile;
use sbf_repo::Location;
use sbf_repo::RepoError;
use sbf_repo::Repository;
use sbf_repo::id::PackId;
use sbf_repo::ops::location::OpenOptions;
use sbf_repo::ops::location::open;
use sbf_repo::ops::progress::NoProgress;
use sbf_repo::ops::snapshot::options::DeltaCache;
use sbf_repo::ops::snapshot::options::FilesSource;
use sbf_repo::ops::snapshot::options::SnapshotOptions;
use sbf_repo::ops::snapshot::options::Source;
use sbf_repo::ops::snapshot::options::StreamSource;
use sbf_repo::ops::snapshot::report::SnapshotReport;
use sbf_repo::testing::keys::kept_chunks;
use sbf_repo::testing::keys::open_packs;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

const FILES_COUNT: u64 = 40;

/// A file's content: nothing in it compresses, so that it would stand in the clear if it were not sealed.
fn content(number: u64) -> Vec<u8> {
    noise(number, 30_000)
}

fn name(number: u64) -> String {
    format!("Unmistakable-Name-Of-File-{number:04}")
}

fn fill(desk: &Desk) {
    for number in 0..FILES_COUNT {
        put(desk.path("source").join(name(number)), content(number));
    }
}

/// The host of a key: its cache and memory are in its own directory, and its clock is ahead so that no
/// file changed too lately to be trusted.
fn host(desk: &Desk, key: &str) -> Repository {
    let place: Location = desk.path("repository").to_str().unwrap().parse().unwrap();
    let options = OpenOptions::new(place, Arc::new(LaterEnvironment::new(100)))
        .with_cache(desk.path(&format!("host-{key}/cache")))
        .with_state(desk.path(&format!("host-{key}/state")));
    let text = fs::read_to_string(desk.path(key)).unwrap();
    open(&options, &Credential::KeyFile(KeyFile::parse(&text).unwrap())).unwrap()
}

#[track_caller]
fn back_up(desk: &Desk, key: &str) -> SnapshotReport {
    let options = SnapshotOptions::new("files".to_owned(), "host".to_owned());
    let source = Source::Files(FilesSource::new(vec![desk.path("source")]));
    let done =
        sbf_repo::ops::snapshot::snapshot(&host(desk, key), &options, source, &NoProgress::new());
    done.map_err(|error| words(&error)).unwrap()
}

/// Every file on the host of a key: what it keeps, and its key file.
fn files_of_host(desk: &Desk, key: &str) -> Vec<PathBuf> {
    let mut found = vec![desk.path(key)];
    let mut open = vec![desk.path(&format!("host-{key}"))];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found
}

/// Asserts that no file holds a name or a piece of a content.
#[track_caller]
fn assert_holds_no_plaintext(files: &[PathBuf]) {
    let mut pieces: Vec<Vec<u8>> = vec![b"Unmistakable-Name".to_vec(), b"source".to_vec()];
    pieces.extend((0..FILES_COUNT).map(|number| content(number)[10_000..10_016].to_vec()));
    for file in files {
        let bytes = fs::read(file).unwrap();
        for piece in &pieces {
            let found = bytes.windows(piece.len()).any(|window| window == piece.as_slice());
            assert!(!found, "{} holds {:?}", file.display(), String::from_utf8_lossy(piece));
        }
    }
}

/// How opening each pack of a kind ended.
fn opened(repository: &Repository, data: bool) -> Vec<(PackId, Result<(), RepoError>)> {
    open_packs(repository)
        .unwrap()
        .into_iter()
        .filter(|pack| pack.is_data == data)
        .map(|pack| (pack.id, pack.opened))
        .collect()
}

#[track_caller]
fn assert_closed(packs: &[(PackId, Result<(), RepoError>)]) {
    assert!(!packs.is_empty());
    for (pack, opened) in packs {
        assert!(matches!(opened, Err(RepoError::RoleLacks { .. })), "{pack}: {opened:?}");
    }
}

#[test]
fn a_writer_backs_up_what_changed_and_reads_nothing_of_it() {
    let desk = Desk::new();
    fill(&desk);
    desk.add("writer", "writer", &[]);
    let first = back_up(&desk, "writer");
    assert_eq!((first.run.files_new, first.run.files_unchanged), (FILES_COUNT, 0));
    // One is new with the content of another, one changes, and one goes.
    put(desk.path("source/a-copy"), content(0));
    put(desk.path("source").join(name(1)), noise(1000, 20_000));
    fs::remove_file(desk.path("source").join(name(2))).unwrap();
    let second = back_up(&desk, "writer");
    let run = &second.run;
    assert_eq!((run.files_new, run.files_changed), (1, 1), "{run:?}");
    assert_eq!(run.files_unchanged, FILES_COUNT - 2, "{run:?}");
    assert_eq!(run.bytes_read, 30_000 + 20_000, "the others are not read");
    assert!(run.bytes_new < 30_000, "what is stored is not stored again: {run:?}");
    let third = back_up(&desk, "writer");
    assert_eq!(
        (third.run.bytes_read, third.run.files_unchanged),
        (0, FILES_COUNT),
        "{:?}",
        third.run
    );
    // Whoever can read finds it all.
    desk.run("first", &["check", "--read-data"], 0);
    let target = desk.path("target");
    desk.run("first", &["restore", "latest", "--target", target.to_str().unwrap()], 0);
    let back = target.join(desk.path("source").strip_prefix("/").unwrap());
    for number in (3..FILES_COUNT).chain([0]) {
        assert_eq!(fs::read(back.join(name(number))).unwrap(), content(number));
    }
    assert_eq!(fs::read(back.join(name(1))).unwrap(), noise(1000, 20_000));
    // With everything that is on the host, and the whole store: not a byte.
    let writer = host(&desk, "writer");
    assert_closed(&opened(&writer, true));
    assert_closed(&opened(&writer, false));
    for command in [&["ls", "latest"][..], &["check"], &["restore", "latest", "--target", "x"]] {
        desk.run("writer", command, 15);
    }
    let files = files_of_host(&desk, "writer");
    assert!(files.iter().any(|file| is_below(file, "cache")), "{files:?}");
    assert_holds_no_plaintext(&files);
}

fn is_below(file: &Path, folder: &str) -> bool {
    file.components().any(|part| part.as_os_str() == folder)
}

#[test]
fn a_host_that_keeps_dumps_reads_the_last_one_and_nothing_else() {
    let desk = Desk::new();
    desk.add("writer", "writer", &[]);
    let back_up = |bytes: &[u8], delta_cache| {
        let mut options = SnapshotOptions::new("db".to_owned(), "host".to_owned());
        options.delta_cache = delta_cache;
        let input = Box::new(std::io::Cursor::new(bytes.to_vec()));
        let source = Source::Stream(StreamSource::new("app.sql".to_owned(), input));
        let repository = host(&desk, "writer");
        sbf_repo::ops::snapshot::snapshot(&repository, &options, source, &NoProgress::new())
            .map_err(|error| words(&error))
            .unwrap();
    };
    // Nothing is kept unless somebody says so.
    let [first, second] = [noise(1, 3_000_000), noise(2, 3_000_000)];
    back_up(&first, DeltaCache::Off);
    assert!(kept_chunks(&host(&desk, "writer")).unwrap().is_empty());
    back_up(&first, DeltaCache::Host);
    let read = || kept_chunks(&host(&desk, "writer")).unwrap().concat();
    assert!(read() == first, "all of the last dump");
    // The next one has nothing in common with it.
    back_up(&second, DeltaCache::Host);
    assert!(read() == second, "all of the last dump, and nothing else");
    // Nor does it show without the key of the host, and its key of the repository opens no pack.
    assert_closed(&opened(&host(&desk, "writer"), true));
    let is_seen = |bytes: &[u8], dump: &[u8]| {
        let pieces = dump.chunks(100_000).map(|piece| &piece[..16]);
        pieces.filter(|piece| bytes.windows(16).any(|window| window == *piece)).count()
    };
    for path in files_of_host(&desk, "writer") {
        let bytes = fs::read(&path).unwrap();
        assert_eq!(is_seen(&bytes, &first) + is_seen(&bytes, &second), 0, "{}", path.display());
    }
    let key = files_of_host(&desk, "writer").into_iter().find(|path| path.ends_with("dump-key"));
    fs::remove_file(key.unwrap()).unwrap();
    assert!(read().is_empty(), "without its key it opens nothing");
    for command in [&["ls", "latest"][..], &["dump", "db@latest:/app.sql"]] {
        desk.run("writer", command, 15);
    }
    desk.run("first", &["check", "--read-data"], 0);
}

#[test]
fn what_a_writer_remembers_counts_only_while_its_snapshot_does() {
    let desk = Desk::new();
    fill(&desk);
    desk.add("writer", "writer", &[]);
    let first = back_up(&desk, "writer").snapshot.unwrap().to_string();
    // A file on the host that is cut short is thrown away.
    let memory = || {
        let files = files_of_host(&desk, "writer");
        files.into_iter().find(|file| is_below(file, "files")).unwrap()
    };
    let whole = fs::read(memory()).unwrap();
    for damaged in [&whole[..whole.len() - 1], &whole[..10], b""] {
        let path = memory();
        fs::remove_file(&path).unwrap();
        put(&path, damaged);
        let run = back_up(&desk, "writer").run;
        assert_eq!(run.files_unchanged, 0, "without a memory everything is read");
    }
    let run = back_up(&desk, "writer").run;
    assert_eq!(run.files_unchanged, FILES_COUNT);
    // All snapshots go, and what they held.
    let rows = desk.snapshots("first");
    assert!(rows.contains(&first));
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    desk.run("first", &[&["forget", "--force"][..], &rows].concat(), 0);
    desk.run("first", &["prune", "--max-unused", "0"], 0);
    let run = back_up(&desk, "writer").run;
    assert_eq!((run.files_unchanged, run.files_new), (0, FILES_COUNT), "{run:?}");
    desk.run("first", &["check", "--read-data"], 0);
}

#[test]
fn a_pruner_frees_what_was_forgotten_and_reads_no_contents() {
    let desk = Desk::new();
    // Longer than a block each: a pruner copies whole blocks.
    for number in 0..6 {
        put(desk.path("source").join(name(number)), noise(number, 5_000_000));
    }
    for role in ["writer", "pruner"] {
        desk.add(role, role, &[]);
    }
    let first = back_up(&desk, "writer").snapshot.unwrap().to_string();
    for number in [0, 2, 4] {
        fs::remove_file(desk.path("source").join(name(number))).unwrap();
    }
    back_up(&desk, "writer");
    let before = desk.objects("packs");
    desk.run("pruner", &["forget", &first, "--force"], 0);
    let report = desk.json("pruner", &["prune", "--max-unused", "0"], 0);
    assert!(report["plan"]["repacked_packs"].as_u64().unwrap() > 0, "{report}");
    assert!(desk.objects("packs").iter().any(|pack| !before.contains(pack)), "it copied blocks");
    desk.run("first", &["check", "--read-data"], 0);
    let pruner = host(&desk, "pruner");
    assert_closed(&opened(&pruner, true));
    assert!(opened(&pruner, false).iter().all(|(_pack, opened)| opened.is_ok()), "trees it reads");
    let target = desk.path("target");
    desk.run("pruner", &["restore", "latest", "--target", target.to_str().unwrap()], 15);
    let mut pieces = files_of_host(&desk, "pruner");
    pieces.retain(|file| !is_below(file, "trees"));
    assert_holds_no_plaintext(&pieces);
}
