//! A dump while it is stored, of which this host keeps what may stand before the deltas of the next one.

use crate::format::content::Extent;
use crate::id::ChunkId;
use crate::id::SnapshotId;
use crate::repo::kept_dump::list::CHUNK_ROWS;
use crate::repo::kept_dump::list::DumpList;
use crate::repo::kept_dump::list::FileName;
use crate::repo::kept_dump::list::Place;
use crate::repo::kept_dump::older::KeptDump;
use crate::repo::kept_dump::place::DumpFolder;
use crate::repo::kept_dump::place::blank;
use crate::repo::kept_dump::seal::DumpSeal;
use crate::units::to_u32;
use crate::units::to_u64;
use crate::units::to_usize32;
use std::collections::HashMap;
use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::io::BufWriter;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// What is being kept of one dump; shared by threads. Nothing of it counts before [`Self::finish`].
#[derive(Debug)]
pub(crate) struct NewKeptDump {
    seal: Arc<DumpSeal>,
    folder: DumpFolder,
    older: Option<Arc<KeptDump>>,
    /// Room that it may take.
    bytes_max: u64,
    name: FileName,
    state: Mutex<State>,
    /// Keeps other runs from the folder.
    _lock: File,
}

#[derive(Debug)]
struct State {
    /// The file of new sealed chunks, once there is one.
    file: Option<BufWriter<File>>,
    /// How long that is.
    length: u64,
    places: HashMap<ChunkId, Where>,
    extents: Vec<Extent>,
    /// What all of it takes.
    bytes: u64,
    stopped: Option<Stopped>,
}

/// Where a chunk is that is kept.
#[derive(Debug, Clone, Copy)]
enum Where {
    /// In the new file.
    New { at: u64, length: u32 },
    /// Where the older version has it.
    Older(Place),
}

/// Why nothing is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// It takes more room than there is.
    DoesNotFit,
    /// It could not be written.
    Failed(String),
}

impl NewKeptDump {
    /// Begins a dump in a folder that is locked, whose older version was loaded if there is one.
    pub(crate) fn begin(
        seal: Arc<DumpSeal>,
        (folder, lock): (DumpFolder, File),
        older: Option<KeptDump>,
        bytes_max: u64,
    ) -> Self {
        // What a run left that was killed.
        folder.keep_only(older.as_ref().map_or(&[], |older| &older.list.files));
        let state = State {
            file: None,
            length: 0,
            places: HashMap::new(),
            extents: Vec::new(),
            bytes: 0,
            stopped: None,
        };
        let (name, older) = (seal.random(), older.map(Arc::new));
        Self { seal, folder, older, bytes_max, name, state: Mutex::new(state), _lock: lock }
    }

    /// The last version.
    pub(crate) const fn older(&self) -> Option<&Arc<KeptDump>> {
        self.older.as_ref()
    }

    /// The folder that it is in.
    pub(crate) const fn folder(&self) -> &DumpFolder {
        &self.folder
    }

    /// What is kept so far takes so much room.
    pub(crate) fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    /// The next extent of the dump.
    pub(crate) fn push(&self, extent: Extent) {
        let mut state = self.lock();
        if state.stopped.is_none() {
            state.extents.push(extent);
            state.bytes += CHUNK_ROWS;
        }
    }

    /// Keeps a chunk that lies in a plain block.
    pub(crate) fn put(&self, id: &ChunkId, plaintext: &[u8]) {
        if self.retain(id) {
            return;
        }
        let record = self.seal.seal_chunk(id, plaintext);
        let mut state = self.lock();
        if state.stopped.is_some() || state.places.contains_key(id) {
            return;
        }
        let at = state.length;
        if let Err(error) = self.write(&mut state, &record) {
            self.stop(&mut state, Stopped::Failed(error.to_string()));
            return;
        }
        state.places.insert(*id, Where::New { at, length: to_u32(record.len()) });
        self.add_bytes(&mut state, to_u64(record.len()));
    }

    /// Keeps a chunk that is kept already; says whether it is.
    pub(crate) fn retain(&self, id: &ChunkId) -> bool {
        let mut state = self.lock();
        if state.stopped.is_some() || state.places.contains_key(id) {
            return true;
        }
        let place = self.older.as_ref().and_then(|older| older.list.places.get(id));
        let Some(place) = place else { return false };
        state.places.insert(*id, Where::Older(*place));
        self.add_bytes(&mut state, u64::from(place.length));
        true
    }

    /// The snapshot is committed: this version takes the place of the last one, whose chunks go unless it needs
    /// them. Returns the room that it takes.
    ///
    /// If there is not enough, nothing is kept from now on.
    pub(crate) fn finish(&self, snapshot: SnapshotId) -> Result<u64, Stopped> {
        let mut state = self.lock();
        if let Some(stopped) = state.stopped.take() {
            if stopped == Stopped::DoesNotFit {
                self.folder.clear();
            }
            return Err(stopped);
        }
        self.replace(&mut state, snapshot).map_err(|error| Stopped::Failed(error.to_string()))?;
        Ok(state.bytes)
    }

    fn replace(&self, state: &mut State, snapshot: SnapshotId) -> io::Result<()> {
        let thin = self.thin_files(state);
        self.move_from(state, &thin)?;
        if let Some(file) = state.file.take() {
            let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.sync_data()?;
        }
        let list = self.list(state, snapshot);
        self.folder.replace_list(&list.seal(&self.seal, self.folder.dump()))?;
        // What nothing names any more goes once that is durable.
        self.folder.keep_only(&list.files);
        self.blank_others(state);
        state.places = HashMap::new();
        Ok(())
    }

    /// Files of the last version of which less than half is needed, or which are one too many.
    fn thin_files(&self, state: &State) -> HashSet<u32> {
        let mut live: HashMap<u32, u64> = HashMap::new();
        for place in state.places.values() {
            if let Where::Older(Place { file, length, .. }) = place {
                *live.entry(*file).or_default() += u64::from(*length);
            }
        }
        let mut files: Vec<(u64, u32)> = live.iter().map(|(file, bytes)| (*bytes, *file)).collect();
        files.sort_unstable();
        let too_many = files.len().saturating_sub(FILES_COUNT_MAX);
        let is_thin = |(rank, (bytes, file)): (usize, &(u64, u32))| {
            let name = self.older.as_ref()?.list.files.get(to_usize32(*file))?;
            let length = self.folder.chunks(*name).metadata().ok()?.len();
            (rank < too_many || bytes * 2 < length).then_some(*file)
        };
        files.iter().enumerate().filter_map(is_thin).collect()
    }

    /// Copies what is needed of these files into the new one.
    fn move_from(&self, state: &mut State, files: &HashSet<u32>) -> io::Result<()> {
        let is_there = |(id, place): (&ChunkId, &Where)| match place {
            Where::Older(place) if files.contains(&place.file) => Some((*id, *place)),
            Where::Older(_) | Where::New { .. } => None,
        };
        let mut moved: Vec<(ChunkId, Place)> = state.places.iter().filter_map(is_there).collect();
        moved.sort_unstable_by_key(|(_id, place)| (place.file, place.at));
        for (id, place) in moved {
            let sealed = self.older.as_ref().and_then(|older| older.sealed(&place));
            let Some(sealed) = sealed else {
                state.places.remove(&id);
                continue;
            };
            let at = state.length;
            self.write(state, &sealed)?;
            state.places.insert(id, Where::New { at, length: place.length });
        }
        Ok(())
    }

    fn list(&self, state: &mut State, snapshot: SnapshotId) -> DumpList {
        let mut files = Vec::new();
        let mut numbers: HashMap<FileName, u32> = HashMap::new();
        let mut number_of = |name: FileName| {
            *numbers.entry(name).or_insert_with(|| {
                files.push(name);
                to_u32(files.len() - 1)
            })
        };
        let mut places = HashMap::with_capacity(state.places.len());
        for (id, place) in &state.places {
            let (name, at, length) = match place {
                Where::New { at, length } => (Some(&self.name), *at, *length),
                Where::Older(place) => (self.older_name(place.file), place.at, place.length),
            };
            if let Some(name) = name {
                places.insert(*id, Place { file: number_of(*name), at, length });
            }
        }
        DumpList { snapshot, files, places, extents: std::mem::take(&mut state.extents) }
    }

    fn older_name(&self, file: u32) -> Option<&FileName> {
        self.older.as_ref()?.list.files.get(to_usize32(file))
    }

    /// Takes out of files that stay what the last version needed, and this one does not.
    fn blank_others(&self, state: &State) {
        let Some(older) = &self.older else { return };
        let mut ranges = Vec::new();
        for (id, place) in &older.list.places {
            if !state.places.contains_key(id) {
                ranges.push((place.file, place.at..place.at + u64::from(place.length)));
            }
        }
        ranges.sort_unstable_by_key(|(file, range)| (*file, range.start));
        // Neighbours go at once.
        let mut rest = ranges.into_iter().peekable();
        while let Some((file, mut range)) = rest.next() {
            while let Some((_file, next)) =
                rest.next_if(|(other, next)| *other == file && next.start == range.end)
            {
                range.end = next.end;
            }
            let path = self.older_name(file).map(|name| self.folder.chunks(*name));
            if let Some(path) = path.filter(|path| path.exists()) {
                blank(&path, &range);
            }
        }
    }

    fn write(&self, state: &mut State, record: &[u8]) -> io::Result<()> {
        if state.file.is_none() {
            let file = self.folder.create_chunks(self.name)?;
            state.file = Some(BufWriter::with_capacity(BUFFER_BYTES, file));
        }
        if let Some(file) = &mut state.file {
            file.write_all(record)?;
        }
        state.length += to_u64(record.len());
        Ok(())
    }

    fn add_bytes(&self, state: &mut State, bytes: u64) {
        state.bytes += bytes;
        if state.bytes > self.bytes_max {
            self.stop(state, Stopped::DoesNotFit);
        }
    }

    fn stop(&self, state: &mut State, why: Stopped) {
        state.stopped = Some(why);
        state.file = None;
        (state.places, state.extents) = (HashMap::new(), Vec::new());
        let _ignored = std::fs::remove_file(self.folder.chunks(self.name));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for NewKeptDump {
    fn drop(&mut self) {
        // The file is still there only if it was not finished.
        if self.lock().file.is_some() {
            let _ignored = std::fs::remove_file(self.folder.chunks(self.name));
        }
    }
}

/// More files than that are put together: each version adds one.
const FILES_COUNT_MAX: usize = 32;
const BUFFER_BYTES: usize = 262_144;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hash::ChunkNamer;
    use crate::crypto::secret::Secret;
    use crate::id::Digest;
    use crate::id::RepoId;
    use crate::repo::cache::CacheDirectory;
    use crate::testing::FixedEnvironment;
    use std::fs;
    use std::path::Path;

    struct Host {
        folder: tempfile::TempDir,
        seal: Arc<DumpSeal>,
        names: ChunkNamer,
    }

    impl Host {
        fn new() -> Self {
            let environment = Arc::new(FixedEnvironment::new(1, 1));
            let seal = DumpSeal::new(&Secret::new([1; 32]), RepoId::new([2; 16]), environment);
            let names = ChunkNamer::new(Secret::new([3; 32]));
            Self { folder: tempfile::tempdir().unwrap(), seal: Arc::new(seal), names }
        }

        fn dump(&self) -> DumpFolder {
            let cache = CacheDirectory::new(self.folder.path().to_owned());
            DumpFolder::new(&cache, Digest::new([4; 32]))
        }

        fn begin(&self, bytes_max: u64) -> NewKeptDump {
            let folder = self.dump();
            let lock = folder.lock().unwrap().unwrap();
            let older = self.load();
            NewKeptDump::begin(Arc::clone(&self.seal), (folder, lock), older, bytes_max)
        }

        fn load(&self) -> Option<KeptDump> {
            KeptDump::load(&self.seal, &self.names, &self.dump(), |_snapshot| true)
        }

        /// Keeps these chunks, each a version's next one.
        fn keep(&self, number: u8, chunks: &[Vec<u8>]) -> Result<u64, Stopped> {
            let dump = self.begin(1 << 20);
            for chunk in chunks {
                let id = self.names.name(chunk);
                dump.push(Extent::Chunk { id, length: to_u32(chunk.len()) });
                dump.put(&id, chunk);
            }
            dump.finish(SnapshotId::new([number; 16]))
        }

        fn read(&self, chunk: &[u8]) -> Option<Vec<u8>> {
            let mut bytes = Vec::new();
            self.load()?.read(&self.names.name(chunk), &mut bytes)?;
            Some(bytes)
        }

        fn files(&self) -> Vec<std::path::PathBuf> {
            let folder = self.dump().list();
            let entries = fs::read_dir(folder.parent().unwrap()).unwrap();
            let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
            files.retain(|path| path.metadata().unwrap().len() > 0);
            files.sort();
            files
        }
    }

    fn put_file(path: &Path, bytes: &[u8]) {
        File::create(path).unwrap().write_all(bytes).unwrap();
    }

    /// A chunk in which nothing compresses.
    fn chunk(number: u64) -> Vec<u8> {
        let mut random = crate::testing::SplitMix::new(number);
        (0..4000).map(|_| u8::try_from(random.below(256)).unwrap()).collect()
    }

    fn chunks(numbers: std::ops::Range<u64>) -> Vec<Vec<u8>> {
        numbers.map(chunk).collect()
    }

    #[test]
    fn a_version_takes_the_place_of_the_last_one_and_what_it_does_not_need_is_gone() {
        let host = Host::new();
        host.keep(1, &chunks(0..10)).unwrap();
        // Two go, and one comes: nearly all stays where it is.
        let next = [chunks(0..4), chunks(6..10), chunks(20..21)].concat();
        host.keep(2, &next).unwrap();
        for kept in &next {
            assert_eq!(host.read(kept).as_ref(), Some(kept));
        }
        let older = host.load().unwrap();
        assert_eq!((older.list.snapshot, older.list.files.len()), (SnapshotId::new([2; 16]), 2));
        for gone in chunks(4..6) {
            assert!(!older.holds(&host.names.name(&gone)));
        }
        // What was sealed of them is not even on the disk: two places side by side hold zeros.
        let zeros = |path: &Path| {
            let bytes = fs::read(path).unwrap();
            bytes.split(|byte| *byte != 0).map(<[u8]>::len).max().unwrap()
        };
        let most = host.files().iter().map(|path| zeros(path)).max().unwrap();
        assert!(most > 2 * 4000, "{most}");
        // Most goes: the rest moves, and the old files are gone.
        host.keep(3, &chunks(9..10)).unwrap();
        assert_eq!(host.load().unwrap().list.files.len(), 1);
        assert_eq!(host.files().len(), 2, "a list and a file: {:?}", host.files());
        assert_eq!(host.read(&chunk(9)), Some(chunk(9)));
    }

    #[test]
    fn files_do_not_become_more_and_more() {
        let host = Host::new();
        for number in 0..60 {
            // Each version adds a chunk, and needs all that came before.
            host.keep(1, &chunks(0..number + 1)).unwrap();
        }
        assert!(host.load().unwrap().list.files.len() <= FILES_COUNT_MAX + 1);
        for kept in chunks(0..60) {
            assert_eq!(host.read(&kept), Some(kept));
        }
    }

    #[test]
    fn a_run_that_does_not_finish_leaves_the_last_version() {
        let host = Host::new();
        host.keep(1, &chunks(0..3)).unwrap();
        let before = host.files();
        let dump = host.begin(1 << 20);
        dump.put(&host.names.name(&chunk(9)), &chunk(9));
        assert!(host.dump().lock().unwrap().is_none(), "another run waits for nothing");
        drop(dump);
        assert_eq!(host.files(), before);
        assert_eq!(host.read(&chunk(2)), Some(chunk(2)));
        // Killed between its new chunks and its list.
        put_file(&before[0].with_file_name("00ff00ff00ff00ff"), b"torn");
        host.keep(2, &chunks(0..3)).unwrap();
        assert_eq!(host.files(), before, "what it left is gone");
    }

    #[test]
    fn what_does_not_fit_ends_it_and_what_is_torn_or_changed_is_not_there() {
        let host = Host::new();
        host.keep(1, &chunks(0..3)).unwrap();
        let whole: Vec<_> = host.files().iter().map(|path| fs::read(path).unwrap()).collect();
        for (path, bytes) in host.files().iter().zip(&whole) {
            for damaged in [&bytes[..bytes.len() - 1], &bytes[..20]] {
                put_file(path, damaged);
                assert_eq!(host.read(&chunk(2)), None);
                put_file(path, bytes);
            }
            let mut changed = bytes.clone();
            let end = changed.len() - 1;
            changed[end] ^= 1;
            put_file(path, &changed);
            assert_eq!(host.read(&chunk(2)), None);
            put_file(path, bytes);
        }
        assert_eq!(host.read(&chunk(2)), Some(chunk(2)));
        let dump = host.begin(10_000);
        for new in chunks(10..13) {
            dump.put(&host.names.name(&new), &new);
        }
        assert_eq!(dump.finish(SnapshotId::new([2; 16])), Err(Stopped::DoesNotFit));
        drop(dump);
        assert!(host.load().is_none() && host.files().is_empty(), "{:?}", host.files());
    }

    #[test]
    fn a_chunk_opens_for_its_own_name_alone() {
        let host = Host::new();
        host.keep(1, &chunks(0..2)).unwrap();
        let older = host.load().unwrap();
        let [one, other] = [0, 1].map(|number| host.names.name(&chunk(number)));
        let sealed = older.sealed(&older.list.places[&one]).unwrap();
        let open = |seal: &DumpSeal, id: &ChunkId| {
            seal.open_chunk(&host.names, id, &mut sealed.clone(), &mut Vec::new())
        };
        assert_eq!(open(&host.seal, &one), Some(()));
        assert_eq!(open(&host.seal, &other), None);
        let environment = || Arc::new(FixedEnvironment::new(1, 1));
        let another_host =
            DumpSeal::new(&Secret::new([9; 32]), RepoId::new([2; 16]), environment());
        assert_eq!(open(&another_host, &one), None);
        let another = DumpSeal::new(&Secret::new([1; 32]), RepoId::new([9; 16]), environment());
        assert_eq!(open(&another, &one), None);
        // Sealed for a name by whoever has the key, and of other bytes.
        let mut wrong = host.seal.seal_chunk(&one, b"other bytes");
        assert_eq!(host.seal.open_chunk(&host.names, &one, &mut wrong, &mut Vec::new()), None);
    }
}
