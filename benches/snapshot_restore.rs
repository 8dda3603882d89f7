//! How fast whole commands are on a generated tree: first snapshot, unchanged snapshot, check, restore.
//! The repository is in the temporary directory, so that its file system is measured too.

#![expect(clippy::unwrap_used, reason = "a benchmark ends where something fails")]

mod content;
mod measure;

use crate::content::content;
use crate::measure::measure;
use sbf_repo::Credential;
use sbf_repo::InitOptions;
use sbf_repo::KeyFile;
use sbf_repo::Location;
use sbf_repo::Repository;
use sbf_repo::SystemEnvironment;
use sbf_repo::ops::check::CheckOptions;
use sbf_repo::ops::check::Depth;
use sbf_repo::ops::init::FirstSecret;
use sbf_repo::ops::location::OpenOptions;
use sbf_repo::ops::progress::NoProgress;
use sbf_repo::ops::restore::RestoreOptions;
use sbf_repo::ops::select::Selector;
use sbf_repo::ops::snapshot::options::FilesSource;
use sbf_repo::ops::snapshot::options::SnapshotOptions;
use sbf_repo::ops::snapshot::options::Source;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    let mebibytes = make_files(&source);
    let mut number = 0;
    measure("first snapshot", mebibytes, "MiB", || {
        number += 1;
        let repository = make_repository(&folder.path().join(format!("first-{number}")));
        back_up(&repository, &source);
    });
    let repository = make_repository(&folder.path().join("second"));
    back_up(&repository, &source);
    measure("snapshot of unchanged files", FILES, "files", || back_up(&repository, &source));
    measure("check --read-data", mebibytes, "MiB", || {
        let options = CheckOptions::new(Depth::ReadData);
        sbf_repo::ops::check::check(&repository, &options, &NoProgress::new()).unwrap()
    });
    measure("restore", mebibytes, "MiB", || {
        number += 1;
        let options = RestoreOptions::new(folder.path().join(format!("restored-{number}")));
        let selected = Selector::parse(b"latest").unwrap().select(&repository).unwrap();
        sbf_repo::ops::restore::restore(&repository, &selected, &options, &NoProgress::new())
            .unwrap()
    });
}

/// Makes many small files and a few large ones; returns their size in MiB.
fn make_files(folder: &Path) -> u64 {
    let bytes = content(64 << 20);
    for number in 0..FILES {
        let place: PathBuf = folder.join(format!("{}", number / 100));
        fs::create_dir_all(&place).unwrap();
        let start = usize::try_from(number).unwrap() * 8192;
        write(&place.join(format!("file {number}")), &bytes[start..start + 8192]);
    }
    write(&folder.join("large"), &bytes);
    64 + FILES * 8192 / (1 << 20)
}

#[expect(clippy::disallowed_methods, reason = "what is backed up need not be durable")]
fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
}

fn make_repository(folder: &Path) -> Repository {
    let location = Location::Local(folder.join("repository"));
    let options = OpenOptions::new(location, Arc::new(SystemEnvironment::new()))
        .with_cache(folder.join("cache"))
        .with_state(folder.join("state"));
    let mut key = None;
    let mut keep = |made: &KeyFile| {
        key = Some(made.clone());
        Ok(())
    };
    let secret = FirstSecret::KeyFile;
    sbf_repo::ops::init::init(&options, InitOptions::new(), &secret, &mut keep).unwrap();
    sbf_repo::ops::location::open(&options, &Credential::KeyFile(key.unwrap())).unwrap()
}

fn back_up(repository: &Repository, source: &Path) {
    let options = SnapshotOptions::new("bench".to_owned(), "host".to_owned());
    let files = Source::Files(FilesSource::new(vec![source.to_owned()]));
    sbf_repo::ops::snapshot::snapshot(repository, &options, files, &NoProgress::new()).unwrap();
}

const FILES: u64 = 4000;
