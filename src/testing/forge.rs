//! Snapshots that no honest program makes, sealed and signed with the right keys.
//! Invariant: only what the caller distorts differs from what a writer stores.

use crate::crypto::hash::sha256;
use crate::format::index::Segment;
use crate::format::layout::SessionRef;
use crate::format::manifest::Manifest;
use crate::format::outcome::Subject;
use crate::format::pack::PackKind;
use crate::format::tree::Totals;
use crate::id::ChunkId;
use crate::id::SnapshotId;
use crate::repo::error::RepoError;
use crate::repo::index::load::load_segment;
use crate::repo::repository::Repository;
use crate::repo::session::AllDurable;
use crate::repo::session::Committed;
use crate::repo::session::WriterSession;
use crate::repo::session::store_segment;
use crate::repo::statement::merkle_root;
use crate::repo::statement::store_manifest;
use crate::repo::write::ChunkStore;
use crate::repo::write::ChunkWriter;
use crate::units::to_u64;

/// Where a forger puts chunks of any content.
pub struct Forge<'a> {
    tree: ChunkWriter<'a>,
    data: ChunkWriter<'a>,
}

/// What the manifest will say.
#[derive(Debug, Clone, Copy)]
pub struct ForgedRoot {
    /// The top node's chunk.
    pub node: ChunkId,
    /// Levels below it, as the manifest says.
    pub height: u8,
    /// Sums over the tree, as the manifest says.
    pub totals: Totals,
}

/// Stores the chunks of a tree.
pub type Build<'a> = dyn FnMut(&mut Forge<'_>) -> Result<ForgedRoot, RepoError> + 'a;

/// Changes what the index says of the session's packs.
pub type Distort<'a> = dyn FnMut(&mut Segment) + 'a;

impl Forge<'_> {
    /// Stores a tree chunk of these bytes.
    pub fn tree_chunk(&mut self, bytes: &[u8]) -> Result<ChunkId, RepoError> {
        self.tree.write(bytes)
    }

    /// Stores a data chunk of these bytes.
    pub fn data_chunk(&mut self, bytes: &[u8]) -> Result<ChunkId, RepoError> {
        self.data.write(bytes)
    }
}

/// Commits a snapshot of forged chunks; everything else is as in `template`.
pub fn forge(
    repository: &Repository,
    template: &Manifest,
    build: &mut Build<'_>,
) -> Result<SnapshotId, RepoError> {
    forge_with_index(repository, template, build, &mut |_segment| {})
}

/// As [`forge`], with an index that says something else of the packs.
pub fn forge_with_index(
    repository: &Repository,
    template: &Manifest,
    build: &mut Build<'_>,
    distort: &mut Distort<'_>,
) -> Result<SnapshotId, RepoError> {
    let store = ChunkStore::new(WriterSession::open(repository, &template.predicate.source)?)?;
    let mut forge =
        Forge { tree: store.writer(PackKind::Tree)?, data: store.writer(PackKind::Data)? };
    let root = build(&mut forge)?;
    forge.tree.flush()?;
    forge.data.flush()?;
    let durable = store.finish()?;
    let session = store.take_session()?;
    let mut segments = Vec::new();
    for (sequence, segment) in (FORGED_SEQUENCE..).zip(durable.segments) {
        let mut content = load_segment(repository, segment)?;
        distort(&mut content);
        segments.push(store_segment(repository, session.reference, sequence, &content)?);
    }
    let manifest = manifest(&store, session.reference, template, root);
    let digest = store_manifest(repository, session.reference, &manifest)?;
    debug_assert_eq!(digest, sha256(&manifest.encode()));
    let source = manifest.predicate.source.clone();
    let snapshot = session.reference.session.into();
    match session.commit(Subject::Snapshot { manifest: digest, source }, AllDurable { segments })? {
        Committed::Yes => Ok(snapshot),
        Committed::Fenced => Err(RepoError::Fenced { attempts: 1 }),
    }
}

fn manifest(
    store: &ChunkStore,
    session: SessionRef,
    template: &Manifest,
    root: ForgedRoot,
) -> Manifest {
    let snapshot: SnapshotId = session.session.into();
    let packs = store.stored_packs();
    let digest = merkle_root(&packs).to_string();
    let mut manifest = template.clone();
    for subject in &mut manifest.subject {
        subject.name = format!("snapshot:{snapshot}");
        subject.digest.sha256.clone_from(&digest);
    }
    let stated = &mut manifest.predicate;
    stated.snapshot = snapshot.to_string();
    stated.root.node = root.node.to_string();
    stated.root.height = root.height;
    stated.totals = root.totals.into();
    stated.packs.root = digest;
    stated.packs.count = to_u64(packs.len());
    manifest
}

/// Numbers of segments that no honest session of a test reaches.
const FORGED_SEQUENCE: u32 = 1000;
