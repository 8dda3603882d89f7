//! What can go wrong with a repository; every variant names its object.

use crate::compress::DecompressError;
use crate::crypto::CryptoError;
use crate::format::FormatError;
use crate::format::keyslot::Role;
use crate::id::ChunkId;
use crate::id::ClientId;
use crate::id::KeyId;
use crate::id::PackId;
use crate::id::RepoId;
use crate::id::SlotId;
use crate::key::ObjectKey;
use crate::repo::memory::WentBack;
use crate::repo::mirror::error::MirrorError;
use crate::repo::rights::Right;
use crate::repo::rights::roles_words;
use crate::repo::signed_at::Lapse;
use crate::store::StoreError;

/// A repository operation cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepoError {
    /// There is no repository at the location.
    #[error("there is no repository in {location}")]
    NoRepository {
        /// Where it was looked for.
        location: String,
    },
    /// There is one already, or the place holds other things.
    #[error("{location} is not empty")]
    NotEmpty {
        /// The place.
        location: String,
    },
    /// A store shows what is gone, or hides what is there: no backup may rely on it.
    #[error(
        "{location} cannot hold a repository: of the objects that it acknowledged, {missed_by_listings} were missing in listings, and of those that it deleted, {kept_after_delete} were still there"
    )]
    StoreInconsistent {
        /// The store.
        location: String,
        /// How many.
        missed_by_listings: u32,
        /// How many.
        kept_after_delete: u32,
    },
    /// No slot opens with what was given.
    #[error("the {secret} opens none of the {slots} key slots of this repository")]
    WrongKey {
        /// What was tried.
        secret: &'static str,
        /// How many slots it was tried on.
        slots: usize,
    },
    /// A key file cannot be used.
    #[error("the key file is not one of this program")]
    KeyFile,
    /// A key file says that it is for another repository.
    #[error("the key file is for repository {named}, and this one is {opened}")]
    OtherRepository {
        /// The one that the file names.
        named: RepoId,
        /// The one that was opened.
        opened: RepoId,
    },
    /// A slot cannot be opened though its secret is right.
    #[error("cannot open key slot {slot}")]
    OpenSlot {
        /// Which.
        slot: SlotId,
        /// Why.
        source: CryptoError,
    },
    /// The authority does not know the client in use, or revoked it: no later keys are for it.
    #[error("client {client}, whose slot is in use, gets no keys of later generations")]
    NotAHolder {
        /// Who.
        client: ClientId,
    },
    /// A file does not hold the authority's key of this repository.
    #[error("the file does not hold the authority key of this repository")]
    AuthorityFile,
    /// A slot was made by somebody else than the key file expects.
    #[error("key slot {slot} names another authority than the key file")]
    OtherAuthority {
        /// Which.
        slot: SlotId,
    },
    /// The key's role lacks a right.
    #[error("the role {} lacks the key for {right}: {}", .role.word(), roles_words(*.right))]
    RoleLacks {
        /// The role of the slot in use.
        role: Role,
        /// What was to be done.
        right: Right,
    },
    /// The repository needs a feature that this program does not know.
    #[error("this repository needs the feature `{feature}` to {right}")]
    Feature {
        /// The unknown name.
        feature: String,
        /// The right that is refused.
        right: &'static str,
    },
    /// The repository lacks what this host has seen of it.
    #[error("nothing is written to a repository that went back in time")]
    WentBack {
        /// What was seen, and what is there.
        source: WentBack,
    },
    /// The audit log cannot take a record, and is asked for.
    #[error("the audit log cannot take the record of this run: {why}")]
    AuditRequired {
        /// Why not.
        why: String,
    },
    /// The store failed.
    #[error("the store failed")]
    Store {
        /// Why and where.
        #[from]
        source: StoreError,
    },
    /// A stored object breaks the format.
    #[error("cannot decode `{key}`")]
    Decode {
        /// The object.
        key: String,
        /// Which rule.
        source: FormatError,
    },
    /// What was to be stored breaks the format: no reader would accept it.
    #[error("a record of the kind `{kind}` would break the format, and is not stored")]
    NotARecord {
        /// The word for its kind.
        kind: &'static str,
        /// Which rule.
        source: FormatError,
    },
    /// A stored object does not open.
    #[error("cannot open `{key}`")]
    Open {
        /// The object.
        key: String,
        /// Why.
        source: CryptoError,
    },
    /// A stored object's plaintext does not decode.
    #[error("cannot decompress `{key}`")]
    Decompress {
        /// The object.
        key: String,
        /// Why.
        source: DecompressError,
    },
    /// A signature is missing, wrong, or by a key that may not sign this.
    #[error("the signature of `{key}` by {signer} does not count")]
    Signature {
        /// The object.
        key: String,
        /// Who signed, as the object says.
        signer: KeyId,
        /// Why.
        source: CryptoError,
    },
    /// A signature came when its key no longer counted.
    #[error("the signature of `{key}` does not count: its key {signer} {lapse}")]
    Lapsed {
        /// The object.
        key: String,
        /// Whose key.
        signer: KeyId,
        /// What ended it.
        lapse: Lapse,
    },
    /// The client in use must not write: what it signs does not count.
    #[error("what this host signs does not count: its key {signer} {lapse}")]
    MaySignNoMore {
        /// Whose key.
        signer: KeyId,
        /// What ended it.
        lapse: Lapse,
    },
    /// A generation of keys that no slot in use has.
    #[error("`{key}` is sealed under generation {generation}, which this key does not have")]
    Generation {
        /// The object.
        key: String,
        /// Which.
        generation: u32,
    },
    /// An object has other bytes than its name says.
    #[error("`{key}` has other bytes than its name says")]
    WrongHash {
        /// The object.
        key: String,
    },
    /// The index and a pack's own directory disagree.
    #[error("the index does not say of `{key}` what its directory says")]
    IndexDiffers {
        /// The pack.
        key: String,
    },
    /// The index knows no pack that holds a chunk.
    #[error("no pack in the index holds chunk {}", .chunk.short())]
    UnknownChunk {
        /// Which.
        chunk: ChunkId,
    },
    /// A block cannot be opened.
    #[error("cannot open block {block} of pack {}", .pack.short())]
    OpenBlock {
        /// The pack.
        pack: PackId,
        /// The block's number in it.
        block: u32,
        /// Why.
        source: BlockError,
    },
    /// A chunk's plaintext is not what its name says.
    #[error("chunk {} in pack {} has other bytes than its name says", .chunk.short(), .pack.short())]
    WrongChunk {
        /// The chunk.
        chunk: ChunkId,
        /// Where it was read.
        pack: PackId,
    },
    /// A whole content is not what its entry states, though its chunks are.
    #[error("the digest of the content is not the one its entry states")]
    WrongDigest,
    /// A tree node breaks the format.
    #[error("cannot decode tree chunk {}", .chunk.short())]
    TreeNode {
        /// The chunk.
        chunk: ChunkId,
        /// Which rule.
        source: FormatError,
    },
    /// What was just written does not read back: the machine or a library is at fault.
    #[error("block {block} does not read back as it was written")]
    VerifyFailed {
        /// The block's number in its pack.
        block: u32,
    },
    /// The session lost its register to a fence, again and again.
    #[error("the session was fenced {attempts} times")]
    Fenced {
        /// How often.
        attempts: u32,
    },
    /// The newest plan of a collection cannot be read.
    #[error("the plan of collection {number} cannot be read, so nothing can be written safely")]
    PlanUnreadable {
        /// The collection's number.
        number: u64,
    },
    /// What a collection deletes could not be told in a record.
    #[error(
        "nothing of collection {number} is deleted, since the certificate of it could not be stored"
    )]
    Uncertified {
        /// The collection's number.
        number: u64,
        /// Why not.
        source: Box<Self>,
    },
    /// A register of a collection that cannot be: nothing is there of the one before.
    #[error("`{key}` is of no collection: there is none of number {missing}")]
    StrayRegister {
        /// The register.
        key: String,
        /// The number before it.
        missing: u64,
    },
    /// An object that is to be given up must not be.
    #[error("`{key}` is not given up: {why}")]
    NotGivenUp {
        /// The object.
        key: String,
        /// What speaks against it.
        why: &'static str,
    },
    /// There is no such verdict, or nothing says any more what was valid then.
    #[error("what was valid at verdict {number} cannot be read; the newest is {newest}")]
    NoVerdict {
        /// The verdict that was asked for.
        number: u64,
        /// The newest one.
        newest: u64,
    },
    /// An earlier state is only read.
    #[error("the repository as of verdict {number} is only read")]
    PastIsRead {
        /// The verdict.
        number: u64,
    },
    /// The registers moved faster than they could be read.
    #[error("the collections of this repository moved while they were read, {attempts} times")]
    Unsettled {
        /// How often it was tried.
        attempts: u32,
    },
    /// A mirror is not to be used so.
    #[error(transparent)]
    Mirror {
        /// Why.
        #[from]
        source: MirrorError,
    },
    /// A worker thread ended without a result.
    #[error("a worker thread ended early")]
    WorkerLost,
    /// A local file of the client's own failed.
    #[error("cannot {call} `{path}`")]
    Local {
        /// What was tried.
        call: &'static str,
        /// On which path.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// Why a block does not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// Its bytes are not authentic.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// Its plaintext does not decode.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
    /// Its bases take more room than a delta may have.
    #[error("the bases of the delta are longer than their limit")]
    BasesTooLong,
    /// A base is itself in a delta block only.
    #[error("base chunk {} is in no plain block", .0.short())]
    BaseNotPlain(ChunkId),
    /// A chunk lies outside the block.
    #[error("a chunk lies outside the block")]
    Range,
}

impl RepoError {
    /// Whether bytes of an object could not be read, which is damage if others can.
    pub(crate) fn is_read_failure(&self) -> bool {
        matches!(self, Self::Store { source }
            if source.kind == crate::store::StoreErrorKind::Unreadable)
    }

    /// The stored object that it is about, if it is about one as a whole.
    pub(crate) fn object(&self) -> Option<&str> {
        if let Self::Store { source } = self {
            return Some(&source.key);
        }
        if let Self::Decode { key, .. }
        | Self::Open { key, .. }
        | Self::Decompress { key, .. }
        | Self::Signature { key, .. }
        | Self::Lapsed { key, .. }
        | Self::Generation { key, .. }
        | Self::WrongHash { key }
        | Self::IndexDiffers { key }
        | Self::StrayRegister { key, .. } = self
        {
            return Some(key);
        }
        None
    }

    /// The same error about an object whose place is only a part of its key.
    pub(crate) fn stored_at(mut self, stored: &ObjectKey) -> Self {
        if let Self::Decode { key, .. }
        | Self::Open { key, .. }
        | Self::Decompress { key, .. }
        | Self::Generation { key, .. } = &mut self
        {
            *key = stored.to_string();
        }
        self
    }

    /// Whether no key reads the object: it is damaged, and not only sealed for others.
    pub(crate) fn is_unreadable(&self) -> bool {
        self.is_damage() && !matches!(self, Self::Generation { .. })
    }

    /// Whether stored bytes are damaged, as opposed to a failing store or a wrong call.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::OpenSlot { .. }
            | Self::OtherAuthority { .. }
            | Self::Decode { .. }
            | Self::Open { .. }
            | Self::Decompress { .. }
            | Self::Signature { .. }
            | Self::Lapsed { .. }
            | Self::Generation { .. }
            | Self::WrongHash { .. }
            | Self::IndexDiffers { .. }
            | Self::PlanUnreadable { .. }
            | Self::StrayRegister { .. }
            | Self::UnknownChunk { .. }
            | Self::OpenBlock { .. }
            | Self::WrongChunk { .. }
            | Self::WrongDigest
            | Self::TreeNode { .. } => true,
            Self::Store { source } => {
                matches!(
                    source.kind,
                    crate::store::StoreErrorKind::NotFound | crate::store::StoreErrorKind::Corrupt
                )
            }
            Self::Uncertified { source, .. } => source.is_damage(),
            Self::WentBack { .. }
            | Self::NotARecord { .. }
            | Self::AuditRequired { .. }
            | Self::NoRepository { .. }
            | Self::NotEmpty { .. }
            | Self::StoreInconsistent { .. }
            | Self::WrongKey { .. }
            | Self::KeyFile
            | Self::OtherRepository { .. }
            | Self::AuthorityFile
            | Self::NotAHolder { .. }
            | Self::MaySignNoMore { .. }
            | Self::RoleLacks { .. }
            | Self::Feature { .. }
            | Self::VerifyFailed { .. }
            | Self::Fenced { .. }
            | Self::NotGivenUp { .. }
            | Self::Mirror { .. }
            | Self::NoVerdict { .. }
            | Self::PastIsRead { .. }
            | Self::Unsettled { .. }
            | Self::WorkerLost
            | Self::Local { .. }
            | Self::Interrupted => false,
        }
    }
}
