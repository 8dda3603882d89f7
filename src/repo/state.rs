//! The client's memory: what it has seen, and which of its sessions are running on this host.
//! A session's file is locked while its process lives; the kernel unlocks it when the process ends.

use crate::crypto::hash::sha256;
use crate::format::session::Purpose;
use crate::id::RepoId;
use crate::id::SessionId;
use crate::repo::error::RepoError;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

/// A directory that stays.
#[derive(Debug, Clone)]
pub(crate) struct StateDirectory {
    path: PathBuf,
}

/// What the file of what was seen holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MemoryText {
    /// Its lines; none if there is no file.
    Intact(String),
    /// Why it cannot be relied on.
    Damaged(String),
}

/// Says that a session's process lives, for as long as it is held.
#[derive(Debug)]
pub(crate) struct SessionMark {
    path: PathBuf,
    _file: File,
}

/// Whose a session is.
#[derive(Debug)]
pub(crate) enum Owner {
    /// Its process ended without closing it; the mark is now ours.
    Dead(SessionMark),
    /// Its process lives.
    Alive,
    /// This host does not know it.
    Unknown,
}

impl StateDirectory {
    /// The memory below `path`; nothing is made yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The part of one repository.
    pub(crate) fn for_repository(&self, repository: RepoId) -> Self {
        Self { path: self.path.join(repository.to_string()) }
    }

    /// What it has seen, as `memory.rs` writes it; empty if there is nothing.
    pub(crate) fn memory(&self) -> MemoryText {
        let path = self.path.join(MEMORY);
        match std::fs::read(&path) {
            Ok(bytes) => match summed(&bytes) {
                Some(text) => MemoryText::Intact(text.to_owned()),
                None => {
                    MemoryText::Damaged(format!("{} does not end with its sum", path.display()))
                }
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                MemoryText::Intact(String::new())
            }
            Err(error) => {
                MemoryText::Damaged(format!("{} cannot be read: {error}", path.display()))
            }
        }
    }

    /// Changes what it has seen, one process at a time; `change` returns the new text, if it is
    /// another one.
    pub(crate) fn change_memory(
        &self,
        change: impl FnOnce(&MemoryText) -> Option<String>,
    ) -> Result<(), RepoError> {
        let path = self.path.join(MEMORY);
        let _lock = self.lock(MEMORY)?;
        let Some(mut text) = change(&self.memory()) else { return Ok(()) };
        let sum = sha256(text.as_bytes());
        text.push_str(SUM);
        text.push_str(&sum.to_string());
        text.push('\n');
        replace_durably(&path, text.as_bytes())
    }

    /// Keeps other processes of this host from what `name` guards, for as long as it is held.
    pub(crate) fn lock(&self, name: &str) -> Result<File, RepoError> {
        create_folder(&self.path)?;
        let path = self.path.join(format!("{name}.lock"));
        let opened =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = opened.map_err(|source| wrong("create", &path, source))?;
        file.lock().map_err(|source| wrong("lock", &path, source))?;
        Ok(file)
    }

    /// The path of a file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Marks a session as running here.
    pub(crate) fn mark(
        &self,
        session: SessionId,
        purpose: Purpose,
    ) -> Result<SessionMark, RepoError> {
        let folder = self.path.join(folder_of(purpose));
        create_folder(&folder)?;
        let path = folder.join(session.to_string());
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|source| wrong("create", &path, source))?;
        file.lock().map_err(|source| wrong("lock", &path, source))?;
        Ok(SessionMark { path, _file: file })
    }

    /// Finds out whether the process of a session lives.
    pub(crate) fn owner(&self, session: SessionId, purpose: Purpose) -> Owner {
        owner_of(self.path.join(folder_of(purpose)).join(session.to_string()))
    }

    /// The sessions for this purpose whose processes ended without closing them.
    pub(crate) fn dead(&self, purpose: Purpose) -> Vec<(SessionId, SessionMark)> {
        let entries = std::fs::read_dir(self.path.join(folder_of(purpose)));
        let names = entries.into_iter().flatten().flatten().map(|entry| entry.path());
        let dead = names.filter_map(|path| {
            let session = path.file_name()?.to_str()?.parse().ok()?;
            match owner_of(path) {
                Owner::Dead(mark) => Some((session, mark)),
                Owner::Alive | Owner::Unknown => None,
            }
        });
        dead.collect()
    }
}

fn create_folder(folder: &Path) -> Result<(), RepoError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| wrong("create", folder, source))
}

/// Replaces a file so that a crash leaves the old or the new one.
pub(crate) fn replace_durably(path: &Path, bytes: &[u8]) -> Result<(), RepoError> {
    let staged = path.with_extension("new");
    let open = || {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600).open(&staged)
    };
    let write = || {
        let mut file = open()?;
        file.write_all(bytes)?;
        file.sync_data()?;
        std::fs::rename(&staged, path)
    };
    write().map_err(|source| wrong("write", path, source))
}

fn wrong(call: &'static str, path: &Path, source: std::io::Error) -> RepoError {
    RepoError::Local { call, path: path.display().to_string(), source }
}

/// The lines that stand before the sum of them, which is the last line.
fn summed(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    let start = text.rfind('\n').map_or(0, |at| at + 1);
    let (lines, last) = text.split_at_checked(start)?;
    let sum = last.strip_prefix(SUM)?;
    (sum == sha256(lines.as_bytes()).to_string()).then_some(lines)
}

/// The file of what was seen.
const MEMORY: &str = "memory";
/// How its last line begins.
const SUM: &str = "sha256 ";

fn owner_of(path: PathBuf) -> Owner {
    let Ok(file) = OpenOptions::new().write(true).open(&path) else { return Owner::Unknown };
    match file.try_lock() {
        Ok(()) => Owner::Dead(SessionMark { path, _file: file }),
        Err(_busy) => Owner::Alive,
    }
}

/// What a writer left is adopted, what a collection left is not: they stand apart.
const fn folder_of(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Write => "sessions",
        Purpose::Collect => "collections",
        Purpose::Read => "readers",
    }
}

impl SessionMark {
    /// Forgets the session: it has an outcome.
    pub(crate) fn clear(self) {
        let _ignored = std::fs::remove_file(&self.path);
    }
}
