//! What a host that cannot read trees keeps of the files that it backed up: when they changed, and
//! which chunks hold them. So it need not read again what did not change.
//!
//! Disposable, and never a reason to fail. Paths stand there as keyed hashes, contents as names of
//! chunks: whoever finds the file learns sizes and times. It counts only while the snapshot counts
//! that it was made with: then everything is stored that it names.

use crate::crypto::hash::ChunkNamer;
use crate::crypto::hash::blake3;
use crate::crypto::hash::derive;
use crate::format::tree::FileEntry;
use crate::format::tree::Timestamp;
use crate::id::RepoId;
use crate::id::SnapshotId;
use crate::repo::repository::Repository;
use crate::units::to_u32;
use crate::units::to_u64;
use crate::units::to_usize32;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::BufWriter;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

/// A file as it was backed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownFile {
    pub(crate) inode: u64,
    pub(crate) modified: Timestamp,
    pub(crate) changed: Timestamp,
    pub(crate) file: FileEntry,
}

/// What was kept of one source.
#[derive(Debug)]
pub(crate) struct FileMemory {
    /// The snapshot with which it was made.
    pub(crate) snapshot: SnapshotId,
    /// When that began: what changed at or after this time may have changed behind its back.
    pub(crate) started: Timestamp,
    file: File,
    names: ChunkNamer,
    /// The names of paths, sorted, and where their records are.
    places: Vec<(PathName, u64)>,
}

/// What is being kept of one source.
#[derive(Debug)]
pub(crate) struct NewFileMemory {
    repository: RepoId,
    names: ChunkNamer,
    path: PathBuf,
    staged: PathBuf,
    /// Nothing once a write failed.
    file: Option<BufWriter<File>>,
    length: u64,
    places: Vec<(PathName, u64)>,
}

type PathName = [u8; 16];

impl FileMemory {
    /// What is kept of a source, if it is whole.
    pub(crate) fn load(repository: &Repository, source: &str) -> Option<Self> {
        let names = namer(repository)?;
        let file = File::open(place_of(repository, &names, source)?).ok()?;
        let length = file.metadata().ok()?.len();
        let mut footer = [0; FOOTER_LEN];
        file.read_exact_at(&mut footer, length.checked_sub(to_u64(FOOTER_LEN))?).ok()?;
        let mut fields = Fields(&footer);
        let is_ours = fields.take()? == MAGIC && fields.take()? == *repository.id().as_bytes();
        let snapshot = SnapshotId::new(fields.take()?);
        let started = fields.timestamp()?;
        let count = u64::from_le_bytes(fields.take()?);
        let checksum: [u8; 32] = fields.take()?;
        let table_length = count.checked_mul(to_u64(PLACE_LEN))?;
        let table_at = length.checked_sub(to_u64(FOOTER_LEN))?.checked_sub(table_length)?;
        let mut table = vec![0; usize::try_from(table_length).ok()?];
        file.read_exact_at(&mut table, table_at).ok()?;
        let signed = [table.as_slice(), &footer[..FOOTER_LEN - checksum.len()]].concat();
        if !is_ours || blake3(&signed) != checksum {
            return None;
        }
        let place = |row: &[u8]| {
            let mut fields = Fields(row);
            Some((fields.take()?, u64::from_le_bytes(fields.take()?)))
        };
        let places = table.chunks_exact(PLACE_LEN).map(place).collect::<Option<Vec<_>>>()?;
        Some(Self { snapshot, started, file, names, places })
    }

    /// What is kept of the file at this path.
    pub(crate) fn find(&self, path: &[u8]) -> Option<KnownFile> {
        let name = path_name(&self.names, path);
        let at = self.places.binary_search_by_key(&name, |(name, _place)| *name).ok()?;
        let (_name, place) = *self.places.get(at)?;
        let mut length = [0; 4];
        self.file.read_exact_at(&mut length, place).ok()?;
        let length = u32::from_le_bytes(length);
        if length > RECORD_BYTES_MAX {
            return None;
        }
        let mut record = vec![0; to_usize32(length)];
        self.file.read_exact_at(&mut record, place + 4).ok()?;
        let (checksum, body) = record.split_first_chunk::<32>()?;
        if blake3(body) != *checksum {
            return None;
        }
        let mut fields = Fields(body);
        let inode = u64::from_le_bytes(fields.take()?);
        let (modified, changed) = (fields.timestamp()?, fields.timestamp()?);
        let file = FileEntry::decode(fields.0).ok()?;
        Some(KnownFile { inode, modified, changed, file })
    }
}

impl NewFileMemory {
    /// Begins to keep a source, if there is a cache and the role needs it.
    pub(crate) fn begin(repository: &Repository, source: &str) -> Option<Self> {
        let names = namer(repository)?;
        let path = place_of(repository, &names, source)?;
        let folder = path.parent()?;
        DirBuilder::new().recursive(true).mode(0o700).create(folder).ok()?;
        drop_abandoned(folder);
        let staged = path.with_extension(format!("{}.{STAGED_EXTENSION}", std::process::id()));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = Some(BufWriter::new(options.open(&staged).ok()?));
        let repository = repository.id();
        Some(Self { repository, names, path, staged, file, length: 0, places: Vec::new() })
    }

    /// Keeps a file.
    pub(crate) fn push(&mut self, path: &[u8], known: &KnownFile) {
        let KnownFile { inode, modified, changed, file } = known;
        let mut body = inode.to_le_bytes().to_vec();
        push_time(&mut body, *modified);
        push_time(&mut body, *changed);
        body.extend_from_slice(&file.encode());
        let length = to_u32(body.len() + 32);
        if length > RECORD_BYTES_MAX {
            return;
        }
        let record = [length.to_le_bytes().as_slice(), &blake3(&body), &body].concat();
        self.places.push((path_name(&self.names, path), self.length));
        self.length += to_u64(record.len());
        self.write(&record);
    }

    /// Ends what was kept with the snapshot that was committed; it takes the place of the last one.
    pub(crate) fn finish(mut self, snapshot: SnapshotId, started: Timestamp) {
        self.places.sort_unstable();
        self.places.dedup_by_key(|(name, _place)| *name);
        let mut table = Vec::with_capacity(self.places.len() * PLACE_LEN + FOOTER_LEN);
        for (name, place) in &self.places {
            table.extend_from_slice(name);
            table.extend_from_slice(&place.to_le_bytes());
        }
        table.extend_from_slice(&MAGIC);
        table.extend_from_slice(self.repository.as_bytes());
        table.extend_from_slice(snapshot.as_bytes());
        push_time(&mut table, started);
        table.extend_from_slice(&to_u64(self.places.len()).to_le_bytes());
        let checksum = blake3(&table);
        self.write(&table);
        self.write(&checksum);
        let flushed = self.file.take().and_then(|file| file.into_inner().ok());
        if flushed.is_some() {
            let _ignored = std::fs::rename(&self.staged, &self.path);
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        let failed =
            |file: &mut BufWriter<File>| -> Option<io::Error> { file.write_all(bytes).err() };
        if self.file.as_mut().is_some_and(|file| failed(file).is_some()) {
            self.file = None;
        }
    }
}

impl Drop for NewFileMemory {
    fn drop(&mut self) {
        // After `finish` it has another name.
        let _ignored = std::fs::remove_file(&self.staged);
    }
}

/// The fields of bytes, from the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn timestamp(&mut self) -> Option<Timestamp> {
        let seconds = i64::from_le_bytes(self.take()?);
        Some(Timestamp { seconds, nanoseconds: u32::from_le_bytes(self.take()?) })
    }
}

fn push_time(bytes: &mut Vec<u8>, time: Timestamp) {
    let Timestamp { seconds, nanoseconds } = time;
    bytes.extend_from_slice(&seconds.to_le_bytes());
    bytes.extend_from_slice(&nanoseconds.to_le_bytes());
}

/// Names paths, for a role that cannot read them in a tree.
fn namer(repository: &Repository) -> Option<ChunkNamer> {
    let keys = &repository.keys;
    if keys.newest().tree.is_some() {
        return None;
    }
    let id_key = keys.keys.id_key.as_ref()?;
    Some(ChunkNamer::new(derive("sbf-repo 1 file memory", &[id_key])))
}

fn path_name(names: &ChunkNamer, path: &[u8]) -> PathName {
    let mut name = [0; 16];
    name.copy_from_slice(&names.name(path).as_bytes()[..16]);
    name
}

/// Where a source is kept.
fn place_of(repository: &Repository, names: &ChunkNamer, source: &str) -> Option<PathBuf> {
    // A path begins with a slash: no name of a source is that of a path.
    let name = names.name(format!("source {source}").as_bytes());
    Some(repository.cache.as_ref()?.path().join(FOLDER).join(name.to_string()))
}

/// Removes what processes that were killed had begun.
fn drop_abandoned(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        let is_old = changed.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > ABANDONED_AGE));
        if is_old && entry.path().extension().is_some_and(|end| end == STAGED_EXTENSION) {
            let _ignored = std::fs::remove_file(entry.path());
        }
    }
}

const MAGIC: [u8; 8] = *b"SBFFILE1";
/// Magic, repository, snapshot, start, count, checksum.
const FOOTER_LEN: usize = 8 + 16 + 16 + 12 + 8 + 32;
const PLACE_LEN: usize = 16 + 8;
/// Longest record: contents of more chunks are lists of their own.
const RECORD_BYTES_MAX: u32 = 1 << 20;
const FOLDER: &str = "files";
const STAGED_EXTENSION: &str = "new";
const ABANDONED_AGE: Duration = Duration::from_hours(24);
