//! The list of a kept dump: the dump's extents, and where the chunks are that may stand before deltas.

use crate::format::content::Extent;
use crate::id::ChunkId;
use crate::id::Digest;
use crate::id::SnapshotId;
use crate::repo::kept_dump::fields::Fields;
use crate::repo::kept_dump::seal::DumpSeal;
use crate::units::to_u64;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// A sealed chunk in one of the dump's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Which file of the list.
    pub(crate) file: u32,
    /// Where it begins.
    pub(crate) at: u64,
    pub(crate) length: u32,
}

/// The name of a file of sealed chunks.
pub(crate) type FileName = [u8; 8];

/// What is kept of a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DumpList {
    /// The snapshot that it was committed with.
    pub(crate) snapshot: SnapshotId,
    pub(crate) files: Vec<FileName>,
    pub(crate) places: HashMap<ChunkId, Place>,
    pub(crate) extents: Vec<Extent>,
}

impl DumpList {
    /// The bytes of its file. `dump` is the name of what it is a list of.
    pub(crate) fn seal(&self, seal: &DumpSeal, dump: &Digest) -> Vec<u8> {
        let Self { snapshot, files, places, extents } = self;
        let head = seal.seal(HEAD, &[dump.as_bytes()], snapshot.as_bytes().to_vec());
        let mut body = Vec::new();
        push_count(&mut body, files.len());
        body.extend(files.iter().flatten());
        push_count(&mut body, places.len());
        for (id, Place { file, at, length }) in places {
            body.extend_from_slice(id.as_bytes());
            body.extend_from_slice(&file.to_le_bytes());
            body.extend_from_slice(&at.to_le_bytes());
            body.extend_from_slice(&length.to_le_bytes());
        }
        push_count(&mut body, extents.len());
        for extent in extents {
            let id = match extent {
                Extent::Chunk { id, .. } => *id.as_bytes(),
                Extent::Hole { .. } => HOLE,
            };
            body.extend_from_slice(&id);
            body.extend_from_slice(&extent.length().to_le_bytes());
        }
        let body = seal.seal(LIST, &[dump.as_bytes(), snapshot.as_bytes()], body);
        [MAGIC.as_slice(), &head, &body].concat()
    }

    /// Opens the bytes of a file; `None` if they are not the list of this dump, whole.
    pub(crate) fn open(seal: &DumpSeal, dump: &Digest, bytes: &[u8]) -> Option<Self> {
        let (head, body) = bytes.split_at_checked(HEAD_LEN)?;
        let snapshot = open_head(seal, dump, head)?;
        let mut body = body.to_vec();
        seal.open(LIST, &[dump.as_bytes(), snapshot.as_bytes()], &mut body)?;
        let mut fields = Fields(&body);
        let files = fields.rows(FILE_ROW)?.map(|row| Fields(row).take()).collect::<Option<_>>()?;
        let places = fields.rows(PLACE_ROW)?.map(place).collect::<Option<_>>()?;
        let extents = fields.rows(EXTENT_ROW)?.map(extent).collect::<Option<_>>()?;
        Some(Self { snapshot, files, places, extents })
    }
}

/// The snapshot that the list in a file was committed with.
pub(crate) fn snapshot_in(seal: &DumpSeal, dump: &Digest, path: &Path) -> Option<SnapshotId> {
    let mut head = [0; HEAD_LEN];
    File::open(path).ok()?.read_exact(&mut head).ok()?;
    open_head(seal, dump, &head)
}

fn open_head(seal: &DumpSeal, dump: &Digest, head: &[u8]) -> Option<SnapshotId> {
    let mut head = head.strip_prefix(MAGIC.as_slice())?.to_vec();
    seal.open(HEAD, &[dump.as_bytes()], &mut head)?;
    Some(SnapshotId::new(Fields(&head).take()?))
}

fn place(row: &[u8]) -> Option<(ChunkId, Place)> {
    let mut fields = Fields(row);
    let id = ChunkId::new(fields.take()?);
    let file = u32::from_le_bytes(fields.take()?);
    let at = u64::from_le_bytes(fields.take()?);
    Some((id, Place { file, at, length: u32::from_le_bytes(fields.take()?) }))
}

fn extent(row: &[u8]) -> Option<Extent> {
    let mut fields = Fields(row);
    let id: [u8; ChunkId::LENGTH] = fields.take()?;
    let length = u64::from_le_bytes(fields.take()?);
    if id == HOLE {
        return Some(Extent::Hole { length });
    }
    Some(Extent::Chunk { id: ChunkId::new(id), length: u32::try_from(length).ok()? })
}

fn push_count(body: &mut Vec<u8>, count: usize) {
    body.extend_from_slice(&to_u64(count).to_le_bytes());
}

/// About how much of a list a chunk takes, its extent included.
pub(crate) const CHUNK_ROWS: u64 = 88;
const MAGIC: [u8; 8] = *b"SBFDUMP1";
const HEAD: &str = "sbf-repo 1 kept dump";
const LIST: &str = "sbf-repo 1 kept list";
/// Magic, snapshot, tag, nonce.
const HEAD_LEN: usize = 8 + 16 + 16 + 24;
const FILE_ROW: usize = size_of::<FileName>();
const PLACE_ROW: usize = ChunkId::LENGTH + 4 + 8 + 4;
const EXTENT_ROW: usize = ChunkId::LENGTH + 8;
const _: () = assert!(PLACE_ROW + EXTENT_ROW == 88, "as `CHUNK_ROWS` says");
/// Where an extent is no chunk: no chunk has this name, as far as anybody will ever know.
const HOLE: [u8; ChunkId::LENGTH] = [0; ChunkId::LENGTH];
