//! What a host whose key reads no contents keeps of the last version of each dump, so that the next one can be
//! stored as deltas: the dump's extents, and the bytes of the chunks in plain blocks that they are in or rest on.
//!
//! Only if somebody asks for it, since it makes the host able to read that dump: sealed with a key of the host,
//! which is in its state directory and nowhere else. Disposable, and never a reason to fail: what does not open,
//! or is not what its name says, stands before no delta. It counts only while its snapshot does, and only chunks
//! that the index has in plain blocks are taken from it: the rules for bases are those of every role.

pub(crate) mod fields;
pub(crate) mod list;
pub(crate) mod newer;
pub(crate) mod older;
pub(crate) mod place;
pub(crate) mod seal;

use crate::crypto::hash::ChunkNamer;
use crate::crypto::hash::derive;
use crate::format::pack::PackKind;
use crate::id::Digest;
use crate::id::SnapshotId;
use crate::repo::cache::CacheDirectory;
use crate::repo::error::RepoError;
use crate::repo::history::History;
use crate::repo::kept_dump::list::snapshot_in;
use crate::repo::kept_dump::newer::NewKeptDump;
use crate::repo::kept_dump::newer::Stopped;
use crate::repo::kept_dump::older::KeptDump;
use crate::repo::kept_dump::place::DumpFolder;
use crate::repo::kept_dump::place::folders;
use crate::repo::kept_dump::seal::DumpSeal;
use crate::repo::repository::Repository;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// The dumps of one run.
pub(crate) struct KeptDumps {
    seal: Arc<DumpSeal>,
    cache: CacheDirectory,
    /// Names dumps.
    names: ChunkNamer,
    /// Names chunks.
    chunk_names: ChunkNamer,
    source: String,
    /// Snapshots that count.
    live: HashSet<SnapshotId>,
    begun: Mutex<Vec<(String, Arc<NewKeptDump>)>>,
}

/// What is kept of a repository.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    /// How many dumps, each file of one in a directory counted.
    pub(crate) dumps: u64,
    /// The room that they take.
    pub(crate) bytes: u64,
}

impl KeptDumps {
    /// Those of a source; what is kept of snapshots that do not count any more goes. `None` if there is no cache
    /// or no memory.
    ///
    /// Errors: the key of this host can be neither read nor made.
    pub(crate) fn begin(
        repository: &Repository,
        history: &History,
        source: &str,
    ) -> Result<Option<Self>, RepoError> {
        let (Some(cache), Some(state)) = (&repository.cache, &repository.state) else {
            return Ok(None);
        };
        let keys = &repository.keys;
        let Some(id_key) = keys.keys.id_key.as_ref() else { return Ok(None) };
        let kept = Self {
            seal: Arc::new(DumpSeal::of(repository, state)?),
            cache: cache.clone(),
            names: ChunkNamer::new(derive("sbf-repo 1 kept dump names", &[id_key])),
            chunk_names: keys.namer(PackKind::Data)?.clone(),
            source: source.to_owned(),
            live: history.snapshots.iter().map(|live| live.snapshot).collect(),
            begun: Mutex::new(Vec::new()),
        };
        kept.drop_forgotten();
        Ok(Some(kept))
    }

    /// Begins to keep a dump; `None` if another run keeps it at this time, or it cannot be written.
    pub(crate) fn dump(&self, name: &str) -> Option<Arc<NewKeptDump>> {
        let folder = DumpFolder::new(&self.cache, self.name(name));
        let lock = folder.lock().ok()??;
        let counts = |snapshot: &SnapshotId| self.live.contains(snapshot);
        let older = KeptDump::load(&self.seal, &self.chunk_names, &folder, counts);
        let mut begun = self.begun();
        let bytes_max = bytes_max(&self.cache).saturating_sub(self.others(&folder, &begun));
        let seal = Arc::clone(&self.seal);
        let dump = Arc::new(NewKeptDump::begin(seal, (folder, lock), older, bytes_max));
        begun.push((name.to_owned(), Arc::clone(&dump)));
        Some(dump)
    }

    /// How many dumps were begun.
    pub(crate) fn begun_count(&self) -> usize {
        self.begun().len()
    }

    /// The snapshot is committed. Returns the room that all of it takes, and of each dump that is not kept, why.
    pub(crate) fn finish(&self, snapshot: SnapshotId) -> (u64, Vec<(String, Stopped)>) {
        let (mut bytes, mut stopped) = (0, Vec::new());
        for (name, dump) in self.begun().iter() {
            match dump.finish(snapshot) {
                Ok(kept) => bytes += kept,
                Err(why) => stopped.push((name.clone(), why)),
            }
        }
        (bytes, stopped)
    }

    /// The room that all dumps of the repository may take together.
    pub(crate) fn bytes_max(&self) -> u64 {
        bytes_max(&self.cache)
    }

    fn name(&self, dump: &str) -> Digest {
        // Neither has a zero byte.
        let name = [self.source.as_bytes(), dump.as_bytes()].join(&0);
        Digest::new(*self.names.name(&name).as_bytes())
    }

    /// The room that other dumps take: those of this run what they will take.
    fn others(&self, folder: &DumpFolder, begun: &[(String, Arc<NewKeptDump>)]) -> u64 {
        let room = |other: &DumpFolder| {
            let new = begun.iter().find(|(_, dump)| dump.folder().dump() == other.dump());
            new.map_or_else(|| other.bytes(), |(_name, dump)| dump.bytes())
        };
        let others = folders(&self.cache);
        others.iter().filter(|other| other.dump() != folder.dump()).map(room).sum()
    }

    /// Whoever forgets a snapshot wants it gone.
    fn drop_forgotten(&self) {
        for folder in folders(&self.cache) {
            let snapshot = snapshot_in(&self.seal, folder.dump(), &folder.list());
            let is_forgotten = snapshot.is_some_and(|snapshot| !self.live.contains(&snapshot));
            if is_forgotten && let Ok(Some(_lock)) = folder.lock() {
                folder.clear();
            }
        }
    }

    fn begun(&self) -> MutexGuard<'_, Vec<(String, Arc<NewKeptDump>)>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KeptDumps {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("KeptDumps").field("source", &self.source).finish_non_exhaustive()
    }
}

/// What this host keeps of a repository's dumps, whether its key is still there or not.
pub(crate) fn survey(repository: &Repository) -> Survey {
    let Some(cache) = &repository.cache else { return Survey::default() };
    let kept = folders(cache).into_iter().filter(DumpFolder::has_list);
    kept.fold(Survey::default(), |Survey { dumps, bytes }, folder| Survey {
        dumps: dumps + 1,
        bytes: bytes + folder.bytes(),
    })
}

/// Removes the key of this host, so that nothing opens what it keeps of a repository's dumps.
pub(crate) fn remove_key(repository: &Repository) -> Result<(), RepoError> {
    repository.state.as_ref().map_or(Ok(()), seal::remove_key)
}

/// A key that reads no contents has no use for the share of packs of data.
fn bytes_max(cache: &CacheDirectory) -> u64 {
    crate::repo::kept::data_bytes_max(cache)
}
