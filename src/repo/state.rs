//! The client's memory: which of its sessions are running on this host.
//! A session's file is locked while its process lives; the kernel unlocks it when the process ends.

use crate::format::session::Purpose;
use crate::id::RepoId;
use crate::id::SessionId;
use crate::repo::error::RepoError;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::OpenOptions;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

/// A directory that stays.
#[derive(Debug, Clone)]
pub(crate) struct StateDirectory {
    path: PathBuf,
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

    /// Marks a session as running here.
    pub(crate) fn mark(
        &self,
        session: SessionId,
        purpose: Purpose,
    ) -> Result<SessionMark, RepoError> {
        let folder = self.path.join(folder_of(purpose));
        let wrong = |call, path: &Path, source| RepoError::Local {
            call,
            path: path.display().to_string(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|source| wrong("create", &folder, source))?;
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
