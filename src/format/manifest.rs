//! Manifests: the signed statement of a snapshot. Spec: format-spec/08-manifest.md.

use crate::format::FormatError;
use crate::format::Rule;
use crate::format::dump;
use crate::format::dump::StatedStream;
use crate::format::tree::NODE_HEIGHT_MAX;
use crate::format::tree::Totals;
use crate::id::ChunkId;
use crate::id::ClientId;
use crate::id::RepoId;
use crate::id::Sha256;
use crate::id::SnapshotId;
use serde::Deserialize;
use serde::Serialize;

/// An in-toto statement, version 1, about one snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`STATEMENT_TYPE`].
    #[serde(rename = "_type")]
    pub statement_type: String,
    /// One subject: the packs that hold the snapshot.
    pub subject: Vec<StatementSubject>,
    /// [`SNAPSHOT_PREDICATE`].
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    /// What is stated.
    pub predicate: SnapshotPredicate,
}

/// What a statement is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatementSubject {
    /// `snapshot:` and the snapshot's id.
    pub name: String,
    /// Digests by algorithm.
    pub digest: SubjectDigest,
}

/// The digest of a subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectDigest {
    /// Root of the Merkle tree over the packs, hexadecimal.
    pub sha256: String,
}

/// What a manifest states.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotPredicate {
    /// The repository, hexadecimal.
    pub repository: String,
    /// The client, hexadecimal.
    pub client: String,
    /// The snapshot, hexadecimal.
    pub snapshot: String,
    /// The name retention groups by.
    pub source: String,
    /// What was backed up.
    pub kind: SourceKind,
    /// Absolute paths, or the name of the stream; bytes outside UTF-8 as `\xHH`.
    pub paths: Vec<String>,
    /// Words for finding it again.
    pub tags: Vec<String>,
    /// The host that ran it.
    pub host: String,
    /// Name and version of the program.
    pub tool: String,
    /// Who asked.
    pub actor: Actor,
    /// The state's time, start and end, RFC 3339 in UTC.
    pub times: SnapshotTimes,
    /// The command that produced a stream.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub command: Option<SourceCommand>,
    /// The streams, if they are several, beside files, or dumps that were understood.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub streams: Vec<StatedStream>,
    /// The parent whose unchanged files were not read again, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent: Option<String>,
    /// The snapshot of another repository of which this one is a copy, or of this one, of which it is
    /// what was left.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub origin: Option<SnapshotOrigin>,
    /// Name of the chunker's profile.
    pub profile: String,
    /// The top of the tree.
    pub root: RootReference,
    /// Sums over the tree.
    pub totals: StatedTotals,
    /// What the run did.
    pub run: RunSummary,
    /// Whether something was left out that was asked for.
    pub incomplete: bool,
    /// What was left out and why; at most [`SKIPPED_COUNT_MAX`], the rest is counted.
    pub skipped: Vec<SkippedPath>,
    /// How many paths were left out in all.
    pub skipped_count: u64,
    /// The packs that hold the snapshot.
    pub packs: PackCommitment,
    /// The newest verdict seen.
    pub verdict: StatedVerdict,
}

/// What was backed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SourceKind {
    /// Paths of a file system.
    Files,
    /// Standard input.
    Stream,
    /// The output of a command.
    Command,
    /// Databases of a server of `PostgreSQL`.
    Postgres,
    /// Several streams, or streams and paths.
    Several,
}

/// Who asked for the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// Numeric user of the process.
    pub user_id: u32,
    /// The user who called `sudo`, if one did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sudo_user: Option<String>,
}

/// Times of a snapshot, RFC 3339 in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotTimes {
    /// The time of the data: the start, unless the user said otherwise.
    pub data: String,
    /// When the run began.
    pub started: String,
    /// When the data was complete.
    pub finished: String,
}

/// The command that produced a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceCommand {
    /// The program and its arguments, secrets replaced.
    pub argv: Vec<String>,
    /// Its exit status; 0, or there would be no snapshot.
    pub exit_status: i32,
}

/// The snapshot that a snapshot was made from: of another repository, or a damaged one of the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotOrigin {
    /// Its repository, hexadecimal.
    pub repository: String,
    /// The client that made it there, hexadecimal.
    pub client: String,
    /// Its name there, hexadecimal.
    pub snapshot: String,
    /// SHA-256 of its manifest's statement, hexadecimal.
    pub manifest: String,
}

/// The top of a snapshot's tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootReference {
    /// The top node's chunk, hexadecimal.
    pub node: String,
    /// Levels below it.
    pub height: u8,
}

/// Sums over a snapshot's tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatedTotals {
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Everything else.
    pub others: u64,
    /// Sum of the sizes of regular files.
    pub bytes: u64,
}

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSummary {
    /// Files that the parent did not have.
    pub files_new: u64,
    /// Files that differed from the parent's.
    pub files_changed: u64,
    /// Files that were taken from the parent unread.
    pub files_unchanged: u64,
    /// Bytes read from the source.
    pub bytes_read: u64,
    /// Plaintext bytes of chunks that were new.
    pub bytes_new: u64,
    /// Bytes stored for them, tree included.
    pub bytes_stored: u64,
}

/// A path that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SkippedPath {
    /// The path; bytes outside UTF-8 as `\xHH`.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// Commitment to the packs that hold a snapshot when it is committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackCommitment {
    /// Root of the Merkle tree, hexadecimal.
    pub root: String,
    /// How many packs.
    pub count: u64,
    /// Whether the packs are all that hold the snapshot or only those this session added.
    pub scope: PackScope,
}

/// Which packs a commitment names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum PackScope {
    /// Every pack that holds a chunk of the snapshot.
    All,
    /// The packs of the session.
    Session,
}

/// A verdict as manifests name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatedVerdict {
    /// Its number; 0 before the first.
    pub number: u64,
    /// BLAKE3 of its statement, hexadecimal.
    pub digest: String,
}

impl Manifest {
    /// The statement's bytes: compact JSON with the fields in the order of the page.
    ///
    /// # Panics
    ///
    /// Never: everything in it is plain data.
    #[expect(clippy::expect_used, reason = "no map keys and no floats: JSON takes every value")]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a manifest is plain data")
    }

    /// Decodes a statement and checks its rules.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let wrong = |at| FormatError::new("manifest", Rule::ManifestJson, at);
        let manifest: Self = serde_json::from_slice(bytes).map_err(|_source| wrong(0))?;
        let typed = manifest.statement_type == STATEMENT_TYPE
            && manifest.predicate_type == SNAPSHOT_PREDICATE
            && manifest.subject.len() == 1;
        if !typed || manifest.encode() != bytes {
            return Err(wrong(1));
        }
        let skipped = &manifest.predicate.skipped;
        let origin = manifest.predicate.origin.as_ref();
        if origin.is_some_and(|origin| !origin.is_valid()) {
            return Err(wrong(2));
        }
        if !dump::are_valid(&manifest.predicate.streams) {
            return Err(wrong(2));
        }
        if manifest.root().is_none() || skipped.len() > SKIPPED_COUNT_MAX {
            return Err(wrong(2));
        }
        if manifest.predicate.root.height > NODE_HEIGHT_MAX {
            return Err(FormatError::new("manifest", Rule::TreeHeight, 2));
        }
        Ok(manifest)
    }

    /// Checks that the manifest belongs to its key.
    pub fn check_place(
        &self,
        repository: RepoId,
        client: ClientId,
        snapshot: SnapshotId,
    ) -> Result<(), FormatError> {
        let SnapshotPredicate {
            repository: stated_repository,
            client: stated_client,
            snapshot: stated_snapshot,
            ..
        } = &self.predicate;
        let agrees = *stated_repository == repository.to_string()
            && *stated_client == client.to_string()
            && *stated_snapshot == snapshot.to_string();
        if agrees { Ok(()) } else { Err(FormatError::new("manifest", Rule::ManifestPlace, 0)) }
    }

    /// The top node of the tree and the levels below it.
    pub fn root(&self) -> Option<(ChunkId, u8)> {
        let RootReference { node, height } = &self.predicate.root;
        Some((node.parse().ok()?, *height))
    }
}

impl SnapshotOrigin {
    /// Whether its members are ids and a digest.
    fn is_valid(&self) -> bool {
        let Self { repository, client, snapshot, manifest } = self;
        repository.parse::<RepoId>().is_ok()
            && client.parse::<ClientId>().is_ok()
            && snapshot.parse::<SnapshotId>().is_ok()
            && manifest.parse::<Sha256>().is_ok()
    }
}

impl From<Totals> for StatedTotals {
    fn from(totals: Totals) -> Self {
        let Totals { files, directories, others, bytes } = totals;
        Self { files, directories, others, bytes }
    }
}

impl From<StatedTotals> for Totals {
    fn from(totals: StatedTotals) -> Self {
        let StatedTotals { files, directories, others, bytes } = totals;
        Self { files, directories, others, bytes }
    }
}

/// Leaf hash of the Merkle tree over packs (RFC 9162): SHA-256 of 0, id and length in 8 bytes.
pub fn merkle_leaf(pack: &crate::id::PackId, length: u64) -> Vec<u8> {
    [&[0], pack.as_bytes().as_slice(), &length.to_le_bytes()].concat()
}

/// Inner node of the Merkle tree (RFC 9162): SHA-256 of 1 and both sides.
pub fn merkle_node(left: &Sha256, right: &Sha256) -> Vec<u8> {
    [&[1], left.as_bytes().as_slice(), right.as_bytes()].concat()
}

/// The statement's type.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// The predicate's type.
pub const SNAPSHOT_PREDICATE: &str = "https://sbf-repo.dev/predicate/snapshot/v1";
/// Most skipped paths that a manifest lists.
pub const SKIPPED_COUNT_MAX: usize = 1000;
